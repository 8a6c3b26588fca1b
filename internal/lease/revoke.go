package lease

import (
	"context"
	"errors"
	"fmt"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
)

// revokeID revokes a PAT of a lease.
func (l *Client) revokeID(ctx context.Context, id string) (gone bool, err error) {
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

// ErrNoSuchPAT is the error of an id that the user has no PAT with.
var ErrNoSuchPAT = errors.New("the user has no such PAT")

// ReleaseID revokes the PAT with that id. If it is not among the user's active PATs, it
// must be among those that have ended; otherwise the error is [ErrNoSuchPAT].
func (l *Client) ReleaseID(ctx context.Context, id string) (Revoked, error) {
	r := pat.Revocation{ID: id, PATs: l.PATs}
	gone, err := l.revoke(ctx, &r)
	if err != nil || r.Confirmed() {
		return Revoked{ID: id}, err
	}
	var shown bool
	err = httpclient.Retry(ctx, l.Log, "listing PATs", func(ctx context.Context) (err error) {
		shown, err = l.PATs.Listed(ctx, id, pat.All)
		return err
	})
	switch {
	case err != nil:
		return Revoked{}, fmt.Errorf("it is not active, and it is unknown whether it ever was: %w", err)
	case !shown:
		return Revoked{}, ErrNoSuchPAT
	}
	return Revoked{ID: id, Gone: gone}, nil
}
