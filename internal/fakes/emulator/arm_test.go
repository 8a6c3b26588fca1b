package emulator_test

import (
	"encoding/json"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

// arm calls Azure Resource Manager as the administrator.
func (c *client) arm(method, path string, body any) answer {
	c.Helper()
	text := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			c.Fatal(err)
		}
		text = string(b)
	}
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return c.send(method, c.e.URL(emulator.ARM)+path+separator+"api-version=2022-04-01", text,
		"Authorization", "Bearer "+c.e.AzureCLIToken("https://management.azure.com"), "Content-Type", "application/json")
}

const (
	group         = "/subscriptions/" + emulator.SubscriptionID + "/resourceGroups/" + emulator.ResourceGroup
	vault         = group + "/providers/Microsoft.KeyVault/vaults/azdo-pat-test"
	secret        = vault + "/secrets/refresh-token"
	secretsUser   = "/subscriptions/" + emulator.SubscriptionID + "/providers/Microsoft.Authorization/roleDefinitions/4633458b-17de-408a-b874-0445c86b69e6"
	assignmentsOf = "/providers/Microsoft.Authorization/roleAssignments"
)

func assignment(principal, kind string) map[string]any {
	return map[string]any{"properties": map[string]any{"roleDefinitionId": secretsUser, "principalId": principal, "principalType": kind}}
}

// armRefused checks an error in Azure Resource Manager's form.
func (c *client) armRefused(a answer, status int, code string) {
	c.Helper()
	problem, _ := a.JSON["error"].(map[string]any)
	if a.Status != status || problem["code"] != code {
		c.Errorf("got %d %s, want %d %s", a.Status, a.Text, status, code)
	}
}

// TestRoleAssignments: the same assignment again changes nothing, under another name it is a
// conflict, and it is found at its scope.
func TestRoleAssignments(t *testing.T) {
	t.Parallel()
	c := start(t)
	const name, other = "/0b0b0b0b-0000-4000-8000-0000000000bb", "/0c0c0c0c-0000-4000-8000-0000000000cc"
	good := assignment(emulator.AppPrincipalID, "ServicePrincipal")
	c.ok(c.arm("PUT", secret+assignmentsOf+name, good), 201)
	c.ok(c.arm("PUT", secret+assignmentsOf+name, good), 200)
	c.armRefused(c.arm("PUT", secret+assignmentsOf+other, good), 409, "RoleAssignmentExists")
	c.armRefused(c.arm("PUT", secret+assignmentsOf+name, assignment(emulator.ServiceUserID, "User")), 409, "RoleAssignmentUpdateNotPermitted")
	c.armRefused(c.arm("PUT", secret+assignmentsOf+other, assignment(emulator.AppID, "ServicePrincipal")), 400, "PrincipalNotFound")
	c.armRefused(c.arm("PUT", secret+assignmentsOf+other, assignment(emulator.ServiceUserID, "ServicePrincipal")), 400, "UnmatchedPrincipalType")

	for path, want := range map[string]int{
		secret + assignmentsOf + "?$filter=atScope()": 2, // and the administrator's above
		vault + assignmentsOf + "?$filter=atScope()":  1,
		vault + assignmentsOf:                         2,
		vault + assignmentsOf + "?$filter=principalId%20eq%20'" + emulator.AppPrincipalID + "'":                      1,
		vault + "/secrets/other" + assignmentsOf + "?$filter=atScope()":                                              1,
		vault + "/secrets/refresh-token2" + assignmentsOf + "?$filter=assignedTo('" + emulator.AppPrincipalID + "')": 0,
	} {
		if list := c.ok(c.arm("GET", path, nil), 200)["value"].([]any); len(list) != want {
			t.Errorf("%s: %v", path, list)
		}
	}
	c.ok(c.arm("DELETE", secret+assignmentsOf+name, nil), 200)
	c.ok(c.arm("DELETE", secret+assignmentsOf+name, nil), 204)

	c.e.Change(func(w *emulator.State) { w.RoleAssignments[0].Role = "Contributor" })
	c.armRefused(c.arm("PUT", secret+assignmentsOf+name, good), 403, "AuthorizationFailed")
}

