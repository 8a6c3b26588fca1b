package emulator_test

import (
	"encoding/json"
	"net/http"
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

// TestMembersRefused: what is wrong with the new member is answered with 200 and isSuccess
// false, what is wrong with the request or the caller is not.
func TestMembersRefused(t *testing.T) {
	t.Parallel()
	user := func(s string) string {
		return `{"accessLevel":{"licensingSource":"account","accountLicenseType":"express"},"user":{"origin":"aad","originId":"` + s + `","subjectKind":"user"}}`
	}
	principal := func(s string) string {
		return `{"accessLevel":{"accountLicenseType":"express"},"servicePrincipal":{"origin":"aad","originId":"` + s + `","subjectKind":"servicePrincipal"}}`
	}
	for name, test := range map[string]struct {
		change     func(*emulator.State)
		kind, body string
		status     int
	}{
		"good":                    {nil, "user", user(emulator.ServiceUserID), 200},
		"unknown user":            {nil, "user", user(emulator.AppID), 0},
		"by name as object id":    {nil, "user", user(emulator.ServiceUserUPN), 0},
		"client id":               {nil, "servicePrincipal", principal(emulator.AppID), 0},
		"service principal":       {nil, "servicePrincipal", principal(emulator.AppPrincipalID), 200},
		"agent user":              {nil, "user", user(emulator.AgentUserID), 200},
		"agent user, not taken":   {func(w *emulator.State) { w.Organizations[0].RefuseAgentUsers = true }, "user", user(emulator.AgentUserID), 0},
		"a member already":        {func(w *emulator.State) { w.Organizations[0].RefuseKnownMembers = true }, "user", user(emulator.ServiceUserID), 0},
		"unknown project":         {nil, "user", `{"accessLevel":{"accountLicenseType":"express"},"user":{"origin":"aad","originId":"` + emulator.ServiceUserID + `","subjectKind":"user"},"projectEntitlements":[{"group":{"groupType":"projectReader"},"projectRef":{"id":"` + emulator.AppID + `"}}]}`, 0},
		"project":                 {nil, "user", `{"accessLevel":{"accountLicenseType":"express"},"user":{"origin":"aad","originId":"` + emulator.ServiceUserID + `","subjectKind":"user"},"projectEntitlements":[{"group":{"groupType":"projectReader"},"projectRef":{"id":"` + emulator.ProjectID + `"}}]}`, 200},
		"no license":              {nil, "user", `{"user":{"origin":"aad","originId":"` + emulator.ServiceUserID + `","subjectKind":"user"}}`, 400},
		"unknown field":           {nil, "user", `{"accesslevels":{}}`, 400},
		"user as principal":       {nil, "servicePrincipal", user(emulator.ServiceUserID), 400},
		"no administrator":        {func(w *emulator.State) { w.Organizations[0].Administrators = nil }, "user", user(emulator.ServiceUserID), 403},
		"not even a member":       {func(w *emulator.State) { w.Organizations[0].Members = nil }, "user", user(emulator.ServiceUserID), 401},
		"unknown to the services": {func(w *emulator.State) { w.Users = nil }, "user", user(emulator.ServiceUserID), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			token := c.e.AzureCLIToken(emulator.AzureDevOpsResource)
			if test.change != nil {
				c.e.Change(test.change)
			}
			a := c.send("POST", c.membersURL(test.kind, ""), test.body, "Authorization", "Bearer "+token, "Content-Type", "application/json")
			success := a.JSON["isSuccess"] == true
			status := test.status
			if status == 0 {
				status = 200
			}
			if a.Status != status || success != (test.status == 200) {
				t.Errorf("got %d %s", a.Status, a.Text)
			}
		})
	}
}

// TestMembersVersionsAndHosts: service principals are a preview, and have no list here but
// in Azure DevOps' own Graph, on another host.
func TestMembersVersionsAndHosts(t *testing.T) {
	t.Parallel()
	c := start(t)
	token := c.e.AzureCLIToken(emulator.AzureDevOpsResource)
	get := func(host, path string) answer {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", c.e.URL(emulator.AzureDevOps)+"/contoso/_apis/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		r.Header.Set("Authorization", "Bearer "+token)
		w, err := noRedirects.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Body.Close()
		var a answer
		a.Status = w.StatusCode
		_ = json.NewDecoder(w.Body).Decode(&a.JSON)
		return a
	}
	c.join("servicePrincipal", emulator.AppPrincipalID)
	for _, test := range []struct {
		host, path string
		status     int
	}{
		{"vsaex.dev.azure.com", "userentitlements?api-version=7.1", 200},
		{"dev.azure.com", "userentitlements?api-version=7.1", 404},
		{"vsaex.dev.azure.com", "userentitlements", 400},
		{"vsaex.dev.azure.com", "serviceprincipalentitlements?api-version=7.1-preview.1", 405},
		{"vsaex.dev.azure.com", "serviceprincipalentitlements?api-version=7.1", 400},
		{"vsaex.dev.azure.com", "graph/serviceprincipals?api-version=7.1-preview.1", 404},
		{"vssps.dev.azure.com", "graph/serviceprincipals?api-version=7.1-preview.1", 200},
	} {
		if a := get(test.host, test.path); a.Status != test.status {
			t.Errorf("%s/%s: %d, want %d", test.host, test.path, a.Status, test.status)
		}
	}
	list := get("vssps.dev.azure.com", "graph/serviceprincipals?api-version=7.1-preview.1").JSON["value"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["originId"] != emulator.AppPrincipalID {
		t.Fatalf("service principals: %v", list)
	}
	descriptor := list[0].(map[string]any)["descriptor"].(string)
	if a := get("vssps.dev.azure.com", "graph/storagekeys/"+descriptor+"?api-version=7.1-preview.1"); a.JSON["value"] != emulator.EntitlementID(emulator.AppPrincipalID) {
		t.Errorf("storage key: %v", a.JSON)
	}
	c.ok(c.members("DELETE", "servicePrincipal", "/"+emulator.EntitlementID(emulator.AppPrincipalID), ""), 204)
	if list := get("vssps.dev.azure.com", "graph/serviceprincipals?api-version=7.1-preview.1").JSON["value"].([]any); len(list) != 0 {
		t.Errorf("after: %v", list)
	}
}
