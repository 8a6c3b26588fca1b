package pat

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// spec is Microsoft's description of the API, if it is available.
const spec = "../../../shared/spec"

func readSpec(t testing.TB, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(spec, name))
	if err != nil {
		t.Skipf("Microsoft's specification is not here: %v", err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
}

// Every patTokenError of the specification is explained, and nothing else.
func TestEveryPatTokenErrorIsExplained(t *testing.T) {
	var doc struct {
		Definitions map[string]struct {
			Properties map[string]struct{ Enum []string }
		}
	}
	readSpec(t, "tokens-7.2.json", &doc)
	enum := doc.Definitions["PatTokenResult"].Properties["patTokenError"].Enum
	if len(enum) < 30 {
		t.Fatalf("the enumeration is %q", enum)
	}
	for _, code := range enum {
		if x, ok := patTokenErrors()[code]; code != "none" && (!ok || x.means == "" || x.hint == "") {
			t.Errorf("%s is not explained", code)
		}
	}
	for code := range patTokenErrors() {
		if !slices.Contains(enum, code) {
			t.Errorf("%s is not in the specification", code)
		}
	}
}

// Explanations are parts of an error's sentence; hints are one line.
func TestExplanationsReadWell(t *testing.T) {
	for code, x := range patTokenErrors() {
		for _, text := range []string{x.means, x.hint} {
			if strings.ContainsAny(text, "\n\r") || strings.HasSuffix(text, ".") || strings.TrimSpace(text) != text {
				t.Errorf("%s: %q", code, text)
			}
		}
	}
}

// A policy has its name in the portal, its place there, and who may change it.
func TestPolicyHints(t *testing.T) {
	for code, want := range map[string][]string{
		"disablePatCreationPolicyViolation": {"Organization settings → Policies", "Project Collection Administrator", `"Restrict personal access token (PAT) creation"`, "packaging"},
		"fullScopePatPolicyViolation":       {"Organization settings → Microsoft Entra", "Azure DevOps Administrator", `"Restrict full-scoped personal access token creation"`, "`scopes`"},
		"patLifespanPolicyViolation":        {"Organization settings → Microsoft Entra", "Azure DevOps Administrator", `"Enforce maximum personal access token lifespan"`, "`lifetime`"},
		"globalPatPolicyViolation":          {"Organization settings → Microsoft Entra", "Azure DevOps Administrator", `"Restrict global personal access token creation"`},
	} {
		for _, part := range want {
			if got := (&Error{Status: 200, Code: code}).Hint(); !strings.Contains(got, part) {
				t.Errorf("%s: hint %q lacks %q", code, got, part)
			}
		}
	}
}
