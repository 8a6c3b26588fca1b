package emulator

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// What Microsoft's own command lines, public clients, ask of Entra. The metadata is
// served only with [Options.Proxy] and, in part, [Options.SDKs].
const (
	OpInstance  = "entra.instance"  // MSAL: the aliases of login.microsoftonline.com
	OpUserRealm = "entra.userrealm" // MSAL: whether a user signs in here
	OpCLIToken  = "entra.cli"       // a token for one of the command lines
)

// The client ids of Microsoft's command lines, the same in every tenant.
const (
	AzureCLI        = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
	GraphPowerShell = "14d82eec-204b-4c2f-b7e8-296a70dab67e"
)

// GraphResource is Microsoft Graph's application id.
const GraphResource = "00000003-0000-0000-c000-000000000000"

// cliScopes are the permissions that the Azure CLI's tokens carry for each resource,
// whatever it asks for. Those for Graph are documented in
// https://learn.microsoft.com/entra/agent-id/known-issues.
var cliScopes = map[string]string{
	graphAudience:       "AuditLog.Read.All Directory.AccessAsUser.All Group.ReadWrite.All User.ReadWrite.All email openid profile",
	AzureDevOpsResource: "user_impersonation",
	armAudience:         "user_impersonation",
	vaultAudience:       "user_impersonation",
}

// The audiences of tokens for other resources.
const (
	graphAudience = "https://graph.microsoft.com"
	armAudience   = "https://management.core.windows.net/"
	vaultAudience = "https://vault.azure.net"
)

// audienceOf is the aud of a token that was asked for with the resource.
func audienceOf(resource string) string {
	switch strings.TrimRight(resource, "/") {
	case graphAudience, GraphResource:
		return graphAudience
	case AzureDevOpsResource:
		return AzureDevOpsResource
	case "https://management.core.windows.net", "https://management.azure.com":
		return armAudience
	case vaultAudience:
		return vaultAudience
	}
	return ""
}

// routeEntraMetadata finds the requests that MSAL makes beside those for tokens.
func (e *Emulator) routeEntraMetadata(a arrival) (string, http.HandlerFunc) {
	path := strings.TrimPrefix(a.URL.Path, "/")
	switch _, endpoint, _ := strings.Cut(path, "/"); {
	case endpoint == openIDEndpoint:
		return OpOpenID, e.openID
	case !e.options.Proxy:
	case path == "common/discovery/instance":
		return OpInstance, e.instance
	case strings.HasPrefix(path, "common/userrealm/"):
		return OpUserRealm, e.userRealm
	}
	return "", nil
}

// instance is GET /common/discovery/instance.
func (e *Emulator) instance(w http.ResponseWriter, r *http.Request) {
	const host = "login.microsoftonline.com"
	writeJSON(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": "https://" + host + "/" + e.tenantID() + "/" + openIDEndpoint,
		"api-version":               "1.1",
		"metadata": []any{map[string]any{
			"preferred_network": host, "preferred_cache": "login.windows.net",
			"aliases": []string{host, "login.windows.net", "login.microsoft.com", "sts.windows.net"},
		}},
	})
}

// userRealm is GET /common/userrealm/{user}: no user is federated.
func (e *Emulator) userRealm(w http.ResponseWriter, r *http.Request) {
	user := strings.TrimPrefix(r.URL.Path, "/common/userrealm/")
	_, domain, _ := strings.Cut(user, "@")
	writeJSON(w, http.StatusOK, map[string]any{
		"ver": "1.0", "account_type": "Managed", "domain_name": domain,
		"cloud_instance_name": "microsoftonline.com", "cloud_audience_urn": "urn:federation:MicrosoftOnline",
	})
}

func (e *Emulator) tenantID() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.world.TenantID
}

