package emulator_test

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"azdo-pat/internal/fakes/emulator"
)

// A schema is Microsoft Graph's metadata, as far as there is a copy.
type schema struct {
	EntityTypes  []schemaType `xml:"EntityType"`
	ComplexTypes []schemaType `xml:"ComplexType"`
}

type schemaType struct {
	Name       string `xml:",attr"`
	BaseType   string `xml:",attr"`
	Properties []struct {
		Name string `xml:",attr"`
		Type string `xml:",attr"`
	} `xml:"Property"`
}

// loadSchemas reads the copies of v1.0 and, for the flexible credentials, of beta.
func loadSchemas(t *testing.T) (v1, beta schema) {
	t.Helper()
	for file, to := range map[string]*schema{"graph-setup-v1.0.csdl": &v1, "graph-federated-credential-beta.csdl": &beta} {
		raw, err := os.ReadFile(filepath.Join(specDir, file))
		if errors.Is(err, os.ErrNotExist) {
			t.Skip("no copy of Microsoft Graph's metadata here")
		}
		if err == nil {
			err = xml.Unmarshal(raw, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	beta.EntityTypes = append(beta.EntityTypes, v1.EntityTypes...) // for the base types; the first one counts
	return v1, beta
}

// trimmed are properties that the copy of the metadata leaves out.
var trimmed = map[string]map[string]string{"user": {"jobTitle": "Edm.String"}}

// properties are a type's, those of its base types included; nil if there is no such type.
func (s schema) properties(name string) map[string]string {
	for _, t := range append(append([]schemaType(nil), s.EntityTypes...), s.ComplexTypes...) {
		if t.Name != name {
			continue
		}
		all := s.properties(strings.TrimPrefix(t.BaseType, "graph."))
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, trimmed[name])
		for _, p := range t.Properties {
			all[p.Name] = p.Type
		}
		return all
	}
	return nil
}

// TestGraphTypes: each property that the emulator reads is Microsoft's, with its type.
func TestGraphTypes(t *testing.T) {
	t.Parallel()
	v1, beta := loadSchemas(t)
	for name, properties := range emulator.GraphTypes {
		described := v1.properties(name)
		if name == "federatedIdentityExpression" {
			described = beta.properties(name)
		}
		if described == nil {
			t.Errorf("there is no type %s", name)
		}
		for property, propertyType := range properties {
			if described[property] != propertyType {
				t.Errorf("%s.%s is %q, here %s", name, property, described[property], propertyType)
			}
		}
	}
}

// check holds an object of an answer against its type.
func (s schema) check(t *testing.T, where, name string, object map[string]any) {
	t.Helper()
	described := s.properties(name)
	for property, value := range object {
		if strings.Contains(property, "@") {
			continue
		}
		propertyType, declared := described[property]
		if !declared {
			t.Errorf("%s: %s has no property %s", where, name, property)
			continue
		}
		s.checkValue(t, where+"."+property, propertyType, value)
	}
}

func (s schema) checkValue(t *testing.T, where, of string, value any) {
	t.Helper()
	if element, collection := strings.CutPrefix(of, "Collection("); collection {
		list, ok := value.([]any)
		if !ok {
			t.Errorf("%s is %v, no collection", where, value)
		}
		for _, v := range list {
			s.checkValue(t, where, strings.TrimSuffix(element, ")"), v)
		}
		return
	}
	if value == nil {
		return
	}
	text, isText := value.(string)
	var ok bool
	switch of {
	case "Edm.String":
		ok = isText
	case "Edm.Guid":
		_, err := uuid.Parse(text)
		ok = err == nil
	case "Edm.Boolean":
		_, ok = value.(bool)
	case "Edm.Int32":
		_, ok = value.(float64)
	case "Edm.Binary":
		_, err := base64.StdEncoding.DecodeString(text)
		ok = isText && err == nil
	case "Edm.DateTimeOffset":
		_, err := time.Parse(time.RFC3339, text)
		ok = err == nil
	default:
		var object map[string]any
		if object, ok = value.(map[string]any); ok {
			s.check(t, where, strings.TrimPrefix(of, "graph."), object)
		}
	}
	if !ok {
		t.Errorf("%s is %v, no %s", where, value, of)
	}
}

// TestGraphAnswers: what the emulator answers has Microsoft's properties, of their types.
func TestGraphAnswers(t *testing.T) {
	t.Parallel()
	v1, beta := loadSchemas(t)
	c := startWith(t, emulator.Options{Proxy: true})
	s := c.setUpAgent("")
	v1.check(t, "blueprint", "agentIdentityBlueprint", s.blueprint)
	v1.check(t, "blueprint principal", "agentIdentityBlueprintPrincipal", s.blueprintPrincipal)
	v1.check(t, "agent", "agentIdentity", s.agent)
	v1.check(t, "agent user", "agentUser", s.user)
	v1.check(t, "grant", "oAuth2PermissionGrant", s.grant)
	v1.check(t, "user", "user", c.ok(c.graphCLI("POST", "/users", newUser), 201))
	app := c.ok(c.graphCLI("POST", "/applications", map[string]any{
		"displayName": "x", "web": map[string]any{"redirectUris": []string{"http://localhost"}}, "keyCredentials": []any{keyCredential(t)},
		"requiredResourceAccess": []any{map[string]any{"resourceAppId": emulator.AzureDevOpsResource, "resourceAccess": []any{
			map[string]any{"id": "ee69721e-6c3a-468f-a9ec-302d16a4c599", "type": "Scope"},
		}}},
	}), 201)
	v1.check(t, "application", "application", app)
	v1.check(t, "service principal", "servicePrincipal", c.ok(c.graphCLI("POST", "/servicePrincipals", map[string]any{"appId": app["appId"]}), 201))
	const devOps = "/servicePrincipals(appId='" + emulator.AzureDevOpsResource + "')"
	v1.check(t, "Azure DevOps", "servicePrincipal", c.ok(c.graphCLI("GET", devOps, nil), 200))
	path := "/applications(appId='" + app["appId"].(string) + "')/federatedIdentityCredentials"
	v1.check(t, "credential", "federatedIdentityCredential", c.ok(c.graphCLI("POST", path, credential(c.e, "github")), 201))
	flexible := map[string]any{
		"name": "flexible", "issuer": c.e.GitHubIssuer(), "audiences": []string{emulator.Audience},
		"claimsMatchingExpression": map[string]any{"value": anySub + owner, "languageVersion": 1},
	}
	beta.check(t, "flexible credential", "federatedIdentityCredential", c.ok(c.graphCLI("POST", "/beta"+path, flexible), 201))
}
