package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// The example workflow passes for an account that holds leases and rotated PATs, and fails
// for each PAT that it is there to find.
func TestAuditExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("examples/github/audit.yml")
	if err != nil {
		t.Fatal(err)
	}
	var w struct {
		Name        string
		On          map[string]any
		Permissions map[string]string
		Jobs        map[string]struct {
			RunsOn         string `yaml:"runs-on"`
			TimeoutMinutes int    `yaml:"timeout-minutes"`
			Permissions    map[string]string
			Steps          []struct {
				Uses string
				With map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&w); err != nil {
		t.Fatal(err)
	}
	job := w.Jobs["audit"]
	if w.On["schedule"] == nil || job.Permissions["id-token"] != "write" || len(job.Steps) != 1 || job.TimeoutMinutes == 0 {
		t.Fatalf("%+v", w)
	}
	year := emulator.PAT{Name: "a year", ValidTo: time.Now().AddDate(1, 0, 0)}
	for name, tc := range map[string]struct {
		pat  *emulator.PAT
		want string
	}{
		"clean":             {nil, ""},
		"long-lived":        {&emulator.PAT{Name: "azdo-pat laptop 0123456789abcdef", ValidTo: year.ValidTo}, "1 long-lived=31d"},
		"full access":       {&emulator.PAT{Name: "azdo-pat laptop 0123456789abcdef", Scope: "app_token"}, "1 full-access"},
		"all organizations": {&emulator.PAT{Name: "azdo-pat laptop 0123456789abcdef", Organization: emulator.OrganizationName}, "1 all-organizations"},
		"unknown":           {&year, "1 other, 1 long-lived=31d"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := emulator.Start(t)
			now := e.Now(emulator.AzureDevOps)
			e.Seed(emulator.PAT{Owner: emulator.ServiceUserID, Name: "azdo-pat contoso/widgets run 42.1 build 0123456789abcdef"})
			e.Seed(emulator.PAT{Owner: emulator.ServiceUserID, Name: "azdo-pat rotated sonarqube 0123456789abcdef", ValidTo: now.AddDate(0, 0, 30)})
			if tc.pat != nil {
				p := *tc.pat
				p.Owner = emulator.ServiceUserID
				e.Seed(p)
			}
			env := e.Env(emulator.VaultToken)
			for name := range env {
				if strings.HasPrefix(name, "INPUT_") && name != "INPUT_AUTHORITY-HOST" && name != "INPUT_TOKEN-SERVICE-URL" {
					delete(env, name)
				}
			}
			for name, value := range job.Steps[0].With {
				value = strings.NewReplacer("${{ vars.AZDO_CLIENT_ID }}", emulator.AppID,
					"https://contoso.vault.azure.net/secrets/azdo-refresh-token", e.SecretURL()).Replace(value)
				env["INPUT_"+strings.ToUpper(name)] = value
			}
			cmd := harness.Command(t, env, harness.NewStep(t), "azdo-pat", env["INPUT_COMMAND"])
			err := cmd.Run()
			if out := harness.Output(cmd); (err != nil) != (tc.want != "") || tc.want != "" && !strings.Contains(out, "fail-on found 1 of 3 PATs: "+tc.want+"%0A") {
				t.Errorf("%v, want %q\n%s", err, tc.want, out)
			}
		})
	}
}

// The document's script writes the metrics that the document shows.
func TestListMetrics(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("jq is not installed")
	}
	script := harness.CodeBlock(t, "docs/list.md", "sh", "jq -r")
	want := harness.CodeBlock(t, "docs/list.md", "text", "# TYPE azdo_pats gauge")
	e := emulator.Start(t)
	now := e.Now(emulator.AzureDevOps)
	rotated := e.Seed(emulator.PAT{Name: "azdo-pat rotated sonarqube 0123456789abcdef", ValidTo: now.AddDate(0, 0, 20)})
	e.Seed(emulator.PAT{Name: "azdo-pat rotated sonarqube 0123456789abcde0", ValidTo: now.AddDate(0, 0, 1)})
	e.Seed(emulator.PAT{Name: "azdo-pat contoso/widgets run 42.1 build 0123456789abcdef"})
	e.Seed(emulator.PAT{Name: "build server\"} 1", Scope: "app_token", ValidTo: now.AddDate(0, 0, 300)})
	e.Seed(emulator.PAT{Name: "mirror", Organization: emulator.OrganizationName, ValidTo: now.AddDate(0, 0, 300)})
	want = strings.Replace(want, `kind="rotated"} 1`, `kind="rotated"} 2`, 1)
	want = regexp.MustCompile(`(name="sonarqube"}) \d+`).ReplaceAllString(want, fmt.Sprintf("$1 %d", rotated.ValidTo.Unix()))

	dir := t.TempDir()
	cmd := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + filepath.Dir(harness.Link(t, "azdo-pat")) + ":" + os.Getenv("PATH")}
	for name, value := range e.Settings(emulator.AccessToken) {
		cmd.Env = append(cmd.Env, emulator.Variable(name)+"="+value)
	}
	cmd.Env = append(cmd.Env, "AZDO_PAT_ACCESS_TOKEN="+e.AccessToken(func(claims map[string]any) { claims["oid"] = emulator.AgentUserID }))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, err := os.ReadFile(filepath.Join(dir, "azdo_pat.prom"))
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}
