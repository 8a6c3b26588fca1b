package pat

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"azdo-pat/internal/secret"
)

const patsPath = "/{organization}/_apis/tokens/pats"

// loadSpec returns the operations of Microsoft's specification by their ids.
// List and Get have the same path, so the specification has List in the extension
// x-ms-paths. Here it gets its own document.
func loadSpec(t *testing.T, name string) map[string]*routers.Route {
	t.Helper()
	var raw map[string]json.RawMessage
	readSpec(t, name, &raw)
	var more map[string]json.RawMessage
	if err := json.Unmarshal(raw["x-ms-paths"], &more); err != nil {
		t.Fatal(err)
	}
	if len(more) != 1 {
		t.Fatalf("x-ms-paths has %d paths", len(more))
	}
	listPaths, err := json.Marshal(map[string]json.RawMessage{patsPath: more[patsPath+"?"]})
	if err != nil {
		t.Fatal(err)
	}
	operations := map[string]*routers.Route{}
	for _, paths := range []json.RawMessage{raw["paths"], listPaths} {
		raw["paths"] = paths
		text, err := json.Marshal(raw)
		if err != nil {
			t.Fatal(err)
		}
		var v2 openapi2.T
		if err := json.Unmarshal(text, &v2); err != nil {
			t.Fatal(err)
		}
		doc, err := openapi2conv.ToV3(&v2)
		if err != nil {
			t.Fatal(err)
		}
		item := doc.Paths.Value(patsPath)
		if item == nil {
			t.Fatalf("the specification has no %s", patsPath)
		}
		for method, op := range item.Operations() {
			operations[op.OperationID] = &routers.Route{Spec: doc, Path: patsPath, PathItem: item, Method: method, Operation: op}
		}
	}
	return operations
}

// parameters returns the names of the query parameters of an operation.
func parameters(op *openapi3.Operation) (names []string) {
	for _, p := range op.Parameters {
		if p.Value.In == "query" {
			names = append(names, p.Value.Name)
		}
	}
	return names
}

// The client's requests conform to Microsoft's specification, and it reads the answers
// that Microsoft recorded.
func TestSpecification(t *testing.T) {
	for _, version := range []string{"tokens-7.1.json", "tokens-7.2.json"} {
		operations := loadSpec(t, version)
		for _, tc := range []struct {
			operation, example string
			do                 func(*Client) error
		}{
			{"Pats_Create", "CreatePat.json", func(c *Client) error {
				got, err := c.Create(t.Context(), Create{DisplayName: "new_token", Scopes: []string{"app_token"}, ValidTo: time.Now()})
				if got.Secret.IsZero() || got.ValidTo.IsZero() || got.ValidFrom.IsZero() || got.DisplayName != "new_token" || len(got.TargetAccounts) != 1 {
					t.Errorf("read as %+v", got)
				}
				return err
			}},
			{"Pats_Get", "GetPat.json", func(c *Client) error {
				_, err := c.Get(t.Context(), someID)
				return err
			}},
			{"Pats_Update", "UpdatePat.json", func(c *Client) error {
				got, err := c.Update(t.Context(), someID, Update{DisplayName: "updated_token", Scopes: []string{"vso.analytics"}, ValidTo: time.Now()})
				if got.TargetAccounts != nil {
					t.Errorf("read as %+v", got)
				}
				return err
			}},
			{"Pats_List", "ListPats.json", func(c *Client) error {
				n := 0
				for _, show := range []Show{Active, Revoked, Expired, All} {
					for _, by := range []SortBy{ByDate, ByName, ByStatus} {
						for token, err := range c.List(t.Context(), Filter{Show: show, SortBy: by}) {
							if err != nil {
								return err
							}
							if n++; !isID(token.ID) || token.ValidTo.IsZero() || len(token.Scopes) != 1 {
								t.Errorf("read as %+v", token)
							}
						}
					}
				}
				if n != 12*4 {
					t.Errorf("%d PATs", n)
				}
				return nil
			}},
			{"Pats_Revoke", "RevokePat.json", func(c *Client) error {
				_, err := c.Revoke(t.Context(), someID)
				return err
			}},
		} {
			t.Run(version+" "+tc.operation, func(t *testing.T) {
				route := operations[tc.operation]
				if route == nil {
					t.Fatal("not in the specification")
				}
				var example struct {
					Responses map[string]struct{ Body json.RawMessage }
				}
				readSpec(t, filepath.Join("examples", tc.example), &example)
				asked := 0
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					asked++
					conforms(t, route, r)
					for status, response := range example.Responses {
						if status == "204" {
							w.WriteHeader(http.StatusNoContent)
							return
						}
						answer(w, 200, string(response.Body))
					}
				}))
				defer s.Close()
				c := New(Options{BaseURL: s.URL, Organization: "fabrikam", Token: secret.New(userToken)})
				if err := tc.do(c); err != nil {
					t.Error(err)
				}
				if asked == 0 {
					t.Error("nothing was sent")
				}
			})
		}
	}
}

// conforms checks a request against an operation. The specification allows additional
// parameters and properties; this test does not.
func conforms(t *testing.T, route *routers.Route, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	organization, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if want := strings.TrimPrefix(patsPath, "/{organization}/"); rest != want || r.Method != route.Method {
		t.Errorf("%s %s, want %s %s", r.Method, rest, route.Method, want)
	}
	err := openapi3filter.ValidateRequest(context.Background(), &openapi3filter.RequestValidationInput{
		Request: r, Route: route, QueryParams: r.URL.Query(),
		PathParams: map[string]string{"organization": organization},
		Options:    &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true},
	})
	if err != nil {
		t.Errorf("%s %s %s: %v", r.Method, r.URL, body, err)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		t.Error(err)
	}
	for name, values := range query {
		if !slices.Contains(parameters(route.Operation), name) || len(values) != 1 {
			t.Errorf("query %s=%q is not in the specification", name, values)
		}
	}
	if len(body) == 0 {
		return
	}
	var properties map[string]any
	if err := json.Unmarshal(body, &properties); err != nil {
		t.Errorf("body %s: %v", body, err)
	}
	schema := route.Operation.RequestBody.Value.Content["application/json"].Schema.Value
	for name := range properties {
		if schema.Properties[name] == nil {
			t.Errorf("property %s is not in the specification", name)
		}
	}
	if all, ok := properties["allOrgs"].(bool); !ok || all {
		t.Errorf("allOrgs is %v", properties["allOrgs"])
	}
}
