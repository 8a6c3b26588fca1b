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
