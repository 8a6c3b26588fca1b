//go:build unix

package acceptance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

func init() {
	harness.Programs["gh"] = storing("secret set ARGOCD_PAT --env production --repo contoso/widgets", func(in string) (string, error) {
		if os.Getenv("GH_TOKEN") == "" {
			return "", errors.New("no GH_TOKEN")
		}
		return in, nil
	})
	store := storing("keyvault secret set --vault-name contoso --name argocd-pat --file /dev/stdin --output none", func(in string) (string, error) { return in, nil })
	other := harness.Programs["az"] // the commands that login prints
	harness.Programs["az"] = func(args []string) int {
		if len(args) > 0 && args[0] == "keyvault" {
			return store(args)
		}
		return other(args)
	}
	harness.Programs["kubectl"] = storing("apply --namespace argocd --server-side --force-conflicts --filename -", func(in string) (string, error) {
		var secret struct {
			APIVersion string            `json:"apiVersion"`
			Kind       string            `json:"kind"`
			Metadata   map[string]string `json:"metadata"`
			StringData map[string]string `json:"stringData"`
		}
		err := json.Unmarshal([]byte(in), &secret)
		if err == nil && (secret.APIVersion != "v1" || secret.Kind != "Secret" || secret.Metadata["name"] != "argocd-pat") {
			err = fmt.Errorf("the manifest is of %s %s %s", secret.APIVersion, secret.Kind, secret.Metadata)
		}
		return secret.StringData["password"], err
	})
}

