package emulator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The protocol's constants, from
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
// and https://learn.microsoft.com/entra/agent-id/identity-platform/agent-user-oauth-flow.
const (
	assertionType    = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	exchangeScope    = Audience + "/.default"
	azureDevOpsScope = AzureDevOpsResource + "/.default"
	// exchangeResource is the application id behind [Audience], the aud of T1
	// and T2.
	exchangeResource = "fb60f99c-7a34-4190-8149-302f77469936"
	refreshTokenLife = 90 * 24 * time.Hour
)

// entraIssuerLocked is the issuer of T1 and T2, and of the assertions of newer service
// connections.
func (e *Emulator) entraIssuerLocked() string {
	if e.options.Proxy {
		return publicEntra + "/" + e.world.TenantID + "/v2.0"
	}
	return e.urls[Entra] + "/" + e.world.TenantID + "/v2.0"
}

const publicEntra = "https://login.microsoftonline.com"

// entraHost is where a request found Entra.
func (e *Emulator) entraHost(r *http.Request) string {
	if publicName(r) {
		return publicEntra
	}
	return e.urls[Entra]
}

// accessTokenIssuer is the issuer of access tokens for Azure DevOps, which
// are of version 1.0.
func accessTokenIssuer(tenant string) string { return "https://sts.windows.net/" + tenant + "/" }

// A grant is one kind of token request: the parameters it takes beside those
// of every request, and what it answers.
type grant struct {
	parameters []string
	answer     func(*exchange) (map[string]any, *entraError)
}

// An exchange is one request to the token endpoint, past the checks that all
// grants share.
type exchange struct {
	*Emulator
	form   url.Values
	client *App
	now    time.Time
	host   string // of the request, with https://
	path   string
	reused bool // the assertion has been presented before
	// secondFactor: the user gave one, when signing in.
	secondFactor bool
}

// routeEntra tells the grants apart by what the client seems to mean; whether
// the request is right is for the grant to say.
func (e *Emulator) routeEntra(a arrival) (string, http.HandlerFunc) {
	_, endpoint, _ := strings.Cut(strings.TrimPrefix(a.URL.Path, "/"), "/")
	form := a.form
	if e.options.SDKs {
		form = withoutMSAL(form)
	}
	if e.options.SDKs || e.options.Proxy {
		if op, h := e.routeEntraMetadata(a); h != nil {
			return op, h
		}
	}
	switch endpoint {
	case "oauth2/v2.0/token":
	case "oauth2/v2.0/authorize":
		return OpAuthorize, e.authorize
	case signInPath:
		return OpSignIn, func(w http.ResponseWriter, r *http.Request) { e.signInForm(w, r, form) }
	default:
		return string(Entra) + other, notFound
	}
	if form.Get("client_id") == AzureCLI {
		return OpCLIToken, func(w http.ResponseWriter, r *http.Request) { e.cliToken(w, r, a.form) }
	}
	op, g := e.grantOf(form)
	return op, func(w http.ResponseWriter, r *http.Request) { e.token(w, r, form, g) }
}

func (e *Emulator) grantOf(form url.Values) (string, grant) {
	switch form.Get("grant_type") {
	case "client_credentials":
		switch {
		case form.Has("fmi_path"):
			return OpT1, grant{[]string{"fmi_path"}, (*exchange).t1}
		case form.Get("scope") != exchangeScope:
			return OpClientCredentials, grant{nil, (*exchange).appOnly}
		case e.isAgentIdentity(form.Get("client_id")):
			return OpT2, grant{nil, (*exchange).t2}
		default:
			return OpT1, grant{nil, (*exchange).t1}
		}
	case "user_fic":
		return OpUserFIC, grant{[]string{"user_federated_identity_credential", "username", "user_id", "requested_token_use", "claims"}, (*exchange).userFIC}
	case "refresh_token":
		return OpRefreshToken, grant{[]string{"refresh_token", "claims"}, (*exchange).refreshToken}
	case "authorization_code":
		return OpAuthorizationCode, grant{[]string{"code", "redirect_uri", "code_verifier", "claims"}, (*exchange).authorizationCode}
	case "password":
		return OpPassword, grant{[]string{"username", "password", "claims"}, (*exchange).password}
	}
	return string(Entra) + other, grant{nil, (*exchange).unsupported}
}

