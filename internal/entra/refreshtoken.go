package entra

import (
	"context"
	"net/url"

	"azdo-pat/internal/secret"
)

// RefreshToken is a service account that signed in once and left a refresh token to
// the application. The token is useless without the job's assertion.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow#refresh-the-access-token
type RefreshToken struct {
	Client string
	Token  secret.Value
}

func (r *RefreshToken) token(ctx context.Context, e *endpoint, assertion secret.Value) (answer, error) {
	return e.ask(ctx, "redeem the refresh token", r.Client, assertion, azureDevOpsScope,
		url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.Token.Reveal()}})
}

// StoredRefreshToken is a [RefreshToken] in a store that the application can read. The
// assertion gets two tokens: the application's own for the store, then the user's.
type StoredRefreshToken struct {
	Client string
	// Store names the store for errors, as in "Azure Key Vault", and Scope is that of its
	// access tokens.
	Store, Scope string
	// Read gets the refresh token, with the application's access token. Its error may be
	// retryable.
	Read func(ctx context.Context, access secret.Value) (secret.Value, error)

	// access and stored are what an earlier attempt of the exchange has got.
	access, stored secret.Value
}

func (r *StoredRefreshToken) token(ctx context.Context, e *endpoint, assertion secret.Value) (answer, error) {
	if r.access.IsZero() {
		own, err := (&Application{r.Client, r.Store, r.Scope}).token(ctx, e, assertion)
		if err != nil {
			return answer{}, err
		}
		r.access = own.access
	}
	if r.stored.IsZero() {
		var err error
		r.stored, err = r.Read(ctx, r.access)
		if err != nil {
			return answer{}, err
		}
	}
	return (&RefreshToken{r.Client, r.stored}).token(ctx, e, assertion)
}
