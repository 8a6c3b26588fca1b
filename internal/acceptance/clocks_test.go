package acceptance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// A runner with a wrong clock gets a PAT with the requested lifetime by the server's
// clock and a warning, and revokes the PAT.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	for _, id := range []emulator.Identity{emulator.AgentUser, emulator.RefreshToken, emulator.Password, emulator.AccessToken} {
		for ahead, lifetime := range map[time.Duration]time.Duration{
			10 * time.Minute: 5 * time.Minute, -10 * time.Minute: 5 * time.Minute, 24 * time.Hour: time.Hour, -24 * time.Hour: time.Hour,
		} {
			t.Run(fmt.Sprintf("%s, %s ahead, for %s", id, ahead, lifetime), func(t *testing.T) {
				t.Parallel()
				e := emulator.Start(t)
				e.Advance(-ahead)
				env := e.Env(id)
				env["INPUT_LIFETIME"] = lifetime.String()
				direction := "ahead of"
				if ahead < 0 {
					direction = "behind"
				}
				checkLifetime(t, e, env, lifetime, "::warning title=clock is off::", direction+" the server's")
			})
		}
	}
}

// A server or a proxy that dates its answers a day too early or too late does not
// make the PAT live longer than requested.
func TestWrongDateOfOneService(t *testing.T) {
	t.Parallel()
	for _, op := range []string{emulator.OpGitHubOIDC, emulator.OpT1, emulator.OpUserFIC, emulator.OpCreate} {
		for _, off := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
			t.Run(fmt.Sprintf("%s %s", op, off), func(t *testing.T) {
				t.Parallel()
				e := emulator.Start(t)
				e.Intercept(op, emulator.Alter(func(a *emulator.Response) {
					a.Header().Set("Date", e.Now(emulator.AzureDevOps).Add(off).Format(http.TimeFormat))
				}))
				checkLifetime(t, e, e.Env(emulator.AgentUser), time.Hour)
			})
		}
	}
}

// A proxy in front of all services dates every answer wrongly.
func TestWrongDateOfAllServices(t *testing.T) {
	t.Parallel()
	for _, id := range []emulator.Identity{emulator.AgentUser, emulator.RefreshToken, emulator.Password, emulator.AccessToken} {
		for _, off := range []time.Duration{30 * 24 * time.Hour, 30 * time.Minute, -30 * time.Minute, -time.Hour, -30 * 24 * time.Hour} {
			t.Run(fmt.Sprintf("%s %s", id, off), func(t *testing.T) {
				t.Parallel()
				e := emulator.Start(t)
				e.Intercept(emulator.Anything, emulator.Alter(func(a *emulator.Response) {
					a.Header().Set("Date", e.Now(emulator.AzureDevOps).Add(off).Format(http.TimeFormat))
				}))
				checkLifetime(t, e, e.Env(id), time.Hour)
			})
		}
	}
}

// checkLifetime mints, checks the PAT's lifetime by the server's clock and the log,
// and runs the post step.
func checkLifetime(t *testing.T, e *emulator.Emulator, env map[string]string, lifetime time.Duration, says ...string) {
	t.Helper()
	step := harness.NewStep(t)
	mint := harness.Command(t, env, step, "azdo-pat", "mint")
	begin := time.Now()
	if err := mint.Run(); err != nil {
		t.Errorf("mint: %v\n%s", err, harness.Output(mint))
	}
	took := time.Since(begin)
	for _, text := range says {
		if !strings.Contains(harness.Output(mint), text) {
			t.Errorf("the log does not say %q:\n%s", text, harness.Output(mint))
		}
	}
	active := e.Active()
	if len(active) != 1 {
		t.Fatalf("%d PATs", len(active))
	}
	// The server's clock is known to the duration of a request.
	if life := active[0].ValidTo.Sub(active[0].ValidFrom); life > lifetime+2*time.Second+took || life < lifetime-30*time.Second-took {
		t.Errorf("the PAT lives for %s, want %s", life, lifetime)
	}
	post := harness.PostStep(t, env, step, "both")
	if err := post.Run(); err != nil || len(e.Active()) != 0 || strings.Contains(harness.Output(post), "::warning") {
		t.Errorf("post: %v, %d PATs left\n%s", err, len(e.Active()), harness.Output(post))
	}
}
