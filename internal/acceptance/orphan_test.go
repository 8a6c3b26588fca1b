package acceptance

import (
	"os"
	"strings"
	"testing"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// A mint that outlives its step, because the runner could not end its container,
// mints nothing after the step: the runner would not read its record any more, and the
// post step may have run already.
func TestOrphanMintsNothing(t *testing.T) {
	t.Parallel()
	for _, output := range []string{"text", "json"} {
		for name, next := range map[string]func(state string) error{
			"removed":      os.Remove,
			"another file": func(state string) error { return os.WriteFile(state, nil, 0o644) },
		} {
			t.Run(output+", "+name, func(t *testing.T) {
				t.Parallel()
				e := emulator.Start(t)
				gate := emulator.NewGate()
				defer gate.Open()
				e.Intercept(emulator.OpGitHubOIDC, gate.Before)
				step := harness.NewStep(t)
				mint := harness.Command(t, e.Env(emulator.AgentUser), step, "azdo-pat", "mint", "--output", output)
				if err := mint.Start(); err != nil {
					t.Fatal(err)
				}
				waitFor(t, "the request", gate.Arrived())
				if err := next(step.Env()["GITHUB_STATE"]); err != nil {
					t.Error(err)
				}
				gate.Open()
				if status, err := harness.ExitStatus(mint.Wait()); status != 1 {
					t.Errorf("status %d, %v", status, err)
				}
				if n := len(e.Requests(emulator.OpCreate)); n != 0 || len(e.PATs()) != 0 {
					t.Errorf("%d requests to mint, %d PATs", n, len(e.PATs()))
				}
				if text := harness.Output(mint); !strings.Contains(text, "the step has ended, or another command changed the file; nothing was minted") {
					t.Errorf("the log:\n%s", text)
				}
			})
		}
	}
}
