package entra

import (
	"context"
	"net/url"
	"strings"

	"azdo-pat/internal/secret"
)

// AgentUser is the user account of an agent identity. It takes three requests: a
// token of the blueprint for the agent, a token of the agent, and with both of them
// a token of the user.
// https://learn.microsoft.com/entra/agent-id/identity-platform/agent-user-oauth-flow
type AgentUser struct {
	Blueprint string // client id of the agent identity blueprint
	Agent     string // client id of the agent identity
	User      string // user principal name (with an @) or object id
}

func (a *AgentUser) token(ctx context.Context, e *endpoint, assertion secret.Value) (answer, error) {
	t1, err := e.ask(ctx, stepName("get a token of the agent identity blueprint", 1), a.Blueprint, assertion, exchangeScope,
		url.Values{"fmi_path": {a.Agent}})
	if err != nil {
		return answer{}, err
	}
	t2, err := e.ask(ctx, stepName("get a token of the agent identity", 2), a.Agent, t1.access, exchangeScope,
		url.Values{})
	if err != nil {
		return answer{}, err
	}
	// Microsoft's protocol page also sends requested_token_use=on_behalf_of. Its
	// how-to page does not, and it works without.
	user := url.Values{
		"grant_type":                         {"user_fic"},
		"user_federated_identity_credential": {t2.access.Reveal()},
	}
	if strings.Contains(a.User, "@") {
		user.Set("username", a.User)
	} else {
		user.Set("user_id", a.User)
	}
	return e.ask(ctx, stepName("get a token of the agent's user", 3), a.Agent, t1.access, azureDevOpsScope, user)
}
