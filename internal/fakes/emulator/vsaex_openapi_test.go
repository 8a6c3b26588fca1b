package emulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"azdo-pat/internal/fakes/emulator"
)

// A described is one of Microsoft's descriptions, made a little wider where Microsoft's own
// recorded examples go beyond it.
type described struct{ router routers.Router }

// describe reads the description, of which wider may change the definitions.
func describe(t *testing.T, file, base string, wider func(openapi3.Schemas)) described {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(specDir, file))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no copy of Microsoft's OpenAPI here")
	}
	if err != nil {
		t.Fatal(err)
	}
	var v2 openapi2.T
	if err := json.Unmarshal(raw, &v2); err != nil {
		t.Fatal(err)
	}
	v2.Host, v2.BasePath, v2.Schemes = strings.TrimPrefix(base, "http://"), "/", []string{"http"}
	for path := range v2.Paths {
		if strings.Contains(path, "?") { // an overload that OpenAPI cannot say
			delete(v2.Paths, path)
		}
	}
	v3, err := openapi2conv.ToV3(&v2)
	if err != nil {
		t.Fatal(err)
	}
	v3.Security = nil
	for _, item := range v3.Paths.Map() {
		for _, operation := range item.Operations() {
			operation.Security = &openapi3.SecurityRequirements{}
		}
	}
	wider(v3.Components.Schemas)
	router, err := legacy.NewRouter(v3)
	if err != nil {
		t.Fatal(err)
	}
	return described{router}
}

// check holds a request and its answer against the description.
func (d described) check(t *testing.T, method, target, body string, got answer) {
	t.Helper()
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	route, parameters, err := d.router.FindRoute(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	input := &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route}
	if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
		t.Fatalf("the test's own request is not as described: %v", err)
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: got.Status, Header: got.Header, Body: io.NopCloser(strings.NewReader(got.Text)),
	})
	if err != nil {
		t.Errorf("%s %s answers otherwise than Microsoft describes: %v\n%s", method, target, err, got.Text)
	}
}

// describeMembers reads the description of the members' API. The examples have result as an
// object, where the description says string, and null for a service principal's mail.
func describeMembers(t *testing.T, base string) described {
	t.Helper()
	return describe(t, "member-entitlement-7.1.json", base, func(s openapi3.Schemas) {
		s["EntitlementOperationResultBase"].Value.Properties["result"] = openapi3.NewObjectSchema().NewRef()
		s["GraphMember"].Value.Properties["mailAddress"].Value.Nullable = true
	})
}

// declared are the properties of a definition, those of its bases included.
func declared(t *testing.T, name string) map[string]json.RawMessage {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(specDir, "member-entitlement-7.1.json"))
	if err != nil {
		t.Fatal(err)
	}
	type definition struct {
		AllOf []struct {
			Ref string `json:"$ref"`
		}
		Properties map[string]json.RawMessage
	}
	var document struct{ Definitions map[string]definition }
	if err := json.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	all := map[string]json.RawMessage{}
	for d := document.Definitions[name]; ; {
		for property, schema := range d.Properties {
			all[property] = schema
		}
		if len(d.AllOf) == 0 {
			return all
		}
		d = document.Definitions[strings.TrimPrefix(d.AllOf[0].Ref, "#/definitions/")]
	}
}

// TestMembersOpenAPI: requests and answers about members are as Microsoft describes them,
// and no object has a property that is not described.
func TestMembersOpenAPI(t *testing.T) {
	t.Parallel()
	c := start(t)
	d := describeMembers(t, c.e.URL(emulator.AzureDevOps))
	call := func(method, kind, rest, body string) answer {
		t.Helper()
		got := c.members(method, kind, rest, body)
		d.check(t, method, c.membersURL(kind, rest), body, got)
		return got
	}
	added := call("POST", "user", "", `{"accessLevel":{"licensingSource":"account","accountLicenseType":"express"},"user":{"origin":"aad","originId":"`+emulator.ServiceUserID+`","subjectKind":"user"}}`)
	principal := call("POST", "servicePrincipal", "", `{"accessLevel":{"accountLicenseType":"express"},"servicePrincipal":{"origin":"aad","originId":"`+emulator.AppPrincipalID+`","subjectKind":"servicePrincipal"}}`)
	call("POST", "servicePrincipal", "", `{"accessLevel":{"accountLicenseType":"express"},"servicePrincipal":{"origin":"aad","originId":"`+emulator.AppID+`","subjectKind":"servicePrincipal"}}`)
	call("GET", "user", "", "")
	call("GET", "user", "/"+emulator.EntitlementID(emulator.ServiceUserID), "")
	call("GET", "servicePrincipal", "/"+emulator.EntitlementID(emulator.AppPrincipalID), "")

	user := added.JSON["userEntitlement"].(map[string]any)
	app := principal.JSON["servicePrincipalEntitlement"].(map[string]any)
	for name, object := range map[string]any{
		"UserEntitlementsPostResponse": added.JSON, "UserEntitlementOperationResult": added.JSON["operationResult"],
		"UserEntitlement": user, "GraphUser": user["user"], "AccessLevel": user["accessLevel"],
		"ServicePrincipalEntitlementsPostResponse": principal.JSON, "ServicePrincipalEntitlementOperationResult": principal.JSON["operationResult"],
		"ServicePrincipalEntitlement": app, "GraphServicePrincipal": app["servicePrincipal"],
	} {
		known := declared(t, name)
		for property := range object.(map[string]any) {
			if known[property] == nil {
				t.Errorf("%s has no %s", name, property)
			}
		}
	}
}

// TestMembersExamples: what Microsoft recorded passes the description as it is read here.
func TestMembersExamples(t *testing.T) {
	t.Parallel()
	const base = "http://vsaex.dev.azure.com"
	d := describeMembers(t, base)
	for file, request := range map[string][2]string{
		"POST__memberEntitlementManagement_UserEntitlement.json":                {"POST", "/fabrikam/_apis/userentitlements?api-version=7.1"},
		"POST__memberEntitlementManagement_ServicePrincipalEntitlement.json":    {"POST", "/fabrikam/_apis/serviceprincipalentitlements?api-version=7.1-preview.1"},
		"GET__memberEntitlementManagement_UserEntitlementById.json":             {"GET", "/fabrikam/_apis/userentitlements/" + emulator.AppID + "?api-version=7.1"},
		"GET__memberEntitlementManagement_ServicePrincipalEntitlementById.json": {"GET", "/fabrikam/_apis/serviceprincipalentitlements/" + emulator.AppID + "?api-version=7.1-preview.1"},
	} {
		body, recorded := example(t, file)
		d.check(t, request[0], base+request[1], body, recorded)
	}
}

// example is a recorded request's body and its answer.
func example(t *testing.T, file string) (body string, recorded answer) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(specDir, "examples-additions", file))
	if err != nil {
		t.Fatal(err)
	}
	var example struct {
		Parameters struct{ Body json.RawMessage }
		Responses  map[string]struct{ Body json.RawMessage }
	}
	if err := json.Unmarshal(raw, &example); err != nil {
		t.Fatal(err)
	}
	return string(example.Parameters.Body), answer{
		Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Text: string(example.Responses["200"].Body),
	}
}
