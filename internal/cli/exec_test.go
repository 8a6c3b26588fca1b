//go:build unix

package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/memnet"
)

// execSession is an exec in a synctest bubble. Its command is a fake, since the bubble's
// clock would stand still while a real one runs: those are in package acceptance.
type execSession struct {
	*testing.T
	*emulator.Emulator
	identity emulator.Identity
	output   transcript
	signals  chan os.Signal // to exec
	command  *fakeCommand
	status   chan int          // gets the exit status of exec
	extra    map[string]string // variables in addition to those of the platform
	args     []string          // the command and its flags; nil: exec
}

// transcript is what was written to standard output and standard error.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// fakeCommand is a command that writes a text, closes its output and runs until the
// test ends it.
type fakeCommand struct {
	writes   string
	started  bool
	ended    chan int       // gets the exit status
	signaled chan os.Signal // gets the signals that are passed on
}

func (c *fakeCommand) Wait() int          { return <-c.ended }
func (c *fakeCommand) Signal(s os.Signal) { c.signaled <- s }
func (c *fakeCommand) start(cmd *exec.Cmd) (Process, error) {
	c.started = true
	_, err := io.WriteString(cmd.Stdout, c.writes)
	return c, err
}

// withExec runs a test in a bubble with an exec that has started its command.
func withExec(t *testing.T, platform string, test func(*execSession)) {
	t.Helper()
	withExecOf(t, platform, "", func(*execSession) {}, func(s *execSession) {
		if !s.command.started {
			s.Fatalf("the command was not started:\n%s", &s.output)
		}
		test(s)
	})
}

// withExecOf runs a test in a bubble with an exec whose command writes a text. prepare is
// called before exec starts.
func withExecOf(t *testing.T, platform, writes string, prepare, test func(*execSession)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var network memnet.Network
		s := &execSession{
			T: t, Emulator: emulator.StartWith(t, emulator.Options{Network: &network}), identity: emulator.AgentUser,
			signals: make(chan os.Signal), status: make(chan int, 1),
			command: &fakeCommand{writes: writes, ended: make(chan int, 1), signaled: make(chan os.Signal, 1)},
		}
		prepare(s)
		env := s.Env(s.identity)
		if platform == "terminal" {
			env = s.terminal()
		}
		args := s.args
		if args == nil {
			args = []string{"exec"}
		}
		var environ []string
		maps.Copy(env, s.extra)
		for name, value := range env {
			environ = append(environ, name+"="+value)
		}
		go func() {
			s.status <- Run(context.Background(), System{
				Args:      slices.Concat([]string{"azdo-pat"}, args, []string{"--", "/bin/sh"}),
				LookupEnv: func(name string) (string, bool) { value, ok := env[name]; return value, ok },
				Environ:   func() []string { return environ },
				Stdout:    &s.output, Stderr: &s.output,
				Random: rand.Reader, Host: "host",
				Dial: network.DialContext, Start: s.command.start,
				Exit:  func(why string) { t.Errorf("exec does not end: %s", why) },
				Catch: func() (<-chan os.Signal, func()) { return s.signals, func() {} },
			})
		}()
		synctest.Wait()
		test(s)
	})
}

