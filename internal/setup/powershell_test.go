package setup_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"azdo-pat/internal/setup"
)

// tools is the folder with what the stage "setup" of CI installs.
func tools(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("AZDO_PAT_SETUP_TOOLS")
	if dir == "" {
		t.Skip("needs a parser: bash .ci/run setup")
	}
	return dir
}

// parsed is what the parser says about a script.
type parsed struct {
	Errors []struct {
		Row  int
		Text string
	}
	Shape string
}

// parse parses scripts of PowerShell. Without PowerShell itself this is what shows that
// they are well-formed.
func parse(t *testing.T, scripts []string) []parsed {
	t.Helper()
	dir := filepath.Join(tools(t), "powershell")
	args := []string{filepath.Join(dir, "parse.mjs")}
	files := t.TempDir()
	for i, text := range scripts {
		file := filepath.Join(files, string(rune('a'+i/26))+string(rune('a'+i%26))+".ps1")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	out, err := exec.Command("node", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []parsed
	for line := range strings.Lines(string(out)) {
		var p parsed
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) != len(scripts) {
		t.Fatalf("%d scripts, %d answers", len(scripts), len(all))
	}
	return all
}

// The scripts are PowerShell, and one that is not is noticed.
func TestPowerShellParses(t *testing.T) {
	t.Parallel()
	tools(t)
	var names, scripts []string
	for name, o := range setup.AllOptions() {
		o.Format = setup.PowerShell
		names, scripts = append(names, name), append(scripts, setup.Script(o))
	}
	for i, p := range parse(t, scripts) {
		if len(p.Errors) > 0 || len(p.Shape) < 1000 {
			t.Errorf("%s: %+v", names[i], p.Errors)
		}
	}
	if p := parse(t, []string{"if ($a) { 'b }\n", "Step 'it''s' \"$(id)\"\n"}); len(p[0].Errors) == 0 || len(p[1].Errors) != 0 {
		t.Errorf("got %+v", p)
	}
}

// Hostile values change nothing about a script's structure: it is the one that it has
// with harmless values, so that none has become code.
func TestHostileValuesInPowerShell(t *testing.T) {
	t.Parallel()
	tools(t)
	var scripts []string
	values := append([]string{"x"}, setup.Hostile...)
	for _, value := range values {
		for _, identity := range []setup.Identity{setup.AgentUser, setup.ServiceAccount} {
			user := strings.NewReplacer(" ", "", "@", "", "/", "", `\`, "", `"`, "", ">", "").Replace(value) + "x@contoso.com"
			scripts = append(scripts, setup.Script(setup.Options{
				Identity: identity, Format: setup.PowerShell, Organization: "contoso", Name: value, Tenant: "contoso.com",
				Issuer: "https://a.example/" + value, Subject: "repo:contoso/widgets:environment:" + value, Audience: value,
				Username: user, AgentUser: user, Vault: "contoso-kv", Secret: "token",
			}))
		}
	}
	all := parse(t, scripts)
	for i, p := range all {
		if want := all[i%2]; len(p.Errors) > 0 || p.Shape != want.Shape {
			t.Errorf("%q: %+v, another structure: %t", values[i/2], p.Errors, p.Shape != want.Shape)
		}
	}
}
