package emulator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Azure Resource Manager, as far as az login, az role assignment and az keyvault create
// and show need it, after https://learn.microsoft.com/rest/api/authorization/ and
// https://learn.microsoft.com/rest/api/keyvault/keyvault/vaults. Its operations are
// called arm.METHOD.RESOURCE, such as arm.put.roleAssignments.

// The default world's subscription and resource group.
const (
	SubscriptionID = "a5a5a5a5-0000-4000-8000-00000000000e"
	ResourceGroup  = "build"
)

// An AzureVault is a key vault as Azure Resource Manager knows it, in [ResourceGroup].
type AzureVault struct {
	Name     string
	Location string
	RBAC     bool // enableRbacAuthorization: otherwise role assignments have no effect on its secrets

	data *Vault // its secrets, if it is not [State.Vault]
}

// A RoleAssignment gives a principal an Azure role at a scope and below it.
type RoleAssignment struct {
	Name      string // GUID
	Scope     string // such as /subscriptions/ID/resourceGroups/NAME/providers/Microsoft.KeyVault/vaults/NAME/secrets/NAME
	Role      string // by its name, such as "Key Vault Secrets User"
	Principal string // object id
}

// azureRoles are the built-in roles that scripts may name, with their ids, the same in
// every tenant (https://learn.microsoft.com/azure/role-based-access-control/built-in-roles).
var azureRoles = map[string]string{
	"Owner":                     "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
	"Contributor":               "b24988ac-6180-42a0-ab88-20f7382dd24c",
	"Reader":                    "acdd72a7-3385-48ef-bd42-f606fba81ae7",
	"User Access Administrator": "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
	"Role Based Access Control Administrator": "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
	"Key Vault Administrator":                 "00482a5a-887f-4fb3-b363-3b7fe8e74483",
	"Key Vault Secrets Officer":               "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
	"Key Vault Secrets User":                  "4633458b-17de-408a-b874-0445c86b69e6",
}

// An armCall is one request to Azure Resource Manager by a user.
type armCall struct {
	*Emulator
	r      *http.Request
	now    time.Time
	query  url.Values
	user   *User
	groups []string // what the path's pattern has found
}

// An armError is a refusal in Azure Resource Manager's form.
type armError struct {
	status        int
	code, message string
}

type armOperation struct {
	resource string
	method   string
	path     *regexp.Regexp
	do       func(*armCall) (int, any, *armError)
}

const vaultPath = `(?i)^/subscriptions/([^/]+)/resourcegroups/([^/]+)/providers/microsoft\.keyvault/vaults/([^/]+)`

var armOperations = []armOperation{
	{"tenants", "GET", regexp.MustCompile(`^/tenants$`), (*armCall).tenants},
	{"subscriptions", "GET", regexp.MustCompile(`^/subscriptions$`), (*armCall).subscriptions},
	{"resources", "GET", regexp.MustCompile(`(?i)^/subscriptions/([^/]+)/resources$`), (*armCall).resources},
	{"resourceGroups", "GET", regexp.MustCompile(`(?i)^/subscriptions/([^/]+)/resourcegroups/([^/]+)$`), (*armCall).resourceGroup},
	{"roleDefinitions", "GET", regexp.MustCompile(`(?i)^(.*)/providers/microsoft\.authorization/roledefinitions$`), (*armCall).roleDefinitions},
	{"roleAssignments", "GET", regexp.MustCompile(`(?i)^(.*)/providers/microsoft\.authorization/roleassignments$`), (*armCall).listAssignments},
	{"roleAssignments", "PUT", regexp.MustCompile(`(?i)^(.*)/providers/microsoft\.authorization/roleassignments/([^/]+)$`), (*armCall).putAssignment},
	{"roleAssignments", "DELETE", regexp.MustCompile(`(?i)^(.*)/providers/microsoft\.authorization/roleassignments/([^/]+)$`), (*armCall).deleteAssignment},
	{"vaults", "GET", regexp.MustCompile(vaultPath + `$`), (*armCall).getVault},
	{"vaults", "PUT", regexp.MustCompile(vaultPath + `$`), (*armCall).putVault},
}

