package acceptance

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// outage is a fault that occurs once, with what the program can know about it.
type outage struct {
	name      string
	fault     func() emulator.Fault
	temporary bool // worth another attempt
	// outcomeUnknown: a create request may have taken effect.
	outcomeUnknown bool
	// noAnswer: a revocation may have taken effect too, since there was no answer.
	noAnswer bool
}

func status(code int, passes, loses bool) outage {
	return outage{
		name:      fmt.Sprintf("%d %s", code, http.StatusText(code)),
		fault:     func() emulator.Fault { return emulator.Answer(code, nil, "") },
		temporary: passes, outcomeUnknown: loses, noAnswer: code == 408 || code == 502 || code == 504,
	}
}

var (
	ofAnyService = []outage{
		{"no answer", func() emulator.Fault { return emulator.Drop }, true, true, true},
		{"an answer that is lost", func() emulator.Fault { return emulator.CommitAndDrop }, true, true, true},
		status(408, true, true), status(425, true, true), status(429, true, false), status(500, true, true),
		status(502, true, true), status(503, true, true), status(504, true, true),
		status(400, false, false), status(401, false, false), status(403, false, false), status(404, false, false), status(501, false, true),
	}
	ofGitHub = []outage{
		{"a job that is pending", func() emulator.Fault {
			return emulator.Answer(400, http.Header{"Content-Type": {"application/json"}}, `{"message":"The job is in Pending state"}`)
		}, true, false, false},
	}
	ofEntra = []outage{
		aadsts(90033, true), aadsts(90024, true), aadsts(50033, true), aadsts(90055, true),
		aadsts(700213, false), aadsts(65001, false), aadsts(50076, false), aadsts(700082, false),
	}
	ofAzureDevOps = []outage{
		{"a policy", func() emulator.Fault {
			return emulator.Answer(200, http.Header{"Content-Type": {"application/json"}}, `{"patToken":null,"patTokenError":"patLifespanPolicyViolation"}`)
		}, false, false, false},
	}
)

func aadsts(code int, passes bool) outage {
	return outage{fmt.Sprint("AADSTS", code), func() emulator.Fault { return emulator.EntraError(code) }, passes, false, false}
}

// A temporary failure is followed by another attempt, with a fresh assertion for
// Entra, and after a search if the first attempt may have taken effect. A permanent
// failure is not.
func TestRetries(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		op       string
		identity emulator.Identity
		hiccups  []outage
	}{
		{emulator.OpGitHubOIDC, emulator.AgentUser, append(ofGitHub, ofAnyService...)},
		{emulator.OpT1, emulator.AgentUser, append(ofEntra, ofAnyService...)},
		{emulator.OpT2, emulator.AgentUser, ofEntra[3:5]},
		{emulator.OpUserFIC, emulator.AgentUser, ofEntra[3:5]},
		{emulator.OpRefreshToken, emulator.RefreshToken, ofEntra[3:5]},
		{emulator.OpPassword, emulator.Password, ofEntra[3:5]},
		{emulator.OpCreate, emulator.AccessToken, append(ofAzureDevOps, ofAnyService...)},
		{emulator.OpRevoke, emulator.AccessToken, ofAnyService},
	} {
		for _, h := range tc.hiccups {
			t.Run(tc.op+", "+h.name, func(t *testing.T) {
				t.Parallel()
				h.check(t, tc.op, tc.identity)
			})
		}
	}
}

func (h outage) check(t *testing.T, op string, id emulator.Identity) {
	e := emulator.Start(t)
	env := e.Env(id)
	env["INPUT_ON-REVOKE-FAILURE"] = "fail"
	step := harness.NewStep(t)
	cmd := harness.Command(t, env, step, "azdo-pat", "mint")
	if op == emulator.OpRevoke {
		if err := cmd.Run(); err != nil {
			t.Fatalf("mint: %v\n%s", err, harness.Output(cmd))
		}
		cmd = harness.PostStep(t, env, step, "both")
	}
	assertions := len(e.Requests(emulator.OpGitHubOIDC))
	// The log is a file, so that the next attempt can read it.
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var announced, looked bool
	fault, passed := h.fault(), emulator.Times(1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		text, _ := os.ReadFile(log.Name())
		announced = strings.Contains(string(text), " (attempt 2)")
		looked = len(e.Requests(emulator.OpList)) > 0
		next.ServeHTTP(w, r)
	})
	e.Intercept(op, emulator.Times(1, fault))
	e.Intercept(op, emulator.After(requestsServed(h), passed))
	cmd.Stdout = log
	status, err := harness.ExitStatus(cmd.Run())
	if err != nil {
		t.Fatal(err)
	}
	e.ClearFaults()
	text, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	attempts := len(e.Requests(op))
	done := op == emulator.OpRevoke && requestsServed(h) > 0 // the list shows that it took effect
	switch {
	case done:
		looked = len(e.Requests(emulator.OpList)) > 0
		if status != 0 || attempts != 1 || !looked || len(e.Active()) > 0 {
			t.Errorf("status %d after %d attempts, looked for: %t; %d PATs left:\n%s", status, attempts, looked, len(e.Active()), text)
		}
		return
	case !h.temporary:
		if status != 1 || attempts != 1 || strings.Contains(string(text), "attempt 2") {
			t.Errorf("status %d after %d attempts:\n%s", status, attempts, text)
		}
		return
	}
	if status != 0 || attempts != 2 {
		t.Errorf("status %d after %d attempts:\n%s", status, attempts, text)
	}
	if !announced {
		t.Errorf("the second attempt was not announced:\n%s", text)
	}
	if looked != (op == emulator.OpCreate && h.outcomeUnknown || op == emulator.OpRevoke && h.noAnswer) {
		t.Errorf("looked for what it may have done: %t", looked)
	}
	if op != emulator.OpCreate && op != emulator.OpRevoke {
		if n := len(e.Requests(emulator.OpGitHubOIDC)) - assertions; n != 2 {
			t.Errorf("%d assertions were asked for", n)
		}
	}
	if want := map[bool]int{true: 0, false: 1}[op == emulator.OpRevoke]; len(e.Active()) != want {
		t.Errorf("%d PATs of %d", len(e.Active()), len(e.PATs()))
	}
	for _, v := range e.Violations() {
		t.Error(v)
	}
}

