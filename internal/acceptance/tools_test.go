package acceptance

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// If the tools cannot be set up once the PAT exists, neither the PAT nor a file is left.
func TestToolsAreLost(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(env map[string]string) error{
		"the file of the variables becomes a directory": func(env map[string]string) error {
			return errors.Join(os.Remove(env["GITHUB_ENV"]), os.Mkdir(env["GITHUB_ENV"], 0o755))
		},
		"the outputs become a directory": func(env map[string]string) error {
			return errors.Join(os.Remove(env["GITHUB_OUTPUT"]), os.Mkdir(env["GITHUB_OUTPUT"], 0o755))
		},
		"the temp folder is gone": func(env map[string]string) error { return os.Remove(env["RUNNER_TEMP"]) },
		"the temp folder becomes a link": func(env map[string]string) error {
			return errors.Join(os.Remove(env["RUNNER_TEMP"]), os.Symlink(filepath.Dir(env["GITHUB_ENV"]), env["RUNNER_TEMP"]))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := emulator.Start(t)
			step := harness.NewStep(t)
			env := e.Env(emulator.AgentUser)
			for key, value := range step.Env() {
				env[key] = value
			}
			env["INPUT_CONFIGURE"], env["RUNNER_TEMP"] = "git", filepath.Join(t.TempDir(), "temp")
			if err := os.Mkdir(env["RUNNER_TEMP"], 0o700); err != nil {
				t.Fatal(err)
			}
			e.Intercept(emulator.OpCreate, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if err := change(env); err != nil {
					t.Error(err)
				}
				next.ServeHTTP(w, r)
			})
			mint := harness.Command(t, env, step, "azdo-pat", "mint")
			status, err := harness.ExitStatus(mint.Run())
			if err != nil || status != 1 || len(e.PATs()) != 1 || len(e.Active()) > 0 {
				t.Errorf("mint ended with %d, %v, %d PATs, %d of them left", status, err, len(e.PATs()), len(e.Active()))
			}
			if text := harness.Output(mint); !strings.Contains(text, "; the PAT was revoked") {
				t.Errorf("the log:\n%s", text)
			}
			for _, dir := range []string{env["RUNNER_TEMP"], filepath.Dir(env["GITHUB_ENV"])} {
				if left, _ := filepath.Glob(filepath.Join(dir, "azdo-pat-*")); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			}
		})
	}
}
