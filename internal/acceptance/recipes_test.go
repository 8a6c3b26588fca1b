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

// recipe is a recipe of docs/other-ci.md: a script and its environment. The token is
// in a variable or in a file.
type recipe struct {
	script    []string // a shell command
	env       map[string]string
	assertion string // the variable with the token
	file      string // the file with the token, as named in the recipe
}

// recipes reads the recipes from the document.
func recipes(t *testing.T) map[string]recipe {
	t.Helper()
	read := func(having string, into any) {
		t.Helper()
		decoder := yaml.NewDecoder(strings.NewReader(harness.CodeBlock(t, "docs/other-ci.md", "yaml", having)))
		decoder.KnownFields(true)
		if err := decoder.Decode(into); err != nil {
			t.Fatalf("%s: %v", having, err)
		}
	}
	var gitlab struct {
		Build struct {
			Image, Timeout string
			IDTokens       map[string]struct{ Aud string } `yaml:"id_tokens"`
			Variables      map[string]string
			Script         []string
		}
	}
	read("id_tokens", &gitlab)
	if gitlab.Build.IDTokens["ASSERTION"].Aud != emulator.Audience {
		t.Errorf("GitLab's token is for %v", gitlab.Build.IDTokens)
	}
	var circle struct {
		Version string
		Jobs    struct {
			Build struct {
				Docker      any
				Environment map[string]string
				Steps       []struct {
					Run struct{ Name, Command string }
				}
			}
		}
	}
	read("CIRCLE_OIDC_TOKEN_V2", &circle)
	var pod struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   any
		Spec       struct {
			RestartPolicy      string `yaml:"restartPolicy"`
			ServiceAccountName string `yaml:"serviceAccountName"`
			Containers         []struct {
				Name, Image   string
				Env           []struct{ Name, Value string }
				Command, Args []string
				VolumeMounts  []struct {
					Name, MountPath string
					ReadOnly        bool
				} `yaml:"volumeMounts"`
			}
			Volumes []struct {
				Name      string
				Projected struct {
					Sources []struct {
						ServiceAccountToken struct {
							Audience, Path    string
							ExpirationSeconds int `yaml:"expirationSeconds"`
						} `yaml:"serviceAccountToken"`
					}
				}
			}
		}
	}
	// Without tags, the decoder expects field names in lower case.
	text := strings.NewReplacer("mountPath:", "mountpath:", "readOnly:", "readonly:").Replace(harness.CodeBlock(t, "docs/other-ci.md", "yaml", "serviceAccountToken"))
	if err := yaml.Unmarshal([]byte(text), &pod); err != nil {
		t.Fatal(err)
	}
	container := pod.Spec.Containers[0]
	env := map[string]string{}
	for _, v := range container.Env {
		env[v.Name] = v.Value
	}
	token := pod.Spec.Volumes[0].Projected.Sources[0].ServiceAccountToken
	if token.Audience != emulator.Audience || token.ExpirationSeconds < 600 {
		t.Errorf("Kubernetes' token is %+v", token)
	}
	return map[string]recipe{
		// The runner joins the lines to one script.
		"GitLab":     {[]string{"sh", "-e", "-c", strings.Join(gitlab.Build.Script, "\n")}, gitlab.Build.Variables, "ASSERTION", ""},
		"CircleCI":   {[]string{"bash", "-eo", "pipefail", "-c", circle.Jobs.Build.Steps[0].Run.Command}, circle.Jobs.Build.Environment, "CIRCLE_OIDC_TOKEN_V2", ""},
		"Kubernetes": {append(container.Command, container.Args...), env, "", container.VolumeMounts[0].MountPath + "/" + token.Path},
	}
}

// Each recipe mints, uses and revokes a PAT, with the token where its CI system puts
// it. It revokes the PAT if using it fails, and leaves nothing if minting fails.
func TestRecipes(t *testing.T) {
	t.Parallel()
	for name, r := range recipes(t) {
		for _, failing := range []string{"", "use", "mint"} {
			t.Run(name+" "+failing, func(t *testing.T) {
				fails := failing != ""
				t.Parallel()
				e := emulator.Start(t)
				e.Change(func(w *emulator.State) { w.AllowReusedAssertions = true }) // the recipe has only one
				dir := t.TempDir()
				harness.LinkTo(t, dir, "azdo-pat", "curl")
				cmd := exec.CommandContext(t.Context(), r.script[0], r.script[1:]...)
				cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "TMPDIR=" + dir, "GOCOVERDIR=" + os.Getenv("GOCOVERDIR"),
					"AZDO_PAT_AUTHORITY_HOST=" + e.URL(emulator.Entra), "AZDO_PAT_TOKEN_SERVICE_URL=" + e.URL(emulator.AzureDevOps)}
				assertion := e.Assertion(emulator.GitLab)
				for name, value := range r.env {
					if name == "AZDO_PAT_SCOPES" && failing == "mint" {
						value = "nonsense" // a wrong setting
					}
					if value == r.file {
						value = filepath.Join(dir, "token")
						if err := os.WriteFile(value, []byte(assertion), 0o600); err != nil {
							t.Fatal(err)
						}
					}
					cmd.Env = append(cmd.Env, name+"="+strings.ReplaceAll(value, harness.DocumentedVault, e.SecretURL()))
				}
				if r.assertion != "" {
					cmd.Env = append(cmd.Env, r.assertion+"="+assertion)
				}
				last := len(cmd.Args) - 1
				cmd.Args[last] = strings.ReplaceAll(cmd.Args[last], "https://dev.azure.com", e.URL(emulator.AzureDevOps))
				if failing == "use" {
					cmd.Args[last] = strings.ReplaceAll(cmd.Args[last], "curl --fail", "false")
				}
				output, err := cmd.CombinedOutput()
				if (err != nil) != fails {
					t.Errorf("%v\n%s", err, output)
				}
				used := len(e.Requests(emulator.OpConnectionData))
				made := 1
				if failing == "mint" {
					made = 0
				}
				if len(e.PATs()) != made || len(e.Active()) != 0 || (used == 1) == fails {
					t.Errorf("%d PATs, %d of them left, used %d times\n%s", len(e.PATs()), len(e.Active()), used, output)
				}
				for _, s := range e.Secrets() {
					if strings.Contains(string(output), s) {
						t.Errorf("the log holds a credential:\n%s", output)
					}
				}
				left, err := filepath.Glob(filepath.Join(dir, "tmp.*"))
				if err != nil || len(left) > 0 {
					t.Errorf("leftover files: %q, %v", left, err)
				}
			})
		}
	}
}
