package lease

import (
	"context"
	"fmt"
	"strings"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/timefmt"
)

// undo revokes every PAT of a lease that failed with cause.
func (a *acquisition) undo(ctx context.Context, cause error) error {
	look := a.r.Unsettled > 0 || a.lookFailed
	if a.r.ID == "" && !look {
		return a.finish(cause)
	}
	if look && a.r.Stage != Intended {
		a.r.Stage = Intended // so that the post step waits for a late PAT
		_ = a.Record(a.r)
	}
	cleanup, cancel := context.WithTimeout(a.cleanup, Cleanup)
	defer cancel()

	var left []string
	var failed error
	if a.r.ID != "" {
		switch gone, err := a.revokeID(cleanup, a.r.ID); {
		case err != nil:
			left, failed = append(left, "the PAT "+a.r.ID+" could not be revoked"), err
		case a.answered && !gone:
			a.r.Unsettled = max(0, a.r.Unsettled-1) // that request made this PAT
		}
	}
	if look {
		// Search again even after an earlier search: a request may have taken effect since.
		if err := a.revokeUnsettled(cleanup); err != nil {
			left, failed = append(left, fmt.Sprintf("a PAT named %q may exist", a.r.Name)), joinErrors(failed, err)
		}
	}
	if a.r.Unsettled > 0 && a.mayCommit && failed == nil && a.NoLaterProcess && ctx.Err() == nil {
		failed = a.waitForUnsettled(httpclient.Unpaced(ctx))
		if failed != nil {
			left = append(left, fmt.Sprintf("a PAT named %q may exist", a.r.Name))
		}
	}
	if failed != nil {
		return hint.Add(fmt.Errorf("%w; %s: %w", cause, strings.Join(left, ", and "), failed),
			joinLines(hint.Of(cause), a.Leftover))
	}
	if a.r.Unsettled > 0 {
		// Do not report "revoked" while a request may still take effect.
		return hint.Add(fmt.Errorf("%w; a PAT named %q may still be created until %s", cause, a.r.Name, timefmt.Time(a.r.Intended.Add(commitWindow))),
			joinLines(hint.Of(cause), a.Leftover))
	}
	return a.finish(cause)
}

// finish records that no PAT is left. It returns cause, and that the PAT was revoked
// if there was one.
func (a *acquisition) finish(cause error) error {
	if a.r.ID != "" || len(a.ended) > 0 {
		cause = &revokedError{cause}
	}
	a.close()
	return cause
}

// close records that no PAT is left. If that fails, the post step looks for one.
func (a *acquisition) close() {
	a.r.Stage = Closed
	_ = a.Record(a.r)
}

// revokedError adds to an error that the PAT was revoked.
type revokedError struct{ error }

func (u *revokedError) Error() string { return u.error.Error() + "; the PAT was revoked" }
func (u *revokedError) Unwrap() error { return u.error }
