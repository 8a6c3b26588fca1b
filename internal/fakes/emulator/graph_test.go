package emulator_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

// The permissions that Graph PowerShell asks for to set up and remove an agent user.
var agentScopes = []string{
	"AgentIdentityBlueprint.Create", "AgentIdentityBlueprint.AddRemoveCreds.All", "AgentIdentityBlueprintPrincipal.Create",
	"AgentIdentity.Create.All", "AgentIdUser.ReadWrite.All", "DelegatedPermissionGrant.ReadWrite.All", "Application.Read.All", "User.Read",
	"AgentIdentityBlueprint.DeleteRestore.All", "AgentIdentity.DeleteRestore.All",
}

// graph calls Microsoft Graph with Graph PowerShell's token; a body is sent as JSON.
func (c *client) graph(method, path string, body any, header ...string) answer {
	c.Helper()
	return c.graphWith(c.e.GraphToken(agentScopes...), method, path, body, header...)
}

// graphCLI calls it with the Azure CLI's.
func (c *client) graphCLI(method, path string, body any, header ...string) answer {
	c.Helper()
	return c.graphWith(c.e.AzureCLIToken("https://graph.microsoft.com"), method, path, body, header...)
}

func (c *client) graphWith(token, method, path string, body any, header ...string) answer {
	c.Helper()
	text := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			c.Fatal(err)
		}
		text = string(b)
		header = append(header, "Content-Type", "application/json")
	}
	if !strings.HasPrefix(path, "/beta/") {
		path = "/v1.0" + path
	}
	return c.send(method, c.e.URL(emulator.Graph)+path, text, append(header, "Authorization", "Bearer "+token)...)
}

// ok checks an answer's status and returns its object.
func (c *client) ok(a answer, status int) map[string]any {
	c.Helper()
	if a.Status != status {
		c.Fatalf("got %d %s, want %d", a.Status, a.Text, status)
	}
	return a.JSON
}

// graphRefused checks that an answer is an error in Graph's form.
func (c *client) graphRefused(a answer, status int, code string) {
	c.Helper()
	problem, _ := a.JSON["error"].(map[string]any)
	if a.Status != status || problem["code"] != code || problem["message"] == "" || problem["innerError"] == nil {
		c.Fatalf("got %d %s, want %d %s", a.Status, a.Text, status, code)
	}
}

const odata = "OData-Version"

// sponsor is a body's sponsor.
func sponsor(body map[string]any) map[string]any {
	body["sponsors@odata.bind"] = []string{"https://graph.microsoft.com/v1.0/users/" + emulator.AdminID}
	return body
}

func credential(e *emulator.Emulator, name string) map[string]any {
	return map[string]any{"name": name, "issuer": e.GitHubIssuer(), "subject": e.Job().Subject(), "audiences": []string{emulator.Audience}}
}

// startTLS is start with https, which an issuer must have.
func startTLS(t *testing.T) *client {
	t.Helper()
	return startWith(t, emulator.Options{TLS: true})
}

// An agentSetup is what the requests for an agent user have made.
type agentSetup struct {
	blueprint, blueprintPrincipal, agent, user, grant map[string]any
}

// setUpAgent makes the requests for an agent user, one after the other, except those that
// are left out.
func (c *client) setUpAgent(leftOut string) (s agentSetup) {
	c.Helper()
	s.blueprint = c.ok(c.graph("PATCH", "/applications(uniqueName='azdo-pat-contoso')/microsoft.graph.agentIdentityBlueprint",
		sponsor(map[string]any{"displayName": "azdo-pat"}), odata, "4.0", "Prefer", "create-if-missing"), 201)
	s.blueprintPrincipal = c.ok(c.graph("POST", "/servicePrincipals/microsoft.graph.agentIdentityBlueprintPrincipal",
		map[string]any{"appId": s.blueprint["appId"]}), 201)
	if leftOut != "credential" {
		c.ok(c.graph("PATCH", "/applications(appId='"+s.blueprint["appId"].(string)+"')/federatedIdentityCredentials(name='github')",
			credential(c.e, "github"), "Prefer", "create-if-missing"), 201)
	}
	s.agent = c.ok(c.graph("POST", "/servicePrincipals/microsoft.graph.agentIdentity",
		sponsor(map[string]any{"displayName": "azdo-pat", "agentIdentityBlueprintId": s.blueprint["appId"]})), 201)
	s.user = c.ok(c.graph("POST", "/users/microsoft.graph.agentUser", map[string]any{
		"accountEnabled": true, "displayName": "azdo-pat", "mailNickname": "azdo-pat", "userPrincipalName": "azdo-pat@" + emulator.TenantDomain,
		"identityParentId": s.agent["id"],
	}), 201)
	if leftOut != "consent" {
		s.grant = c.ok(c.graph("POST", "/oauth2PermissionGrants", map[string]any{
			"clientId": s.agent["id"], "consentType": "Principal", "principalId": s.user["id"],
			"resourceId": emulator.AzureDevOpsPrincipalID, "scope": "vso.pats vso.pats_manage",
		}), 201)
	}
	if leftOut != "membership" {
		c.join("user", s.user["id"].(string))
	}
	return s
}

// join adds a member to the organization, which must succeed.
func (c *client) join(kind, objectID string) {
	c.Helper()
	if a := c.entitle(kind, objectID); a.JSON["isSuccess"] != true {
		c.Fatalf("membership: %d %s", a.Status, a.Text)
	}
}

// agentToken is the token of an agent user by the three legs, or the refusal of one.
func (c *client) agentToken(s agentSetup) answer {
	c.Helper()
	blueprint, agent := s.blueprint["appId"].(string), s.agent["appId"].(string)
	a := c.exchange(form(c.leg1(), map[string]string{"client_id": blueprint, "fmi_path": agent}))
	if a.Status != http.StatusOK {
		return a
	}
	t1 := a.JSON["access_token"].(string)
	t2 := c.mustExchange(form(leg2(t1), map[string]string{"client_id": agent}))
	return c.exchange(form(leg3(t1, t2), map[string]string{"client_id": agent, "username": s.user["userPrincipalName"].(string)}))
}

// TestAgentSetup: after the requests of setup the new agent user mints, and if one of them
// is missing, what is refused is what that one is for.
func TestAgentSetup(t *testing.T) {
	t.Parallel()
	for leftOut, want := range map[string]string{"": "", "credential": "AADSTS70025", "consent": "AADSTS65001", "membership": "TF401444"} {
		t.Run("without "+leftOut, func(t *testing.T) {
			t.Parallel()
			c := startTLS(t)
			a := c.agentToken(c.setUpAgent(leftOut))
			if a.Status == http.StatusOK {
				a = c.send("POST", c.patsURL(""), body(nil), "Authorization", "Bearer "+a.JSON["access_token"].(string), "Content-Type", "application/json")
			}
			if want == "" && a.JSON["patTokenError"] != "none" || !strings.Contains(a.Text, want) {
				t.Errorf("got %d %s, want %q", a.Status, a.Text, want)
			}
		})
	}
}
