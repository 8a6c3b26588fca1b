package job

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
	"azdo-pat/internal/timefmt"
)

// Released is the result of releasing a lease.
type Released struct {
	// Record is the lease's record. Only its name is certain.
	Record lease.Record
	// PATs are those that were revoked, or that had already ended.
	PATs []lease.Revoked
	// MayMint: another PAT of that name may still be created, and there was no time to
	// wait for it.
	MayMint bool
	// ServerTime is the time by Azure DevOps' clock; zero: unknown.
	ServerTime time.Time
}

// release signs in and ends the lease of a record.
func (j *Job) release(ctx context.Context, record lease.Record, timeout time.Duration) (*Released, error) {
	ctx, stopGrace := httpclient.WithGracePeriod(ctx, lease.StopCleanup)
	defer stopGrace()
	ctx, cancel := settings.WithTimeout(ctx, timeout)
	defer cancel()
	r := &Released{Record: record}
	session, err := j.SignIn.SignIn(ctx)
	if err != nil {
		return r, err
	}
	r.PATs, r.MayMint, err = j.leaseClient(session).Release(ctx, record)
	r.ServerTime = j.serverTime(record)
	return r, otherUser(session, r, err)
}

// otherUser is the error of a release by a user who did not mint the PAT: Azure
// DevOps does not show it to them.
func otherUser(session *signin.Session, r *Released, err error) error {
	minter := r.Record.User
	if r.revokedOne() || minter == "" || session.User == "" || minter == session.User {
		return err
	}
	other := fmt.Errorf("mint signed in as the user %s, and this step as %s, who cannot see that PAT", sanitize.Line(minter, 40), session.User)
	if err != nil {
		other = fmt.Errorf("%w: %w", other, err)
	}
	return hint.Add(other, "give this step the same secrets as mint")
}

// revokedOne reports whether a PAT was active until it was revoked.
func (r *Released) revokedOne() bool {
	return slices.ContainsFunc(r.PATs, func(p lease.Revoked) bool { return !p.Gone })
}

// NotRevoked is the error of a revocation that failed: it names the PAT that may be
// left and how to revoke it by hand. revoked are the PATs that were revoked before the
// failure; that of the record may be one of them.
func (j *Job) NotRevoked(err error, r lease.Record, revoked ...lease.Revoked) error {
	what := fmt.Sprintf("the PAT named %q", r.Name)
	switch {
	case slices.ContainsFunc(revoked, func(p lease.Revoked) bool { return !p.Gone && strings.EqualFold(p.ID, r.ID) }):
		what, r.ValidTo = fmt.Sprintf("the PAT %s is revoked, but another one named %q", r.ID, r.Name), time.Time{}
	case r.ID != "":
		what = "the PAT " + r.ID
	}
	until := ""
	if !r.ValidTo.IsZero() {
		until = " (valid until " + timefmt.Time(r.ValidTo) + ")"
	}
	advice := "revoke it by hand: " + TokenPage(j.Settings.Organization)
	if h := hint.Of(err); h != "" {
		advice = h + "\n" + advice
	}
	return hint.Add(fmt.Errorf("%s%s is not known to be revoked: %w", what, until, err), advice)
}

// expired reports whether the PAT has expired: by Azure DevOps' clock as it was
// measured at the mint, and by every server that has sent a Date since. This
// machine's clock may have been set, and a Date header may be wrong.
func (j *Job) expired(record lease.Record) bool {
	clock := j.SignIn.Clock()
	return record.Expired(time.Now()) && (clock == nil || clock.After(record.ValidTo))
}

// serverTime is the time by Azure DevOps' clock as it was measured at the mint. It
// is zero if the servers' later Date headers contradict it.
func (j *Job) serverTime(record lease.Record) time.Time {
	clock := j.SignIn.Clock()
	switch {
	case clock == nil || clock.Skew().Agrees(record.Skew):
		return record.ServerTime(time.Now())
	case record.ValidFrom.IsZero(): // it was not measured
		return time.Now().Add(-clock.Skew().Estimate())
	}
	return time.Time{}
}
