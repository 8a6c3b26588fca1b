package entra

import (
	"context"
	"net/url"

	"azdo-pat/internal/secret"
)

// Password is a service account that signs in with its password. It fails if the
// account needs a second factor. Microsoft advises against it.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth-ropc
type Password struct {
	Client   string
	Username string
	Password secret.Value
}

func (p *Password) token(ctx context.Context, e *endpoint, assertion secret.Value) (answer, error) {
	return e.ask(ctx, "sign in with the password", p.Client, assertion, azureDevOpsScope,
		url.Values{"grant_type": {"password"}, "username": {p.Username}, "password": {p.Password.Reveal()}})
}
