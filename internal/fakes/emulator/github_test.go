package emulator_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// claims are a JWT's claims, its signature unseen.
func claims(t *testing.T, jwt string) map[string]any {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", jwt)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestGitHubAssertion(t *testing.T) {
	t.Parallel()
	for want, j := range map[string]emulator.Job{
		"repo:contoso/widgets:ref:refs/heads/main":                     {},
		"repo:fabrikam/site:ref:refs/heads/dev":                        {Repository: "fabrikam/site", Ref: "refs/heads/dev"},
		"repo:contoso/widgets:environment:production":                  {Environment: "production", Event: "pull_request"},
		"repo:contoso/widgets:pull_request":                            {Event: "pull_request"},
		"repo:contoso@48213/widgets@702418:ref:refs/heads/main":        {ImmutableSubject: true},
		"repo:contoso@48213/widgets@702418:environment:staging west 1": {ImmutableSubject: true, Environment: "staging west 1"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			j := c.e.StartJob(j)
			ask := func() map[string]any {
				a := c.send("GET", j.RequestURL+"&audience=someone", "", "Authorization", "bearer "+j.RequestToken)
				value, _ := a.JSON["value"].(string)
				if a.Status != 200 || a.JSON["count"] != float64(len(value)) {
					t.Fatalf("got %d %s", a.Status, a.Text)
				}
				return claims(t, value)
			}
			first, second := ask(), ask()
			now := float64(c.e.Now(emulator.GitHub).Unix())
			for name, want := range map[string]any{
				"iss": c.e.URL(emulator.GitHub), "aud": "someone", "sub": want, "exp": now + 300, "iat": now,
				"repository": j.Repository, "ref": j.Ref, "run_id": j.RunID, "run_attempt": "1",
				"job_workflow_ref": j.Repository + "/.github/workflows/ci.yml@" + j.Ref,
			} {
				if first[name] != want {
					t.Errorf("claim %s is %v, want %v", name, first[name], want)
				}
			}
			if first["jti"] == second["jti"] {
				t.Error("two assertions have the same jti")
			}
		})
	}
}

func TestGitHubAssertionRefused(t *testing.T) {
	t.Parallel()
	c := start(t)
	j, other := c.e.Job(), c.e.StartJob(emulator.Job{Name: "deploy"})
	for name, test := range map[string]struct {
		method, url, authorization string
		status                     int
	}{
		"no token":             {"GET", j.RequestURL, "", 401},
		"unknown token":        {"GET", j.RequestURL, "Bearer " + flip(j.RequestToken), 401},
		"token as a password":  {"GET", j.RequestURL, basic(j.RequestToken), 401},
		"another job's token":  {"GET", j.RequestURL, "Bearer " + other.RequestToken, 403},
		"no api-version":       {"GET", strings.Split(j.RequestURL, "?")[0], "Bearer " + j.RequestToken, 403},
		"an empty audience":    {"GET", j.RequestURL + "&audience=", "Bearer " + j.RequestToken, 400},
		"two audiences":        {"GET", j.RequestURL + "&audience=a&audience=b", "Bearer " + j.RequestToken, 400},
		"POST":                 {"POST", j.RequestURL, "Bearer " + j.RequestToken, 405},
		"something else there": {"GET", c.e.URL(emulator.GitHub) + "/", "Bearer " + j.RequestToken, 404},
	} {
		header := []string{}
		if test.authorization != "" {
			header = []string{"Authorization", test.authorization}
		}
		if a := c.send(test.method, test.url, "", header...); a.Status != test.status || strings.Contains(a.Text, "value") {
			t.Errorf("%s: got %d %s, want %d", name, a.Status, a.Text, test.status)
		}
	}
}

func TestGitHubRun(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Change(func(w *emulator.State) {
		w.Runs = []*emulator.Run{
			{Repository: "contoso/widgets", ID: "17", Attempt: 1, Status: "completed", Conclusion: "failure"},
			{Repository: "contoso/widgets", ID: "17", Attempt: 2, Status: "in_progress"},
		}
	})
	base := c.e.Env(emulator.AgentUser)["GITHUB_API_URL"] + "/repos/contoso/"
	for path, want := range map[string]string{
		"widgets/actions/runs/17":            "in_progress",
		"widgets/actions/runs/17/attempts/1": "completed",
		"widgets/actions/runs/17/attempts/3": "",
		"widgets/actions/runs/18":            "",
		"gadgets/actions/runs/17":            "",
	} {
		a := c.send("GET", base+path, "", "Authorization", "Bearer "+c.e.GitHubToken())
		status, _ := a.JSON["status"].(string)
		if want == "" && a.Status == 404 {
			continue
		}
		if a.Status != 200 || status != want {
			t.Errorf("%s: got %d %s, want %s", path, a.Status, a.Text, want)
		}
	}
	if a := c.send("GET", base+"widgets/actions/runs/17", "", "Authorization", "Bearer x"); a.Status != 401 {
		t.Errorf("got %d %s, want 401", a.Status, a.Text)
	}
	for name, value := range map[string]string{"User-Agent": "", "X-GitHub-Api-Version": "2021-01-01"} {
		if a := c.send("GET", base+"widgets/actions/runs/17", "", "Authorization", "Bearer "+c.e.GitHubToken(), name, value); a.Status != 403 && a.Status != 400 {
			t.Errorf("%s %q: got %d %s", name, value, a.Status, a.Text)
		}
	}
	// Its limit, by its own clock.
	c.e.Skew(emulator.GitHub, time.Hour)
	c.e.Intercept(emulator.OpGitHubRun, emulator.GitHubLimit(time.Minute))
	a := c.send("GET", base+"widgets/actions/runs/17", "", "Authorization", "Bearer "+c.e.GitHubToken())
	date, err := http.ParseTime(a.Header.Get("Date"))
	reset, err2 := strconv.ParseInt(a.Header.Get("X-RateLimit-Reset"), 10, 64)
	if wait := time.Unix(reset, 0).Sub(date); a.Status != 403 || err != nil || err2 != nil || wait < 59*time.Second || wait > 61*time.Second || a.Header.Get("X-RateLimit-Remaining") != "0" {
		t.Errorf("got %d %v, to wait %s", a.Status, a.Header, wait)
	}
}
