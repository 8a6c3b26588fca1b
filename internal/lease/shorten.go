package lease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
)

// Shorten moves the end of an active PAT to an earlier time and returns the end that the
// server granted: a policy can move it further; zero: it had already ended. A PAT that
// comes back with more than it had, or with a later end than requested, is revoked, and
// the error is [ErrWider].
func (l *Client) Shorten(ctx context.Context, t pat.Token, until time.Time) (ends time.Time, err error) {
	until = until.Truncate(time.Second)
	if !until.Before(t.ValidTo) {
		return t.ValidTo, nil
	}
	var got pat.Token
	err = httpclient.Retry(ctx, l.Log, "shortening the life of a PAT", func(ctx context.Context) (err error) {
		err = l.ready(ctx)
		if err == nil {
			got, err = l.PATs.Update(ctx, t.ID, pat.Update{ValidTo: until})
		}
		return err
	})
	switch {
	case err != nil && l.hasEnded(ctx, t.ID, err):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	case !strings.EqualFold(got.ID, t.ID):
		return time.Time{}, fmt.Errorf("the answer is about PAT %s instead of %s", got.ID, t.ID)
	}
	if err := wider(got, t.Scopes, until, 0); err != nil {
		if _, failed := l.revokeID(ctx, t.ID); failed != nil {
			return time.Time{}, hint.Add(fmt.Errorf("%w; it could not be revoked: %w", err, failed), hint.Of(err))
		}
		return time.Time{}, &revokedError{err}
	}
	return got.ValidTo, nil
}

// hasEnded reports whether a PAT that could not be changed is no longer active, by both the
// answer and the list.
func (l *Client) hasEnded(ctx context.Context, id string, changing error) bool {
	var refused *pat.Error
	if !errors.As(changing, &refused) || !refused.NotFound() && !refused.Expired() {
		return false
	}
	active := true
	err := httpclient.Retry(ctx, l.Log, "listing PATs", func(ctx context.Context) (err error) {
		active, err = l.PATs.Listed(ctx, id, pat.Active)
		return err
	})
	return err == nil && !active
}

// Revoke revokes an active PAT that was listed.
func (l *Client) Revoke(ctx context.Context, t pat.Token) error {
	_, err := l.revokeID(ctx, t.ID)
	return err
}

// ServerTime is the time by Azure DevOps' clock, measured by the beginning of the lease's
// PAT.
func (l *Client) ServerTime(lease *Lease) time.Time { return lease.serverTime(l) }

// IsRevoked reports whether the list of revoked PATs shows the PAT of that id.
func (l *Client) IsRevoked(ctx context.Context, id string) (revoked bool, err error) {
	err = httpclient.Retry(ctx, l.Log, "listing PATs", func(ctx context.Context) (err error) {
		revoked, err = l.PATs.Listed(ctx, id, pat.Revoked)
		return err
	})
	return revoked, err
}
