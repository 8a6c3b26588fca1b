//go:build e2e

package main

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"azdo-pat/internal/emulator"
	"azdo-pat/internal/runner"
)

// The workflow for runners in Kubernetes mode, step by step as its scripts stand
// there, with the released binary: the program mints in one script step and
// revokes in another, which is all that such a runner needs. What is not shown
// here is such a runner itself.
func TestKubernetes(t *testing.T) {
	for _, test := range []struct {
		name string
		fail string // the step that fails
	}{{"all is well", ""}, {"the step that uses the PAT fails", "Use"}} {
		t.Run(test.name, func(t *testing.T) {
			k := newKubernetesJob(t)
			var w workflow
			if err := yaml.Unmarshal([]byte(read(t, "testdata/kubernetes.yml")), &w); err != nil {
				t.Fatal(err)
			}
			for _, s := range w.Jobs["build"].Steps {
				err := k.run(s, test.fail == s.Name)
				if (err != nil) != (test.fail == s.Name) {
					t.Fatalf("%s: %v\n%s", s.Name, err, k.log.String())
				}
				want := map[string]int{"Fetch azdo-pat": 0, "Mint": 1, "Use": 1, "Revoke": 0}[s.Name]
				if got := len(k.emulator.Active()); got != want {
					t.Errorf("after %s there are %d PATs, want %d\n%s", s.Name, got, want, k.log.String())
				}
			}
			// A log is what the runner masks afterwards: the PAT stands nowhere
			// but in the command that masks it.
			for line := range strings.Lines(k.log.String()) {
				if strings.Contains(line, k.outputs["pat"]["token"]) && !strings.HasPrefix(line, "::add-mask::") {
					t.Errorf("the PAT is in the log: %q", line)
				}
			}
		})
	}
}

// kubernetesJob runs script steps as a runner does.
type kubernetesJob struct {
	t        *testing.T
	emulator *emulator.Emulator
	dir      string
	env      map[string]string
	outputs  map[string]map[string]string // by step
	log      strings.Builder
	rename   *strings.Replacer
}

func newKubernetesJob(t *testing.T) *kubernetesJob {
	e := emulator.Start(t)
	k := &kubernetesJob{t: t, emulator: e, dir: t.TempDir(), outputs: map[string]map[string]string{}, env: map[string]string{}}

	// The release page, and where the workflow's addresses lead here.
	binary := built(t)
	files := filepath.Join(k.dir, "files")
	write(t, filepath.Join(files, "azdo-pat-linux-amd64"), string(binary))
	page := httptest.NewServer(http.FileServer(http.Dir(files)))
	t.Cleanup(page.Close)
	azure, err := url.Parse(e.URL(emulator.AzureDevOps))
	if err != nil {
		t.Fatal(err)
	}
	devops := httptest.NewServer(httputil.NewSingleHostReverseProxy(azure))
	t.Cleanup(devops.Close)
	bin := filepath.Join(k.dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	k.rename = strings.NewReplacer(
		"https://github.com/OWNER/azdo-pat/releases/download/VERSION", page.URL,
		"https://dev.azure.com", devops.URL, "/usr/local/bin", bin,
	)

	// The job's environment is the runner's own and, by its names, the
	// workflow's; the inputs of an action a script step does not have.
	for name, value := range e.Env(emulator.AgentUser) {
		if !strings.HasPrefix(name, "INPUT_") {
			k.env[name] = value
		}
	}
	for name, value := range e.Settings(emulator.AgentUser) {
		if name != "scopes" && name != "lifetime" {
			k.env["AZDO_PAT_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = value
		}
	}
	k.env["PATH"] = bin + ":" + os.Getenv("PATH")
	return k
}

var expression = regexp.MustCompile(`\$\{\{ *(.*?) *\}\}`)

// run runs the script of a step, or a script that fails in its place.
func (k *kubernetesJob) run(s step, fail bool) error {
	k.t.Helper()
	files, err := runner.NewStep(k.dir)
	if err != nil {
		k.t.Fatal(err)
	}
	env := maps.Clone(k.env)
	maps.Copy(env, files.Env())
	for name, value := range s.Env {
		env[name] = k.rename.Replace(expression.ReplaceAllStringFunc(value, func(e string) string {
			return k.value(expression.FindStringSubmatch(e)[1])
		}))
	}
	script := k.rename.Replace(s.Run)
	if fail {
		script = "exit 3"
	}
	// As the runner starts a script without a shell of its own choice in a
	// container: https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstepsshell
	cmd := exec.CommandContext(k.t.Context(), "sh", "-e", "-c", script)
	cmd.Dir = k.dir
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, failed := cmd.CombinedOutput()
	k.log.Write(out)
	if s.ID != "" {
		if k.outputs[s.ID], err = files.Outputs(); err != nil {
			k.t.Fatal(err)
		}
	}
	return failed
}

// value is an expression's.
func (k *kubernetesJob) value(e string) string {
	switch {
	case e == "vars.AZDO_PAT_SHA256":
		return fmt.Sprintf("%x", sha256.Sum256(built(k.t)))
	case strings.HasPrefix(e, "steps."):
		part := strings.Split(e, ".")
		if v := k.outputs[part[1]][part[3]]; v != "" {
			return v
		}
	}
	k.t.Fatalf("the expression %q has no value", e)
	return ""
}
