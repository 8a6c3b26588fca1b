package lease

import (
	"context"
	"errors"
	"fmt"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
)

// end revokes one PAT that is known to be a lease's.
func (l *Client) end(ctx context.Context, id string) (gone bool, err error) {
	r := pat.Revocation{ID: id, PATs: l.PATs}
	return l.revoke(ctx, &r)
}

func (l *Client) revoke(ctx context.Context, r *pat.Revocation) (gone bool, err error) {
	err = httpclient.Retry(ctx, l.Log, "revoking", func(ctx context.Context) (err error) {
		gone, err = r.Attempt(ctx)
		return err
	})
	return gone, err
}

// ErrNotTheirs is the error of an id under which the user has no PAT.
var ErrNotTheirs = errors.New("the user has no such PAT")

// ReleaseID ends the PAT of that id, whoever minted it. That it is not among the
// user's active PATs is a success only if it is among those that have ended:
// otherwise the error is [ErrNotTheirs].
func (l *Client) ReleaseID(ctx context.Context, id string) (Revoked, error) {
	r := pat.Revocation{ID: id, PATs: l.PATs}
	gone, err := l.revoke(ctx, &r)
	if err != nil || r.Confirmed() {
		return Revoked{ID: id}, err
	}
	var shown bool
	err = httpclient.Retry(ctx, l.Log, "listing", func(ctx context.Context) (err error) {
		shown, err = l.PATs.Listed(ctx, id, pat.All)
		return err
	})
	switch {
	case err != nil:
		return Revoked{}, fmt.Errorf("it is not active, and whether it ever was is not known: %w", err)
	case !shown:
		return Revoked{}, ErrNotTheirs
	}
	return Revoked{ID: id, Gone: gone}, nil
}
