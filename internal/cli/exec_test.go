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

// clock is a clock of the test. A wait ends at once if it ends before a given moment;
// a longer wait ends when the test advances the clock.
type clock struct {
	mu           sync.Mutex
	ahead, until time.Duration // since the start
	endWait      func()        // ends a longer wait
	arrived      chan struct{} // receives when a longer wait begins
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
	c.endWait = pass
	c.arrived <- struct{}{}
	return through
}

// advance lets that much time pass.
func (c *clock) advance(d time.Duration) {
	<-c.arrived
	c.mu.Lock()
	c.until += d
	c.endWait()
	c.mu.Unlock()
}

// idle waits until the program waits again.
func (c *clock) idle() {
	<-c.arrived
	c.arrived <- struct{}{}
}

// execSession is an exec that runs in this process, on a clock of the test. Its command
// ends when its standard input does.
type execSession struct {
	*testing.T
	*emulator.Emulator
	clock   *clock
	stdin   *os.File
	out     *os.File // standard output
	log     *os.File // standard error
	signals chan os.Signal
	status  chan int
}

func newSession(t *testing.T, platform, script string) *execSession {
	t.Helper()
	s := begin(t, platform, script, func(*emulator.Emulator) {})
	s.eventually("runs\n")
	return s
}

// begin starts a session whose command may never run.
func begin(t *testing.T, platform, script string, prepare func(*emulator.Emulator)) *execSession {
	t.Helper()
	s := &execSession{T: t, clock: &clock{arrived: make(chan struct{}, 1)}, signals: make(chan os.Signal), status: make(chan int, 1)}
	s.Emulator = emulator.StartWith(t, emulator.Options{Now: s.clock.now})
	all := map[string]string{}
	if platform == "GitHub" {
		all = s.Env(emulator.AgentUser)
	} else {
		for name, value := range s.Settings(emulator.AgentUser) {
			all["AZDO_PAT_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = value
		}
		// Entra allows that too, until they expire.
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

func (s *execSession) file(name, text string) *os.File {
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

// said returns everything written so far.
func (s *execSession) said() string {
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
func (s *execSession) eventually(text string) {
	s.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(s.said(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("no %q in\n%s", text, s.said())
		}
	}
}

// end ends the command and returns the status.
func (s *execSession) end() int {
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

// counted fails the test unless each text was written that many times.
func (s *execSession) counted(want map[string]int) {
	s.Helper()
	all := s.said()
	for text, times := range want {
		if got := strings.Count(all, text); got != times {
			s.Errorf("%q stands %d times, want %d, in\n%s", text, got, times, all)
		}
	}
}

// A command that runs for five hours always has a PAT that is valid for at most 15
// minutes, although the user's token lives for one hour. No mask is written while it
// runs: it may have told the runner to ignore masks.
func TestExecRenews(t *testing.T) {
	t.Parallel()
	s := newSession(t, "GitHub", "echo ::stop-commands::theirs; cat; exit 3")
	for range 5 * 4 {
		s.clock.advance(15 * time.Minute)
		s.clock.idle()
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

// Answers with a wrong date make no difference.
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
				s.clock.advance(15 * time.Minute)
				s.clock.idle()
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

// At a terminal nothing is logged while the command runs, unless something fails.
func TestExecRenewsQuietly(t *testing.T) {
	t.Parallel()
	s := newSession(t, "terminal", "cat")
	s.Intercept(emulator.OpUpdate, emulator.Times(1, emulator.Answer(503, nil, "")))
	s.clock.advance(50 * time.Minute)
	s.clock.idle()
	if n := len(s.Requests(emulator.OpUpdate)); n < 5 {
		t.Errorf("%d requests to renew", n)
	}
	s.counted(map[string]int{"renew": 1}) // at the start
	if status := s.end(); status != 0 || len(s.Active()) != 0 {
		t.Errorf("status %d, %d PATs\n%s", status, len(s.Active()), s.said())
	}
}

// An assertion that is not replaced is enough as long as the user's token lives, the
// release included. Then there is one warning, and the PAT expires.
func TestExecWithAStaleAssertion(t *testing.T) {
	t.Parallel()
	s := newSession(t, "terminal", "cat; exit 4")
	s.clock.advance(55 * time.Minute)
	s.clock.idle()
	if n := len(s.Requests(emulator.OpUserFIC)); n != 1 || len(s.Active()) != 1 {
		t.Errorf("%d exchanges, %d PATs", n, len(s.Active()))
	}
	s.clock.advance(time.Hour)
	s.eventually("warning: PAT not renewed")
	s.eventually("AADSTS")
	s.Advance(15 * time.Minute)
	if status := s.end(); status != 4 {
		t.Errorf("status %d, want the command's, 4", status)
	}
	s.counted(map[string]int{"warning: ": 2, "is not renewed: it ends at": 1, "is not known to be revoked and lives until": 1})
}

// A refused renewal is one warning, and does not change the command's status.
func TestExecIsNotRenewed(t *testing.T) {
	t.Parallel()
	s := newSession(t, "GitHub", "cat")
	s.Change(func(w *emulator.State) {
		w.Organization(emulator.OrganizationName).Policies = emulator.Policies{MaxLifetime: 20 * time.Minute, RefuseLongLived: true}
	})
	s.clock.advance(14 * time.Minute)
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

// A PAT that is wider after a renewal is revoked while the command uses it. That is
// logged, and is a failure even if the command succeeds. (Promise 4.)
func TestExecRenewedWider(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ command, status int }{{0, 1}, {3, 3}} {
		t.Run(fmt.Sprint(tc.command), func(t *testing.T) {
			t.Parallel()
			s := newSession(t, "GitHub", fmt.Sprintf("cat; exit %d", tc.command))
			s.Intercept(emulator.OpUpdate, emulator.RewritePAT(func(pat map[string]any) { pat["scope"] = "app_token" }))
			s.clock.advance(11 * time.Minute)
			s.eventually("::error")
			if len(s.Active()) != 0 {
				t.Errorf("%d PATs", len(s.Active()))
			}
			if status := s.end(); status != tc.status {
				t.Errorf("status %d, want %d", status, tc.status)
			}
			s.counted(map[string]int{
				`the PAT is wider than requested: the scope "app_token" was not requested; the PAT was revoked; sh keeps running with a PAT that is no longer valid`: 1,
				"::error": 1, "::warning": 0,
			})
			if n := len(s.Requests(emulator.OpRevoke)); n != 1 {
				t.Errorf("%d requests to revoke", n)
			}
		})
	}
}

// A PAT that has expired counts as revoked. (Promise 5.)
func TestExecOutlivesItsPAT(t *testing.T) {
	t.Parallel()
	s := newSession(t, "GitHub", "cat")
	s.Intercept(emulator.OpUpdate, emulator.Answer(403, nil, ""))
	s.Intercept(emulator.OpRevoke, emulator.Answer(403, nil, ""))
	s.clock.advance(12 * time.Minute)
	s.eventually("::warning title=PAT not renewed")
	s.clock.mu.Lock()
	s.clock.ahead += 10 * time.Minute
	s.clock.mu.Unlock()
	if status := s.end(); status != 0 {
		t.Errorf("status %d", status)
	}
	s.counted(map[string]int{"::warning": 1, "expired by itself at": 1})
}

// A PAT that may have been renewed is not taken for expired.
func TestExecDoesNotKnowItsPATsEnd(t *testing.T) {
	t.Parallel()
	s := newSession(t, "GitHub", "cat")
	s.Intercept(emulator.OpUpdate, emulator.CommitAndAnswer(200, nil, "what?"))
	s.Intercept(emulator.OpRevoke, emulator.Answer(403, nil, ""))
	s.clock.advance(12 * time.Minute)
	s.eventually("if the server has renewed it")
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

// After a signal to stop, exec does not wait for a renewal.
func TestExecIsToldToStopWhileItRenews(t *testing.T) {
	t.Parallel()
	s := newSession(t, "GitHub", `trap "exit 5" TERM; echo heeds signals; while :; do read x || break; done; exit 6`)
	s.eventually("heeds signals\n")
	gate := emulator.NewGate()
	defer gate.Open()
	s.Intercept(emulator.OpUpdate, gate.Before)
	s.clock.advance(11 * time.Minute)
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
