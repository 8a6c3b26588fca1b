//go:build unix

package acceptance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

func init() { harness.Programs["command"] = commandProgram }

// commandProgram is a command for exec. It prints the signals that it gets, and
// exits with the status in its argument at the end of its standard input. With a
// second argument it exits on SIGQUIT too.
func commandProgram(args []string) int {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT)
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			lines <- in.Text()
		}
	}()
	front, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	fmt.Printf("pid %d ready, group %v, foreground %v\n", os.Getpid(), syscall.Getpgrp() == os.Getpid(), err == nil && front == os.Getpid())
	for {
		select {
		case s := <-signals:
			fmt.Printf("got %v\n", s)
			if status, _ := strconv.Atoi(args[0]); s == syscall.SIGQUIT && len(args) > 1 {
				return status
			}
		case line, ok := <-lines:
			if !ok {
				status, _ := strconv.Atoi(args[0])
				return status
			}
			fmt.Printf("read %s\n", line)
		}
	}
}

// execution is a running exec whose command is [commandProgram].
type execution struct {
	*testing.T
	*emulator.Emulator
	cmd   *exec.Cmd
	stdin io.WriteCloser
	said  *harness.Transcript
}

// startExec starts exec and waits until the command runs.
func startExec(t *testing.T, args ...string) *execution {
	t.Helper()
	return startExecWith(t, emulator.Start(t), args...)
}

func startExecWith(t *testing.T, e *emulator.Emulator, args ...string) *execution {
	t.Helper()
	return startExecAs(t, e, emulator.AgentUser, args...)
}

func startExecAs(t *testing.T, e *emulator.Emulator, id emulator.Identity, args ...string) *execution {
	t.Helper()
	x := &execution{T: t, Emulator: e, said: harness.NewTranscript()}
	args = append(append([]string{"exec"}, args...), "--", harness.Link(t, "command"), "5")
	x.cmd = harness.Command(t, x.Env(id), harness.NewStep(t), "azdo-pat", args...)
	x.cmd.Stdout, x.cmd.Stderr = x.said, x.said
	var err error
	if x.stdin, err = x.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.cmd.Process.Kill() })
	x.said.Await(t, "ready, group true", 1)
	return x
}

// signal sends a signal to the program and waits until the command has received it
// this many times.
func (x *execution) signal(s syscall.Signal, times int) {
	x.Helper()
	if err := x.cmd.Process.Signal(s); err != nil {
		x.Fatal(err)
	}
	x.said.Await(x.T, fmt.Sprintf("got %v\n", s), times)
}

// end ends the command and returns the program's status and output.
func (x *execution) end() (status int, all string) {
	x.Helper()
	x.stdin.Close()
	var exit *exec.ExitError
	if err := x.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		x.Error(err)
	}
	all = x.said.Text()
	if v := x.Violations(); len(v) > 0 {
		x.Error(v)
	}
	return x.cmd.ProcessState.ExitCode(), all
}

// revoked waits until no PAT is active.
func (x *execution) revoked() {
	x.Helper()
	await(x.T, "the revocation", func() bool { return len(x.Active()) == 0 })
}

// A signal that stops exec revokes the PAT at once, even if the command keeps
// running. The command gets each signal once, and exec returns its status.
func TestExecStopsOnSignal(t *testing.T) {
	t.Parallel()
	// If the tests were started with nohup, exec would inherit that SIGHUP is ignored.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			x := startExec(t)
			if len(x.Active()) != 1 {
				t.Fatalf("%d PATs while the command runs", len(x.Active()))
			}
			x.signal(s, 1)
			x.revoked()
			x.said.Await(t, "is revoked", 1) // while the command still runs
			x.signal(s, 2)
			terms := 1
			if s == syscall.SIGTERM {
				terms = 3
			}
			x.signal(syscall.SIGTERM, terms)
			status, all := x.end()
			if status != 5 {
				t.Errorf("status %d, want the command's, 5", status)
			}
			want := map[string]int{
				fmt.Sprintf("got %v\n", s): 2,
				fmt.Sprintf("stopped by a signal (%v); forwarded to command; the PAT is no longer renewed\n", s): 1,
				"is revoked": 1, "::warning": 0, "::error": 0,
			}
			want["got terminated\n"] = terms
			for text, times := range want {
				if got := strings.Count(all, text); got != times {
					t.Errorf("%q appears %d times, want %d, in\n%s", text, got, times, all)
				}
			}
			if n := len(x.Requests(emulator.OpRevoke)); n != 1 {
				t.Errorf("%d requests to revoke", n)
			}
		})
	}
}

