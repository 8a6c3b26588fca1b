package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/emulator"
	"azdo-pat/internal/runner"
)

// minting are the requests that a mint makes, in order.
var minting = []string{emulator.OpGitHubOIDC, emulator.OpT1, emulator.OpT2, emulator.OpUserFIC, emulator.OpCreate}

// Whatever signal ends mint, and at whichever request, before or after it took
// effect: the post step leaves nothing behind, with the saved state alone, with
// inputs and environment alone, and with both. (Promises 2 and 6.)
func TestKilledAtEveryRequest(t *testing.T) {
	modes := []string{"state", "inputs", "both"}
	turn := 0
	for _, op := range minting {
		for _, when := range []string{"before", "after"} {
			for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT} {
				// Where nothing can have been minted one kind of post step is enough.
				turn++
				with := modes[turn%3:][:1]
				if op == emulator.OpCreate {
					with = modes
				}
				for _, mode := range with {
					t.Run(fmt.Sprintf("%s %s %v post with %s", op, when, signal, mode), func(t *testing.T) {
						t.Parallel()
						killedAt(t, op, when, signal, mode)
					})
				}
			}
		}
	}
}

func killedAt(t *testing.T, op, when string, signal syscall.Signal, mode string) {
	e := emulator.Start(t)
	gate := emulator.NewGate()
	defer gate.Open()
	if when == "before" {
		e.Intercept(op, gate.Before)
	} else {
		e.Intercept(op, gate.After)
	}
	step := newStep(t)
	env := e.Env(emulator.AgentUser)
	mint := command(t, env, step, "azdo-pat", "mint")
	if err := mint.Start(); err != nil {
		t.Fatal(err)
	}
	<-gate.Arrived()
	if op == emulator.OpCreate && when == "after" {
		// The gate is reached with the PAT made.
		if len(e.Active()) != 1 {
			t.Fatal("the server has not committed")
		}
	}
	told := time.Now()
	if err := mint.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	err := mint.Wait()
	if took := time.Since(told); took > 5*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	if err == nil {
		t.Errorf("mint succeeded although it was stopped")
	}
	e.ClearFaults()
	if signal != syscall.SIGKILL {
		// Told to stop, mint itself leaves no PAT that the server has made.
		if n := len(e.Active()); n != 0 {
			t.Errorf("%d PATs left by mint:\n%s", n, said(mint))
		}
	}
	// What the server commits later still is the post step's to end.
	gate.Open()
	state, err := step.State()
	if err != nil {
		t.Fatal(err)
	}
	post := command(t, postEnv(env, state, mode), newStep(t), "post", "mint")
	if err := post.Run(); err != nil {
		t.Errorf("post: %v\n%s", err, said(post))
	}
	if text := said(post); strings.Contains(text, "::warning") || strings.Contains(text, "::error") {
		t.Errorf("post complains:\n%s", text)
	}
	if n := len(e.Active()); n != 0 {
		t.Errorf("%d PATs left by post:\n%s", n, said(post))
	}
	if v := e.Violations(); len(v) > 0 {
		t.Error(v)
	}
}

// A PAT that the server makes only after mint has gone is waited for by the post
// step.
func TestLateCommit(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	gate := emulator.NewGate()
	defer gate.Open()
	e.Intercept(emulator.OpCreate, gate.Before)
	step := newStep(t)
	env := e.Env(emulator.AgentUser)
	mint := command(t, env, step, "azdo-pat", "mint")
	if err := mint.Start(); err != nil {
		t.Fatal(err)
	}
	<-gate.Arrived()
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
	// The server commits while the post step has already looked once.
	e.Intercept(emulator.OpList, emulator.After(1, func() emulator.Fault {
		var once sync.Once
		return emulator.Alter(func(*emulator.Response) { once.Do(gate.Open) })
	}()))
	state, err := step.State()
	if err != nil {
		t.Fatal(err)
	}
	post := command(t, postEnv(env, state, "both"), newStep(t), "post", "mint")
	if err := post.Run(); err != nil {
		t.Errorf("%v\n%s", err, said(post))
	}
	if len(e.PATs()) != 1 || len(e.Active()) != 0 {
		t.Errorf("%d of %d PATs left:\n%s", len(e.Active()), len(e.PATs()), said(post))
	}
}

// A post step that is told to stop revokes all the same: it would be of no use to
// stop.
func TestPostIsToldToStop(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	step := newStep(t)
	env := e.Env(emulator.AgentUser)
	if mint := command(t, env, step, "azdo-pat", "mint"); mint.Run() != nil {
		t.Fatal(said(mint))
	}
	gate := emulator.NewGate()
	defer gate.Open()
	e.Intercept(emulator.OpUserFIC, gate.Before)
	state, err := step.State()
	if err != nil {
		t.Fatal(err)
	}
	post := command(t, postEnv(env, state, "both"), newStep(t), "post", "mint")
	if err := post.Start(); err != nil {
		t.Fatal(err)
	}
	<-gate.Arrived()
	if err := post.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	gate.Open()
	if err := post.Wait(); err != nil {
		t.Errorf("%v\n%s", err, said(post))
	}
	if n := len(e.Active()); n != 0 {
		t.Errorf("%d PATs left:\n%s", n, said(post))
	}
}

func newStep(t testing.TB) *runner.Step {
	step, err := runner.NewStep(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return step
}

// command starts the program under one of its names, as the runner does.
func command(t testing.TB, env map[string]string, step *runner.Step, name string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Args[0] = "/" + name
	cmd.Stdout, cmd.Stderr = new(strings.Builder), new(strings.Builder)
	for key, value := range env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	for key, value := range step.Env() {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		cmd.Env = append(cmd.Env, "GOCOVERDIR="+dir)
	}
	return cmd
}

// said is what a program wrote, without its masks.
func said(cmd *exec.Cmd) string {
	text := cmd.Stdout.(*strings.Builder).String() + cmd.Stderr.(*strings.Builder).String()
	return string(unmasked.ReplaceAll([]byte(text), nil))
}

// postEnv is the environment of a post step: the job's own, with the state, the
// inputs, or both.
func postEnv(env, state map[string]string, mode string) map[string]string {
	post := map[string]string{}
	for key, value := range env {
		if mode != "state" || !strings.HasPrefix(key, "INPUT_") {
			post[key] = value
		}
	}
	if mode != "inputs" {
		for key, value := range state {
			post[key] = value
		}
	}
	return post
}

// A standard output that nobody reads does not hold the program for longer than
// timeout and cleaning up, and what it may have minted is the post step's to end.
func TestNobodyReadsStandardOutput(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	step := newStep(t)
	env := e.Env(emulator.AgentUser)
	env["INPUT_TIMEOUT"] = "1s"
	cmd := command(t, env, step, "azdo-pat", "mint")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	// Full, so that the first line waits.
	if err := w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := w.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	cmd.Stdout = w
	begin := time.Now()
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("mint ended with %v, want status 1", err)
	}
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
	state, err := step.State()
	if err != nil {
		t.Fatal(err)
	}
	post := command(t, postEnv(env, state, "both"), newStep(t), "post", "mint")
	if err := post.Run(); err != nil || len(e.Active()) != 0 {
		t.Errorf("post: %v, %d PATs left\n%s", err, len(e.Active()), said(post))
	}
}

// A program that writes to nobody keeps its promises: a mask that cannot be
// written is a PAT that is not handed over.
func TestStandardOutputIsClosed(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	step := newStep(t)
	cmd := command(t, e.Env(emulator.AgentUser), step, "azdo-pat", "mint")
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
