package acceptance

import (
	"os"
	"strings"
	"testing"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// No command writes its log or a mask into a command file to which standard error
// is redirected: later steps would read it there.
func TestLogRedirectedIntoCommandFile(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"mint --output json", "mint", "check --output json", "sweep --output json"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			e := emulator.Start(t)
			env, step := e.Env(emulator.RefreshToken), harness.NewStep(t)
			cmd := harness.Command(t, env, step, "azdo-pat", strings.Fields(args)...)
			f, err := os.OpenFile(step.Env()["GITHUB_OUTPUT"], os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			cmd.Stderr = f
			status, err := harness.ExitStatus(cmd.Run())
			text, readErr := os.ReadFile(f.Name())
			said := cmd.Stdout.(*strings.Builder).String()
			if status != 1 || readErr != nil || len(text) > 0 || !strings.Contains(said, "standard error is the file of GITHUB_OUTPUT") {
				t.Errorf("status %d, %v, %v, the file holds %q, standard output %q", status, err, readErr, text, said)
			}
			if strings.Contains(args, "json") && strings.Contains(said, "add-mask") {
				t.Errorf("a mask on standard output: %q", said)
			}
			if n := len(e.Active()); n != 0 {
				t.Errorf("%d PATs", n)
			}
		})
	}
}