// A command that ignores the signal is not killed. Signals that do not stop exec
// leave the PAT alone.
func TestExecPassesSignalsOn(t *testing.T) {
	t.Parallel()
	x := startExec(t)
	for _, s := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2} {
		x.signal(s, 1)
	}
	if len(x.Active()) != 1 {
		t.Errorf("%d PATs while the command runs", len(x.Active()))
	}
	fmt.Fprintln(x.stdin, "still here")
	x.said.Await(t, "read still here\n", 1)
	if status, all := x.end(); status != 5 || len(x.Active()) != 0 || strings.Contains(all, "stopped by") {
		t.Errorf("status %d, %d PATs\n%s", status, len(x.Active()), all)
	}
}

// With skip-revoke, a signal does not revoke the PAT either.
func TestExecStopsAndSkipsRevoke(t *testing.T) {
	t.Parallel()
	x := startExec(t, "--skip-revoke")
	x.signal(syscall.SIGTERM, 1)
	if status, all := x.end(); status != 5 || len(x.Active()) != 1 || !strings.Contains(all, "stays valid until") {
		t.Errorf("status %d, %d PATs\n%s", status, len(x.Active()), all)
	}
}

// With nohup, exec and the command keep running when the terminal closes.
func TestExecWithNohup(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	env := e.Env(emulator.AgentUser)
	for name, value := range e.Settings(emulator.AgentUser) { // a shell may drop a variable with a hyphen
		env[emulator.Variable(name)] = value
	}
	cmd := harness.Command(t, env, harness.NewStep(t), "azdo-pat")
	cmd.Args = []string{"sh", "-c", `trap "" HUP; exec "$0" "$@"`, harness.Link(t, "azdo-pat"), "exec", "--",
		"/bin/sh", "-c", "kill -HUP $PPID; kill -HUP $$; echo still here; kill -TERM $PPID; sleep 20"}
	cmd.Path = "/bin/sh"
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 128+int(syscall.SIGTERM) {
		t.Errorf("ended with %v", err)
	}
	if text := harness.Output(cmd); !strings.Contains(text, "still here") || strings.Contains(text, "(hangup)") || len(e.Active()) != 0 {
		t.Errorf("%d PATs\n%s", len(e.Active()), text)
	}
}

// A runner that cancels a script step sends its signals to the shell alone. The
// shell's exec makes azdo-pat the process that gets them.
func TestExecInAScriptStep(t *testing.T) {
	t.Parallel()
	x := &execution{T: t, Emulator: emulator.Start(t), said: harness.NewTranscript()}
	env := x.Env(emulator.AgentUser)
	for name, value := range x.Settings(emulator.AgentUser) { // a shell may drop a variable with a hyphen
		env[emulator.Variable(name)] = value
	}
	x.cmd = harness.Command(t, env, harness.NewStep(t), "azdo-pat")
	x.cmd.Args = []string{"sh", "-e", "-c", `exec "$0" exec -- "$1" 5`, x.cmd.Path, harness.Link(t, "command")}
	x.cmd.Path = "/bin/sh"
	x.cmd.Stdout, x.cmd.Stderr = x.said, x.said
	var err error
	if x.stdin, err = x.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.cmd.Process.Kill() })
	x.said.Await(t, "ready, group true", 1)
	x.signal(syscall.SIGINT, 1)
	x.revoked()
	if status, all := x.end(); status != 5 {
		t.Errorf("status %d\n%s", status, all)
	}
}

// An exec that is stopped before the command runs leaves no PAT, as mint does, and
// does not start the command.
func TestExecStopsBeforeCommand(t *testing.T) {
	t.Parallel()
	for _, op := range []string{emulator.OpUserFIC, emulator.OpCreate} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			untilInTime(t, func() bool { return stopBeforeCommand(t, op) })
		})
	}
}

