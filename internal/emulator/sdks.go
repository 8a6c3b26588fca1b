package emulator

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// What Microsoft's SDKs ask for beyond what the protocol needs. It is served
// with [Options.SDKs] alone.
const (
	OpOpenID    = "entra.openid"   // MSAL, for each of its clients
	OpLocations = "azdo.locations" // azure-devops-go-api, for each base URL
)

// openIDEndpoint is the tenant's OpenID configuration document.
const openIDEndpoint = "v2.0/.well-known/openid-configuration"

// openID is GET /{tenant}/v2.0/.well-known/openid-configuration, in the form of
// https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc. The
// other endpoints that it names are not played here.
func (e *Emulator) openID(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	refused := e.tenantLocked(r)
	if refused == nil && r.Method != http.MethodGet {
		refused = refusal(900561, "The endpoint only accepts GET requests. Received a %s request.", r.Method)
	}
	if refused != nil {
		recordOf(r).Refusal = refused.name()
		refused.write(w, e.Now(Entra))
		return
	}
	tenant := e.urls[Entra] + "/" + e.world.TenantID
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                e.entraIssuerLocked(),
		"authorization_endpoint":                tenant + "/oauth2/v2.0/authorize",
		"token_endpoint":                        tenant + "/oauth2/v2.0/token",
		"device_authorization_endpoint":         tenant + "/oauth2/v2.0/devicecode",
		"end_session_endpoint":                  tenant + "/oauth2/v2.0/logout",
		"jwks_uri":                              tenant + "/discovery/v2.0/keys",
		"userinfo_endpoint":                     "https://graph.microsoft.com/oidc/userinfo",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
		"response_modes_supported":              []string{"query", "fragment", "form_post"},
		"response_types_supported":              []string{"code", "id_token", "code id_token", "id_token token"},
		"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"claims_supported":                      []string{"sub", "iss", "aud", "exp", "iat", "nonce", "preferred_username", "name", "tid", "ver"},
		"request_uri_parameter_supported":       false,
		"http_logout_supported":                 true,
		"frontchannel_logout_supported":         true,
	})
}

// withoutMSAL is a token request without what MSAL for Go adds to each:
// client_info=1, and the scopes of OpenID Connect. Entra takes both with every
// grant. The answer is the one without them, which MSAL is content with.
func withoutMSAL(form url.Values) url.Values {
	form = maps.Clone(form)
	if slices.Equal(form["client_info"], []string{"1"}) {
		delete(form, "client_info")
	}
	if scope := form["scope"]; len(scope) == 1 {
		left := slices.DeleteFunc(strings.Fields(scope[0]), func(s string) bool {
			return s == "openid" || s == "offline_access" || s == "profile"
		})
		form["scope"] = []string{strings.Join(left, " ")}
	}
	return form
}

// patsLocation is the id by which clients in the style of Azure DevOps' SDKs
// know the PAT Lifecycle API. No documentation has it.
const patsLocation = "55967393-20ef-45c6-a96c-b5d5d5986a9a"

// locations is OPTIONS /{organization}/_apis, by which a client finds the path
// and the versions of an API. The service lists hundreds; here it is the one of
// PATs. Whether it also tells those who are not signed in is not documented:
// here it does not.
func (e *Emulator) locations(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	organization := e.organizationLocked(w, r)
	if organization == nil || e.callerLocked(w, r, organization) == "" {
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"count": 1, "value": []any{map[string]any{
		"id": patsLocation, "area": "tokens", "resourceName": "pats",
		"routeTemplate": "_apis/{area}/{resource}", "resourceVersion": 1,
		"minVersion": "6.1", "maxVersion": "7.2", "releasedVersion": "0.0",
	}}})
}
