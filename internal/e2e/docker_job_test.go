//go:build e2e

package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/githubrunner"
)

// A job from end to end, as the runner sees it, with each identity, and in each
// network that a runner gives to its containers.
func TestDockerJob(t *testing.T) {
	for _, id := range []emulator.Identity{emulator.AgentUser, emulator.RefreshToken, emulator.Password, emulator.AccessToken} {
		t.Run(string(id), func(t *testing.T) {
			t.Parallel()
			walk(newWorld(t, id))
		})
	}
	t.Run("in the job's own network", func(t *testing.T) {
		t.Parallel()
		walk(newWorldIn(t, newNetwork(t)))
	})
	t.Run("in the host's network", func(t *testing.T) {
		t.Parallel()
		walk(newHostWorld(t, emulator.AgentUser))
	})
}

// newNetwork makes a network for the length of a test.
func newNetwork(t *testing.T, options ...string) string {
	t.Helper()
	name := "azdo-pat-" + strings.ToLower(rand.Text()[:12])
	engine(t, append(append([]string{"network", "create", "--label", "azdo-pat-e2e"}, options...), name)...)
	t.Cleanup(func() { engine(t, "network", "rm", name) })
	return name
}

// walk goes through a job: main, what its outputs and masks are to the job's
// other steps, and post.
func walk(w *world) {
	t := w.t
	main := w.main().ends(0).quiet()
	w.left(1)
	outputs, err := main.Outputs()
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"authorization-id", "display-name", "expires-at", "scopes", "token", "token-type"}
	if got := slices.Sorted(maps.Keys(outputs)); !slices.Equal(got, names) {
		t.Errorf("outputs %q, want %q", got, names)
	}
	if pats := w.PATs(); len(pats) != 1 || pats[0].Token != outputs["token"] || pats[0].ID != outputs["authorization-id"] {
		t.Fatal("the outputs are not of the PAT that was made")
	}

	// All but the PAT itself may leave the job.
	want := maps.Clone(outputs)
	delete(want, "token")
	if got := w.log.JobOutputs(outputs); !maps.Equal(got, want) {
		t.Errorf("of the outputs %q would leave the job, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	maskedAfterwards(t, &w.log, outputs["token"])

	post := w.post(main).ends(0).quiet()
	w.left(0)
	discreet(w, main, post)
	w.untouched("ca.pem")
}

// maskedAfterwards checks that what a later step of the job lets slip of the PAT
// is masked.
func maskedAfterwards(t *testing.T, log *githubrunner.Log, token string) {
	t.Helper()
	quoted, _ := json.Marshal(map[string]string{"pat": token})
	for line, want := range map[string]string{
		"PAT=" + token: "PAT=***",
		string(quoted): `{"pat":"***"}`,
		"https://pat:" + token + "@dev.azure.com/":                                     "https://pat:***@dev.azure.com/",
		"?pat=" + url.QueryEscape(token):                                               "?pat=***",
		"Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(":"+token)): "Authorization: Basic ***",
		base64.StdEncoding.EncodeToString([]byte(token)):                               "***",
	} {
		if lines := log.Read(line); lines[0].Text != want {
			t.Errorf("a step that prints %q shows %q", want, lines[0].Text)
		}
	}
	// With a user name before the PAT, the runner's own base64 masks leave at most the
	// first group of three characters of the PAT.
	for _, user := range []string{"p", "pa", "pat"} {
		basic := base64.StdEncoding.EncodeToString([]byte(user + ":" + token))
		shown := log.Mask(basic)
		if left := strings.TrimSuffix(shown, "***"); left == shown || len(left) > 8 {
			t.Errorf("of the credentials of %q %d of %d characters are shown", user, len(left), len(basic))
		}
	}
}

// discreet checks that neither a step's output nor its files hold a credential that
// the services know of, except the PAT in the outputs.
func discreet(w *world, steps ...*container) {
	w.t.Helper()
	pats := map[string]bool{}
	for _, p := range w.PATs() {
		pats[p.Token] = true
	}
	for _, c := range steps {
		log := harness.WithoutMasks(c.stderr.String() + c.stdout.String())
		for _, secret := range w.Secrets() {
			if harness.Contains(log, secret) {
				w.t.Errorf("a credential in the log:\n%s", c.said())
			}
			for name, file := range c.Env() {
				text, err := os.ReadFile(file)
				if err != nil {
					w.t.Fatal(err)
				}
				if harness.Contains(string(text), secret) && !(name == "GITHUB_OUTPUT" && pats[secret]) {
					w.t.Errorf("a credential in %s", name)
				}
			}
		}
	}
}
