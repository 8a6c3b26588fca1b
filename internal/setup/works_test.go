package setup_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/setup"
)

func TestMain(m *testing.M) { harness.Main(m) }

// works runs the program as the job that is now trusted, with the ids that were found.
func works(t *testing.T, e *emulator.Emulator, identity setup.Identity, ids map[string]string) {
	t.Helper()
	kind := map[setup.Identity]emulator.Identity{
		setup.AgentUser: emulator.AgentUser, setup.ServiceAccount: emulator.RefreshToken, setup.ServicePrincipal: emulator.ServicePrincipal,
	}[identity]
	given := map[string]string{"client-id": ids["app"]}
	switch identity {
	case setup.AgentUser:
		given["agent-id"], given["agent-user"] = ids["agentID"], ids["user"]
	case setup.ServiceAccount: // whose person has signed in with azdo-pat login
		token := &emulator.IssuedRefreshToken{Value: "1.Ab-" + strings.Repeat("refresh", 9), ClientID: ids["app"], UserID: ids["user"], Expires: e.Now(emulator.Entra).Add(time.Hour)}
		e.Change(func(s *emulator.State) { s.RefreshTokens = append(s.RefreshTokens, token) })
		given["refresh-token"] = token.Value
	}
	job := e.StartJob(emulator.Job{})
	env := maps.Clone(e.JobEnv(job, kind))
	for name, value := range given {
		env["INPUT_"+strings.ToUpper(name)] = value
	}
	mint := harness.Command(t, env, harness.NewStep(t), "azdo-pat", "mint")
	if err := mint.Run(); err != nil {
		t.Fatalf("mint: %v\n%s", err, harness.Output(mint))
	}
}
