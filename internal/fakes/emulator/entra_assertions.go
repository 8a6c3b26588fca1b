package emulator

import (
	"strings"
	"time"
)

// federatedForUser is federated for the grants in a user's name, which are
// not for agents.
func (x *exchange) federatedForUser() *entraError {
	if x.client.Kind != AppRegistration {
		return refusal(82001, "Agentic application '%s' is not permitted to use the grant %s.", x.client.ClientID, x.form.Get("grant_type"))
	}
	return x.federated()
}

// federated verifies the CI system's assertion against the client's federated
// credentials. The order is Entra's: which record, then the signature, then
// the lifetime. An assertion that a certificate signed goes another way.
func (x *exchange) federated() *entraError {
	if byCertificate(x.form.Get("client_assertion")) {
		return x.certificate()
	}
	assertion, parseErr := parse(x.form.Get("client_assertion"))
	if parseErr != nil {
		return refusal(50027, "JWT token is invalid or malformed: %v.", parseErr)
	}
	if len(x.client.Credentials) == 0 {
		return refusal(70025, "The client '%s' has no configured federated identity credentials.", x.client.ClientID)
	}
	// How far the best credential matches: 1 issuer, 2 subject except for case,
	// 3 subject or expression, 4 audience too.
	best, flexible := 0, false
	for _, c := range x.client.Credentials {
		match := 0
		flexible = flexible || c.Issuer == assertion.Issuer && c.Expression != ""
		switch {
		case c.Issuer != assertion.Issuer:
		case c.Expression != "" && !expressionMatches(c.Expression, assertion):
			match = 1
		case c.Expression != "" && assertion.Audience.Contains(c.Audience):
			match = 4
		case c.Expression != "":
			match = 3
		case !strings.EqualFold(c.Subject, assertion.Subject):
			match = 1
		case c.Subject != assertion.Subject:
			match = 2
		case !assertion.Audience.Contains(c.Audience):
			match = 3
		default:
			match = 4
		}
		best = max(best, match)
	}
	const (
		more = "https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
		look = "Check your federated identity credential Subject, Audience and Issuer against the presented assertion. " + more
	)
	switch {
	case best == 0:
		return refusal(700211, "No matching federated identity record found for presented assertion issuer '%s'. %s", assertion.Issuer, look)
	case best < 3 && flexible:
		// Reports have this code for applications with a flexible credential. Which one an
		// application with both kinds gets, no source says.
		return refusal(7002131, "No matching federated identity record found for presented assertion subject '%s' or no federated identity credential expression matched. "+
			"Please check your federated identity credential Subject, Expression, Audience and Issuer against the presented assertion. %s", assertion.Subject, more)
	case best == 1:
		return refusal(700213, "No matching federated identity record found for presented assertion subject '%s'. %s", assertion.Subject, look)
	case best == 2:
		return refusal(7002138, "No matching federated identity record found for presented assertion subject '%s'. The subject matches with case-insensitive comparison, but not with case-sensitive comparison. %s", assertion.Subject, look)
	case best == 3:
		return refusal(700212, "No matching federated identity record found for presented assertion audience '%s'. %s", strings.Join(assertion.Audience, ", "), look)
	}
	if assertion.Issuer == x.entraIssuerLocked() && x.client.MultiTenant {
		return refusal(70052, "The identity must be a managed identity, a single tenant app, or a service account.")
	}
	if !assertion.signedBy(x.issuerKeyLocked(assertion.Issuer)) {
		return refusal(700027, "The certificate with identifier used to sign the client assertion is not registered on application, or the signature is invalid.")
	}
	if !assertion.inForce(x.now) {
		return refusal(700024, "Client assertion is not within its valid time range. Current time: %s.", x.now.Format(time.RFC3339))
	}
	if x.reused {
		return refusal(codeReused, "The emulator takes each assertion of the CI system once: jti '%s' has been presented before.", assertion.ID)
	}
	return nil
}

// assertedByBlueprint verifies that the client assertion is T1 for this agent
// identity.
func (x *exchange) assertedByBlueprint() *entraError {
	t1, err := x.entraToken("client_assertion")
	if err != nil {
		return err
	}
	if t1.text("azp") != x.client.Blueprint {
		return refusal(700213, "No matching federated identity record found for presented assertion subject '%s': its client is '%s', not the blueprint.", t1.Subject, t1.text("azp"))
	}
	if t1.Subject != x.agentSubject(x.client) {
		return refusal(700211, "No matching federated identity record found for presented assertion: its subject '%s' is not the agent identity's (fmi_path).", t1.Subject)
	}
	return nil
}

// entraToken verifies that a parameter is a T1 or T2: an exchange token that
// Entra itself has signed.
func (x *exchange) entraToken(parameter string) (*token, *entraError) {
	t, err := parse(x.form.Get(parameter))
	switch {
	case err != nil:
		return nil, refusal(50027, "JWT token in %s is invalid or malformed: %v.", parameter, err)
	case t.Issuer != x.entraIssuerLocked():
		return nil, refusal(700211, "No matching federated identity record found for presented assertion issuer '%s' in %s.", t.Issuer, parameter)
	case !t.signedBy(entraKey):
		return nil, refusal(50013, "Assertion failed signature validation: %s.", parameter)
	case !t.Audience.Contains(exchangeResource):
		return nil, refusal(700212, "No matching federated identity record found for presented assertion audience '%s' in %s.", strings.Join(t.Audience, ", "), parameter)
	case !t.inForce(x.now):
		return nil, refusal(700024, "Client assertion is not within its valid time range: %s.", parameter)
	}
	return t, nil
}