// cliToken is POST /{tenant}/oauth2/v2.0/token by the Azure CLI: a public client, so
// without an assertion, that signs a person in by password and then uses the refresh
// token. Graph PowerShell signs in by browser alone; see [Emulator.GraphToken].
func (e *Emulator) cliToken(w http.ResponseWriter, r *http.Request, form url.Values) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.Now(Entra)
	answer, refused := e.cliAnswerLocked(r, form, now)
	if refused != nil {
		recordOf(r).Refusal = refused.name()
		refused.write(w, now)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// cliParameters are those of every request and of the two grants.
var cliParameters = []string{"grant_type", "client_id", "scope", "client_info", "username", "password", "refresh_token", "claims"}

func (e *Emulator) cliAnswerLocked(r *http.Request, form url.Values, now time.Time) (map[string]any, *entraError) {
	tenant, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if tenant != "organizations" {
		if err := e.tenantLocked(r); err != nil {
			return nil, err
		}
	}
	for name, values := range form {
		if !slices.Contains(cliParameters, name) || len(values) != 1 || values[0] == "" {
			return nil, refusal(90100, "%s parameter is empty or not valid.", name)
		}
	}
	scopes := slices.DeleteFunc(strings.Fields(form.Get("scope")), func(s string) bool {
		return s == "openid" || s == "profile" || s == "offline_access"
	})
	if len(scopes) != 1 || !strings.HasSuffix(scopes[0], "/.default") {
		return nil, refusal(70011, "The provided value for the input parameter 'scope' is not valid. The scope %s is not valid.", form.Get("scope"))
	}
	audience := audienceOf(strings.TrimSuffix(scopes[0], "/.default"))
	if audience == "" || audience == AzureDevOpsResource && e.world.NoAzureDevOps {
		return nil, refusal(500011, "The resource principal named %s was not found in the tenant named %s.", scopes[0], e.world.TenantDomain)
	}
	user, err := e.cliUserLocked(form)
	if err != nil {
		return nil, err
	}
	return e.cliTokensLocked(user, audience, scopes[0], now), nil
}

// cliUserLocked is who signs in, by password or by refresh token.
func (e *Emulator) cliUserLocked(form url.Values) (*User, *entraError) {
	var user *User
	switch form.Get("grant_type") {
	case "password":
		user = e.world.User(form.Get("username"))
		if user == nil || user.Password == "" || user.Password != form.Get("password") {
			return nil, refusal(50126, "Error validating credentials due to invalid username or password.")
		}
	case "refresh_token":
		i := slices.IndexFunc(e.world.RefreshTokens, func(t *IssuedRefreshToken) bool {
			return t.Value == form.Get("refresh_token") && t.ClientID == AzureCLI && !t.Revoked
		})
		if i >= 0 {
			user = e.world.User(e.world.RefreshTokens[i].UserID)
		}
		if user == nil {
			return nil, refusal(70008, "The refresh token is unknown, malformed or has expired.")
		}
	default:
		return nil, refusal(70003, "The app requested an unsupported grant type '%s'.", form.Get("grant_type"))
	}
	switch {
	case user.Disabled:
		return nil, refusal(50057, "The user account is disabled.")
	case user.MFARequired:
		return nil, refusal(50076, "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '%s'.", form.Get("scope"))
	case user.BlockedByPolicy:
		return nil, refusal(53003, "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.")
	}
	return user, nil
}

// cliTokensLocked is the answer to a public client: access, refresh and ID token.
func (e *Emulator) cliTokensLocked(u *User, audience, scope string, now time.Time) map[string]any {
	refresh := &IssuedRefreshToken{Value: newRefreshToken(), ClientID: AzureCLI, UserID: u.ID, Expires: now.Add(refreshTokenLife)}
	e.world.RefreshTokens = append(e.world.RefreshTokens, refresh)
	identity := map[string]any{
		"aud": AzureCLI, "iss": e.entraIssuerLocked(), "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"name": u.UPN, "oid": u.ID, "preferred_username": u.UPN, "sub": compactGUID(u.ID), "tid": e.world.TenantID, "ver": "2.0",
	}
	info, err := json.Marshal(map[string]string{"uid": u.ID, "utid": e.world.TenantID})
	if err != nil {
		panic(err) // two strings
	}
	seconds := int(e.world.AccessTokenLife.Seconds())
	return map[string]any{
		"token_type": "Bearer", "scope": scope, "expires_in": seconds, "ext_expires_in": seconds,
		"access_token":  e.delegatedLocked(u, AzureCLI, audience, cliScopes[audience]),
		"refresh_token": e.keepLocked(refresh.Value),
		"id_token":      entraKey.sign(identity),
		"client_info":   base64.RawURLEncoding.EncodeToString(info),
		"foci":          "1",
	}
}

// delegatedLocked makes an access token in a user's name with the scopes.
func (e *Emulator) delegatedLocked(u *User, client, audience, scopes string) string {
	claims := e.accessClaimsLocked(&App{ClientID: client})
	claims["aud"] = audience
	claims["appidacr"] = "0"
	claims["idtyp"] = "user"
	claims["oid"] = u.ID
	claims["sub"] = compactGUID(u.ID)
	claims["upn"] = u.UPN
	claims["unique_name"] = u.UPN
	claims["scp"] = scopes
	return e.keepLocked(entraKey.sign(claims))
}

// GraphToken makes the token that Graph PowerShell gets for Microsoft Graph when the
// administrator signs in with Connect-MgGraph -Scopes and has consented to them.
func (e *Emulator) GraphToken(scopes ...string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.delegatedLocked(e.world.User(AdminID), GraphPowerShell, graphAudience, strings.Join(scopes, " "))
}

// AzureCLIToken makes the token that the Azure CLI gets for a resource when the
// administrator has signed in. The resource is Azure DevOps' application id,
// "https://graph.microsoft.com", "https://management.azure.com" or
// "https://vault.azure.net".
func (e *Emulator) AzureCLIToken(resource string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	audience := audienceOf(resource)
	return e.delegatedLocked(e.world.User(AdminID), AzureCLI, audience, cliScopes[audience])
}
