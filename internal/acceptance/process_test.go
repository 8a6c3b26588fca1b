package acceptance

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"azdo-pat/internal/fakes/githubrunner"
)

// built is the program as a release has it, without what the tests are built
// with: go build, once, into a folder that goes with the tests. Where it is
// counted which statements run, it is the test binary, which counts.
var built = sync.OnceValues(func() (string, error) {
	if os.Getenv("GOCOVERDIR") != "" {
		return os.Executable()
	}
	dir, err := os.MkdirTemp("", "azdo-pat-built-")
	if err != nil {
		return "", err
	}
	builtDir = dir
	path := filepath.Join(dir, "azdo-pat")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // it starts a quarter faster, too
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

var builtDir string

// inMemory is a folder that is in memory, where the system has one. A test run
// makes more than ten thousand command files, and on a disk that can take a
// millisecond each.
func inMemory(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "azdo-pat-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newStep(t testing.TB) *githubrunner.Step {
	step, err := githubrunner.NewStep(inMemory(t))
	if err != nil {
		t.Fatal(err)
	}
	return step
}

// command starts the program under one of its names, as the runner does.
func command(t testing.TB, env map[string]string, step *githubrunner.Step, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Args[0] = "/" + name
	cmd.Stdout, cmd.Stderr = new(strings.Builder), new(strings.Builder)
	cmd.Env = []string{}
	for key, value := range env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	if step != nil {
		for key, value := range step.Env() {
			cmd.Env = append(cmd.Env, key+"="+value)
		}
	}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		cmd.Env = append(cmd.Env, "GOCOVERDIR="+dir)
	}
	return cmd
}

// starters are what this test binary does instead of testing when it is started
// under their names: it starts a program in a way that os/exec cannot. The
// arguments are their own, then the program's path and arguments.
var starters = map[string]func(args []string) error{}

// startedBy has a command started by one of the starters.
func startedBy(cmd *exec.Cmd, starter string, args ...string) {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd.Args = slices.Concat([]string{starter}, args, []string{cmd.Path}, cmd.Args)
	cmd.Path = self
}

// said is what a program wrote, without its masks.
func said(cmd *exec.Cmd) string {
	text := cmd.Stdout.(*strings.Builder).String() + cmd.Stderr.(*strings.Builder).String()
	return string(unmasked.ReplaceAll([]byte(text), nil))
}

// status is what a program that has run ended with, or -1 and why it could not
// be run.
func statusOf(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return exit.ExitCode(), nil
	}
	return -1, err
}

// postEnv is the environment of a post step: the job's own, with the state, the
// inputs, or both. With the state alone the secrets of the identity stay.
func postEnv(env, state map[string]string, mode string) map[string]string {
	post := map[string]string{}
	for key, value := range env {
		secret := key == "INPUT_REFRESH-TOKEN" || key == "INPUT_PASSWORD" || key == "INPUT_ACCESS-TOKEN"
		if mode != "state" || !strings.HasPrefix(key, "INPUT_") || secret {
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
