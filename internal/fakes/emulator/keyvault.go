package emulator

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The default vault, with the refresh token of the service account.
const (
	VaultName   = "contoso-kv"
	VaultSecret = "azdo-refresh-token"

	// VaultResource is the audience of the tokens that a vault accepts.
	VaultResource = "https://vault.azure.net"
	vaultScope    = VaultResource + "/.default"
)

// The roles that the vault knows.
const (
	SecretsUser    = "Key Vault Secrets User"
	SecretsOfficer = "Key Vault Secrets Officer"
)

// A Vault is an Azure Key Vault: [State.Vault] at the URL of [KeyVault], and with
// [Options.Proxy] each at its real name.
type Vault struct {
	Name   string
	Tenant string // GUID
	// Roles are the roles on the vault, by the object id of a user or service principal,
	// beside those of [State.RoleAssignments].
	Roles map[string][]string
	// AccessPolicies, if not nil, are used instead of Roles: the permissions get and
	// set, by object id.
	AccessPolicies map[string][]string
	// Firewall lets no address in, and PrivateOnly no connection that does not come
	// through a private endpoint.
	Firewall, PrivateOnly bool
	Secrets               []*VaultEntry
}

// A VaultEntry is a secret with all its versions.
type VaultEntry struct {
	Name string
	// Deleted secrets can be recovered (soft-delete).
	Deleted  bool
	Versions []*SecretVersion // the last one is the newest
}

// A SecretVersion is one value of a secret.
type SecretVersion struct {
	ID               string // 32 hex digits
	Value            string
	ContentType      string
	Tags             map[string]string
	Disabled         bool
	Created, Updated time.Time
	// Expires and NotBefore are labels: Key Vault answers before and after. Zero: none.
	Expires, NotBefore time.Time
}

// Secret finds a secret by its name, in which case does not matter, or returns nil.
func (v *Vault) Secret(name string) *VaultEntry {
	for _, s := range v.Secrets {
		if strings.EqualFold(s.Name, name) {
			return s
		}
	}
	return nil
}

// Newest is the newest version, or nil.
func (s *VaultEntry) Newest() *SecretVersion {
	if len(s.Versions) == 0 {
		return nil
	}
	return s.Versions[len(s.Versions)-1]
}

// version finds a version; "" is the newest.
func (s *VaultEntry) version(id string) *SecretVersion {
	if id == "" {
		return s.Newest()
	}
	for _, v := range s.Versions {
		if v.ID == id {
			return v
		}
	}
	return nil
}

func newVersionID() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// defaultVault has the service account's refresh token, stored just now, which the app
// registration may read and write.
func (e *Emulator) defaultVault(refreshToken string) *Vault {
	now := e.Now(KeyVault)
	return &Vault{
		Name: VaultName, Tenant: TenantID,
		Roles: map[string][]string{AppPrincipalID: {SecretsOfficer}},
		Secrets: []*VaultEntry{{Name: VaultSecret, Versions: []*SecretVersion{{
			ID: newVersionID(), Value: refreshToken, Created: now, Updated: now,
		}}}},
	}
}

// SecretURL is the URL of the default vault's secret, for the setting
// refresh-token-vault.
func (e *Emulator) SecretURL() string { return e.URL(KeyVault) + "/secrets/" + VaultSecret }

// routeKeyVault tells the operations apart by method and path.
func (e *Emulator) routeKeyVault(a arrival) (string, http.HandlerFunc) {
	name, version, _ := strings.Cut(strings.TrimPrefix(a.URL.Path, "/secrets/"), "/")
	switch {
	case !strings.HasPrefix(a.URL.Path, "/secrets/") || name == "":
	case a.Method == http.MethodGet:
		return OpGetSecret, func(w http.ResponseWriter, r *http.Request) {
			e.vaultOperation(w, r, "get", func(v *vaultCall) { v.get(name, version) })
		}
	case a.Method == http.MethodPut && version == "":
		return OpSetSecret, func(w http.ResponseWriter, r *http.Request) {
			e.vaultOperation(w, r, "set", func(v *vaultCall) { v.set(name, a) })
		}
	}
	return string(KeyVault) + other, notFound
}

// A vaultCall is a request to the vault that is being answered.
type vaultCall struct {
	*Emulator
	w     http.ResponseWriter
	r     *http.Request
	vault *Vault
	token *token
}

// refuse answers with Key Vault's error.
func (v *vaultCall) refuse(status int, code, inner, format string, args ...any) {
	recordOf(v.r).Refusal = code
	e := map[string]any{"code": code, "message": fmt.Sprintf(format, args...)}
	if inner != "" {
		recordOf(v.r).Refusal = inner
		e["innererror"] = map[string]any{"code": inner}
	}
	writeJSON(v.w, status, map[string]any{"error": e})
}