// storing is a program that stores the PAT on its standard input in the file $STORED, as
// read finds it there. It takes these arguments alone.
func storing(args string, read func(in string) (string, error)) func([]string) int {
	return func(given []string) int {
		in, err := io.ReadAll(os.Stdin)
		if got := strings.Join(given, " "); err == nil && got != args {
			err = fmt.Errorf("the arguments are %q", got)
		}
		var pat string
		if err == nil {
			pat, err = read(string(in))
		}
		if err == nil {
			err = os.WriteFile(os.Getenv("STORED"), []byte(pat), 0o600)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
}

// rotateExample is an example of rotate: a command with its environment.
type rotateExample struct {
	command []string
	env     map[string]string
	// stored is the PAT that was stored.
	stored func() string
	name   string // of the consumer
}

// runTwice runs the example, once more when nothing is due, and once when it is.
func (x rotateExample) runTwice(t *testing.T, e *emulator.Emulator) {
	t.Helper()
	bin := t.TempDir()
	harness.LinkTo(t, bin, "azdo-pat", "gh", "az", "kubectl")
	run := func(env ...string) string {
		t.Helper()
		cmd := exec.Command(x.command[0], x.command[1:]...)
		if x.command[0] == "azdo-pat" { // of a container
			cmd.Path = filepath.Join(bin, "azdo-pat")
			cmd.Err = nil
		}
		cmd.Env = append(env, "PATH="+bin+":"+os.Getenv("PATH"))
		for name, value := range x.env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		if x.env["AZDO_PAT_FEDERATED_TOKEN_FILE"] != "" {
			if err := os.WriteFile(x.env["AZDO_PAT_FEDERATED_TOKEN_FILE"], []byte(e.Assertion()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, harness.WithoutMasks(string(out)))
		}
		return harness.WithoutMasks(string(out))
	}
	check := func(active int, said string) {
		t.Helper()
		pats := e.Active()
		if len(pats) != active || !slices.ContainsFunc(pats, func(p emulator.PAT) bool {
			return p.Token == x.stored() && strings.HasPrefix(p.Name, "azdo-pat rotated "+x.name+" ")
		}) {
			t.Errorf("%d PATs are active, want %d, or the stored one is not among them\n%s", len(pats), active, said)
		}
	}
	check(1, run())
	first := x.stored()
	if said := run(); !strings.Contains(said, "nothing to rotate") || x.stored() != first {
		t.Errorf("it rotates again:\n%s", said)
	}
	said := run("AZDO_PAT_WHEN_LEFT=30d")
	if check(2, said); x.stored() == first { // the first one ends within the overlap
		t.Errorf("the same PAT is stored:\n%s", said)
	}
	for _, v := range e.Violations() {
		t.Error(v)
	}
}

// storedIn reads the PAT from a file, as the stand-ins write it.
func storedIn(file string) func() string {
	return func() string {
		text, _ := os.ReadFile(file)
		return string(text)
	}
}

func readExample(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// hosts are the settings that lead to the emulator in place of the real services.
func hosts(e *emulator.Emulator) map[string]string {
	all := map[string]string{}
	for name, value := range e.Settings(emulator.VaultToken) {
		if strings.Contains(value, "://127.0.0.1") {
			all[emulator.Variable(name)] = value
		}
	}
	return all
}

func TestRotateOnGitHub(t *testing.T) {
	t.Parallel()
	var w struct {
		Concurrency map[string]string
		Jobs        struct {
			Rotate struct {
				Env   map[string]string
				Steps []struct {
					Name, Run string
					Env       map[string]string
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(readExample(t, "examples/github/rotate.yml")), &w); err != nil {
		t.Fatal(err)
	}
	job := w.Jobs.Rotate
	if len(job.Steps) != 2 || w.Concurrency["group"] == "" || w.Concurrency["cancel-in-progress"] != "false" {
		t.Fatalf("%+v", w)
	}
	// The step that fetches the program is the one that the workflow for Kubernetes has.
	if fetch := job.Steps[0].Run; !strings.Contains(strings.ReplaceAll(readExample(t, "internal/release/testdata/kubernetes.yml"), "          ", ""), fetch) {
		t.Errorf("another script fetches the program:\n%s", fetch)
	}
	e := emulator.Start(t)
	x := rotateExample{env: e.Env(emulator.VaultToken), name: "argocd"}
	for name := range x.env {
		if strings.HasPrefix(name, "INPUT_") {
			delete(x.env, name)
		}
	}
	values := strings.NewReplacer("${{ vars.AZDO_CLIENT_ID }}", emulator.AppID,
		"${{ secrets.SECRETS_WRITER }}", "github_pat_x", "${{ github.repository }}", "contoso/widgets")
	for _, env := range []map[string]string{job.Env, job.Steps[1].Env, hosts(e)} {
		for name, value := range env {
			x.env[name] = values.Replace(value)
		}
	}
	for name, value := range harness.NewStep(t).Env() {
		x.env[name] = value
	}
	x.env["STORED"] = filepath.Join(t.TempDir(), "stored")
	x.stored = storedIn(x.env["STORED"])
	x.command = []string{"bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", job.Steps[1].Run}
	e.Change(func(w *emulator.State) { w.AllowReusedAssertions = true })
	x.runTwice(t, e)
}

func TestRotateInAzurePipelines(t *testing.T) {
	t.Parallel()
	var p struct {
		Schedules []struct{ Batch bool }
		Steps     []struct {
			Task   string
			Inputs map[string]string
			Env    map[string]string
		}
	}
	if err := yaml.Unmarshal([]byte(readExample(t, "examples/azure-pipelines/rotate.yml")), &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Steps) != 1 || p.Steps[0].Task != "AzureCLI@2" || !p.Schedules[0].Batch {
		t.Fatalf("%+v", p)
	}
	e := emulator.Start(t)
	env := e.PipelinesJobEnv(e.StartPipelinesJob(emulator.PipelinesJob{}), emulator.VaultToken)
	x := rotateExample{env: map[string]string{}, name: "argocd"}
	for name, value := range env {
		if !strings.HasPrefix(name, "AZDO_PAT_") {
			x.env[name] = value
		}
	}
	for name, value := range p.Steps[0].Env {
		if value != "$(System.AccessToken)" {
			x.env[name] = value
		}
	}
	maps.Copy(x.env, hosts(e))
	x.env["STORED"] = filepath.Join(t.TempDir(), "stored")
	x.stored = storedIn(x.env["STORED"])
	x.command = []string{"bash", "--noprofile", "--norc", "-c", p.Steps[0].Inputs["inlineScript"]}
	x.runTwice(t, e)
}

func TestRotateInKubernetes(t *testing.T) {
	t.Parallel()
	var job struct {
		Kind string
		Spec struct {
			ConcurrencyPolicy string `yaml:"concurrencyPolicy"`
			JobTemplate       struct {
				Spec struct {
					Template struct {
						Spec struct {
							Containers []struct {
								Env           []struct{ Name, Value string }
								Command, Args []string
							}
						}
					}
				}
			} `yaml:"jobTemplate"`
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(readExample(t, "examples/other-ci/rotate-cronjob.yaml")))
	for job.Kind != "CronJob" {
		if err := decoder.Decode(&job); err != nil {
			t.Fatal(err)
		}
	}
	if job.Spec.ConcurrencyPolicy != "Forbid" {
		t.Errorf("concurrencyPolicy is %q", job.Spec.ConcurrencyPolicy)
	}
	container := job.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
	e := emulator.Start(t)
	x := rotateExample{command: append(container.Command, container.Args...), env: map[string]string{}, name: "argocd"}
	for _, v := range container.Env {
		x.env[v.Name] = v.Value
	}
	maps.Copy(x.env, hosts(e))
	x.env["AZDO_PAT_FEDERATED_TOKEN_FILE"] = filepath.Join(t.TempDir(), "token")
	x.env["STORED"] = filepath.Join(t.TempDir(), "stored")
	x.stored = storedIn(x.env["STORED"])
	x.runTwice(t, e)
}

// server is SonarQube or Snyk: it keeps the PAT of one request, as its reference has it.
func server(t *testing.T, read func(*http.Request) (string, error)) (url string, stored func() string) {
	t.Helper()
	var pat string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := read(r)
		if err != nil {
			t.Error(err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		pat = got
	}))
	t.Cleanup(s.Close)
	return s.URL, func() string { return pat }
}

// script is an example that is a script, with the settings of a job that has a token file.
func script(t *testing.T, e *emulator.Emulator, file, name string) rotateExample {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	x := rotateExample{command: []string{"sh", file}, env: map[string]string{}, name: name}
	for setting, value := range e.Settings(emulator.VaultToken) {
		if setting != "scopes" {
			x.env[emulator.Variable(setting)] = value
		}
	}
	x.env["AZDO_PAT_FEDERATED_TOKEN_FILE"] = filepath.Join(t.TempDir(), "token")
	x.command = []string{"./" + file}
	return x
}

func TestRotateSonarQube(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	x := script(t, e, "examples/other-ci/rotate-sonarqube.sh", "sonarqube")
	x.env["SONAR_TOKEN"] = "squ_0123456789"
	x.env["SONAR_URL"], x.stored = server(t, func(r *http.Request) (string, error) {
		user, password, _ := r.BasicAuth()
		err := r.ParseForm()
		if err == nil && (r.Method != http.MethodPost || r.URL.Path != "/api/alm_settings/update_azure" || user != "squ_0123456789" || password != "" ||
			r.PostForm.Get("key") != "azure" || r.PostForm.Get("url") != "https://dev.azure.com/contoso") {
			err = fmt.Errorf("%s %s %s %v", r.Method, r.URL.Path, user, r.PostForm)
		}
		return r.PostForm.Get("personalAccessToken"), err
	})
	x.runTwice(t, e)
}

func TestRotateSnyk(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	x := script(t, e, "examples/other-ci/rotate-snyk.sh", "snyk")
	x.env["SNYK_TOKEN"], x.env["SNYK_ORG"], x.env["SNYK_INTEGRATION"] = "0123456789", "4a18d42f", "9a3e5d90"
	x.env["SNYK_URL"], x.stored = server(t, func(r *http.Request) (string, error) {
		var body struct {
			Type        string
			Credentials struct{ Username, URL string }
		}
		err := json.NewDecoder(r.Body).Decode(&body)
		if err == nil && (r.Method != http.MethodPut || r.URL.Path != "/v1/org/4a18d42f/integrations/9a3e5d90" || r.Header.Get("Authorization") != "token 0123456789" ||
			r.Header.Get("Content-Type") != "application/json; charset=utf-8" || body.Type != "azure-repos" || body.Credentials.URL != "https://dev.azure.com/contoso") {
			err = fmt.Errorf("%s %s %v %+v", r.Method, r.URL.Path, r.Header, body)
		}
		return body.Credentials.Username, err
	})
	x.runTwice(t, e)
}