// routeARM finds the operation.
func (e *Emulator) routeARM(a arrival) (string, http.HandlerFunc) {
	for _, o := range armOperations {
		// az writes a scope that begins with a slash behind another one.
		path := "/" + strings.TrimLeft(a.URL.Path, "/")
		if groups := o.path.FindStringSubmatch(path); groups != nil && a.Method == o.method {
			return string(ARM) + "." + strings.ToLower(o.method) + "." + o.resource, func(w http.ResponseWriter, r *http.Request) {
				e.arm(w, r, groups, o)
			}
		}
	}
	return string(ARM) + other, notFound
}

func (e *Emulator) arm(w http.ResponseWriter, r *http.Request, groups []string, o armOperation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := &armCall{Emulator: e, r: r, now: e.Now(ARM), query: r.URL.Query(), groups: groups}
	status, body, refused := 0, any(nil), c.check()
	if refused == nil {
		status, body, refused = o.do(c)
	}
	switch {
	case refused != nil:
		recordOf(r).Refusal = refused.code
		writeJSON(w, refused.status, map[string]any{"error": map[string]any{"code": refused.code, "message": refused.message}})
	case body == nil:
		w.WriteHeader(status)
	default:
		writeJSON(w, status, body)
	}
}

// check authenticates the caller.
func (c *armCall) check() *armError {
	t, err := parse(bearer(c.r))
	switch {
	case err != nil:
		return &armError{http.StatusUnauthorized, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing or invalid."}
	case !t.signedBy(entraKey) || !slices.Equal(t.Audience, []string{armAudience}):
		return &armError{http.StatusUnauthorized, "InvalidAuthenticationTokenAudience", "The access token has been obtained for wrong audience or resource."}
	case !t.inForce(c.now):
		return &armError{http.StatusUnauthorized, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time."}
	case len(c.query["api-version"]) != 1:
		return &armError{http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests."}
	}
	c.user = c.world.User(t.text("oid"))
	if c.user == nil {
		return &armError{http.StatusUnauthorized, "AuthenticationFailed", "Authentication failed."}
	}
	return nil
}

// atOrAbove reports whether one scope is another or contains it.
func atOrAbove(scope, below string) bool {
	scope, below = strings.ToLower(strings.TrimRight(scope, "/")), strings.ToLower(below)
	return scope == below || strings.HasPrefix(below, scope+"/")
}

// azureRolesLocked are the roles that a principal has at a scope.
func (e *Emulator) azureRolesLocked(principal, scope string) (roles []string) {
	for _, a := range e.world.RoleAssignments {
		if strings.EqualFold(a.Principal, principal) && atOrAbove(a.Scope, scope) {
			roles = append(roles, a.Role)
		}
	}
	return roles
}

// vaultLocked finds the vault at a host, nil if there is none.
func (e *Emulator) vaultLocked(host string) *Vault {
	name, public := strings.CutSuffix(strings.ToLower(host), ".vault.azure.net")
	if !public || strings.EqualFold(name, e.world.Vault.Name) {
		return e.world.Vault
	}
	for _, v := range e.world.AzureVaults {
		if strings.EqualFold(v.Name, name) {
			return v.data
		}
	}
	return nil
}

// needs refuses a caller who has none of the roles at the scope.
func (c *armCall) needs(action, scope string, roles ...string) *armError {
	for _, have := range c.azureRolesLocked(c.user.ID, scope) {
		if slices.Contains(roles, have) {
			return nil
		}
	}
	return &armError{http.StatusForbidden, "AuthorizationFailed", "The client '" + c.user.UPN + "' with object id '" + c.user.ID +
		"' does not have authorization to perform action '" + action + "' over scope '" + scope + "' or the scope is invalid."}
}

func (c *armCall) tenants() (int, any, *armError) {
	return http.StatusOK, map[string]any{"value": []any{map[string]any{
		"id": "/tenants/" + c.world.TenantID, "tenantId": c.world.TenantID, "displayName": "Contoso",
	}}}, nil
}

func (c *armCall) subscriptions() (int, any, *armError) {
	return http.StatusOK, map[string]any{"value": []any{map[string]any{
		"id": "/subscriptions/" + SubscriptionID, "subscriptionId": SubscriptionID, "displayName": "Build",
		"tenantId": c.world.TenantID, "state": "Enabled", "authorizationSource": "RoleBased",
		"subscriptionPolicies": map[string]any{"locationPlacementId": "Public_2014-09-01", "quotaId": "EnterpriseAgreement_2014-09-01", "spendingLimit": "Off"},
	}}}, nil
}

// resources lists the vaults of the subscription.
func (c *armCall) resources() (int, any, *armError) {
	list := []any{}
	for _, v := range c.world.AzureVaults {
		list = append(list, map[string]any{"id": v.id(), "name": v.Name, "type": "Microsoft.KeyVault/vaults", "location": v.Location})
	}
	return http.StatusOK, map[string]any{"value": list}, nil
}

// resourceGroup is GET of the one that there is.
func (c *armCall) resourceGroup() (int, any, *armError) {
	if !strings.EqualFold(c.groups[2], ResourceGroup) {
		return 0, nil, &armError{http.StatusNotFound, "ResourceGroupNotFound", "Resource group '" + c.groups[2] + "' could not be found."}
	}
	return http.StatusOK, map[string]any{
		"id": "/subscriptions/" + SubscriptionID + "/resourceGroups/" + ResourceGroup, "name": ResourceGroup,
		"type": "Microsoft.Resources/resourceGroups", "location": "westeurope", "properties": map[string]any{"provisioningState": "Succeeded"},
	}, nil
}

func roleDefinitionID(role string) string {
	return "/subscriptions/" + SubscriptionID + "/providers/Microsoft.Authorization/roleDefinitions/" + azureRoles[role]
}

var roleNameFilter = regexp.MustCompile(`^roleName eq '((?:[^']|'')*)'$`)

// roleDefinitions lists the roles, or the one of a name.
func (c *armCall) roleDefinitions() (int, any, *armError) {
	wanted := ""
	if filter := c.query.Get("$filter"); filter != "" {
		m := roleNameFilter.FindStringSubmatch(filter)
		if m == nil {
			return 0, nil, &armError{http.StatusBadRequest, "BadRequestFormat", "The filter '" + filter + "' is not supported."}
		}
		wanted = strings.ReplaceAll(m[1], "''", "'")
	}
	list := []any{}
	for name, id := range azureRoles {
		if wanted == "" || strings.EqualFold(name, wanted) {
			list = append(list, map[string]any{
				"id": roleDefinitionID(name), "name": id, "type": "Microsoft.Authorization/roleDefinitions",
				"properties": map[string]any{"roleName": name, "type": "BuiltInRole", "description": name, "assignableScopes": []string{"/"}, "permissions": []any{}},
			})
		}
	}
	return http.StatusOK, map[string]any{"value": list}, nil
}

// assignmentObject is a role assignment as Azure Resource Manager shows it.
func (c *armCall) assignmentObject(a *RoleAssignment) map[string]any {
	kind := "ServicePrincipal"
	if c.world.User(a.Principal) != nil {
		kind = "User"
	}
	return map[string]any{
		"id": a.Scope + "/providers/Microsoft.Authorization/roleAssignments/" + a.Name, "name": a.Name,
		"type": "Microsoft.Authorization/roleAssignments",
		"properties": map[string]any{
			"roleDefinitionId": roleDefinitionID(a.Role), "principalId": a.Principal, "principalType": kind, "scope": a.Scope,
		},
	}
}

var principalFilter = regexp.MustCompile(`^(?:principalId eq '([^']*)'|assignedTo\('([^']*)'\))$`)

// listAssignments lists the role assignments at, above and below a scope; with atScope()
// not those below, with principalId or assignedTo those of one principal.
func (c *armCall) listAssignments() (int, any, *armError) {
	scope, filter := c.groups[1], c.query.Get("$filter")
	m := principalFilter.FindStringSubmatch(filter)
	if filter != "" && filter != "atScope()" && m == nil {
		return 0, nil, &armError{http.StatusBadRequest, "UnsupportedQuery", "The filter '" + filter + "' is not supported."}
	}
	list := []any{}
	for _, a := range c.world.RoleAssignments {
		if !atOrAbove(a.Scope, scope) && (filter == "atScope()" || !atOrAbove(scope, a.Scope)) {
			continue
		}
		if m == nil || strings.EqualFold(a.Principal, m[1]+m[2]) {
			list = append(list, c.assignmentObject(a))
		}
	}
	return http.StatusOK, map[string]any{"value": list}, nil
}

// administerRoles are the roles with which role assignments can be written.
var administerRoles = []string{"Owner", "User Access Administrator", "Role Based Access Control Administrator"}

// putAssignment creates a role assignment. The same one again under its name changes
// nothing; under another name it is a conflict.
func (c *armCall) putAssignment() (int, any, *armError) {
	scope, name := c.groups[1], c.groups[2]
	if err := c.needs("Microsoft.Authorization/roleAssignments/write", scope, administerRoles...); err != nil {
		return 0, nil, err
	}
	var body struct {
		Properties struct{ RoleDefinitionID, PrincipalID, PrincipalType string }
	}
	if json.Unmarshal(recordOf(c.r).Body, &body) != nil || !isGUID(name) {
		return 0, nil, &armError{http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid, or the name of the role assignment is no GUID."}
	}
	a := &RoleAssignment{Name: name, Scope: scope, Principal: body.Properties.PrincipalID}
	for role := range azureRoles {
		if strings.EqualFold(body.Properties.RoleDefinitionID, roleDefinitionID(role)) {
			a.Role = role
		}
	}
	if a.Role == "" {
		return 0, nil, &armError{http.StatusBadRequest, "RoleDefinitionDoesNotExist", "The specified role definition with ID '" + body.Properties.RoleDefinitionID + "' does not exist."}
	}
	if err := c.checkPrincipal(a.Principal, body.Properties.PrincipalType); err != nil {
		return 0, nil, err
	}
	for _, other := range c.world.RoleAssignments {
		same := strings.EqualFold(other.Scope, a.Scope) && other.Role == a.Role && other.Principal == a.Principal
		switch {
		case same && other.Name == name:
			return http.StatusOK, c.assignmentObject(other), nil
		case same:
			return 0, nil, &armError{http.StatusConflict, "RoleAssignmentExists", "The role assignment already exists."}
		case other.Name == name && strings.EqualFold(other.Scope, a.Scope):
			return 0, nil, &armError{http.StatusConflict, "RoleAssignmentUpdateNotPermitted", "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."}
		}
	}
	c.world.RoleAssignments = append(c.world.RoleAssignments, a)
	return http.StatusCreated, c.assignmentObject(a), nil
}

// checkPrincipal checks that a principal is in the directory, and of the type that the
// request says.
func (c *armCall) checkPrincipal(id, kind string) *armError {
	have := ""
	if u := c.world.User(id); u != nil && u.ID == id {
		have = "User"
	}
	if slices.ContainsFunc(c.world.Apps, func(a *App) bool { return a.PrincipalID == id }) {
		have = "ServicePrincipal"
	}
	if id == "" || have == "" || c.freshLocked(id) {
		return &armError{http.StatusBadRequest, "PrincipalNotFound", "Principal " + id + " does not exist in the directory " + c.world.TenantID + "."}
	}
	if kind != "" && kind != have {
		return &armError{http.StatusBadRequest, "UnmatchedPrincipalType", "The PrincipalId '" + id + "' has type '" + have + "', which is different from specified PrinciaplType '" + kind + "'."}
	}
	return nil
}

func (c *armCall) deleteAssignment() (int, any, *armError) {
	scope, name := c.groups[1], c.groups[2]
	if err := c.needs("Microsoft.Authorization/roleAssignments/delete", scope, administerRoles...); err != nil {
		return 0, nil, err
	}
	i := slices.IndexFunc(c.world.RoleAssignments, func(a *RoleAssignment) bool { return a.Name == name && strings.EqualFold(a.Scope, scope) })
	if i < 0 {
		return http.StatusNoContent, nil, nil
	}
	a := c.world.RoleAssignments[i]
	c.world.RoleAssignments = slices.Delete(c.world.RoleAssignments, i, i+1)
	return http.StatusOK, c.assignmentObject(a), nil
}

func (v *AzureVault) id() string { return vaultID(v.Name) }

// resource is the vault's id in Azure Resource Manager.
func (v *Vault) resource() string { return vaultID(v.Name) }

func vaultID(name string) string {
	return "/subscriptions/" + SubscriptionID + "/resourceGroups/" + ResourceGroup + "/providers/Microsoft.KeyVault/vaults/" + name
}

func (c *armCall) vaultObject(v *AzureVault) map[string]any {
	return map[string]any{
		"id": v.id(), "name": v.Name, "type": "Microsoft.KeyVault/vaults", "location": v.Location, "tags": map[string]any{},
		"properties": map[string]any{
			"tenantId": c.world.TenantID, "sku": map[string]any{"family": "A", "name": "standard"}, "accessPolicies": []any{},
			"enableRbacAuthorization": v.RBAC, "enableSoftDelete": true, "softDeleteRetentionInDays": 90,
			"vaultUri": "https://" + v.Name + ".vault.azure.net/", "provisioningState": "Succeeded", "publicNetworkAccess": "Enabled",
		},
	}
}

func (c *armCall) vault() *AzureVault {
	for _, v := range c.world.AzureVaults {
		if strings.EqualFold(ResourceGroup, c.groups[2]) && strings.EqualFold(v.Name, c.groups[3]) {
			return v
		}
	}
	return nil
}

func (c *armCall) getVault() (int, any, *armError) {
	if v := c.vault(); v != nil {
		return http.StatusOK, c.vaultObject(v), nil
	}
	return 0, nil, &armError{http.StatusNotFound, "ResourceNotFound", "The Resource 'Microsoft.KeyVault/vaults/" + c.groups[3] + "' under resource group '" + c.groups[2] + "' was not found."}
}

var vaultName = regexp.MustCompile(`^[a-zA-Z](-?[a-zA-Z0-9]){2,23}$`)

// putVault creates a vault or changes it.
func (c *armCall) putVault() (int, any, *armError) {
	if _, _, err := c.resourceGroup(); err != nil {
		return 0, nil, err
	}
	scope := "/subscriptions/" + c.groups[1] + "/resourceGroups/" + c.groups[2]
	if err := c.needs("Microsoft.KeyVault/vaults/write", scope, "Owner", "Contributor"); err != nil {
		return 0, nil, err
	}
	var body struct {
		Location   string
		Properties struct {
			TenantID                string
			EnableRBACAuthorization bool `json:"enableRbacAuthorization"`
		}
	}
	if json.Unmarshal(recordOf(c.r).Body, &body) != nil || body.Location == "" || body.Properties.TenantID != c.world.TenantID || !vaultName.MatchString(c.groups[3]) {
		return 0, nil, &armError{http.StatusBadRequest, "BadRequest", "The name, the location or the tenant of the vault is not valid."}
	}
	v := c.vault()
	if v == nil {
		if slices.ContainsFunc(c.world.AzureVaults, func(v *AzureVault) bool { return strings.EqualFold(v.Name, c.groups[3]) }) {
			return 0, nil, &armError{http.StatusConflict, "VaultAlreadyExists", "The vault name '" + c.groups[3] + "' is already in use."}
		}
		v = &AzureVault{Name: c.groups[3], data: &Vault{Name: c.groups[3], Tenant: c.world.TenantID}}
		c.world.AzureVaults = append(c.world.AzureVaults, v)
	}
	v.Location, v.RBAC = body.Location, body.Properties.EnableRBACAuthorization
	if v.data != nil {
		v.data.AccessPolicies = nil
		if !v.RBAC {
			v.data.AccessPolicies = map[string][]string{}
		}
	}
	return http.StatusOK, c.vaultObject(v), nil
}
