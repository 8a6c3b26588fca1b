package entra

import (
	"context"
	"errors"
	"net/url"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/secret"
)

// Application gets a token of the application itself, without a user.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
type Application struct {
	Client string
	// Store names a store for errors, as in "Azure Key Vault", and Scope is that of its
	// access tokens. Empty: the token is for Azure DevOps.
	Store, Scope string
}

func (a *Application) token(ctx context.Context, e *endpoint, assertion secret.Value) (answer, error) {
	if a.Store == "" {
		return e.ask(ctx, "sign the application in", a.Client, assertion, azureDevOpsScope, url.Values{})
	}
	got, err := e.ask(ctx, "get the application's token for "+a.Store, a.Client, assertion, a.Scope, url.Values{})
	var refused *Error
	if errors.As(err, &refused) && refused.is(codeNoResource) { // its own hint is about Azure DevOps
		err = hint.Add(err, a.Store+" is not known in this tenant: the vault must be in an Azure subscription of the tenant in which the application signs in (tenant-id)")
	}
	return got, err
}

// codeNoResource means that the tenant does not know the service of the scope.
const codeNoResource = 500011
