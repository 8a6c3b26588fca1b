package lease

import (
	"context"
	"errors"
	"fmt"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
)

// revocation ends one PAT, with as many requests as it takes.
type revocation struct {
	id string
	// PATs is who is asked.
	PATs interface {
		Revoke(ctx context.Context, id string) (gone bool, err error)
		Listed(ctx context.Context, id string, show pat.Show) (bool, error)
	}
	// lost tells that a request to revoke it was not answered, look that it has
	// not been looked for since.
	lost, look bool
	// confirmed tells that Azure DevOps has said that it revoked the PAT.
	confirmed bool
}

// attempt makes one attempt. Gone says that the PAT had ended before. A request
// without an answer may have taken effect, or may do so late, so that the list is
// asked before the request is repeated. Only a list that cannot be had does not
// keep it from being repeated.
func (r *revocation) attempt(ctx context.Context) (gone bool, err error) {
	if r.look {
		r.look = false
		active, err := r.PATs.Listed(ctx, r.id, pat.Active)
		if passing, _ := httpclient.Retryable(err); passing || err == nil && !active {
			return false, err
		}
	}
	gone, err = r.PATs.Revoke(ctx, r.id)
	var refused *pat.Error
	if errors.As(err, &refused) && refused.Unanswered() {
		r.lost, r.look = true, true
	}
	r.confirmed = err == nil && !gone
	return gone && !r.lost, err
}

// end revokes one PAT that is known to be a lease's.
func (l *Client) end(ctx context.Context, id string) (gone bool, err error) {
	r := revocation{id: id, PATs: l.PATs}
	return l.revoke(ctx, &r)
}

func (l *Client) revoke(ctx context.Context, r *revocation) (gone bool, err error) {
	err = httpclient.Retry(ctx, l.Log, "revoking", func(ctx context.Context) (err error) {
		gone, err = r.attempt(ctx)
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
	r := revocation{id: id, PATs: l.PATs}
	gone, err := l.revoke(ctx, &r)
	if err != nil || r.confirmed {
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
