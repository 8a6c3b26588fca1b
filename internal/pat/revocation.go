package pat

import (
	"context"
	"errors"

	"azdo-pat/internal/httpclient"
)

// Revoker is what a [Revocation] needs of a client.
type Revoker interface {
	Revoke(ctx context.Context, id string) (gone bool, err error)
	Listed(ctx context.Context, id string, show Show) (bool, error)
}

// Revocation revokes one PAT, with as many requests as it takes.
type Revocation struct {
	ID   string
	PATs Revoker

	unanswered bool // an earlier request got no answer
	look       bool // look for the PAT before the next request
	confirmed  bool
}

// Attempt makes one attempt. It reports whether the PAT had ended before. A request
// without an answer may have taken effect, or may do so late, so Attempt looks for
// the PAT in the list before it repeats the request. It repeats the request
// anyway if the list is refused.
func (r *Revocation) Attempt(ctx context.Context) (gone bool, err error) {
	if r.look {
		r.look = false
		active, failed := r.PATs.Listed(ctx, r.ID, Active)
		if retryable, _ := httpclient.Retryable(failed); retryable || failed == nil && !active {
			return false, failed
		}
	}
	gone, err = r.PATs.Revoke(ctx, r.ID)
	var refused *Error
	if errors.As(err, &refused) && refused.Unanswered() {
		r.unanswered, r.look = true, true
	}
	r.confirmed = err == nil && !gone
	return gone && !r.unanswered, err
}

// Confirmed reports whether Azure DevOps has confirmed that the last attempt
// revoked the PAT.
func (r *Revocation) Confirmed() bool { return r.confirmed }
