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

	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/githubrunner"
)

// The workflow for runners in Kubernetes mode, step by step as its scripts stand
// there, with the released binary: the program mints in one script step and
// revokes in another, which is all that such a runner needs. What is not shown
// here is such a runner itself.
func TestKubernetes(t *testing.T) {
	for _, test := range []struct {
		name   string
		before string          // a script ahead of the one that mints
		fails  map[string]bool // the steps that fail
		lose   bool            // the runner loses the outputs
		want   map[string]int  // PATs after each step that runs
	}{
		{name: "all is well", want: map[string]int{"Fetch azdo-pat": 0, "Mint": 1, "Use": 1, "Revoke": 0}},
		{name: "the step that uses the PAT fails", fails: map[string]bool{"Use": true}, want: map[string]int{"Fetch azdo-pat": 0, "Mint": 1, "Use": 1, "Revoke": 0}},
		{name: "a line without its end in the outputs", before: `printf begun=x >>"$GITHUB_OUTPUT"`,
			want: map[string]int{"Fetch azdo-pat": 0, "Mint": 1, "Use": 1, "Revoke": 0}},
		{name: "a value without its end in the outputs", before: `echo "begun<<E" >>"$GITHUB_OUTPUT"`, fails: map[string]bool{"Mint": true},
			want: map[string]int{"Fetch azdo-pat": 0, "Mint": 0}},
		{name: "no outputs", lose: true, fails: map[string]bool{"Use": true, "Revoke": true},
			want: map[string]int{"Fetch azdo-pat": 0, "Mint": 1, "Use": 1, "Revoke": 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := newKubernetesJob(t)
			var w workflow
			if err := yaml.Unmarshal([]byte(read(t, "testdata/kubernetes.yml")), &w); err != nil {
				t.Fatal(err)
			}
			ran, failed := map[string]int{}, false
			for _, s := range w.Jobs["build"].Steps {
				switch s.If {
				case "":
					if failed {
						continue
					}
				case "always() && (steps.pat.outcome == 'success' || steps.pat.outputs.authorization-id != '')":
					if !k.succeeded["pat"] && k.outputs["pat"]["authorization-id"] == "" {
						continue
					}
				default:
					t.Fatalf("the condition %q is not played", s.If)
				}
				if s.Name == "Mint" && test.before != "" {
					s.Run = test.before + "\n" + s.Run
				}
				err := k.run(s, s.Name == "Use" && test.fails["Use"])
				if (err != nil) != test.fails[s.Name] {
					t.Fatalf("%s: %v\n%s", s.Name, err, k.log.String())
				}
				failed = failed || err != nil
				if s.ID == "pat" && test.lose {
					k.outputs["pat"] = nil
				}
				ran[s.Name] = len(k.emulator.Active())
			}
			if !maps.Equal(ran, test.want) {
				t.Errorf("after each step there are so many PATs: %v, want %v\n%s", ran, test.want, k.log.String())
			}
			// A log is what the runner masks afterwards: the PAT stands nowhere
			// but in the command that masks it.
			for line := range strings.Lines(k.log.String()) {
				if token := k.outputs["pat"]["token"]; token != "" && strings.Contains(line, token) && !strings.HasPrefix(line, "::add-mask::") {
					t.Errorf("the PAT is in the log: %q", line)
				}
			}
		})
	}
}

// kubernetesJob runs script steps as a runner does.
type kubernetesJob struct {
	t         *testing.T
	emulator  *emulator.Emulator
	dir       string
	env       map[string]string
	outputs   map[string]map[string]string // by step
	succeeded map[string]bool              // by step
	log       strings.Builder
	rename    *strings.Replacer
}

func newKubernetesJob(t *testing.T) *kubernetesJob {
	e := emulator.Start(t)
	k := &kubernetesJob{t: t, emulator: e, dir: t.TempDir(), outputs: map[string]map[string]string{}, succeeded: map[string]bool{}, env: map[string]string{}}

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
			k.env[emulator.Variable(name)] = value
		}
	}
	k.env["PATH"] = bin + ":" + os.Getenv("PATH")
	return k
}

var expression = regexp.MustCompile(`\$\{\{ *(.*?) *\}\}`)

// run runs the script of a step, or a script that fails in its place.
func (k *kubernetesJob) run(s step, fail bool) error {
	k.t.Helper()
	files, err := githubrunner.NewStep(k.dir)
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
		k.succeeded[s.ID] = failed == nil
		if k.outputs[s.ID], err = files.Outputs(); err != nil && failed == nil {
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
		return k.outputs[part[1]][part[3]]
	}
	k.t.Fatalf("the expression %q has no value", e)
	return ""
}
