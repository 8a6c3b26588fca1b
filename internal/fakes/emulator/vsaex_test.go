package emulator_test

import (
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

// membersURL is the API of member entitlements, in the version that Microsoft documents.
func (c *client) membersURL(kind, rest string) string {
	version := map[string]string{"user": "7.1", "servicePrincipal": "7.1-preview.1"}[kind]
	path := map[string]string{"user": "userentitlements", "servicePrincipal": "serviceprincipalentitlements"}[kind]
	separator := "?"
	for _, r := range rest {
		if r == '?' {
			separator = "&"
		}
	}
	return c.e.URL(emulator.AzureDevOps) + "/contoso/_apis/" + path + rest + separator + "api-version=" + version
}

// entitle adds a member with the Azure CLI's token.
func (c *client) entitle(kind, objectID string) answer {
	c.Helper()
	return c.members("POST", kind, "", `{"accessLevel":{"licensingSource":"account","accountLicenseType":"express"},"`+
		kind+`":{"origin":"aad","originId":"`+objectID+`","subjectKind":"`+kind+`"}}`)
}

func (c *client) members(method, kind, rest, body string) answer {
	c.Helper()
	return c.send(method, c.membersURL(kind, rest), body,
		"Authorization", "Bearer "+c.e.AzureCLIToken(emulator.AzureDevOpsResource), "Content-Type", "application/json")
}

// TestMembers: a member is added, found by name, shown and removed by Azure DevOps' own id.
func TestMembers(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Change(func(w *emulator.State) {
		w.Users = append(w.Users, &emulator.User{ID: "0a0a0a0a-0000-4000-8000-0000000000aa", UPN: "new@contoso.onmicrosoft.com"})
	})
	const filter = "?$filter=name%20eq%20%27new@contoso.onmicrosoft.com%27"
	if a := c.members("GET", "user", filter, ""); a.JSON["totalCount"] != 0. {
		t.Errorf("before: %d %s", a.Status, a.Text)
	}
	c.join("user", "0a0a0a0a-0000-4000-8000-0000000000aa")
	items, _ := c.members("GET", "user", filter, "").JSON["items"].([]any)
	if len(items) != 1 {
		t.Fatalf("found %v", items)
	}
	id := items[0].(map[string]any)["id"].(string)
	if a := c.members("GET", "user", "/"+id, ""); a.Status != 200 || a.JSON["id"] != id {
		t.Errorf("get: %d %s", a.Status, a.Text)
	}
	if a := c.members("DELETE", "user", "/0a0a0a0a-0000-4000-8000-0000000000aa", ""); a.Status != 404 {
		t.Errorf("deleting by the object id: %d %s", a.Status, a.Text)
	}
	c.ok(c.members("DELETE", "user", "/"+id, ""), 204)
	if a := c.members("GET", "user", "/"+id, ""); a.Status != 404 {
		t.Errorf("after: %d %s", a.Status, a.Text)
	}
}
