package entra

import (
	"context"
	"net/url"

	"azdo-pat/internal/secret"
)

// RefreshToken is a service account, reached with a refresh token that it once
// gave to the application. Without the job's assertion the token is useless.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow#refresh-the-access-token
type RefreshToken struct {
	Client string
	Token  secret.Value
}

func (r *RefreshToken) token(ctx context.Context, e *endpoint, assertion secret.Value) (answer, error) {
	return e.ask(ctx, "redeem the refresh token", r.Client, assertion, azureDevOpsScope,
		url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.Token.Reveal()}})
}