func (e *Emulator) isAgentIdentity(clientID string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	app := e.world.App(clientID)
	return app != nil && app.Kind == AgentIdentity
}

// token is POST /{tenant}/oauth2/v2.0/token.
func (e *Emulator) token(w http.ResponseWriter, r *http.Request, form url.Values, g grant) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := &exchange{Emulator: e, form: form, host: e.entraHost(r), path: r.URL.Path, now: e.Now(Entra), reused: assertionReused(r)}
	refusal := x.check(r, g.parameters)
	var answer map[string]any
	if refusal == nil {
		answer, refusal = g.answer(x)
	}
	if refusal != nil {
		recordOf(r).Refusal = refusal.name()
		refusal.write(w, x.now)
		return
	}
	answer["token_type"] = "Bearer"
	writeJSON(w, http.StatusOK, answer)
}

// tenantLocked checks the tenant in a request's path.
func (e *Emulator) tenantLocked(r *http.Request) *entraError {
	tenant, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if !strings.EqualFold(tenant, e.world.TenantID) && !strings.EqualFold(tenant, e.world.TenantDomain) {
		return refusal(90002, "Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.", tenant)
	}
	return nil
}

// check is what every request must have, whatever its grant.
func (x *exchange) check(r *http.Request, parameters []string) *entraError {
	if r.Method != http.MethodPost {
		return refusal(900561, "The endpoint only accepts POST requests. Received a %s request.", r.Method)
	}
	if err := x.tenantLocked(r); err != nil {
		return err
	}
	if r.Header.Get("Origin") != "" {
		return refusal(9002326, "Cross-origin token redemption is permitted only for the 'Single-Page Application' client-type.")
	}
	if r.Header.Get("Authorization") != "" || r.URL.RawQuery != "" {
		return refusal(90100, "The emulator takes parameters and credentials in the body alone.")
	}
	known := append([]string{"grant_type", "client_id", "client_assertion_type", "client_assertion", "scope"}, parameters...)
	for name, values := range x.form {
		switch {
		case len(values) > 1:
			return refusal(9000411, "The request is not properly formatted. The parameter '%s' is duplicated.", name)
		case !slices.Contains(known, name):
			return refusal(90100, "%s parameter is not one of this grant's.", name)
		case values[0] == "":
			return refusal(90100, "%s parameter is empty or not valid.", name)
		}
	}
	// In a body of another content type Entra sees no parameter at all.
	for _, name := range []string{"grant_type", "client_id", "scope"} {
		if !x.form.Has(name) {
			return missing(name)
		}
	}
	id := x.form.Get("client_id")
	x.client = x.world.App(id)
	if x.client == nil {
		return refusal(700016, "Application with identifier '%s' was not found in the directory '%s'.", id, x.world.TenantDomain)
	}
	if x.client.PrincipalID == "" {
		return refusal(7000229, "The client application %s is missing service principal in the tenant %s.", id, x.world.TenantID)
	}
	var claims map[string]any
	if x.form.Has("claims") && json.Unmarshal([]byte(x.form.Get("claims")), &claims) != nil {
		return refusal(90100, "claims parameter is empty or not valid.")
	}
	switch {
	case !x.form.Has("client_assertion"):
		return refusal(7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	case x.form.Get("client_assertion_type") != assertionType:
		return refusal(90100, "client_assertion_type parameter is empty or not valid.")
	case x.client.Public:
		return refusal(700025, "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.")
	}
	return nil
}
