package emulator_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"azdo-pat/internal/fakes/emulator"
)

// newConnection is the body of a service connection to an application.
var newConnection = map[string]any{
	"name": "new", "type": "AzureRM", "url": "https://management.azure.com/", "isShared": false, "isReady": true,
	"data": map[string]any{
		"environment": "AzureCloud", "scopeLevel": "Subscription", "creationMode": "Manual",
		"subscriptionId": emulator.SubscriptionID, "subscriptionName": "Build",
	},
	"authorization": map[string]any{"scheme": "WorkloadIdentityFederation", "parameters": map[string]any{
		"tenantid": emulator.TenantID, "serviceprincipalid": emulator.AppID,
	}},
	"serviceEndpointProjectReferences": []any{map[string]any{
		"name": "new", "projectReference": map[string]any{"id": emulator.ProjectID, "name": emulator.Project},
	}},
}

func (c *client) connectionsURL(project, rest string) string {
	separator := "?"
	if strings.Contains(rest, "?") {
		separator = "&"
	}
	return c.e.URL(emulator.AzureDevOps) + "/contoso" + project + "/_apis/serviceendpoint/endpoints" + rest + separator + "api-version=7.1"
}

// connections calls the API of service connections as the administrator.
func (c *client) connections(method, project, rest string, body map[string]any) answer {
	c.Helper()
	text := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			c.Fatal(err)
		}
		text = string(b)
	}
	return c.send(method, c.connectionsURL(project, rest), text,
		"Authorization", "Bearer "+c.e.AzureCLIToken(emulator.AzureDevOpsResource), "Content-Type", "application/json")
}

// TestServiceConnection: the issuer and the subject that the answer names, in a federated
// credential, let the pipeline's job in, and nothing else does.
func TestServiceConnection(t *testing.T) {
	t.Parallel()
	c := startTLS(t)
	made := c.ok(c.connections("POST", "", "", newConnection), 200)
	id := made["id"].(string)
	parameters := made["authorization"].(map[string]any)["parameters"].(map[string]any)

	j := c.e.PipelinesJob()
	signIn := func() answer {
		a := c.send("POST", j.OIDCRequestURI+"?api-version=7.1&serviceConnectionId="+id, "", "Authorization", "Bearer "+j.AccessToken)
		assertion, _ := a.JSON["oidcToken"].(string)
		return c.exchange(form(c.withPassword(), map[string]string{"client_assertion": assertion}))
	}
	c.refused(signIn(), "700211")
	c.ok(c.graphCLI("POST", "/applications(appId='"+emulator.AppID+"')/federatedIdentityCredentials", map[string]any{
		"name": "connection", "issuer": parameters["workloadIdentityFederationIssuer"], "subject": parameters["workloadIdentityFederationSubject"],
		"audiences": []string{emulator.Audience},
	}), 201)
	if a := signIn(); a.Status != 200 {
		t.Errorf("with the credential: %d %s", a.Status, a.Text)
	}
	c.e.Change(func(w *emulator.State) { w.App(emulator.AppID).MultiTenant = true })
	c.refused(signIn(), "70052")

	found := c.ok(c.connections("GET", "/"+emulator.Project, "?endpointNames=new", nil), 200)
	if list := found["value"].([]any); len(list) != 1 || list[0].(map[string]any)["id"] != id {
		t.Errorf("found %v", found)
	}
	c.ok(c.connections("DELETE", "", "/"+id+"?projectIds="+emulator.ProjectID, nil), 204)
	if a := c.connections("GET", "/"+emulator.Project, "/"+id, nil); a.Status != 200 || a.Text != "null" {
		t.Errorf("after: %d %s", a.Status, a.Text)
	}
}

// TestServiceConnectionRefused: what a connection must name, and who may make one.
func TestServiceConnectionRefused(t *testing.T) {
	t.Parallel()
	c := startTLS(t)
	data := newConnection["data"].(map[string]any)
	for name, body := range map[string]map[string]any{
		"automatic":       with(newConnection, map[string]any{"data": with(data, map[string]any{"creationMode": "Automatic"})}),
		"no subscription": with(newConnection, map[string]any{"data": with(data, map[string]any{"subscriptionId": nil})}),
		"unknown project": with(newConnection, map[string]any{"serviceEndpointProjectReferences": []any{map[string]any{"projectReference": map[string]any{"id": emulator.AppID}}}}),
		"unknown field":   with(newConnection, map[string]any{"colour": "red"}),
		"a secret":        with(newConnection, map[string]any{"authorization": map[string]any{"scheme": "ServicePrincipal"}}),
	} {
		if a := c.connections("POST", "", "", body); a.Status != 400 {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
	if a := c.connections("POST", "", "", with(newConnection, map[string]any{"name": "azdo-pat"})); a.Status != 409 {
		t.Errorf("name taken: %d %s", a.Status, a.Text)
	}
	c.e.Change(func(w *emulator.State) { w.Organizations[0].Administrators = nil })
	if a := c.connections("POST", "", "", newConnection); a.Status != 403 {
		t.Errorf("no administrator: %d %s", a.Status, a.Text)
	}
}

// TestServiceConnectionOpenAPI: requests and answers are as Microsoft describes them.
func TestServiceConnectionOpenAPI(t *testing.T) {
	t.Parallel()
	c := start(t)
	d := describe(t, "service-endpoint-7.1.json", c.e.URL(emulator.AzureDevOps), func(s openapi3.Schemas) {
		s["ServiceEndpoint"].Value.AdditionalProperties = openapi3.AdditionalProperties{Has: new(bool)}
	})
	b, err := json.Marshal(newConnection)
	if err != nil {
		t.Fatal(err)
	}
	made := c.connections("POST", "", "", newConnection)
	d.check(t, "POST", c.connectionsURL("", ""), string(b), made)
	one := "/" + made.JSON["id"].(string)
	d.check(t, "GET", c.connectionsURL("/demo", one), "", c.connections("GET", "/demo", one, nil))
}
