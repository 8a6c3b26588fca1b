//go:build unix

package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// clock is a time that flies: whoever waits is let through at once, up to a moment.
type clock struct {
	mu           sync.Mutex
	ahead, until time.Duration // since the start
	waits        func()        // lets who waits for longer through
	arrived      chan struct{} // gets when somebody does
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) after(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	through := make(chan time.Time, 1)
	pass := func() { c.ahead += d; through <- time.Time{} }
	if c.ahead+d <= c.until {
		pass()
		return through
	}
	c.waits = pass
	c.arrived <- struct{}{}
	return through
}

// fly lets that much time pass.
func (c *clock) fly(d time.Duration) {
	<-c.arrived
	c.mu.Lock()
	c.until += d
	c.waits()
	c.mu.Unlock()
}

// still waits until nobody moves any more.
func (c *clock) still() {
	<-c.arrived
	c.arrived <- struct{}{}
}

// flight is an exec that runs in this process, on a clock of the test's. Its
// command ends when its standard input does.
type flight struct {
	*testing.T
	*emulator.Emulator
	clock   *clock
	stdin   *os.File
	out     *os.File // standard output
	log     *os.File // standard error
	signals chan os.Signal
	status  chan int
}

func newSession(t *testing.T, platform, script string) *flight {
	t.Helper()
	s := begin(t, platform, script, func(*emulator.Emulator) {})
	s.eventually("runs\n")
	return s
}

