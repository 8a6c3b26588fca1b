package cli

import (
	"context"
	"time"

	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
	"azdo-pat/internal/timefmt"
)

// handOverEntraToken is mint with token-type entra. end ends the group of the log.
func (l *loaded) handOverEntraToken(ctx context.Context, end func()) error {
	t, err := l.HandOverEntraToken(ctx)
	if err == nil {
		l.summary(entraSummary(l.Settings, t))
	}
	end()
	if err != nil {
		return l.failed("mint", err)
	}
	l.platform.Log().Infof("handed over an Entra token of the %s for %s: it has no scopes, cannot be revoked, and ends at %s",
		signin.Describe(l.Settings), l.Settings.Organization, timefmt.Time(t.Ends))
	return nil
}

// entraSummary is the table for the job's summary, without the token itself.
func entraSummary(s *settings.Settings, t *signin.EntraToken) string {
	return summaryTable("Microsoft Entra token for Azure DevOps", [][2]string{
		{"Organization", s.Organization},
		{"Identity", signin.Describe(s)},
		{"Object id", t.Principal},
		{"Scopes", "none: it has all permissions of the service principal in Azure DevOps"},
		{"Lifetime", lifeSpan(t.Left, t.Ends) + "; cannot be revoked"},
	})
}

// revokeEntraToken is revoke with token-type entra, which has nothing to do.
func (l *loaded) revokeEntraToken() error {
	if err := l.NoPATOnRecord(); err != nil {
		return l.revokeFailed("revoke", err)
	}
	l.platform.Log().Infof("token-type is entra: %s", entraTokenStays(time.Time{}))
	return nil
}

// entraTokenStays says that an Entra token cannot be revoked, and when it ends. Zero: that
// is unknown.
func entraTokenStays(ends time.Time) string {
	when := "by itself, about an hour after it was issued"
	if !ends.IsZero() {
		when = "at " + timefmt.Time(ends)
	}
	return "there is nothing to revoke: an Entra token cannot be revoked, and ends " + when
}
