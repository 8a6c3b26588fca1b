package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
)

// releaser ends a lease for a command and reports how that went.
type releaser struct {
	*app
	command  string
	settings *settings.Settings // nil: they could not be read
}

// release signs in and ends the lease of a record. Open reports that there was no
// time to wait for a PAT that may still be made.
func (r *releaser) release(ctx context.Context, record lease.Record, timeout time.Duration) (ended []lease.Revoked, open bool, err error) {
	ctx, enough := httpclient.WithGracePeriod(ctx, lease.StopCleanup)
	defer enough()
	ctx, cancel := withTimeout(ctx, timeout)
	defer cancel()
	session, err := r.signin.SignIn(ctx)
	if err != nil {
		return nil, false, err
	}
	ended, open, err = r.leaseClient(session).Release(ctx, record)
	return ended, open, otherUser(session, record, ended, err)
}

// otherUser is the error of a release by a user who did not mint the PAT: Azure
// DevOps does not show it to them.
func otherUser(session *signin.Session, r lease.Record, ended []lease.Revoked, err error) error {
	found := slices.ContainsFunc(ended, func(e lease.Revoked) bool { return !e.Gone })
	if found || r.User == "" || session.User == "" || r.User == session.User {
		return err
	}
	other := fmt.Errorf("mint signed in as the user %s, and this step as %s, which cannot see that PAT", sanitize.Line(r.User, 40), session.User)
	if err != nil {
		other = fmt.Errorf("%w: %w", other, err)
	}
	return hint.Add(other, "give this step the same secrets as mint")
}

// notRevoked is the error of a revocation that failed: it names the PAT that may be
// left and how to revoke it by hand. Ended are the PATs that were revoked before the
// failure; that of the record may be one of them.
func notRevoked(err error, s *settings.Settings, r lease.Record, ended ...lease.Revoked) error {
	what := fmt.Sprintf("the PAT named %q", r.Name)
	switch {
	case slices.ContainsFunc(ended, func(e lease.Revoked) bool { return !e.Gone && strings.EqualFold(e.ID, r.ID) }):
		what, r.ValidTo = fmt.Sprintf("the PAT %s is revoked; another one named %q", r.ID, r.Name), time.Time{}
	case r.ID != "":
		what = "the PAT " + r.ID
	}
	until := ""
	if !r.ValidTo.IsZero() {
		until = " and lives until " + stamp(r.ValidTo)
	}
	lines := []string{hint.Of(err), "revoke it by hand: " + tokenPage(s.Organization)}
	if lines[0] == "" {
		lines = lines[1:]
	}
	return hint.Add(fmt.Errorf("%s is not known to be revoked%s: %w", what, until, err), strings.Join(lines, "\n"))
}

// finish reports how a revocation ended and returns the exit status; the setting
// on-revoke-failure decides whether a failure is an error.
func (r *releaser) finish(err error) int {
	if err == nil {
		return exitOK
	}
	if r.settings != nil && r.settings.OnRevokeFailure == settings.Fail {
		return r.failed(r.command, err)
	}
	title := "not revoked"
	if errors.Is(err, lease.ErrNoSuchPAT) {
		title = "no such PAT"
	}
	if wrong := (*settings.Problems)(nil); errors.As(err, &wrong) {
		title = "wrong settings"
	}
	r.platform.Log().Warning("azdo-pat "+r.command+": "+title, ci.Explain(err))
	r.fallbackToStderr(r.command + ": " + title + ": " + ci.Explain(err))
	r.platform.SucceedWithIssues()
	return exitOK
}

// report logs what happened to a lease of which only the name is certain. open: another
// PAT may still be created.
func (r *releaser) report(record lease.Record, ended []lease.Revoked, open bool) {
	log, s := r.platform.Log(), r.settings
	if len(ended) == 0 && open {
		log.Infof("there is no PAT named %q; the setting timeout leaves no time to wait for one that is made later. If one is made, it can be revoked on %s", record.Name, tokenPage(s.Organization))
		return
	}
	if len(ended) == 0 {
		log.Infof("there is no PAT named %q, so there is nothing to revoke", record.Name)
		return
	}
	for _, e := range ended {
		log.Infof("PAT %s is revoked%s", e.ID, lived(e, r.serverTime(record)))
	}
	if open {
		log.Infof("another PAT named %q may still be made; the setting timeout leaves no time to wait for it", record.Name)
	}
	if err := r.platform.Summary(revokeSummary(s, ended, r.serverTime(record))); err != nil {
		log.Warning("no summary", err.Error())
	}
}

// expired reports whether the PAT has expired: by Azure DevOps' clock as it was
// measured at the mint, and by every server that has sent a Date since. This
// machine's clock may have been set, and a Date header may be wrong.
func (r *releaser) expired(record lease.Record) bool {
	clock := r.signin.Clock()
	return record.Expired(r.Now()) && (clock == nil || clock.After(record.ValidTo))
}

// serverTime is the time by Azure DevOps' clock as it was measured at the mint. It
// is zero if the servers' later Date headers contradict it.
func (r *releaser) serverTime(record lease.Record) time.Time {
	clock := r.signin.Clock()
	switch {
	case clock == nil || clock.Skew().Agrees(record.Skew):
		return record.ServerTime(r.Now())
	case record.ValidFrom.IsZero(): // it was not measured
		return r.Now().Add(-clock.Skew().Estimate())
	}
	return time.Time{}
}