// vaultOperation carries out an operation of a caller who may do so.
func (e *Emulator) vaultOperation(w http.ResponseWriter, r *http.Request, permission string, do func(*vaultCall)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	v := &vaultCall{Emulator: e, w: w, r: r, vault: e.vaultLocked(hostOf(r))}
	if v.vault == nil {
		notFound(w, r) // a name of no vault: its host would not even resolve
		return
	}
	if v.authenticate() && v.connect() && v.authorize(permission) && v.apiVersion() {
		do(v)
	}
}

// authenticate checks the token. Without a valid one, a challenge names the tenant.
func (v *vaultCall) authenticate() bool {
	unauthorized := func(format string, args ...any) bool {
		v.w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer authorization="https://login.microsoftonline.com/%s", resource="%s"`, v.vault.Tenant, VaultResource))
		v.refuse(http.StatusUnauthorized, "Unauthorized", "", format, args...)
		return false
	}
	raw := bearer(v.r)
	if raw == "" {
		return unauthorized("AKV10000: Request is missing a Bearer or PoP token.")
	}
	t, err := parse(raw)
	if err != nil || !t.signedBy(entraKey) {
		return unauthorized("The emulator: the token is not signed by Entra.")
	}
	v.token = t
	switch {
	case !slices.Equal(t.Audience, []string{VaultResource}):
		return unauthorized("AKV10022: Invalid audience. Expected %s, found: %s.", VaultResource, strings.Join(t.Audience, " "))
	case t.Issuer != accessTokenIssuer(v.vault.Tenant):
		return unauthorized("AKV10032: Invalid issuer. Expected one of %s, found %s.", accessTokenIssuer(v.vault.Tenant), t.Issuer)
	case !t.inForce(v.Now(KeyVault)) || t.text("oid") == "":
		return unauthorized("The emulator: the token is not in force, or has no object id.")
	}
	return true
}

// caller describes the caller as Key Vault's messages do.
func (v *vaultCall) caller() string {
	return fmt.Sprintf("appid=%s;oid=%s;iss=%s", v.token.text("appid"), v.token.text("oid"), v.token.Issuer)
}

func (v *vaultCall) location() string { return v.vault.Name + ";location=westeurope" }

// connect is the vault's network rules.
func (v *vaultCall) connect() bool {
	switch {
	case v.vault.PrivateOnly:
		v.refuse(http.StatusForbidden, "Forbidden", "ForbiddenByConnection",
			"Public network access is disabled and request is not from a trusted service nor via an approved private link.\r\nCaller: %s\r\nVault: %s", v.caller(), v.location())
		return false
	case v.vault.Firewall:
		v.refuse(http.StatusForbidden, "Forbidden", "ForbiddenByFirewall",
			"Client address is not authorized and caller is not a trusted service.\r\nClient address: 127.0.0.1\r\nCaller: %s\r\nVault: %s", v.caller(), v.location())
		return false
	}
	return true
}

// authorize checks the role, or the access policy.
func (v *vaultCall) authorize(permission string) bool {
	who := strings.ToLower(v.token.text("oid"))
	if policies := v.vault.AccessPolicies; policies != nil {
		if slices.Contains(policies[who], permission) {
			return true
		}
		v.refuse(http.StatusForbidden, "Forbidden", "AccessDenied",
			"The user, group or application '%s' does not have secrets %s permission on key vault '%s'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287",
			v.caller(), permission, v.location())
		return false
	}
	secret, _, _ := strings.Cut(strings.TrimPrefix(v.r.URL.Path, "/secrets/"), "/")
	resource := v.vault.resource() + "/secrets/" + secret
	roles := append(v.azureRolesLocked(who, resource), v.vault.Roles[who]...)
	if slices.Contains(roles, SecretsOfficer) || slices.Contains(roles, "Key Vault Administrator") || permission == "get" && slices.Contains(roles, SecretsUser) {
		return true
	}
	v.refuse(http.StatusForbidden, "Forbidden", "ForbiddenByRbac",
		"Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\n"+
			"Caller: %s\r\nAction: 'Microsoft.KeyVault/vaults/secrets/%sSecret/action'\r\n"+
			"Resource: '%s'\r\n"+
			"Assignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: null \r\nVault: %s\r\n",
		v.caller(), permission, strings.ToLower(resource), v.location())
	return false
}

// vaultVersions are the versions of the API.
var vaultVersions = []string{"7.4", "2025-07-01"}

func (v *vaultCall) apiVersion() bool {
	given := v.r.URL.Query()["api-version"]
	if len(given) == 1 && slices.Contains(vaultVersions, given[0]) {
		return true
	}
	v.refuse(http.StatusBadRequest, "BadParameter", "", "The emulator takes one api-version of %s.", strings.Join(vaultVersions, " and "))
	return false
}