// TestRoleAssignmentOfNewPrincipal: a service principal of a moment ago is unknown here too.
func TestRoleAssignmentOfNewPrincipal(t *testing.T) {
	t.Parallel()
	c := start(t)
	app := c.ok(c.graphCLI("POST", "/applications", map[string]any{"displayName": "x"}), 201)
	c.e.Change(func(w *emulator.State) { w.ReplicationReads = 1 })
	principal := c.ok(c.graphCLI("POST", "/servicePrincipals", map[string]any{"appId": app["appId"]}), 201)
	body := assignment(principal["id"].(string), "ServicePrincipal")
	const name = "/0b0b0b0b-0000-4000-8000-0000000000bb"
	c.armRefused(c.arm("PUT", secret+assignmentsOf+name, body), 400, "PrincipalNotFound")
	c.ok(c.arm("PUT", secret+assignmentsOf+name, body), 201)
}

// TestAzureVault: a vault is made in a resource group that there is, and found.
func TestAzureVault(t *testing.T) {
	t.Parallel()
	c := start(t)
	good := map[string]any{"location": "westeurope", "properties": map[string]any{"tenantId": emulator.TenantID, "enableRbacAuthorization": true}}
	c.armRefused(c.arm("GET", vault, nil), 404, "ResourceNotFound")
	c.armRefused(c.arm("PUT", strings.Replace(vault, "/"+emulator.ResourceGroup+"/", "/none/", 1), good), 404, "ResourceGroupNotFound")
	c.armRefused(c.arm("PUT", vault+"--x", good), 400, "BadRequest")
	c.armRefused(c.arm("PUT", vault, map[string]any{"location": "westeurope"}), 400, "BadRequest")
	c.ok(c.arm("PUT", vault, good), 200)
	got := c.ok(c.arm("GET", vault, nil), 200)
	if properties := got["properties"].(map[string]any); properties["enableRbacAuthorization"] != true || properties["vaultUri"] != "https://azdo-pat-test.vault.azure.net/" {
		t.Errorf("got %v", got)
	}
	if a := c.send("GET", c.e.URL(emulator.ARM)+vault+"?api-version=2022-07-01", "", "Authorization", "Bearer "+c.e.AzureCLIToken("https://graph.microsoft.com")); a.Status != 401 {
		t.Errorf("with a token for Graph: %d %s", a.Status, a.Text)
	}
}

// TestRoleOpensTheVault: a role at the scope of one secret lets its principal read that
// secret, and no other.
func TestRoleOpensTheVault(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Change(func(w *emulator.State) { w.Vault.Roles = nil })
	token := c.mustExchange(form(map[string]string{
		"grant_type": "client_credentials", "client_id": emulator.AppID, "scope": "https://vault.azure.net/.default", "client_assertion": c.assertion(),
	}))
	read := func(name string) answer {
		return c.send("GET", c.e.URL(emulator.KeyVault)+"/secrets/"+name+"?api-version=7.4", "", "Authorization", "Bearer "+token)
	}
	if a := read(emulator.VaultSecret); a.Status != 403 {
		t.Errorf("before: %d %s", a.Status, a.Text)
	}
	const scope = group + "/providers/Microsoft.KeyVault/vaults/" + emulator.VaultName + "/secrets/" + emulator.VaultSecret
	c.ok(c.arm("PUT", scope+assignmentsOf+"/0b0b0b0b-0000-4000-8000-0000000000bb", assignment(emulator.AppPrincipalID, "ServicePrincipal")), 201)
	if a := read(emulator.VaultSecret); a.Status != 200 {
		t.Errorf("with the role: %d %s", a.Status, a.Text)
	}
	if a := read("other"); a.Status != 403 {
		t.Errorf("another secret: %d %s", a.Status, a.Text)
	}
}
