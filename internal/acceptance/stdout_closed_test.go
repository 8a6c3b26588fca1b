package acceptance

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// A revocation does not need its log: the PAT is revoked even if a mask cannot be
// written.
func TestRevokesWithClosedOutput(t *testing.T) {
	t.Parallel()
	for name, pipeline := range map[string]bool{"GitHub": false, "Azure Pipelines": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := emulator.Start(t)
			step := harness.NewStep(t)
			env, revoke := e.Env(emulator.AgentUser), []string{"post", "mint"}
			if pipeline {
				env, revoke = e.PipelinesEnv(emulator.AgentUser), []string{"azdo-pat", "revoke"}
				env["AGENT_TEMPDIRECTORY"] = t.TempDir()
			}
			if mint := harness.Command(t, env, step, "azdo-pat", "mint"); mint.Run() != nil || len(e.Active()) != 1 {
				t.Fatalf("%d PATs\n%s", len(e.Active()), harness.Output(mint))
			}
			state, err := step.State()
			if err != nil {
				t.Fatal(err)
			}
			cmd := harness.Command(t, harness.PostEnv(env, state, "both"), harness.NewStep(t), revoke[0], revoke[1])
			cmd.Stdout = closedPipe(t)
			if err := cmd.Run(); err != nil || len(e.Active()) != 0 {
				t.Errorf("%v, %d PATs left\n%s", err, len(e.Active()), cmd.Stderr)
			}
		})
	}
}

// With standard output closed, the error is on standard error.
func TestReportsErrorsOnStandardError(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	cmd := harness.Command(t, e.Env(emulator.AgentUser), harness.NewStep(t), "azdo-pat", "mint")
	cmd.Stdout = closedPipe(t)
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("mint ended with %v, want status 1", err)
	}
	if text := cmd.Stderr.(*strings.Builder).String(); !strings.Contains(text, "azdo-pat: mint failed: mask a credential in the log: ") {
		t.Errorf("standard error %q", text)
	}
}

// A reader that closes early does not make a command fail that only prints. A full
// disk does.
func TestPrintsToClosedOutput(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	for range 3 {
		from := e.Now(emulator.AzureDevOps).Add(-12 * time.Hour)
		e.Seed(emulator.PAT{Name: "azdo-pat laptop 0123456789abcdef", Owner: emulator.ServiceUserID, ValidFrom: from, ValidTo: from.Add(24 * time.Hour)})
	}
	settings := map[string]string{}
	for name, value := range e.Settings(emulator.AccessToken) {
		settings[emulator.Variable(name)] = value
	}
	for _, args := range []string{
		"scopes", "version", "help", "--help", "help mint", "mint --help", "", "completion bash", "completion zsh", "completion fish",
		"completion powershell", "__complete mint --", "check", "check --output json", "check --organization nowhere",
		"sweep --dry-run", "sweep --dry-run --output json", "sweep --dry-run --organization nowhere",
		"list", "list --output json", "list --organization nowhere",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			want := 0
			if strings.Contains(args, "nowhere") {
				want = 1
			}
			cmd := harness.Command(t, settings, nil, "azdo-pat", strings.Fields(args)...)
			cmd.Stdout = closedPipe(t)
			status, err := harness.ExitStatus(cmd.Run())
			text := cmd.Stderr.(*strings.Builder).String()
			if status != want || strings.Contains(text, "broken pipe") {
				t.Errorf("status %d, %v, want %d\n%s", status, err, want, text)
			}
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				return
			}
			defer full.Close()
			cmd = harness.Command(t, settings, nil, "azdo-pat", strings.Fields(args)...)
			cmd.Stdout = full
			if status, _ := harness.ExitStatus(cmd.Run()); status != 1 && !strings.HasPrefix(args, "__complete") {
				t.Errorf("status %d with a full disk, want 1\n%s", status, cmd.Stderr)
			}
		})
	}
}

// A sweep must report what it revoked, so a closed reader is an error; it still
// revokes the PATs.
func TestSweepToClosedOutput(t *testing.T) {
	t.Parallel()
	for _, output := range []string{"text", "json"} {
		e := emulator.Start(t)
		from := e.Now(emulator.AzureDevOps).Add(-12 * time.Hour)
		e.Seed(emulator.PAT{Name: "azdo-pat laptop 0123456789abcdef", Owner: emulator.ServiceUserID, ValidFrom: from, ValidTo: from.Add(24 * time.Hour)})
		settings := map[string]string{}
		for name, value := range e.Settings(emulator.AccessToken) {
			settings[emulator.Variable(name)] = value
		}
		cmd := harness.Command(t, settings, nil, "azdo-pat", "sweep", "--output", output)
		cmd.Stdout = closedPipe(t)
		if status, err := harness.ExitStatus(cmd.Run()); status != 1 || len(e.Active()) != 0 {
			t.Errorf("%s: status %d, %v, %d PATs left\n%s", output, status, err, len(e.Active()), cmd.Stderr)
		}
	}
}

// systemProgram returns the path of a program of this machine: the steps of the
// tests have no PATH.
func systemProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip(err)
	}
	return path
}

// closedPipe returns a standard output whose reader has closed it.
func closedPipe(t *testing.T) io.Writer {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}

// A signal stops exec even if the output of its command is not read.
func TestExecStopsWhenOutputIsNotRead(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	cmd := harness.Command(t, e.Env(emulator.AgentUser), harness.NewStep(t), "azdo-pat", "exec", "--", systemProgram(t, "yes"))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	// The first output shows that the command runs; the rest is not read.
	for text := ""; !strings.Contains(text, "y\ny\n"); {
		b := make([]byte, 512)
		n, err := r.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b[:n])
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(harness.StopLimit, func() { cmd.Process.Kill() }).Stop()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 128+int(syscall.SIGTERM) || len(e.Active()) != 0 {
		t.Errorf("%v, %d PATs left", err, len(e.Active()))
	}
}

// Two commands of the same step have a PAT each. After a create request without an
// answer, neither revokes the other's PAT as its own.
func TestExecTwiceAtOnce(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	env, step := e.Env(emulator.AgentUser), harness.NewStep(t)
	first := harness.Command(t, env, step, "azdo-pat", "exec", "--", systemProgram(t, "cat"))
	stdin, err := first.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the PAT of the first", func() bool { return len(e.Active()) > 0 })
	e.Intercept(emulator.OpCreate, emulator.Times(1, emulator.CommitAndDrop))
	second := harness.Command(t, env, step, "azdo-pat", "exec", "--", systemProgram(t, "true"))
	if err := second.Run(); err != nil {
		t.Errorf("%v\n%s", err, harness.Output(second))
	}
	if n := len(e.Active()); n != 1 {
		t.Errorf("%d PATs, want that of the first", n)
	}
	stdin.Close()
	if err := first.Wait(); err != nil || len(e.Active()) != 0 {
		t.Errorf("%v, %d PATs left\n%s", err, len(e.Active()), harness.Output(first))
	}
}
