package entra

import (
	"context"
	"net/url"

	"azdo-pat/internal/secret"
)

// ServicePrincipal is an application acting as itself. Its token is no user's: Azure
// DevOps takes it for git, REST and feeds if the service principal is a member of the
// organization, and refuses it for the PAT API.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow#third-case-access-token-request-with-a-federated-credential
type ServicePrincipal struct {
	Client string // client id of the application
}

const servicePrincipalStep = "get a token of the service principal"

func (s *ServicePrincipal) token(ctx context.Context, e *endpoint, assertion secret.Value) (answer, error) {
	return e.ask(ctx, servicePrincipalStep, s.Client, assertion, azureDevOpsScope, url.Values{})
}
