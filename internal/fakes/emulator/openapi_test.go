package emulator_test

import (
	"bytes"
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

// specDir has Microsoft's OpenAPI of the PAT Lifecycle API, where there is
// such a copy.
const specDir = "../../../../shared/spec"

// An api is Microsoft's description of the PAT Lifecycle API.
type api struct{ router routers.Router }

// load reads the description and says "null" where Microsoft's own examples
// do: patToken, token and targetAccounts.
func load(t *testing.T, file, base string) api {
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
	var overloads struct {
		Paths map[string]*openapi2.PathItem `json:"x-ms-paths"`
	}
	if err := json.Unmarshal(raw, &overloads); err != nil {
		t.Fatal(err)
	}
	const path = "/{organization}/_apis/tokens/pats"
	list := overloads.Paths[path+"?"]
	if list == nil {
		t.Fatal("the description has no list under x-ms-paths")
	}
	// get and list share path and method, which OpenAPI cannot say: the list
	// gets a path of its own, to which the test sends a list's requests.
	v2.Paths[path+"/list"] = list
	v3, err := openapi2conv.ToV3(&v2)
	if err != nil {
		t.Fatal(err)
	}
	v3.Security = nil
	pat := v3.Components.Schemas["PatToken"].Value
	for _, name := range []string{"token", "targetAccounts"} {
		pat.Properties[name].Value.Nullable = true
	}
	pat.Nullable = true
	for _, name := range []string{"PatToken", "PatTokenResult", "PagedPatTokens"} {
		// Nothing that is not described.
		v3.Components.Schemas[name].Value.AdditionalProperties = openapi3.AdditionalProperties{Has: new(bool)}
	}
	for _, item := range v3.Paths.Map() {
		for _, operation := range item.Operations() {
			operation.Security = &openapi3.SecurityRequirements{}
		}
	}
	router, err := legacy.NewRouter(v3)
	if err != nil {
		t.Fatal(err)
	}
	return api{router}
}

// check holds a request and its answer against the description.
func (a api) check(t *testing.T, r *http.Request, body string, got answer) {
	t.Helper()
	described := r.Clone(context.Background())
	if r.Method == "GET" && !r.URL.Query().Has("authorizationId") {
		described.URL.Path += "/list"
	}
	a.validate(t, described, r, body, got)
}

// validate is check for a request under the URL that the description has for it.
func (a api) validate(t *testing.T, described, r *http.Request, body string, got answer) {
	t.Helper()
	described.Body = io.NopCloser(strings.NewReader(body))
	route, parameters, err := a.router.FindRoute(described)
	if err != nil {
		t.Fatal(err)
	}
	input := &openapi3filter.RequestValidationInput{Request: described, PathParams: parameters, Route: route}
	if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
		t.Fatalf("the test's own request is not as described: %v", err)
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: got.Status, Header: got.Header,
		Body: io.NopCloser(strings.NewReader(got.Text)),
	})
	if err != nil {
		t.Errorf("%s %s answers otherwise than Microsoft describes: %v\n%s", r.Method, r.URL, err, got.Text)
	}
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"7.1", "7.2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			described := load(t, "tokens-"+version+".json", c.e.URL(emulator.AzureDevOps))
			call := func(method, query, body string) answer {
				t.Helper()
				target := c.e.URL(emulator.AzureDevOps) + "/contoso/_apis/tokens/pats?api-version=" + version + "-preview.1" + query
				r, err := http.NewRequest(method, target, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if body != "" {
					r.Header.Set("Content-Type", "application/json")
				}
				got := c.send(method, target, body, "Authorization", "Bearer "+c.e.AccessToken(), "Content-Type", "application/json")
				described.check(t, r, body, got)
				return got
			}
			created := call("POST", "", body(nil))
			if created.JSON["patTokenError"] != "none" {
				t.Fatalf("create: %s", created.Text)
			}
			id := created.JSON["patToken"].(map[string]any)["authorizationId"].(string)
			call("POST", "", body(map[string]any{"scope": "vso.coffee"}))
			call("GET", "&authorizationId="+id, "")
			call("GET", "&authorizationId="+emulator.AppID, "")
			for range 3 {
				c.e.Seed(emulator.PAT{Owner: emulator.ServiceUserID})
			}
			call("GET", "", "")
			next := call("GET", "&displayFilterOption=all&sortByOption=displayName&isSortAscending=false&$top=2", "").JSON["continuationToken"].(string)
			call("GET", "&displayFilterOption=all&sortByOption=displayName&isSortAscending=false&$top=2&continuationToken="+next, "")
			call("PUT", "", `{"authorizationId":"`+id+`","validTo":"2026-11-20T14:00:00Z"}`)
			call("PUT", "", `{"authorizationId":"`+emulator.AppID+`"}`)
			call("DELETE", "&authorizationId="+id, "")
			c.e.Change(func(w *emulator.State) { w.Organization("contoso").Revoked = emulator.GoneTokenNotFound })
			call("DELETE", "&authorizationId="+id, "")
		})
	}
}

// TestOpenAPIReasons: every reason that the emulator gives is one that
// Microsoft lists.
func TestOpenAPIReasons(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(specDir, "tokens-7.2.json"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no copy of Microsoft's OpenAPI here")
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{
		"none", "displayNameRequired", "invalidDisplayName", "invalidScope", "invalidValidTo", "invalidAuthorizationId",
		"tokenNotFound", "authorizationNotFound", "globalPATCreationBlocked", "expiredPatCannotBeExtended",
		"disablePatCreationPolicyViolation", "fullScopePatPolicyViolation", "patLifespanPolicyViolation",
	} {
		if !bytes.Contains(raw, []byte(`"`+reason+`"`)) {
			t.Errorf("%s is not Microsoft's", reason)
		}
	}
}

// TestOpenAPIExamples: what Microsoft recorded passes the description as it is
// read here, so that the description is not stricter than the service.
func TestOpenAPIExamples(t *testing.T) {
	t.Parallel()
	described := load(t, "tokens-7.2.json", "http://vssps.dev.azure.com")
	for file, method := range map[string]string{
		"CreatePat.json": "POST", "GetPat.json": "GET", "ListPats.json": "GET", "UpdatePat.json": "PUT",
	} {
		raw, err := os.ReadFile(filepath.Join(specDir, "examples", file))
		if err != nil {
			t.Fatal(err)
		}
		var example struct {
			URL        string `json:"x-ms-vss-request-url"`
			Parameters struct{ Body json.RawMessage }
			Responses  map[string]struct{ Body json.RawMessage }
		}
		if err := json.Unmarshal(raw, &example); err != nil {
			t.Fatal(err)
		}
		target := strings.Replace(strings.Replace(example.URL, "https:", "http:", 1), "Tokens/Pats", "tokens/pats", 1)
		body := string(example.Parameters.Body)
		r, err := http.NewRequest(method, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		described.check(t, r, body, answer{
			Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Text: string(example.Responses["200"].Body),
		})
	}
}
