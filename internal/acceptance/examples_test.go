package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// exampleWorkflow is as much of a workflow as the examples use. Any other field is an
// error.
type exampleWorkflow struct {
	Name        string
	On          string
	Permissions map[string]string
	Jobs        map[string]struct {
		RunsOn         string `yaml:"runs-on"`
		TimeoutMinutes int    `yaml:"timeout-minutes"`
		Permissions    map[string]string
		Steps          []struct {
			ID, Name, Uses, Run string
			With, Env           map[string]string
		}
	}
}

// The example workflow runs as it is: git and REST take the token, and the post step
// sends nothing.
func TestGitHubExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("examples/github/entra-token.yml")
	if err != nil {
		t.Fatal(err)
	}
	e := emulator.Start(t)
	var w exampleWorkflow
	decoder := yaml.NewDecoder(strings.NewReader(strings.NewReplacer(
		"https://dev.azure.com", e.URL(emulator.AzureDevOps), "${{ vars.AZDO_CLIENT_ID }}", emulator.AppID).Replace(string(text))))
	decoder.KnownFields(true)
	if err := decoder.Decode(&w); err != nil {
		t.Fatal(err)
	}
	job := w.Jobs["build"]
	if job.Permissions["id-token"] != "write" || len(job.Steps) != 3 || !strings.HasPrefix(job.Steps[0].Uses, "OWNER/azdo-pat@") {
		t.Fatalf("%+v", job)
	}
	env := e.Env(emulator.ServicePrincipal)
	for name := range env {
		if strings.HasPrefix(name, "INPUT_") && name != "INPUT_AUTHORITY-HOST" && name != "INPUT_TOKEN-SERVICE-URL" {
			delete(env, name)
		}
	}
	for name, value := range job.Steps[0].With {
		env["INPUT_"+strings.ToUpper(name)] = value
	}
	step := harness.NewStep(t)
	mint := harness.Command(t, env, step, "azdo-pat", "mint")
	if err := mint.Run(); err != nil {
		t.Fatalf("%v\n%s", err, harness.Output(mint))
	}
	outputs, err := step.Outputs()
	if err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	bin := filepath.Dir(harness.Link(t, "curl"))
	for _, s := range job.Steps[1:] {
		cmd := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", s.Run)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0"}
		for name, value := range s.Env {
			cmd.Env = append(cmd.Env, name+"="+strings.ReplaceAll(value, "${{ steps.token.outputs.token }}", outputs["token"]))
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", s.Name, err, out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "hello", "README.md")); err != nil {
		t.Error(err)
	}
	if n := len(e.Requests(emulator.OpProjects)); n != 1 {
		t.Errorf("%d requests for the projects", n)
	}

	before := len(e.Requests())
	state, err := step.State()
	if err != nil {
		t.Fatal(err)
	}
	post := harness.Command(t, harness.PostEnv(env, state, "both"), harness.NewStep(t), "post", "mint")
	if err := post.Run(); err != nil || len(e.Requests()) != before || !strings.Contains(harness.Output(post), "cannot be revoked, and ends at") {
		t.Errorf("%v, %d requests\n%s", err, len(e.Requests())-before, harness.Output(post))
	}
}