// requestsServed returns how many requests the fault lets through to the service.
func requestsServed(h outage) int {
	if h.name == "an answer that is lost" {
		return 1
	}
	return 0
}

// The program waits as long as Retry-After requests, and fails at once if that is
// longer than the time left.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]func(now time.Time) string{
		"seconds": func(time.Time) string { return "2" },
		"a date":  func(now time.Time) string { return now.Add(2 * time.Second).Format(http.TimeFormat) },
	} {
		for op, service := range map[string]emulator.Service{
			emulator.OpGitHubOIDC: emulator.GitHub, emulator.OpT1: emulator.Entra, emulator.OpCreate: emulator.AzureDevOps,
		} {
			t.Run(op+", "+name, func(t *testing.T) {
				t.Parallel()
				e := emulator.Start(t)
				if name == "a date" {
					e.Advance(3 * time.Hour) // the date is by the server's clock
				}
				e.Intercept(op, emulator.Times(1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					w.Header().Set("Retry-After", value(e.Now(service)))
					w.WriteHeader(http.StatusTooManyRequests)
				}))
				mint := harness.Command(t, e.Env(emulator.AgentUser), harness.NewStep(t), "azdo-pat", "mint")
				if err := mint.Run(); err != nil {
					t.Fatalf("%v\n%s", err, harness.Output(mint))
				}
				r := e.Requests(op)
				if wait := r[1].Time.Sub(r[0].Time); len(r) != 2 || wait < time.Second || wait > harness.Patience {
					t.Errorf("%d attempts, the second after %s", len(r), wait)
				}
				if !strings.Contains(harness.Output(mint), " (attempt 2)") {
					t.Errorf("the log does not announce it:\n%s", harness.Output(mint))
				}
			})
			t.Run(op+", "+name+", too late", func(t *testing.T) {
				t.Parallel()
				e := emulator.Start(t)
				e.Intercept(op, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					w.Header().Set("Retry-After", "300") // the program has two minutes
					w.WriteHeader(http.StatusTooManyRequests)
				})
				mint := harness.Command(t, e.Env(emulator.AgentUser), harness.NewStep(t), "azdo-pat", "mint")
				begin := time.Now()
				if status, err := harness.ExitStatus(mint.Run()); err != nil || status != 1 || time.Since(begin) > harness.Patience {
					t.Errorf("status %d, %v after %s\n%s", status, err, time.Since(begin), harness.Output(mint))
				}
				if n := len(e.Requests(op)); n != 1 {
					t.Errorf("%d attempts", n)
				}
			})
		}
	}
}

// A request without an answer does not use up the time of the others.
func TestStalledRequest(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes as long as a request may")
	}
	cases := map[string]func(t *testing.T){}
	for _, op := range []string{emulator.OpGitHubOIDC, emulator.OpUserFIC, emulator.OpCreate} {
		cases[op] = func(t *testing.T) {
			e := emulator.Start(t)
			gate := emulator.NewGate()
			defer gate.Open()
			e.Intercept(op, emulator.Times(1, gate.After))
			mint := harness.Command(t, e.Env(emulator.AgentUser), harness.NewStep(t), "azdo-pat", "mint")
			begin := time.Now()
			if err := mint.Run(); err != nil {
				t.Errorf("%v\n%s", err, harness.Output(mint))
			}
			if took := time.Since(begin); took < 40*time.Second || took > 40*time.Second+harness.StopLimit {
				t.Errorf("it took %s", took)
			}
			if n := len(e.Active()); n != 1 {
				t.Errorf("%d PATs", n)
			}
		}
	}
	runAtOnce(t, cases)
}