// begin starts a flight whose command may never run.
func begin(t *testing.T, platform, script string, prepare func(*emulator.Emulator)) *flight {
	t.Helper()
	s := &flight{T: t, clock: &clock{arrived: make(chan struct{}, 1)}, signals: make(chan os.Signal), status: make(chan int, 1)}
	s.Emulator = emulator.StartWith(t, emulator.Options{Now: s.clock.now})
	all := map[string]string{}
	if platform == "GitHub" {
		all = s.Env(emulator.AgentUser)
	} else {
		for name, value := range s.Settings(emulator.AgentUser) {
			all["AZDO_PAT_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = value
		}
		// As Entra does, for as long as they have not expired.
		s.Change(func(w *emulator.State) { w.AllowReusedAssertions = true })
		all["AZDO_PAT_FEDERATED_TOKEN_FILE"] = s.file("token.jwt", s.Assertion()).Name()
	}
	prepare(s.Emulator)
	var environ []string
	for name, value := range all {
		environ = append(environ, name+"="+value)
	}
	stdin, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdin, s.out, s.log = w, s.file("stdout", ""), s.file("stderr", "")
	t.Cleanup(func() { w.Close(); stdin.Close() })
	go func() {
		s.status <- Run(context.Background(), System{
			Args:      []string{"azdo-pat", "exec", "--", "/bin/sh", "-c", "echo runs; " + script},
			LookupEnv: func(name string) (string, bool) { value, ok := all[name]; return value, ok },
			Environ:   func() []string { return environ },
			Stdin:     stdin, Stdout: s.out, Stderr: s.log,
			Random: rand.Reader, Now: s.clock.now, After: s.clock.after, Host: "host",
			Bound: func(time.Duration) func() { return func() {} },
			Catch: func() (<-chan os.Signal, func()) { return s.signals, func() {} },
		})
	}()
	return s
}

func (s *flight) file(name, text string) *os.File {
	s.Helper()
	f, err := os.OpenFile(filepath.Join(s.TempDir(), name), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err == nil {
		_, err = io.WriteString(f, text)
	}
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { f.Close() })
	return f
}

// said is all that was written so far.
func (s *flight) said() string {
	var all strings.Builder
	for _, f := range []*os.File{s.out, s.log} {
		text, err := os.ReadFile(f.Name())
		if err != nil {
			s.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// eventually waits until text was written.
func (s *flight) eventually(text string) {
	s.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(s.said(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("no %q in\n%s", text, s.said())
		}
	}
}

// end ends the command and returns the status.
func (s *flight) end() int {
	s.Helper()
	s.stdin.Close()
	select {
	case status := <-s.status:
		if v := s.Violations(); len(v) > 0 {
			s.Error(v)
		}
		return status
	case <-time.After(20 * time.Second):
		s.Fatalf("it does not end:\n%s", s.said())
		return 0
	}
}

// counted fails the test unless texts were written so many times.
func (s *flight) counted(want map[string]int) {
	s.Helper()
	all := s.said()
	for text, times := range want {
		if got := strings.Count(all, text); got != times {
			s.Errorf("%q stands %d times, want %d, in\n%s", text, got, times, all)
		}
	}
}

// A command of five hours has a PAT all the time, though the user's token lives for
// one, and nobody has one of more than 15 minutes. No mask is written while it
// runs: it may have told the runner to heed none.
func TestExecRenews(t *testing.T) {
	t.Parallel()
	s := newSession(t, "GitHub", "echo ::stop-commands::theirs; cat; exit 3")
	for range 5 * 4 {
		s.clock.fly(15 * time.Minute)
		s.clock.still()
		pats := s.Active()
		if len(pats) != 1 {
			t.Fatalf("%d PATs active:\n%s", len(pats), s.said())
		}
		if left := pats[0].ValidTo.Sub(s.Now(emulator.AzureDevOps)); left > 15*time.Minute || left < 5*time.Minute-time.Second {
			t.Errorf("%s left of the PAT", left)
		}
	}
	if n := len(s.Requests(emulator.OpUpdate)); n < 29 || n > 35 {
		t.Errorf("%d renewals in 5 hours", n)
	}
	if n := len(s.Requests(emulator.OpUserFIC)); n < 5 || n > 6 {
		t.Errorf("%d exchanges in 5 hours", n)
	}
	if status := s.end(); status != 3 {
		t.Errorf("status %d, want the command's, 3", status)
	}
	if n := len(s.Active()); n != 0 {
		t.Errorf("%d PATs left", n)
	}
	_, since, _ := strings.Cut(s.said(), "running sh with PAT")
	if strings.Contains(since, "add-mask") || strings.Count(since, "renewed PAT") < 29 || strings.Count(since, "is revoked") != 1 {
		t.Errorf("since the start:\n%s", since)
	}
	for _, secret := range s.Secrets() {
		if strings.Contains(since, secret) {
			t.Fatalf("a credential is in the log:\n%s", since)
		}
	}
}

// Answers that are dated wrongly change nothing of that.
func TestExecRenewsWhateverTheDate(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{30 * 24 * time.Hour, 40 * time.Minute, -10 * time.Minute, -time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			t.Parallel()
			s := begin(t, "GitHub", "cat", func(e *emulator.Emulator) {
				e.Intercept(emulator.Anything, emulator.Alter(func(a *emulator.Response) {
					a.Header().Set("Date", e.Now(emulator.AzureDevOps).Add(off).Format(http.TimeFormat))
				}))
			})
			s.eventually("runs\n")
			for range 2 * 4 { // twice as long as the user's token lives
				s.clock.fly(15 * time.Minute)
				s.clock.still()
				pats := s.Active()
				if len(pats) != 1 {
					t.Fatalf("%d PATs active:\n%s", len(pats), s.said())
				}
				if left := pats[0].ValidTo.Sub(s.Now(emulator.AzureDevOps)); left > 15*time.Minute+time.Second || left < 5*time.Minute-time.Second {
					t.Errorf("%s left of the PAT", left)
				}
			}
			if status := s.end(); status != 0 || len(s.Active()) != 0 {
				t.Errorf("status %d, %d PATs left:\n%s", status, len(s.Active()), s.said())
			}
			s.counted(map[string]int{"::warning": 0, "::error": 0})
		})
	}
}

// At a terminal nothing is said as long as all is well: it is the command's.
func TestExecRenewsQuietly(t *testing.T) {
	t.Parallel()
	s := newSession(t, "terminal", "cat")
	s.Intercept(emulator.OpUpdate, emulator.Times(1, emulator.Answer(503, nil, "")))
	s.clock.fly(50 * time.Minute)
	s.clock.still()
	if n := len(s.Requests(emulator.OpUpdate)); n < 5 {
		t.Errorf("%d requests to renew", n)
	}
	s.counted(map[string]int{"renew": 1}) // what it does is said at the start
	if status := s.end(); status != 0 || len(s.Active()) != 0 {
		t.Errorf("status %d, %d PATs\n%s", status, len(s.Active()), s.said())
	}
}

// An assertion that nobody keeps fresh is enough for as long as the user's token
// lives, the release included; then there is one warning, and the PAT dies.
func TestExecWithAStaleAssertion(t *testing.T) {
	t.Parallel()
	s := newSession(t, "terminal", "cat; exit 4")
	s.clock.fly(55 * time.Minute)
	s.clock.still()
	if n := len(s.Requests(emulator.OpUserFIC)); n != 1 || len(s.Active()) != 1 {
		t.Errorf("%d exchanges, %d PATs", n, len(s.Active()))
	}
	s.clock.fly(time.Hour)
	s.eventually("warning: PAT not renewed")
	s.eventually("AADSTS")
	s.Advance(15 * time.Minute)
	if status := s.end(); status != 4 {
		t.Errorf("status %d, want the command's, 4", status)
	}
	s.counted(map[string]int{"warning: ": 2, "is not renewed: it ends at": 1, "is not known to be revoked and lives until": 1})
}

// A renewal that is refused is one warning, and the command's status is its own.
func TestExecIsNotRenewed(t *testing.T) {
	t.Parallel()
	s := newSession(t, "GitHub", "cat")
	s.Change(func(w *emulator.State) {
		w.Organization(emulator.OrganizationName).Policies = emulator.Policies{MaxLifetime: 20 * time.Minute, RefuseLongLived: true}
	})
	s.clock.fly(14 * time.Minute)
	s.eventually("patLifespanPolicyViolation")
	if len(s.Active()) != 1 {
		t.Errorf("%d PATs", len(s.Active()))
	}
	if status := s.end(); status != 0 || len(s.Active()) != 0 {
		t.Errorf("status %d, %d PATs\n%s", status, len(s.Active()), s.said())
	}
	s.counted(map[string]int{"::warning": 1, "::warning title=PAT not renewed::the PAT": 1, "is revoked": 1, "::error": 0})
	if n := len(s.Requests(emulator.OpUpdate)); n != 1 {
		t.Errorf("%d requests to renew", n)
	}
}

// A PAT that comes back wider is revoked under the command that uses it, which is
// said, and is a failure whatever the command makes of it. (Promise 4.)
func TestExecRenewedWider(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ command, status int }{{0, 1}, {3, 3}} {
		t.Run(fmt.Sprint(tc.command), func(t *testing.T) {
			t.Parallel()
			s := newSession(t, "GitHub", fmt.Sprintf("cat; exit %d", tc.command))
			s.Intercept(emulator.OpUpdate, emulator.RewritePAT(func(pat map[string]any) { pat["scope"] = "app_token" }))
			s.clock.fly(11 * time.Minute)
			s.eventually("::error")
			if len(s.Active()) != 0 {
				t.Errorf("%d PATs", len(s.Active()))
			}
			if status := s.end(); status != tc.status {
				t.Errorf("status %d, want %d", status, tc.status)
			}
			s.counted(map[string]int{
				`the PAT is wider than asked for: the scope "app_token" was not asked for; the PAT was revoked; sh keeps running with a PAT that is no longer valid`: 1,
				"::error": 1, "::warning": 0,
			})
			if n := len(s.Requests(emulator.OpRevoke)); n != 1 {
				t.Errorf("%d requests to revoke", n)
			}
		})
	}
}

// A PAT that has expired by itself is as good as revoked. (Promise 5.)
func TestExecOutlivesItsPAT(t *testing.T) {
	t.Parallel()
	s := newSession(t, "GitHub", "cat")
	s.Intercept(emulator.OpUpdate, emulator.Answer(403, nil, ""))
	s.Intercept(emulator.OpRevoke, emulator.Answer(403, nil, ""))
	s.clock.fly(12 * time.Minute)
	s.eventually("::warning title=PAT not renewed")
	s.clock.mu.Lock()
	s.clock.ahead += 10 * time.Minute
	s.clock.mu.Unlock()
	if status := s.end(); status != 0 {
		t.Errorf("status %d", status)
	}
	s.counted(map[string]int{"::warning": 1, "expired by itself at": 1})
}

// A PAT of which it is not known whether it was renewed is not taken for expired.
func TestExecDoesNotKnowItsPATsEnd(t *testing.T) {
	t.Parallel()
	s := newSession(t, "GitHub", "cat")
	s.Intercept(emulator.OpUpdate, emulator.CommitAndAnswer(200, nil, "what?"))
	s.Intercept(emulator.OpRevoke, emulator.Answer(403, nil, ""))
	s.clock.fly(12 * time.Minute)
	s.eventually("if the server has renewed it all the same")
	s.clock.mu.Lock()
	s.clock.ahead += 10 * time.Minute
	s.clock.mu.Unlock()
	if len(s.Active()) != 1 {
		t.Fatalf("%d PATs", len(s.Active()))
	}
	if status := s.end(); status != 0 {
		t.Errorf("status %d", status)
	}
	s.counted(map[string]int{"is not known to be revoked and lives until " + s.Active()[0].ValidTo.Format(time.RFC3339): 1, "expired by itself": 0})
}

// A PAT that cannot be masked in the command's output is not given to it.
func TestExecWithAnEndlessPAT(t *testing.T) {
	t.Parallel()
	s := begin(t, "GitHub", "cat", func(e *emulator.Emulator) {
		e.Intercept(emulator.OpCreate, emulator.RewritePAT(func(pat map[string]any) { pat["token"] = strings.Repeat("x", 2000) }))
	})
	if status := s.end(); status != 1 || len(s.Active()) != 0 {
		t.Errorf("status %d, %d PATs", status, len(s.Active()))
	}
	s.counted(map[string]int{"start sh: the PAT is longer than any PAT; the PAT was revoked": 1, "runs\n": 0})
}

// Told to stop in the middle of a renewal, exec does not wait for it.
func TestExecIsToldToStopWhileItRenews(t *testing.T) {
	t.Parallel()
	s := newSession(t, "GitHub", `trap "exit 5" TERM; echo heeds signals; while :; do read x || break; done; exit 6`)
	s.eventually("heeds signals\n")
	gate := emulator.NewGate()
	defer gate.Open()
	s.Intercept(emulator.OpUpdate, gate.Before)
	s.clock.fly(11 * time.Minute)
	<-gate.Arrived()
	s.signals <- syscall.SIGTERM
	s.eventually("is revoked")
	if len(s.Active()) != 0 {
		t.Errorf("%d PATs", len(s.Active()))
	}
	gate.Open()
	if status := s.end(); status != 5 {
		t.Errorf("status %d\n%s", status, s.said())
	}
	s.counted(map[string]int{"::warning": 0, "::error": 0, "is revoked": 1})
}