// stopBeforeCommand stops an exec that waits for the answer to a request.
func stopBeforeCommand(t *testing.T, op string) (inTime bool) {
	e := emulator.Start(t)
	gate := emulator.NewGate()
	defer gate.Open()
	e.Intercept(op, gate.After)
	cmd := harness.Command(t, e.Env(emulator.AgentUser), harness.NewStep(t), "azdo-pat", "exec", "--", harness.Link(t, "command"), "5")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the request", gate.Arrived())
	told := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	took := time.Since(told)
	if took > harness.StopLimit {
		t.Errorf("it took %s to stop", took)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || strings.Contains(harness.Output(cmd), "ready") {
		t.Errorf("%v\n%s", err, harness.Output(cmd))
	}
	if took >= harness.CleanUpLimit {
		return false
	}
	if n := len(e.Active()); n != 0 {
		t.Errorf("%d PATs left\n%s", n, harness.Output(cmd))
	}
	return true
}

// A signal stops an exec whose release gets no answer.
func TestExecStopsWithoutAnswer(t *testing.T) {
	t.Parallel()
	x := startExec(t)
	gate := emulator.NewGate()
	defer gate.Open()
	x.Intercept(emulator.OpRevoke, gate.Before)
	x.signal(syscall.SIGTERM, 1)
	waitFor(t, "the revocation", gate.Arrived())
	over := time.Now()
	status, all := x.end()
	if took := time.Since(over); took > harness.StopLimit {
		t.Errorf("it took %s", took)
	}
	if status != 5 || !strings.Contains(all, "is not known to be revoked") || !strings.Contains(all, "stopped by a signal (terminated)") {
		t.Errorf("status %d\n%s", status, all)
	}
}

// An exec that is stopped while it revokes the PAT finishes the revocation.
func TestExecStopsDuringRevoke(t *testing.T) {
	t.Parallel()
	untilInTime(t, func() bool { return stopDuringRevoke(t) })
}

func stopDuringRevoke(t *testing.T) (inTime bool) {
	x := startExec(t)
	gate := emulator.NewGate()
	defer gate.Open()
	x.Intercept(emulator.OpRevoke, gate.Before)
	x.stdin.Close()
	waitFor(t, "the revocation", gate.Arrived())
	told := time.Now()
	if err := x.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	x.said.Await(t, "stopped by a signal (interrupt)", 1)
	gate.Open()
	status, all := x.end()
	if !stoppedInTime(t, time.Since(told)) {
		return false
	}
	if status != 5 || len(x.Active()) != 0 || !strings.Contains(all, "is revoked") {
		t.Errorf("status %d, %d PATs\n%s", status, len(x.Active()), all)
	}
	return true
}

// If exec is killed, the command keeps running with a PAT that is not renewed and
// lives no longer than requested.
func TestExecIsKilled(t *testing.T) {
	t.Parallel()
	x := startExec(t, "--lifetime", "5m")
	if err := x.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = x.cmd.Wait()
	defer x.stdin.Close() // the command is still running
	pats := x.Active()
	if len(pats) != 1 || pats[0].ValidTo.Sub(pats[0].ValidFrom) > 5*time.Minute {
		t.Fatalf("left: %+v", pats)
	}
	x.Advance(5*time.Minute + time.Second)
	if n := len(x.Active()); n != 0 {
		t.Errorf("%d PATs after the lifetime", n)
	}
}

// With standard output and standard error in one file, the command's output keeps its
// order, and no log line is torn.
func TestExecWithOneOutput(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := harness.Command(t, e.Env(emulator.AgentUser), harness.NewStep(t), "azdo-pat", "exec", "--", "/bin/sh", "-c",
		`i=0; while [ $i -lt 200 ]; do printf "o$i " ; printf "e$i " >&2; i=$((i+1)); done; printf "$AZURE_DEVOPS_EXT_PAT" >&2`)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
	all, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for i := range 200 {
		fmt.Fprintf(&want, "o%d e%d ", i, i)
	}
	text := harness.WithoutMasks(string(all))
	_, end, found := strings.Cut(text, "\n"+want.String()+"***\n")
	// If the machine is slow, the first line may be that azdo-pat waits for an answer.
	if !found || !strings.Contains("\n"+end, "\nPAT ") {
		t.Errorf("%s", text)
	}
}

// A stopped exec does not wait for a pause that Azure DevOps has requested: it
// revokes the PAT at once.
func TestExecStopsDuringPause(t *testing.T) {
	t.Parallel()
	untilInTime(t, func() bool { return stopExecDuringPause(t) })
}

func stopExecDuringPause(t *testing.T) (inTime bool) {
	e := emulator.Start(t)
	e.Intercept(emulator.OpCreate, emulator.WithHeader(http.Header{"Retry-After": {"100"}}))
	x := startExecWith(t, e)
	told := time.Now()
	x.signal(syscall.SIGTERM, 1)
	status, all := x.end()
	if !stoppedInTime(t, time.Since(told)) {
		return false
	}
	if len(x.Active()) != 0 || strings.Contains(all, "not revoked") {
		t.Errorf("status %d, %d PATs left\n%s", status, len(x.Active()), all)
	}
	return true
}
