package policy

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"azdo-pat/internal/timefmt"
)

const schemaFile = "../../docs/policy.schema.json"

// The schema has the keys, values and limits of the program.
func TestSchemaKeys(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	type list struct {
		Enum     []string `json:"enum"`
		MaxItems int      `json:"maxItems"`
		Items    struct {
			Enum []string `json:"enum"`
		} `json:"items"`
	}
	var schema struct {
		Properties  map[string]list `json:"properties"`
		Definitions struct {
			Rule struct {
				Properties map[string]struct {
					list
					MaxProperties int    `json:"maxProperties"`
					MaxLength     int    `json:"maxLength"`
					Default       any    `json:"default"`
					Description   string `json:"description"`
				} `json:"properties"`
			} `json:"rule"`
			Pattern struct {
				MaxLength int `json:"maxLength"`
			} `json:"pattern"`
		} `json:"definitions"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	rule := schema.Definitions.Rule.Properties
	got := map[string]any{
		"keys":            sortedKeys(schema.Properties),
		"keys of a rule":  sortedKeys(rule),
		"modes":           schema.Properties["mode"].Enum,
		"token types":     rule["token-types"].Items.Enum,
		"rules":           schema.Properties["rules"].MaxItems,
		"claims":          rule["claims"].MaxProperties,
		"list":            rule["scopes"].MaxItems,
		"name":            rule["name"].MaxLength,
		"pattern":         schema.Definitions.Pattern.MaxLength,
		"default of life": rule["max-lifetime"].Default,
	}
	want := map[string]any{
		"keys":            slices.Sorted(slices.Values(policyKeys)),
		"keys of a rule":  slices.Sorted(slices.Values(ruleKeys)),
		"modes":           modes,
		"token types":     tokenTypes,
		"rules":           maxRules,
		"claims":          maxClaims,
		"list":            maxEntries,
		"name":            maxText,
		"pattern":         maxText,
		"default of life": timefmt.Duration(defaultMaxLifetime),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func sortedKeys[V any](m map[string]V) (keys []string) {
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// An editor and the program agree about a policy, where a schema can say it at all.
func TestSchemaAgrees(t *testing.T) {
	t.Parallel()
	schema, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	const rule = "version: 1\nrules:\n- claims:\n    repository: contoso/*\n  scopes: [vso.code]\n"
	for _, text := range []string{
		example, rule, "mode: audit\n" + rule,
		rule + "  name: x\n", rule + "  max-lifetime: 1h30m\n", rule + "  max-lifetime: 30d\n", rule + "  token-types: [pat, entra]\n", rule + "  organizations: [contoso]\n",
		"version: 1\nrules:\n- claims: {a: [b, 12345, true, yes, 1.5], c: ''}\n  scopes: [app_token, vso.new]\n",
		"version: 1\nrules:\n- claims: {a: b}\n  token-types: [entra]\n",
		// Wrong:
		"[]", "x", "mode: audit\n", "version: 1\n", "version: 2\nrules: []\n", "version: '1'\n" + rule[len("version: 1\n"):], "mode: off\n" + rule, "Mode: audit\n" + rule,
		"version: 1\nrules: []\n", "version: 1\nrules: {}\n", "version: 1\nrules: [x]\n", "version: 1\nrules: [{}]\n",
		"version: 1\nrules:\n- claims: {a: b}\n", "version: 1\nrules:\n- scopes: [vso.code]\n", "version: 1\nrules:\n- claims: {}\n  scopes: [vso.code]\n",
		"version: 1\nrules:\n- claims: {a: }\n  scopes: [vso.code]\n", "version: 1\nrules:\n- claims: {a: []}\n  scopes: [vso.code]\n", "version: 1\nrules:\n- claims: {a: {b: c}}\n  scopes: [vso.code]\n",
		"version: 1\nrules:\n- claims: {'': b}\n  scopes: [vso.code]\n", "version: 1\nrules:\n- claims: [a]\n  scopes: [vso.code]\n",
		"version: 1\nrules:\n- claims: {a: b}\n  token-types: [pat, entra]\n", "version: 1\nrules:\n- claims: {a: b}\n  token-types: []\n", "version: 1\nrules:\n- claims: {a: b}\n  scopes: vso.code\n",
		"version: 1\nrules:\n- claims: {a: b}\n  scopes: []\n", "version: 1\nrules:\n- claims: {a: b}\n  scopes: [vso.Code]\n", "version: 1\nrules:\n- claims: {a: b}\n  scopes: ['vso.code vso.build']\n",
		rule + "  name: 12\n", rule + "  name: ''\n", rule + "  max-lifetime: 60\n", rule + "  max-lifetime: [1h]\n", rule + "  token-types: [PAT]\n", rule + "  organizations: [123]\n", rule + "  organizations: contoso\n", rule + "  scope: []\n",
		"version: 1\nrules:\n- claims: {a: " + strings.Repeat("x", maxText+1) + "}\n  scopes: [vso.code]\n",
	} {
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		_, compiled := Compile([]byte(text))
		if err := schema.Validate(value); (err == nil) != (compiled == nil) {
			t.Errorf("schema: %v\nprogram: %v\n%s", err, compiled, text)
		}
	}
}