// terminal is the environment of a terminal with a token file that is not replaced.
func (s *execSession) terminal() map[string]string {
	env := map[string]string{}
	for name, value := range s.Settings(s.identity) {
		env["AZDO_PAT_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = value
	}
	// Entra accepts an assertion more than once, until it expires.
	s.Change(func(w *emulator.State) { w.AllowReusedAssertions = true })
	file := filepath.Join(s.TempDir(), "token.jwt")
	if err := os.WriteFile(file, []byte(s.Assertion()), 0o600); err != nil {
		s.Fatal(err)
	}
	env["AZDO_PAT_FEDERATED_TOKEN_FILE"] = file
	return env
}

// pass lets time pass, and waits until exec waits again.
func (s *execSession) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// end ends the command with an exit status and returns that of exec.
func (s *execSession) end(status int) int {
	s.Helper()
	s.command.ended <- status
	status = <-s.status
	if v := s.Violations(); len(v) > 0 {
		s.Error(v)
	}
	return status
}

// wrote fails the test unless a text was written.
func (s *execSession) wrote(text string) {
	s.Helper()
	if !strings.Contains(s.output.String(), text) {
		s.Fatalf("no %q in\n%s", text, &s.output)
	}
}

// counted fails the test unless each text was written that many times.
func (s *execSession) counted(want map[string]int) {
	s.Helper()
	all := s.output.String()
	for text, times := range want {
		if got := strings.Count(all, text); got != times {
			s.Errorf("%q stands %d times, want %d, in\n%s", text, got, times, all)
		}
	}
}

// checkRenewed fails the test unless one PAT is active, with at least 5 and at most 15
// minutes left.
func (s *execSession) checkRenewed() {
	s.Helper()
	pats := s.Active()
	if len(pats) != 1 {
		s.Fatalf("%d PATs active:\n%s", len(pats), &s.output)
	}
	if left := pats[0].ValidTo.Sub(s.Now(emulator.AzureDevOps)); left > 15*time.Minute || left < 5*time.Minute-time.Second {
		s.Errorf("%s left of the PAT", left)
	}
}

// A command that runs for five hours always has a PAT that is valid for at most 15
// minutes, although the user's token lives for one hour. No mask is written while it
// runs: it may have told the runner to ignore masks.
func TestExecRenews(t *testing.T) {
	t.Parallel()
	withExecOf(t, "GitHub", "::stop-commands::theirs\n", func(*execSession) {}, func(s *execSession) {
		s.wrote("::stop-commands::theirs\n")
		for range 5 * 4 {
			s.pass(15 * time.Minute)
			s.checkRenewed()
		}
		if n := len(s.Requests(emulator.OpUpdate)); n < 29 || n > 35 {
			t.Errorf("%d renewals in 5 hours", n)
		}
		if n := len(s.Requests(emulator.OpUserFIC)); n < 5 || n > 6 {
			t.Errorf("%d exchanges in 5 hours", n)
		}
		if status := s.end(3); status != 3 {
			t.Errorf("status %d, want the command's, 3", status)
		}
		if n := len(s.Active()); n != 0 {
			t.Errorf("%d PATs left", n)
		}
		_, since, _ := strings.Cut(s.output.String(), "running sh with PAT")
		if strings.Contains(since, "add-mask") || strings.Count(since, "renewed PAT") < 29 || strings.Count(since, "is revoked") != 1 {
			t.Errorf("since the start:\n%s", since)
		}
		for _, secret := range s.Secrets() {
			if strings.Contains(since, secret) {
				t.Fatalf("a credential is in the log:\n%s", since)
			}
		}
	})
}

// Answers with a wrong date make no difference.
func TestExecRenewsWhateverTheDate(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{30 * 24 * time.Hour, 40 * time.Minute, -10 * time.Minute, -time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			t.Parallel()
			misdate := func(s *execSession) {
				s.Intercept(emulator.Anything, emulator.Alter(func(a *emulator.Response) {
					a.Header().Set("Date", s.Now(emulator.AzureDevOps).Add(off).Format(http.TimeFormat))
				}))
			}
			withExecOf(t, "GitHub", "", misdate, func(s *execSession) {
				for range 2 * 4 { // twice as long as the user's token lives
					s.pass(15 * time.Minute)
					s.checkRenewed()
				}
				if status := s.end(0); status != 0 || len(s.Active()) != 0 {
					t.Errorf("status %d, %d PATs left:\n%s", status, len(s.Active()), &s.output)
				}
				s.counted(map[string]int{"::warning": 0, "::error": 0})
			})
		})
	}
}

// At a terminal nothing is logged while the command runs, unless something fails.
func TestExecRenewsQuietly(t *testing.T) {
	t.Parallel()
	withExec(t, "terminal", func(s *execSession) {
		s.Intercept(emulator.OpUpdate, emulator.Times(1, emulator.Answer(503, nil, "")))
		s.pass(50 * time.Minute)
		if n := len(s.Requests(emulator.OpUpdate)); n < 5 {
			t.Errorf("%d requests to renew", n)
		}
		s.counted(map[string]int{"renew": 1}) // at the start
		if status := s.end(0); status != 0 || len(s.Active()) != 0 {
			t.Errorf("status %d, %d PATs\n%s", status, len(s.Active()), &s.output)
		}
	})
}

