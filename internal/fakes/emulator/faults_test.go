package emulator_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// creating is a create that may fail, as often as wanted.
func (c *client) creating() (answer, error) {
	c.Helper()
	return c.try("POST", c.patsURL(""), body(nil), "Authorization", "Bearer "+c.e.AccessToken(), "Content-Type", "application/json")
}

func TestDropFault(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault     emulator.Fault
		committed int
	}{
		"before the commit": {emulator.Drop, 0},
		"after the commit":  {emulator.CommitAndDrop, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			c.e.Intercept(emulator.OpCreate, test.fault)
			if a, err := c.creating(); err == nil {
				t.Errorf("got an answer: %d %s", a.Status, a.Text)
			}
			if got := len(c.e.Active()); got != test.committed {
				t.Errorf("%d PATs, want %d", got, test.committed)
			}
			if q := c.e.Requests(emulator.OpCreate); len(q) != 1 || q[0].Status != 0 {
				t.Errorf("recorded %v", q)
			}
		})
	}
}

func TestAnswerFault(t *testing.T) {
	t.Parallel()
	c := start(t)
	header := http.Header{"Retry-After": {"7"}}
	c.e.Intercept(emulator.OpCreate, emulator.Times(1, emulator.Answer(503, header, "busy")))
	c.e.Intercept(emulator.OpCreate, emulator.Times(1, emulator.CommitAndAnswer(502, nil, "bad gateway")))
	var got []int
	for range 3 {
		a, err := c.creating()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, a.Status)
		if a.Status == 503 && (a.Text != "busy" || a.Header.Get("Retry-After") != "7") {
			t.Errorf("got %v %s", a.Header, a.Text)
		}
	}
	if !slices.Equal(got, []int{503, 502, 200}) || len(c.e.Active()) != 2 {
		t.Errorf("statuses %v and %d PATs, want 503, 502, 200 and 2", got, len(c.e.Active()))
	}
}

// A request that is held back takes effect although its client has gone, and the
// answer to one that has waited says for how long.
func TestDelayedRequestTakesEffect(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Intercept(emulator.OpCreate, emulator.Late(50*time.Millisecond))
	a, err := c.creating()
	if err != nil || a.Status != 200 || a.Header.Get("X-RateLimit-Delay") != "0.050" || a.Header.Get("Retry-After") != "" {
		t.Errorf("got %d %v, %v", a.Status, a.Header, err)
	}
	gone, leave := context.WithCancel(t.Context())
	c.e.ClearFaults()
	c.e.Intercept(emulator.OpCreate, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		leave()
		<-r.Context().Done() // the client has gone
		next.ServeHTTP(w, r)
	})
	c.e.Intercept(emulator.OpCreate, emulator.Late(50*time.Millisecond))
	req, err := http.NewRequestWithContext(gone, "POST", c.patsURL(""), strings.NewReader(body(nil)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.e.AccessToken())
	req.Header.Set("Content-Type", "application/json")
	if resp, err := http.DefaultClient.Do(req); err == nil {
		t.Errorf("answered %d", resp.StatusCode)
	}
	for deadline := time.Now().Add(time.Minute); len(c.e.PATs()) < 2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the request without a client has not taken effect")
		}
	}
}

func TestWithHeader(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Intercept(emulator.OpCreate, emulator.WithHeader(http.Header{"Retry-After": {"7"}}))
	if a, err := c.creating(); err != nil || a.Status != 200 || a.Header.Get("Retry-After") != "7" || len(c.e.Active()) != 1 {
		t.Errorf("got %d %v, %v", a.Status, a.Header, err)
	}
}

func TestAfterAndAnything(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Intercept(emulator.Anything, emulator.After(1, emulator.Throttle(3*time.Second)))
	if a := c.pats("GET", "", ""); a.Status != 200 {
		t.Errorf("the first: %d", a.Status)
	}
	for _, a := range []answer{c.pats("GET", "", ""), c.exchange(""), c.send("GET", c.e.Job().RequestURL, "")} {
		if a.Status != 429 || a.Header.Get("Retry-After") != "3" {
			t.Errorf("got %d %v, want 429", a.Status, a.Header)
		}
	}
	c.e.ClearFaults()
	if a := c.pats("GET", "", ""); a.Status != 200 {
		t.Errorf("after clearing: %d", a.Status)
	}
}

