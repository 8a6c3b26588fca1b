package emulator

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Requests that Microsoft's SDKs make in addition to the protocol. They are served only
// with [Options.SDKs].
const (
	OpOpenID        = "entra.openid"       // MSAL, for each of its clients
	OpLocations     = "azdo.locations"     // azure-devops-go-api for each base URL, azure-devops-node-api for each area
	OpResourceAreas = "azdo.resourceAreas" // azure-devops-node-api
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
	tenant := e.entraHost(r) + "/" + e.world.TenantID
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

// resourceLocation is where the clients of Azure DevOps' SDKs find an API, and in
// which versions. They know it by its id: that of the PAT Lifecycle API is in no
// documentation, the others are in azure-devops-node-api.
type resourceLocation struct {
	ID              string `json:"id"`
	Area            string `json:"area"`
	ResourceName    string `json:"resourceName"`
	RouteTemplate   string `json:"routeTemplate"`
	ResourceVersion int    `json:"resourceVersion"`
	MinVersion      string `json:"minVersion"`
	MaxVersion      string `json:"maxVersion"`
	ReleasedVersion string `json:"releasedVersion"`
}

var resourceLocations = []resourceLocation{
	{"55967393-20ef-45c6-a96c-b5d5d5986a9a", "tokens", "pats", "_apis/{area}/{resource}", 1, "6.1", "7.2", "0.0"},
	{"00d9565f-ed9c-4a06-9a50-00e7896ccab4", "Location", "ConnectionData", "_apis/{resource}", 1, "1.0", "7.2", "0.0"},
	{"e81700f7-3be2-46de-8624-2eb35882fcaa", "Location", "ResourceAreas", "_apis/{resource}/{areaId}", 1, "3.2", "7.2", "0.0"},
	{"603fe2ac-9723-48b9-88ad-09305aa6c6e1", "core", "projects", "_apis/{resource}/{*projectId}", 4, "1.0", "7.2", "7.1"},
}

// coreArea is the id of the area core.
const coreArea = "79134c72-4a58-4b42-976c-04e7115f32bf"

// locations is OPTIONS /{organization}/_apis/{area}, by which a client finds the
// path and the versions of an API. The service lists hundreds; here they are those
// that are played. Whether it also tells those who are not signed in is not
// documented: here it does not.
func (e *Emulator) locations(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	organization := e.organizationLocked(w, r)
	if organization == nil || e.anyoneLocked(w, r, organization) == "" {
		return
	}
	_, area, _ := strings.Cut(r.URL.Path, "/_apis")
	found := []resourceLocation{}
	for _, l := range resourceLocations {
		area = strings.Trim(area, "/")
		if area == "" || strings.EqualFold(area, l.Area) {
			found = append(found, l)
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"count": len(found), "value": found})
}

// resourceAreas is GET /{organization}/_apis/resourceAreas, by which a client finds
// the host of an area.
func (e *Emulator) resourceAreas(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.restLocked(w, r, "", "7.1-preview.1", "7.2-preview.1") == "" {
		return
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	writeJSON(w, http.StatusOK, map[string]any{"count": 1, "value": []any{
		map[string]any{"id": coreArea, "name": "core", "locationUrl": e.urls[AzureDevOps] + "/" + name + "/"},
	}})
}