// An assertion that is not replaced is enough as long as the user's token lives, the
// release included. Then there is one warning, and the PAT expires.
func TestExecWithAStaleAssertion(t *testing.T) {
	t.Parallel()
	withExec(t, "terminal", func(s *execSession) {
		s.pass(55 * time.Minute)
		if n := len(s.Requests(emulator.OpUserFIC)); n != 1 || len(s.Active()) != 1 {
			t.Errorf("%d exchanges, %d PATs", n, len(s.Active()))
		}
		s.pass(6 * time.Minute)
		s.wrote("warning: PAT not renewed")
		s.wrote("AADSTS")
		s.Advance(15 * time.Minute)
		if status := s.end(4); status != 4 {
			t.Errorf("status %d, want the command's, 4", status)
		}
		s.counted(map[string]int{"warning: ": 2, "is not renewed: it ends at": 1, "is not known to be revoked": 1})
	})
}

// A renewal that needs another assertion is within the policy too: a token file can
// change. The PAT is revoked at the end whatever the file holds.
func TestExecRenewsWithinThePolicy(t *testing.T) {
	t.Parallel()
	var file string
	prepare := func(s *execSession) {
		s.Change(func(w *emulator.State) { w.AllowReusedAssertions = true })
		file = filepath.Join(s.TempDir(), "token.jwt")
		if err := os.WriteFile(file, []byte(s.Assertion()), 0o600); err != nil {
			s.Fatal(err)
		}
		s.extra = map[string]string{
			"AZDO_PAT_FEDERATED_TOKEN_FILE": file,
			"AZDO_PAT_POLICY":               "version: 1\nrules:\n- claims: {repository: contoso/*}\n  scopes: [vso.code]\n  max-lifetime: 15m",
		}
	}
	withExecOf(t, "terminal", "", prepare, func(s *execSession) {
		s.pass(59 * time.Minute)
		other := s.Assertion(func(claims map[string]any) { claims["repository"] = "fabrikam/widgets" })
		if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		s.pass(90 * time.Second)
		s.wrote("warning: PAT not renewed")
		s.wrote("refused by the policy: rule 1, the only one, does not allow all of it")
		if n := len(s.Requests(emulator.OpUserFIC)); n != 1 || len(s.Active()) != 1 {
			t.Errorf("%d exchanges, %d PATs\n%s", n, len(s.Active()), &s.output)
		}
		if status := s.end(0); status != 0 || len(s.Active()) != 0 {
			t.Errorf("status %d, %d PATs\n%s", status, len(s.Active()), &s.output)
		}
		s.counted(map[string]int{"policy: allowed by rule 1": 1, "is revoked": 1})
	})
}

// A refused renewal is one warning, and does not change the command's status.
func TestExecIsNotRenewed(t *testing.T) {
	t.Parallel()
	withExec(t, "GitHub", func(s *execSession) {
		s.Change(func(w *emulator.State) {
			w.Organization(emulator.OrganizationName).Policies = emulator.Policies{MaxLifetime: 20 * time.Minute, RefuseLongLived: true}
		})
		s.pass(14 * time.Minute)
		s.wrote("patLifespanPolicyViolation")
		if len(s.Active()) != 1 {
			t.Errorf("%d PATs", len(s.Active()))
		}
		if status := s.end(0); status != 0 || len(s.Active()) != 0 {
			t.Errorf("status %d, %d PATs\n%s", status, len(s.Active()), &s.output)
		}
		s.counted(map[string]int{"::warning": 1, "::warning title=PAT not renewed::the PAT": 1, "is revoked": 1, "::error": 0})
		if n := len(s.Requests(emulator.OpUpdate)); n != 1 {
			t.Errorf("%d requests to renew", n)
		}
	})
}

