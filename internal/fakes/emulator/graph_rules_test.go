package emulator_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

// with is a body with changes; a change to nil takes the property away.
func with(body map[string]any, changes map[string]any) map[string]any {
	out := maps.Clone(body)
	for name, value := range changes {
		if out[name] = value; value == nil {
			delete(out, name)
		}
	}
	return out
}

// TestGraphAuthentication: a token of another audience, another signer, out of its time or
// of no user gets nowhere.
func TestGraphAuthentication(t *testing.T) {
	t.Parallel()
	c := start(t)
	for name, token := range map[string]string{
		"none": "", "of another resource": c.e.AzureCLIToken("https://management.azure.com"), "no JWT": "x",
	} {
		header := "Bearer " + token
		if a := c.send("GET", c.e.URL(emulator.Graph)+"/v1.0/me", "", "Authorization", header); a.Status != 401 {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
	token := c.e.GraphToken("User.Read")
	c.ok(c.graphWith(token, "GET", "/me", nil), 200)
	c.e.Advance(2 * 3600e9)
	c.graphRefused(c.graphWith(token, "GET", "/me", nil), 401, "InvalidAuthenticationToken")
}

// TestAgentPermissions: a token without the permission is refused, and so is one with
// Directory.AccessAsUser.All, as the Azure CLI's have, and a user without the role.
func TestAgentPermissions(t *testing.T) {
	t.Parallel()
	blueprint := sponsor(map[string]any{"displayName": "x"})
	const path = "/applications/microsoft.graph.agentIdentityBlueprint"
	c := start(t)
	for name, scopes := range map[string][]string{
		"another permission":        {"AgentIdentity.Create.All", "Application.ReadWrite.All"},
		"Directory.AccessAsUser":    {"AgentIdentityBlueprint.Create", "Directory.AccessAsUser.All"},
		"Directory.ReadWrite.All":   {"AgentIdentityBlueprint.Create", "Directory.ReadWrite.All"},
		"what the Azure CLI's have": nil,
	} {
		token := c.e.GraphToken(scopes...)
		if scopes == nil {
			token = c.e.AzureCLIToken("https://graph.microsoft.com")
		}
		if a := c.graphWith(token, "POST", path, blueprint); a.Status != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
	token := c.e.GraphToken("AgentIdentityBlueprint.Create")
	c.ok(c.graphWith(token, "POST", path, blueprint), 201)
	c.e.Change(func(w *emulator.State) { w.User(emulator.AdminID).Roles = []string{"Global Reader"} })
	c.graphRefused(c.graphWith(token, "POST", path, blueprint), 403, "Authorization_RequestDenied")
}

// TestDirectoryRoles: each step needs the role that is documented for it.
func TestDirectoryRoles(t *testing.T) {
	t.Parallel()
	for role, step := range map[string]func(*client, agentSetup) answer{
		"Agent ID Administrator": func(c *client, s agentSetup) answer {
			return c.graph("DELETE", "/users/"+s.user["id"].(string), nil)
		},
		"Cloud Application Administrator": func(c *client, s agentSetup) answer {
			return c.graph("DELETE", "/oauth2PermissionGrants/"+s.grant["id"].(string), nil)
		},
		"User Administrator": func(c *client, _ agentSetup) answer {
			return c.graphCLI("POST", "/users", newUser)
		},
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			c := startTLS(t)
			s := c.setUpAgent("")
			var roles []string
			c.e.Change(func(w *emulator.State) {
				roles = w.User(emulator.AdminID).Roles
				w.User(emulator.AdminID).Roles = nil
				for _, r := range roles {
					if r != role {
						w.User(emulator.AdminID).Roles = append(w.User(emulator.AdminID).Roles, r)
					}
				}
			})
			c.graphRefused(step(c, s), 403, "Authorization_RequestDenied")
			c.e.Change(func(w *emulator.State) { w.User(emulator.AdminID).Roles = []string{role} })
			if a := step(c, s); a.Status >= 300 {
				t.Errorf("with the role: %d %s", a.Status, a.Text)
			}
		})
	}
}

var newUser = map[string]any{
	"accountEnabled": true, "displayName": "New", "mailNickname": "new", "userPrincipalName": "new@" + emulator.TenantDomain,
	"passwordProfile": map[string]any{"password": "Pa55-word-of-the-test", "forceChangePasswordNextSignIn": false},
}

// TestAgentRules: what Microsoft Graph demands of each request for an agent user.
func TestAgentRules(t *testing.T) {
	t.Parallel()
	c := startTLS(t)
	s := c.setUpAgent("")
	agent := sponsor(map[string]any{"displayName": "x", "agentIdentityBlueprintId": s.blueprint["appId"]})
	user := map[string]any{
		"accountEnabled": true, "displayName": "x", "mailNickname": "x", "userPrincipalName": "x@" + emulator.TenantDomain, "identityParentId": s.agent["id"],
	}
	grant := map[string]any{
		"clientId": s.agent["id"], "consentType": "Principal", "principalId": s.user["id"], "resourceId": emulator.AzureDevOpsPrincipalID, "scope": "vso.pats",
	}
	other := c.ok(c.graph("POST", "/applications/microsoft.graph.agentIdentityBlueprint", sponsor(map[string]any{"displayName": "other"})), 201)
	for name, test := range map[string]struct {
		path string
		body map[string]any
		code string
	}{
		"no sponsor":                    {"/applications/microsoft.graph.agentIdentityBlueprint", map[string]any{"displayName": "x"}, "Request_BadRequest"},
		"sponsor unknown":               {"/servicePrincipals/microsoft.graph.agentIdentity", with(agent, map[string]any{"sponsors@odata.bind": []string{"https://graph.microsoft.com/v1.0/users/" + emulator.AppID}}), "Request_ResourceNotFound"},
		"sponsor an agent":              {"/servicePrincipals/microsoft.graph.agentIdentity", with(agent, map[string]any{"sponsors@odata.bind": []string{"https://graph.microsoft.com/v1.0/users/" + s.user["id"].(string)}}), "Request_BadRequest"},
		"no name":                       {"/applications/microsoft.graph.agentIdentityBlueprint", sponsor(map[string]any{}), "Request_BadRequest"},
		"second principal":              {"/servicePrincipals/microsoft.graph.agentIdentityBlueprintPrincipal", map[string]any{"appId": s.blueprint["appId"]}, "Request_MultipleObjectsWithSameKeyValue"},
		"principal by object id":        {"/servicePrincipals/microsoft.graph.agentIdentityBlueprintPrincipal", map[string]any{"appId": s.blueprint["id"]}, "NoBackingApplicationObject"},
		"blueprint by object id":        {"/servicePrincipals/microsoft.graph.agentIdentity", with(agent, map[string]any{"agentIdentityBlueprintId": s.blueprint["id"]}), "AgentIdentity_IncompatibleParentType"},
		"an application as blueprint":   {"/servicePrincipals/microsoft.graph.agentIdentity", with(agent, map[string]any{"agentIdentityBlueprintId": emulator.AppID}), "AgentIdentity_IncompatibleParentType"},
		"blueprint without principal":   {"/servicePrincipals/microsoft.graph.agentIdentity", with(agent, map[string]any{"agentIdentityBlueprintId": other["appId"]}), "AgentIdentity_AgentBlueprintPrincipalDoesNotExist"},
		"second user":                   {"/users/microsoft.graph.agentUser", user, "Request_BadRequest"},
		"parent by client id":           {"/users/microsoft.graph.agentUser", with(user, map[string]any{"identityParentId": s.agent["appId"]}), "Request_BadRequest"},
		"password":                      {"/users/microsoft.graph.agentUser", with(user, map[string]any{"passwordProfile": map[string]any{"password": "x"}}), "Request_BadRequest"},
		"unverified domain":             {"/users/microsoft.graph.agentUser", with(user, map[string]any{"userPrincipalName": "x@example.com"}), "Request_BadRequest"},
		"no nickname":                   {"/users/microsoft.graph.agentUser", with(user, map[string]any{"mailNickname": nil}), "Request_BadRequest"},
		"unknown property":              {"/users/microsoft.graph.agentUser", with(user, map[string]any{"colour": "red"}), "Request_BadRequest"},
		"grant twice":                   {"/oauth2PermissionGrants", grant, "Request_MultipleObjectsWithSameKeyValue"},
		"grant by client id":            {"/oauth2PermissionGrants", with(grant, map[string]any{"clientId": s.agent["appId"]}), "Request_BadRequest"},
		"grant to a blueprint":          {"/oauth2PermissionGrants", with(grant, map[string]any{"clientId": s.blueprintPrincipal["id"]}), "Request_BadRequest"},
		"grant without user":            {"/oauth2PermissionGrants", with(grant, map[string]any{"principalId": nil}), "Request_BadRequest"},
		"grant for all and one":         {"/oauth2PermissionGrants", with(grant, map[string]any{"consentType": "AllPrincipals"}), "Request_BadRequest"},
		"grant for the app of DevOps":   {"/oauth2PermissionGrants", with(grant, map[string]any{"resourceId": emulator.AzureDevOpsResource}), "Request_BadRequest"},
		"a public client's redirection": {"/applications/microsoft.graph.agentIdentityBlueprint", sponsor(map[string]any{"displayName": "x", "publicClient": map[string]any{"redirectUris": []string{}}}), "Request_BadRequest"},
	} {
		t.Run(name, func(t *testing.T) {
			a := c.graph("POST", test.path, test.body)
			problem, _ := a.JSON["error"].(map[string]any)
			if a.Status < 400 || problem["code"] != test.code {
				t.Errorf("got %d %s, want %s", a.Status, a.Text, test.code)
			}
		})
	}
}

// TestTypeNeedsODataVersion: @odata.type without OData-Version: 4.0 is ignored in silence,
// and an ordinary application comes of it.
func TestTypeNeedsODataVersion(t *testing.T) {
	t.Parallel()
	c := start(t)
	body := sponsor(map[string]any{"@odata.type": "Microsoft.Graph.AgentIdentityBlueprint", "displayName": "x"})
	token := c.e.GraphToken("AgentIdentityBlueprint.Create", "Application.ReadWrite.All")
	plain := c.ok(c.graphWith(token, "POST", "/applications", body), 201)
	typed := c.ok(c.graphWith(token, "POST", "/applications", body, odata, "4.0"), 201)
	if plain["@odata.type"] != nil || typed["@odata.type"] != "#microsoft.graph.agentIdentityBlueprint" {
		t.Errorf("without the header %v, with it %v", plain["@odata.type"], typed["@odata.type"])
	}
}

// TestUpsert: PATCH by an alternate key creates with Prefer: create-if-missing alone, and
// changes what there is.
func TestUpsert(t *testing.T) {
	t.Parallel()
	c := startTLS(t)
	const path = "/applications(uniqueName='azdo-pat''s%2Fx')"
	body := map[string]any{"displayName": "first"}
	c.graphRefused(c.graphCLI("PATCH", path, body), 404, "Request_ResourceNotFound")
	made := c.ok(c.graphCLI("PATCH", path, body, "Prefer", "create-if-missing"), 201)
	c.ok(c.graphCLI("PATCH", path, map[string]any{"displayName": "second"}, "Prefer", "create-if-missing"), 204)
	got := c.ok(c.graphCLI("GET", path, nil), 200)
	if got["id"] != made["id"] || got["displayName"] != "second" || got["uniqueName"] != "azdo-pat's/x" {
		t.Errorf("made %v, now %v", made, got)
	}
	c.graphRefused(c.graphCLI("PATCH", path, map[string]any{"uniqueName": "y"}), 400, "Request_BadRequest")
	c.ok(c.graphCLI("DELETE", "/applications/"+made["id"].(string), nil), 204)
	c.graphRefused(c.graphCLI("GET", path, nil), 404, "Request_ResourceNotFound")
	deleted := c.ok(c.graphCLI("GET", "/directory/deletedItems/microsoft.graph.application?$filter=displayName%20eq%20'second'", nil), 200)
	if list := deleted["value"].([]any); len(list) != 1 || list[0].(map[string]any)["id"] != made["id"] {
		t.Errorf("deleted: %v", deleted)
	}

	// Microsoft does not document whether its name is free now.
	c.e.Change(func(w *emulator.State) { w.KeepUniqueNames = true })
	c.graphRefused(c.graphCLI("PATCH", path, body, "Prefer", "create-if-missing"), 400, "ObjectConflict")
	c.ok(c.graphCLI("DELETE", "/directory/deletedItems/"+made["id"].(string), nil), 204)
	c.ok(c.graphCLI("PATCH", path, body, "Prefer", "create-if-missing"), 201)
}

// TestReplication: what was created is not found by the next reads, and what needs it is
// refused as long.
func TestReplication(t *testing.T) {
	t.Parallel()
	c := startTLS(t)
	c.e.Change(func(w *emulator.State) { w.ReplicationReads = 1 })
	app := c.ok(c.graphCLI("POST", "/applications", map[string]any{"displayName": "x"}), 201)
	object, client := "/applications/"+app["id"].(string), app["appId"].(string)
	c.graphRefused(c.graphCLI("POST", object+"/federatedIdentityCredentials", credential(c.e, "github")), 404, "Request_ResourceNotFound")
	c.ok(c.graphCLI("POST", object+"/federatedIdentityCredentials", credential(c.e, "github")), 201)

	principal := c.ok(c.graphCLI("POST", "/servicePrincipals", map[string]any{"appId": client}), 201)
	grant := map[string]any{
		"clientId": principal["id"], "consentType": "Principal", "principalId": emulator.ServiceUserID,
		"resourceId": emulator.AzureDevOpsPrincipalID, "scope": "vso.pats",
	}
	c.graphRefused(c.graphCLI("POST", "/oauth2PermissionGrants", grant), 400, "Request_BadRequest")
	c.ok(c.graphCLI("POST", "/oauth2PermissionGrants", grant), 201)

	user := c.ok(c.graphCLI("POST", "/users", newUser), 201)
	if a := c.entitle("user", user["id"].(string)); a.JSON["isSuccess"] != false {
		t.Errorf("a new user becomes a member at once: %d %s", a.Status, a.Text)
	}
	c.join("user", user["id"].(string))

	c.ok(c.graphCLI("POST", "/users", with(newUser, map[string]any{"userPrincipalName": "newer@" + emulator.TenantDomain})), 201)
	const list = "/users?$filter=userPrincipalName%20eq%20'newer@contoso.onmicrosoft.com'"
	for i, want := range []int{0, 1} {
		if found := c.ok(c.graphCLI("GET", list, nil), 200)["value"].([]any); len(found) != want {
			t.Errorf("look %d finds %d", i, len(found))
		}
	}
}

// TestCredentialRules: the limits of federated identity credentials.
func TestCredentialRules(t *testing.T) {
	t.Parallel()
	c := startTLS(t)
	app := c.ok(c.graphCLI("POST", "/applications", map[string]any{"displayName": "x"}), 201)
	path := "/applications(appId='" + app["appId"].(string) + "')/federatedIdentityCredentials"
	good := credential(c.e, "github")
	c.ok(c.graphCLI("POST", path, good), 201)
	next := with(good, map[string]any{"name": "next", "subject": "repo:contoso/next:pull_request"})
	for name, test := range map[string]struct {
		body map[string]any
		code string
	}{
		"the same subject":      {with(good, map[string]any{"name": "other"}), "Request_MultipleObjectsWithSameKeyValue"},
		"the same name":         {with(next, map[string]any{"name": "github"}), "Request_MultipleObjectsWithSameKeyValue"},
		"long name":             {with(next, map[string]any{"name": strings.Repeat("x", 121)}), "Request_BadRequest"},
		"name with a slash":     {with(next, map[string]any{"name": "repo:contoso/x"}), "Request_BadRequest"},
		"two audiences":         {with(next, map[string]any{"audiences": []string{"a", "b"}}), "Request_BadRequest"},
		"no audience":           {with(next, map[string]any{"audiences": nil}), "Request_BadRequest"},
		"http":                  {with(next, map[string]any{"issuer": "http://example.com"}), "Request_BadRequest"},
		"no subject":            {with(next, map[string]any{"subject": nil}), "Request_BadRequest"},
		"long subject":          {with(next, map[string]any{"subject": strings.Repeat("x", 601)}), "Request_BadRequest"},
		"flexible, not in beta": {with(next, map[string]any{"subject": nil, "claimsMatchingExpression": map[string]any{"value": "claims['sub'] eq 'x'", "languageVersion": 1}}), "Request_BadRequest"},
		"a number as a name":    {with(next, map[string]any{"name": 5}), "Request_BadRequest"},
		"an unknown property":   {with(next, map[string]any{"subjects": "x"}), "Request_BadRequest"},
	} {
		t.Run(name, func(t *testing.T) {
			a := c.graphCLI("POST", path, test.body)
			problem, _ := a.JSON["error"].(map[string]any)
			if a.Status < 400 || problem["code"] != test.code {
				t.Errorf("got %d %s, want %s", a.Status, a.Text, test.code)
			}
		})
	}
	c.graphRefused(c.graphCLI("PATCH", path+"(name='github')", map[string]any{"name": "renamed"}), 400, "Request_BadRequest")
	c.ok(c.graphCLI("PATCH", path+"(name='github')", good, "Prefer", "create-if-missing"), 204)
	for i := range 19 {
		c.ok(c.graphCLI("PATCH", fmt.Sprintf("%s(name='n-%d')", path, i), map[string]any{
			"issuer": c.e.GitHubIssuer(), "subject": fmt.Sprintf("repo:contoso/%d:pull_request", i), "audiences": []string{emulator.Audience},
		}, "Prefer", "create-if-missing"), 201)
	}
	c.graphRefused(c.graphCLI("POST", path, next), 400, "Request_BadRequest")
	if all := c.ok(c.graphCLI("GET", path, nil), 200)["value"].([]any); len(all) != 20 {
		t.Errorf("%d credentials", len(all))
	}
	c.ok(c.graphCLI("DELETE", path+"/github", nil), 204)
	c.graphRefused(c.graphCLI("DELETE", path+"/github", nil), 404, "Request_ResourceNotFound")
}

// TestGrants: a grant is found by filter, changed and deleted, and each time tokens follow.
func TestGrants(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Change(func(w *emulator.State) { w.App(emulator.AppID).Consented = nil })
	c.refused(c.exchange(form(c.withPassword())), "65001")
	grant := c.ok(c.graphCLI("POST", "/oauth2PermissionGrants", map[string]any{
		"clientId": emulator.AppPrincipalID, "consentType": "Principal", "principalId": emulator.ServiceUserID,
		"resourceId": emulator.AzureDevOpsPrincipalID, "scope": "vso.pats",
	}), 201)
	filter := fmt.Sprintf("clientId eq '%s' and resourceId eq '%s' and consentType eq 'Principal' and principalId eq '%s'",
		emulator.AppPrincipalID, emulator.AzureDevOpsPrincipalID, emulator.ServiceUserID)
	list := c.ok(c.graphCLI("GET", "/oauth2PermissionGrants?$filter="+strings.ReplaceAll(filter, " ", "%20"), nil), 200)["value"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["id"] != grant["id"] {
		t.Fatalf("found %v", list)
	}
	pats := func() answer {
		return c.send("GET", c.patsURL(""), "", "Authorization", "Bearer "+c.mustExchange(form(c.withPassword())), "X-TFS-FedAuthRedirect", "Suppress")
	}
	if a := pats(); a.Status != 401 || !strings.Contains(a.Text, "TF400813") {
		t.Errorf("with half of the scopes: %d %s", a.Status, a.Text)
	}
	one := "/oauth2PermissionGrants/" + grant["id"].(string)
	c.graphRefused(c.graphCLI("PATCH", one, map[string]any{"clientId": emulator.AppID}), 400, "Request_BadRequest")
	c.ok(c.graphCLI("PATCH", one, map[string]any{"scope": "vso.pats vso.pats_manage"}), 204)
	if a := pats(); a.Status != 200 {
		t.Errorf("with both: %d %s", a.Status, a.Text)
	}
	c.ok(c.graphCLI("DELETE", one, nil), 204)
	c.refused(c.exchange(form(c.withPassword())), "65001")
}

// TestConsentOfOtherUsers: a consent for one user gives no token for another.
func TestConsentOfOtherUsers(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Change(func(w *emulator.State) { w.App(emulator.AppID).Consented = nil })
	c.ok(c.graphCLI("POST", "/oauth2PermissionGrants", map[string]any{
		"clientId": emulator.AppPrincipalID, "consentType": "Principal", "principalId": emulator.AdminID,
		"resourceId": emulator.AzureDevOpsPrincipalID, "scope": "vso.pats vso.pats_manage",
	}), 201)
	c.refused(c.exchange(form(c.withPassword())), "65001")
}

// TestServiceAccountSetup: application, service principal, credential, user, consent and
// membership, by the Azure CLI's token, and the new user mints.
func TestServiceAccountSetup(t *testing.T) {
	t.Parallel()
	c := startTLS(t)
	app := c.ok(c.graphCLI("POST", "/applications", map[string]any{
		"displayName": "azdo-pat", "signInAudience": "AzureADMyOrg", "web": map[string]any{"redirectUris": []string{"http://localhost"}},
	}), 201)
	client := app["appId"].(string)
	c.ok(c.graphCLI("POST", "/applications(appId='"+client+"')/federatedIdentityCredentials", credential(c.e, "github")), 201)
	signIn := func() answer {
		return c.exchange(form(c.withPassword(), map[string]string{"client_id": client, "username": "new@" + emulator.TenantDomain, "password": "Pa55-word-of-the-test"}))
	}
	c.refused(signIn(), "7000229")
	principal := c.ok(c.graphCLI("POST", "/servicePrincipals", map[string]any{"appId": client}), 201)
	c.refused(signIn(), "50034")
	user := c.ok(c.graphCLI("POST", "/users", newUser), 201)
	c.refused(signIn(), "65001")
	c.ok(c.graphCLI("POST", "/oauth2PermissionGrants", map[string]any{
		"clientId": principal["id"], "consentType": "Principal", "principalId": user["id"],
		"resourceId": emulator.AzureDevOpsPrincipalID, "scope": "vso.pats vso.pats_manage",
	}), 201)
	create := func() answer {
		token := signIn().JSON["access_token"].(string)
		return c.send("POST", c.patsURL(""), body(nil), "Authorization", "Bearer "+token, "Content-Type", "application/json")
	}
	if a := create(); a.Status != 401 || !strings.Contains(a.Text, "TF401444") {
		t.Errorf("before it is a member: %d %s", a.Status, a.Text)
	}
	c.join("user", user["id"].(string))
	if a := create(); a.JSON["patTokenError"] != "none" {
		t.Errorf("as a member: %d %s", a.Status, a.Text)
	}
	c.ok(c.graphCLI("DELETE", "/applications(appId='"+client+"')", nil), 204)
	c.refused(signIn(), "700016")
}

// TestNoAzureDevOps: in a tenant without Azure DevOps its service principal is created like
// another, after which tokens for it are issued.
func TestNoAzureDevOps(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Change(func(w *emulator.State) { w.NoAzureDevOps = true })
	const path = "/servicePrincipals(appId='" + emulator.AzureDevOpsResource + "')?$select=id,oauth2PermissionScopes"
	c.graphRefused(c.graphCLI("GET", path, nil), 404, "Request_ResourceNotFound")
	c.refused(c.exchange(form(c.withPassword())), "500011")
	c.ok(c.graphCLI("POST", "/servicePrincipals", map[string]any{"appId": emulator.AzureDevOpsResource}), 201)
	if a := c.ok(c.graphCLI("GET", path, nil), 200); a["id"] != emulator.AzureDevOpsPrincipalID || a["displayName"] != nil || len(a["oauth2PermissionScopes"].([]any)) != 3 {
		t.Errorf("got %v", a)
	}
	c.mustExchange(form(c.withPassword()))
}

// TestUndoAgent: in reverse order each part can be deleted, and nothing signs in any more.
func TestUndoAgent(t *testing.T) {
	t.Parallel()
	c := startTLS(t)
	s := c.setUpAgent("")
	for _, path := range []string{
		"/oauth2PermissionGrants/" + s.grant["id"].(string), "/users/" + s.user["id"].(string), "/servicePrincipals/" + s.agent["id"].(string),
		"/servicePrincipals/" + s.blueprintPrincipal["id"].(string), "/applications/" + s.blueprint["id"].(string),
	} {
		c.ok(c.graph("DELETE", path, nil), 204)
		c.graphRefused(c.graph("DELETE", path, nil), 404, "Request_ResourceNotFound")
	}
	c.e.Change(func(w *emulator.State) {
		if w.User(s.user["id"].(string)) != nil || w.App(s.agent["appId"].(string)) != nil || w.App(s.blueprint["appId"].(string)) != nil || len(w.Deleted) != 4 {
			t.Errorf("left, deleted: %v", w.Deleted)
		}
	})
	if a := c.agentToken(s); a.Status < 400 {
		t.Errorf("the deleted user gets a token: %s", a.Text)
	}
}

// TestAgentLookUps: the type in a path finds none of another type.
func TestAgentLookUps(t *testing.T) {
	t.Parallel()
	c := startTLS(t)
	s := c.setUpAgent("")
	byID := func(appID any, cast string) answer {
		return c.graph("GET", "/servicePrincipals(appId='"+appID.(string)+"')/microsoft.graph."+cast, nil)
	}
	if a := c.ok(byID(s.agent["appId"], "agentIdentity"), 200); a["id"] != s.agent["id"] {
		t.Errorf("got %v", a)
	}
	c.graphRefused(byID(s.blueprint["appId"], "agentIdentity"), 404, "Request_ResourceNotFound")
	c.graphRefused(byID(s.agent["appId"], "agentIdentityBlueprintPrincipal"), 404, "Request_ResourceNotFound")
	c.graphRefused(byID(s.agent["appId"], "device"), 400, "Request_BadRequest")
	for cast, want := range map[string]int{"/microsoft.graph.agentIdentity": 1, "/microsoft.graph.agentIdentityBlueprintPrincipal": 1, "": 2} {
		list := c.ok(c.graph("GET", "/servicePrincipals"+cast+"?$filter=displayName%20eq%20'azdo-pat'", nil), 200)["value"].([]any)
		found := 0
		for _, p := range list {
			if id := p.(map[string]any)["id"]; id == s.agent["id"] || id == s.blueprintPrincipal["id"] {
				found++
			}
		}
		if found != want {
			t.Errorf("%q lists %v", cast, list)
		}
	}
	c.graphRefused(c.graph("GET", "/servicePrincipals?$filter=secret%20eq%20'x'", nil), 400, "Request_UnsupportedQuery")
	c.graphRefused(c.graph("GET", "/servicePrincipals?$filter=displayName%20is%20'x'", nil), 400, "Request_BadRequest")
	c.graphRefused(c.graph("GET", "/servicePrincipals?$orderby=displayName", nil), 400, "Request_BadRequest")
}

// TestGraphConflict: what a change in the middle of another one gets is a fault.
func TestGraphConflict(t *testing.T) {
	t.Parallel()
	c := startTLS(t)
	c.e.Intercept("graph.post.federatedIdentityCredentials", emulator.Times(1, emulator.GraphError(409, "Request_ConcurrentUpdate", "Another update is in progress.")))
	const path = "/applications(appId='" + emulator.AppID + "')/federatedIdentityCredentials"
	body := with(credential(c.e, "next"), map[string]any{"subject": "repo:contoso/next:pull_request"})
	c.graphRefused(c.graphCLI("POST", path, body), 409, "Request_ConcurrentUpdate")
	c.ok(c.graphCLI("POST", path, body), 201)
}
