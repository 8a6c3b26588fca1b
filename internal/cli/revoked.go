package cli

import (
	"errors"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/job"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/timefmt"
)

// reportReleased logs what became of a lease. r is nil if that is in the log already.
func (l *loaded) reportReleased(command string, r *job.Released, err error) error {
	if err != nil {
		return l.revokeFailed(command, err)
	}
	if r == nil {
		return nil
	}
	log, name := l.platform.Log(), r.Record.Name
	switch {
	case len(r.PATs) == 0 && r.MayMint:
		log.Infof("there is no PAT named %q yet, and timeout leaves no time to wait for one; if one is still created, revoke it by hand: %s", name, job.TokenPage(l.Settings.Organization))
		return nil
	case len(r.PATs) == 0:
		log.Infof("there is no PAT named %q, so there is nothing to revoke", name)
		return nil
	}
	l.logRevoked(r)
	if r.MayMint {
		log.Infof("another PAT named %q may still be created, and timeout leaves no time to wait for it; if it is, revoke it by hand: %s", name, job.TokenPage(l.Settings.Organization))
	}
	l.summary(revokeSummary(l.Settings.Organization, r))
	return nil
}

func (a *app) logRevoked(r *job.Released) {
	for _, p := range r.PATs {
		if p.Gone {
			a.platform.Log().Infof("PAT %s had already ended", p.ID)
			continue
		}
		a.platform.Log().Infof("PAT %s is revoked%s", p.ID, lifetimeNote(p, r))
	}
}

// lifetimeNote says how long a revoked PAT lived, as the end of a sentence; empty: unknown.
func lifetimeNote(p lease.Revoked, r *job.Released) string {
	if p.Gone {
		return ": had already ended"
	}
	if p.ValidFrom.IsZero() || r.ServerTime.Before(p.ValidFrom) {
		return ""
	}
	return "; it lived " + timefmt.Rough(r.ServerTime.Sub(p.ValidFrom))
}

// revokeFailed reports a revocation that failed. The setting on-revoke-failure decides
// whether that is an error.
func (l *loaded) revokeFailed(command string, err error) error {
	if l.Job != nil && l.Settings.OnRevokeFailure == settings.Fail {
		return l.failed(command, err)
	}
	title := "not revoked"
	if errors.Is(err, lease.ErrNoSuchPAT) {
		title = "no such PAT"
	}
	if wrong := (*settings.Problems)(nil); errors.As(err, &wrong) {
		title = "wrong settings"
	}
	l.platform.Log().Warning("azdo-pat "+command+": "+title, ci.Explain(err))
	l.fallbackToStderr(command + ": " + title + ": " + ci.Explain(err))
	l.platform.SucceedWithIssues()
	return nil
}
