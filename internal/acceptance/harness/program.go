package harness

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

// Program builds the program once, as a release does, and returns its path. When
// coverage is measured it returns the test binary, which counts the statements. With
// AZDO_PAT_TEST_PROGRAM it returns that one, which internal/defences has built.
var Program = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("AZDO_PAT_TEST_PROGRAM"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "azdo-pat-built-")
	if err != nil {
		return "", err
	}
	builtDir = dir
	path := filepath.Join(dir, "azdo-pat")
	if os.Getenv("GOCOVERDIR") != "" {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		// By its own name the test binary would run the tests, and those start it again.
		return path, os.Symlink(self, path)
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as in a release; it also starts faster
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// builtDir is the folder of [Program], which [Main] removes.
var builtDir string

// memoryDir returns a temporary folder, in memory if the system has such a file
// system: the tests make more than ten thousand command files, and on a disk each
// can take a millisecond.
func memoryDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "azdo-pat-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// NewStep makes the command files of a step of a GitHub job.
func NewStep(t testing.TB) *githubrunner.Step {
	step, err := githubrunner.NewStep(memoryDir(t))
	if err != nil {
		t.Fatal(err)
	}
	return step
}

// Command returns the program to be started under one of its names, azdo-pat or
// post, with nothing but env and the step's command files in its environment. What
// it writes is kept in two strings.Builder; see [Output]. A step of nil is none.
func Command(t testing.TB, env map[string]string, step *githubrunner.Step, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := Program()
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

// LaunchThrough has one of [Programs] start a command, for what os/exec cannot do.
// The launcher's arguments are its own, then the program's path and arguments.
func LaunchThrough(cmd *exec.Cmd, launcher string, args ...string) {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd.Args = slices.Concat([]string{launcher}, args, []string{cmd.Path}, cmd.Args)
	cmd.Path = self
}

// Output returns what a program that has ended wrote, standard output first, as
// [WithoutMasks] does.
func Output(cmd *exec.Cmd) string {
	text := cmd.Stdout.(*strings.Builder).String() + cmd.Stderr.(*strings.Builder).String()
	return WithoutMasks(text)
}

// ExitStatus returns a program's exit status from the error of [exec.Cmd.Run], or
// -1 and the error if it could not be run.
func ExitStatus(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return exit.ExitCode(), nil
	}
	return -1, err
}

// PostEnv returns the environment of a post step: the job's own, with what mode names
// ("state", "inputs" or "both"). The secrets of the identity stay in any case.
func PostEnv(env, state map[string]string, mode string) map[string]string {
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

// PostStep returns the post step of a main step, to be started with what mode names;
// see [PostEnv].
func PostStep(t testing.TB, env map[string]string, main *githubrunner.Step, mode string) *exec.Cmd {
	t.Helper()
	state, err := main.State()
	if err != nil {
		t.Fatal(err)
	}
	return Command(t, PostEnv(env, state, mode), NewStep(t), "post", "mint")
}