func TestRewrite(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Intercept(emulator.OpCreate, emulator.RewritePAT(func(pat map[string]any) {
		pat["scope"] = "app_token"
		pat["targetAccounts"] = nil
		delete(pat, "authorizationId")
	}))
	c.e.Intercept(emulator.OpList, emulator.RewritePAT(func(pat map[string]any) { pat["displayName"] = "lie" }))
	got := c.create(nil)
	if _, present := got["authorizationId"]; present || got["scope"] != "app_token" || got["targetAccounts"] != nil {
		t.Errorf("got %v", got)
	}
	if p := c.e.PATs()[0]; p.Scope != "vso.code" || p.TargetAccounts == nil {
		t.Errorf("the lie has come true: %v", p)
	}
	if got := c.names(c.pats("GET", "", "")); !slices.Equal(got, []string{"lie"}) {
		t.Errorf("got %v", got)
	}
}

func TestAlterFault(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Intercept(emulator.OpList, emulator.Alter(func(a *emulator.Response) {
		a.Status, a.Body = 207, append([]byte("\ufeff"), a.Body...)
		a.Header().Set("X-Altered", "yes")
	}))
	if a := c.pats("GET", "", ""); a.Status != 207 || a.Text[:3] != "\ufeff" || a.Header.Get("X-Altered") != "yes" {
		t.Errorf("got %d %v %s", a.Status, a.Header, a.Text)
	}
}

func TestGateFault(t *testing.T) {
	t.Parallel()
	for name, committed := range map[string]int{"before": 0, "after": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			gate := emulator.NewGate()
			fault := gate.Before
			if name == "after" {
				fault = gate.After
			}
			c.e.Intercept(emulator.OpCreate, fault)
			done := make(chan answer, 1)
			go func() {
				a, _ := c.creating()
				done <- a
			}()
			<-gate.Arrived()
			if got := len(c.e.Active()); got != committed {
				t.Errorf("%d PATs at the gate, want %d", got, committed)
			}
			gate.Open()
			gate.Open() // twice does no harm
			if a := <-done; a.Status != 200 || len(c.e.Active()) != 1 {
				t.Errorf("got %d %s and %d PATs", a.Status, a.Text, len(c.e.Active()))
			}
		})
	}
}

// Between the two halves of an answer the client has one of them.
func TestGateInAnAnswer(t *testing.T) {
	t.Parallel()
	c := start(t)
	gate := emulator.NewGate()
	c.e.Intercept(emulator.OpCreate, gate.Half)
	done := make(chan answer, 1)
	go func() {
		a, err := c.creating()
		if err != nil {
			t.Error(err)
		}
		done <- a
	}()
	<-gate.Arrived()
	if len(c.e.Active()) != 1 {
		t.Error("it has not taken effect")
	}
	select {
	case a := <-done:
		t.Errorf("half an answer passes for %s", a.Text)
	default:
	}
	gate.Open()
	if a := <-done; a.Status != 200 || a.JSON == nil {
		t.Errorf("got %d %s", a.Status, a.Text)
	}
}

func TestGateBehindAnAnswer(t *testing.T) {
	t.Parallel()
	c := start(t)
	gate := emulator.NewGate()
	c.e.Intercept(emulator.OpCreate, gate.Sent)
	if a, err := c.creating(); err != nil || a.Status != 200 || a.JSON == nil {
		t.Errorf("got %d %s, %v", a.Status, a.Text, err)
	}
	<-gate.Arrived()
}

// Greet blocks a new connection before anything is read, and all later ones.
func TestGreetFault(t *testing.T) {
	t.Parallel()
	c := start(t)
	met, goOn := make(chan struct{}, 9), make(chan struct{})
	c.e.Greet(emulator.AzureDevOps, func() { met <- struct{}{}; <-goOn })
	done := make(chan error, 1)
	go func() {
		_, err := c.creating()
		done <- err
	}()
	<-met
	if n := len(c.e.Requests(emulator.OpCreate)); n != 0 {
		t.Errorf("%d requests were read", n)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(c.e.Active()) != 1 {
		t.Error("it took no effect")
	}
}

func TestGateEndsWithTheEmulator(t *testing.T) {
	t.Parallel()
	c := start(t)
	gate := emulator.NewGate()
	c.e.Intercept(emulator.OpCreate, gate.Before)
	done := make(chan error, 1)
	go func() {
		_, err := c.creating()
		done <- err
	}()
	<-gate.Arrived()
	if err := c.e.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; err == nil {
		t.Error("the request has been answered")
	}
	if len(c.e.PATs()) != 0 {
		t.Error("the request took effect after all")
	}
}

// The general form: a fault that decides by itself.
func TestIntercept(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Intercept(emulator.OpCreate, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Header.Get("X-Secret-Handshake") == "" {
			w.WriteHeader(418)
			return
		}
		next.ServeHTTP(w, r)
	})
	if a, err := c.creating(); err != nil || a.Status != 418 {
		t.Errorf("got %d, %v", a.Status, err)
	}
}
