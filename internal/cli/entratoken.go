package cli

import (
	"context"
	"fmt"
	"strings"
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
	var b strings.Builder
	fmt.Fprintf(&b, "### Microsoft Entra token for Azure DevOps\n\n| | |\n|---|---|\n")
	for _, row := range [][2]string{
		{"Organization", s.Organization},
		{"Identity", signin.Describe(s)},
		{"Object id", t.Principal},
		{"Scopes", "none: it has all permissions of the service principal in Azure DevOps"},
		{"Lifetime", fmt.Sprintf("%s, until %s; cannot be revoked", timefmt.Duration(t.Left.Round(time.Minute)), timefmt.Time(t.Ends))},
	} {
		if row[1] != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", row[0], cell(row[1]))
		}
	}
	return b.String()
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
