package acceptance

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// The post step waits for a PAT that the server makes after mint was killed.
func TestLateCommit(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	gate := emulator.NewGate()
	defer gate.Open()
	e.Intercept(emulator.OpCreate, gate.Before)
	step := harness.NewStep(t)
	env := e.Env(emulator.AgentUser)
	mint := harness.Command(t, env, step, "azdo-pat", "mint")
	if err := mint.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the request", gate.Arrived())
	if err := mint.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := mint.Wait(); err == nil {
		t.Error("mint succeeded although it was stopped")
	}
	if len(e.PATs()) != 0 {
		t.Fatal("the server committed early")
	}
	e.ClearFaults()
	// The server commits after the post step has searched once.
	e.Intercept(emulator.OpList, emulator.After(1, func() emulator.Fault {
		var once sync.Once
		return emulator.Alter(func(*emulator.Response) { once.Do(gate.Open) })
	}()))
	post := harness.PostStep(t, env, step, "both")
	if err := post.Run(); err != nil {
		t.Errorf("%v\n%s", err, harness.Output(post))
	}
	if len(e.PATs()) != 1 || len(e.Active()) != 0 {
		t.Errorf("%d of %d PATs left:\n%s", len(e.Active()), len(e.PATs()), harness.Output(post))
	}
}

// A post step ignores a signal and revokes the PAT: stopping would only leave it
// alive.
func TestPostIgnoresSignal(t *testing.T) {
	t.Parallel()
	untilInTime(t, func() bool { return stopPost(t) })
}

func stopPost(t *testing.T) (inTime bool) {
	e := emulator.Start(t)
	step := harness.NewStep(t)
	env := e.Env(emulator.AgentUser)
	if mint := harness.Command(t, env, step, "azdo-pat", "mint"); mint.Run() != nil {
		t.Fatal(harness.Output(mint))
	}
	gate := emulator.NewGate()
	defer gate.Open()
	e.Intercept(emulator.OpUserFIC, gate.Before)
	post := harness.PostStep(t, env, step, "both")
	if err := post.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the request", gate.Arrived())
	told := time.Now()
	if err := post.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	gate.Open()
	err := post.Wait()
	if !stoppedInTime(t, time.Since(told)) {
		return false
	}
	if n := len(e.Active()); err != nil || n != 0 {
		t.Errorf("%v, %d PATs left:\n%s", err, n, harness.Output(post))
	}
	return true
}

// A standard output that is not read blocks the program for no longer than timeout
// and the clean-up, and the post step revokes what it may have minted.
func TestStandardOutputIsNotRead(t *testing.T) {
	t.Parallel()
	const want = "azdo-pat: stopped: its time limit has passed; check that its output is being read\n"
	for attempt := 1; ; attempt++ {
		text := standardOutputIsNotRead(t)
		if text == want {
			return
		}
		// The program gives itself 50 ms to say why it ends, which a slow machine can miss.
		if text != "" || attempt == 3 {
			t.Fatalf("standard error has %q", text)
		}
	}
}

// standardOutputIsNotRead mints and returns what is on standard error.
func standardOutputIsNotRead(t *testing.T) (text string) {
	t.Helper()
	e := emulator.Start(t)
	step := harness.NewStep(t)
	env := e.Env(emulator.AgentUser)
	env["INPUT_TIMEOUT"] = "1s"
	cmd := harness.Command(t, env, step, "azdo-pat", "mint")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	// Fill the pipe, so that the first line blocks.
	for err == nil {
		if err := w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err = w.Write(make([]byte, 4096))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	cmd.Stdout = w
	begin := time.Now()
	if status, err := harness.ExitStatus(cmd.Run()); err != nil || status != 1 {
		t.Errorf("mint ended with %d, %v, want 1", status, err)
	}
	if took := time.Since(begin); took > harness.StopLimit {
		t.Errorf("it took %s", took)
	}
	env["INPUT_TIMEOUT"] = "1m"
	post := harness.PostStep(t, env, step, "both")
	if err := post.Run(); err != nil || len(e.Active()) != 0 {
		t.Errorf("post: %v, %d PATs left\n%s", err, len(e.Active()), harness.Output(post))
	}
	return cmd.Stderr.(*strings.Builder).String()
}

// With standard output closed, a PAT whose mask cannot be written is not handed over.
func TestStandardOutputIsClosed(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	step := harness.NewStep(t)
	cmd := harness.Command(t, e.Env(emulator.AgentUser), step, "azdo-pat", "mint")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd.Stdout = w
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("mint ended with %v, want status 1", err)
	}
	w.Close()
	if outputs, err := step.Outputs(); err != nil || len(outputs) != 0 || len(e.Active()) != 0 {
		t.Errorf("outputs %v, %v; %d PATs", outputs, err, len(e.Active()))
	}
}
