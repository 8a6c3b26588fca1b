package policy

import (
	"os"
	"strings"
	"testing"
	"time"
)

// The example of docs/policy.md compiles, and the refusal shown there is what it gives.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	document, rest, _ := strings.Cut(rest, "```\n")
	_, rest, _ = strings.Cut(rest, "```text\n")
	refusal, _, _ := strings.Cut(rest, "```\n")
	p := compile(t, document+"- claims: {repository: fabrikam/*, environment: x, event_name: push}\n  organizations: [fabrikam]\n  scopes: [vso.build]\n")
	d := p.Decide(Request{Organization: "contoso", TokenType: PAT, Scopes: []string{"vso.code_full"}, Lifetime: 2 * time.Hour},
		parse(t, `{"repository_owner_id":"12345","repository":"contoso/app","ref":"refs/heads/feature"}`))
	if want := "refused by the policy: " + d.Explain() + "\n" + d.Table() + "\n"; !strings.HasPrefix(refusal, want) {
		t.Errorf("shown is\n%swant\n%s", refusal, want)
	}
}