// A PAT that is wider after a renewal is revoked while the command uses it. That is
// logged, and is a failure even if the command succeeds. (Promise 4.)
func TestExecRenewedWider(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ command, status int }{{0, 1}, {3, 3}} {
		t.Run(fmt.Sprint(tc.command), func(t *testing.T) {
			t.Parallel()
			withExec(t, "GitHub", func(s *execSession) {
				s.Intercept(emulator.OpUpdate, emulator.RewritePAT(func(pat map[string]any) { pat["scope"] = "app_token" }))
				s.pass(11 * time.Minute)
				s.wrote("::error")
				if len(s.Active()) != 0 {
					t.Errorf("%d PATs", len(s.Active()))
				}
				if status := s.end(tc.command); status != tc.status {
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
		})
	}
}

// A PAT that has expired counts as revoked. (Promise 5.)
func TestExecOutlivesItsPAT(t *testing.T) {
	t.Parallel()
	withExec(t, "GitHub", func(s *execSession) {
		s.Intercept(emulator.OpUpdate, emulator.Answer(403, nil, ""))
		s.Intercept(emulator.OpRevoke, emulator.Answer(403, nil, ""))
		s.pass(12 * time.Minute)
		s.wrote("::warning title=PAT not renewed")
		s.pass(10 * time.Minute)
		if status := s.end(0); status != 0 {
			t.Errorf("status %d", status)
		}
		s.counted(map[string]int{"::warning": 1, "expired at": 1})
	})
}

// A PAT that may have been renewed is not taken for expired.
func TestExecDoesNotKnowItsPATsEnd(t *testing.T) {
	t.Parallel()
	withExec(t, "GitHub", func(s *execSession) {
		s.Intercept(emulator.OpUpdate, emulator.CommitAndAnswer(200, nil, "what?"))
		s.Intercept(emulator.OpRevoke, emulator.Answer(403, nil, ""))
		s.pass(12 * time.Minute)
		s.wrote("if the server has renewed it")
		s.pass(10 * time.Minute)
		if len(s.Active()) != 1 {
			t.Fatalf("%d PATs", len(s.Active()))
		}
		if status := s.end(0); status != 0 {
			t.Errorf("status %d", status)
		}
		s.counted(map[string]int{"(valid until " + s.Active()[0].ValidTo.Format(time.RFC3339) + ") is not known to be revoked": 1, "PAT expired": 0})
	})
}

// A PAT that cannot be masked in the command's output is not given to it.
func TestExecWithAnEndlessPAT(t *testing.T) {
	t.Parallel()
	lengthen := func(s *execSession) {
		s.Intercept(emulator.OpCreate, emulator.RewritePAT(func(pat map[string]any) { pat["token"] = strings.Repeat("x", 20000) }))
	}
	withExecOf(t, "GitHub", "", lengthen, func(s *execSession) {
		if status := <-s.status; status != 1 || len(s.Active()) != 0 || s.command.started {
			t.Errorf("status %d, %d PATs, command started: %t", status, len(s.Active()), s.command.started)
		}
		s.counted(map[string]int{"start sh: the token is longer than any PAT or Entra token; the PAT was revoked": 1})
	})
}

// An Entra token is not renewed. A warning says when it ends before the command does.
func TestExecOutlivesEntraToken(t *testing.T) {
	t.Parallel()
	asServicePrincipal := func(s *execSession) { s.identity = emulator.ServicePrincipal }
	for _, platform := range []string{"GitHub", "terminal"} {
		for _, outlives := range []bool{true, false} {
			t.Run(fmt.Sprint(platform, " ", outlives), func(t *testing.T) {
				t.Parallel()
				withExecOf(t, platform, "", asServicePrincipal, func(s *execSession) {
					const warning = "and sh keeps running with a token that is no longer valid"
					s.pass(59 * time.Minute)
					s.counted(map[string]int{warning: 0, "it has no scopes, is not renewed, cannot be revoked, and ends at ": 1})
					if outlives {
						s.pass(time.Minute)
						s.counted(map[string]int{warning: 1})
					}
					s.command.ended <- 0
					if status := <-s.status; status != 0 {
						t.Errorf("status %d", status)
					}
					want := map[string]int{warning: 0, "the Entra token cannot be revoked, and ends at ": 1}
					if outlives {
						want[warning] = 1
					}
					s.counted(want)
					if n := len(s.Requests(emulator.OpClientCredentials)); n != 1 || s.Connections(emulator.AzureDevOps) != 0 {
						t.Errorf("%d tokens were requested, and %d connections to Azure DevOps opened", n, s.Connections(emulator.AzureDevOps))
					}
				})
			})
		}
	}
}

// After a signal to stop, exec does not wait for a renewal.
func TestExecIsToldToStopWhileItRenews(t *testing.T) {
	t.Parallel()
	withExec(t, "GitHub", func(s *execSession) {
		gate := emulator.NewGate()
		s.Intercept(emulator.OpUpdate, gate.Before)
		s.pass(10 * time.Minute)
		<-gate.Arrived()
		s.signals <- syscall.SIGTERM
		if got := <-s.command.signaled; got != syscall.SIGTERM {
			t.Errorf("the command got %s", got)
		}
		synctest.Wait()
		s.wrote("is revoked")
		if len(s.Active()) != 0 {
			t.Errorf("%d PATs", len(s.Active()))
		}
		gate.Open()
		if status := s.end(5); status != 5 {
			t.Errorf("status %d\n%s", status, &s.output)
		}
		s.counted(map[string]int{"::warning": 0, "::error": 0, "is revoked": 1})
	})
}
