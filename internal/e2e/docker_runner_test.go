//go:build e2e

package e2e

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/githubrunner"
)

// This file is actions/runner as far as a container action can tell: how it
// starts a step's container, what it gives to it and takes from it, and how it
// ends it.

// runnerID is the user and group of GitHub's hosted runners.
const runnerID = 1001

// How long the runner waits for a container after each signal of a cancel.
const (
	afterInterrupt = 7500 * time.Millisecond
	afterTerminate = 2500 * time.Millisecond
)

// A mount is a directory of the runner's that its containers see under /github.
type mount struct{ host, container string }

// A job is a job on a runner: its directories and its log.
type job struct {
	t   *testing.T
	env map[string]string // of every step of the action
	log githubrunner.Log
	// network is the job's own network, which it has where the workflow says
	// container: or services:. Otherwise the containers are in Docker's bridge.
	network string

	temp   string // RUNNER_TEMP on the host
	mounts []mount
}

// newJob makes a job's directories, all of them the runner's.
func newJob(t *testing.T, env map[string]string) *job {
	t.Helper()
	work := t.TempDir()
	j := &job{t: t, env: env, temp: filepath.Join(work, "_temp")}
	workspace := filepath.Join(work, "widgets", "widgets")
	j.mounts = []mount{
		{j.temp, "/github/runner_temp"},
		{filepath.Join(j.temp, "_github_home"), "/github/home"},
		{filepath.Join(j.temp, "_github_workflow"), "/github/workflow"},
		{filepath.Join(j.temp, "_runner_file_commands"), "/github/file_commands"},
		{workspace, "/github/workspace"},
	}
	for _, m := range j.mounts {
		if err := os.MkdirAll(m.host, 0o755); err != nil {
			t.Fatal(err)
		}
		j.own(m.host)
	}
	return j
}

// own gives a file to the runner's user.
func (j *job) own(path string) {
	j.t.Helper()
	if err := os.Chown(path, runnerID, runnerID); err != nil {
		j.t.Fatalf("%v (these tests run as root)", err)
	}
}

// tempFile puts a file into RUNNER_TEMP, as an earlier step does, and returns
// its path, as a workflow knows it.
func (j *job) tempFile(name string, content []byte) string {
	j.t.Helper()
	path := filepath.Join(j.temp, name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		j.t.Fatal(err)
	}
	j.own(path)
	return path
}

// inContainer is a variable's value as the container gets it: a path of the
// runner's becomes the one under which the container sees it.
func (j *job) inContainer(value string) string {
	for _, m := range slices.Backward(j.mounts) {
		if rest, ok := strings.CutPrefix(value, m.host); ok && (rest == "" || rest[0] == '/') {
			return m.container + rest
		}
	}
	return value
}

// A container is one step's, started by docker run.
type container struct {
	*githubrunner.Step
	j              *job
	name           string
	client         *exec.Cmd
	stdout, stderr bytes.Buffer
	began          time.Time
	ended          chan struct{} // closed when the client has ended
	process        int           // once it was asked for

	read  bool
	shown []githubrunner.Line
}

// main starts the action's main step. The options are docker run's, for what a
// machine imposes on its containers; the runner itself has none to give.
func (j *job) main(options ...string) *container {
	j.t.Helper()
	return j.start("/azdo-pat", nil, options)
}

// post starts the post step of a main step, which differs from it only in the
// entrypoint and the state.
func (j *job) post(main *container, options ...string) *container {
	j.t.Helper()
	state, err := main.State()
	if err != nil {
		j.t.Errorf("the state of main: %v", err)
	}
	return j.start("/post", state, options)
}

func (j *job) start(entrypoint string, state map[string]string, options []string) *container {
	j.t.Helper()
	files := j.mounts[3].host
	step, err := githubrunner.NewStep(files)
	if err != nil {
		j.t.Fatal(err)
	}
	for _, file := range step.Env() {
		j.own(file)
	}

	env := maps.Clone(j.env)
	maps.Copy(env, state)
	maps.Copy(env, step.Env())
	maps.Copy(env, map[string]string{
		"HOME":             j.mounts[1].host,
		"GITHUB_WORKSPACE": j.mounts[4].host,
		"RUNNER_TEMP":      j.temp,
		"INPUT_COMMAND":    "mint",
	})

	c := &container{Step: step, j: j, name: "azdo-pat_" + strings.ToLower(rand.Text()[:12]), ended: make(chan struct{})}
	args := []string{"run", "--name", c.name, "--label", "azdo-pat-e2e", "--workdir", "/github/workspace", "--rm"}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		args = append(args, "-e", name) // the value is the client's own, so that no command line shows it
	}
	args = append(args, "-e", "GITHUB_ACTIONS=true")
	if _, ok := env["CI"]; !ok {
		args = append(args, "-e", "CI=true")
	}
	args = append(args, "--entrypoint", entrypoint)
	if j.network != "" {
		args = append(args, "--network", j.network)
	}
	args = append(args, options...)
	args = append(args, "-v", "/var/run/docker.sock:/var/run/docker.sock")
	for _, m := range j.mounts {
		args = append(args, "-v", m.host+":"+m.container)
	}
	args = append(args, imageUnderTest(), j.inContainer(env["INPUT_COMMAND"]))

	c.client = exec.Command("docker", args...) // its standard input is empty
	c.client.Env = os.Environ()
	for name, value := range env {
		c.client.Env = append(c.client.Env, name+"="+j.inContainer(value))
	}
	c.client.Stdout, c.client.Stderr = &c.stdout, &c.stderr
	c.began = time.Now()
	if err := c.client.Start(); err != nil {
		j.t.Fatal(err)
	}
	go func() {
		c.client.Wait()
		close(c.ended)
	}()
	j.t.Cleanup(func() {
		c.client.Process.Kill()
		<-c.ended
		c.remove()
	})
	return c
}

// remove takes away a container that has been left to itself. Most are gone.
func (c *container) remove() {
	if _, err := tryEngine("rm", "--force", c.name); err != nil && !strings.Contains(err.Error(), "No such container") &&
		!strings.Contains(err.Error(), "already in progress") {
		c.j.t.Errorf("removing a container: %v", err)
	}
}

// wait waits for the step's end and returns docker's exit status, which is the
// container's, or -1 where the client was killed.
func (c *container) wait() int {
	c.j.t.Helper()
	select {
	case <-c.ended:
	case <-time.After(2 * time.Minute):
		c.client.Process.Kill()
		<-c.ended
		c.j.t.Errorf("the step has not ended in two minutes:\n%s", c.said())
	}
	return c.client.ProcessState.ExitCode()
}

// cancel ends the step as the runner does when the job is cancelled or the
// step's time is up, and returns the last signal that this took. They go to
// docker's client, which passes on the first two. After the third the container
// is left to itself. The runner waits [afterInterrupt] after the first signal.
func (c *container) cancel(wait time.Duration) syscall.Signal {
	c.j.t.Helper()
	for _, one := range []struct {
		syscall.Signal
		wait time.Duration
	}{{syscall.SIGINT, wait}, {syscall.SIGTERM, afterTerminate}} {
		if err := c.client.Process.Signal(one.Signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			c.j.t.Fatal(err)
		}
		select {
		case <-c.ended:
			return one.Signal
		case <-time.After(one.wait):
		}
	}
	c.client.Process.Kill()
	<-c.ended
	return syscall.SIGKILL
}

// pid is the container's process, as this machine numbers it.
func (c *container) pid() int {
	c.j.t.Helper()
	pid, err := strconv.Atoi(engine(c.j.t, "inspect", "--format", "{{.State.Pid}}", c.name))
	if err != nil || pid == 0 {
		c.j.t.Fatalf("the container has no process (%d, %v)", pid, err)
	}
	c.process = pid
	return pid
}

// gone waits for the end of the container's process, which [container.pid] has
// found before, without docker's help.
func (c *container) gone() {
	c.j.t.Helper()
	for began := time.Now(); time.Since(began) < harness.Patience; time.Sleep(5 * time.Millisecond) {
		if !alive(c.process) {
			return
		}
	}
	c.j.t.Error("the container still runs")
}

// alive reports whether a process with that id exists and is not a zombie.
func alive(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !bytes.Contains(status, []byte("State:\tZ"))
}

// lines are what a person sees of an ended step, with the masks that hold in the
// job by then.
func (c *container) lines() []githubrunner.Line {
	if !c.read {
		// If both streams have lines, the runner reads standard error first.
		c.shown, c.read = c.j.log.Read(c.stderr.String()+c.stdout.String()), true
	}
	return c.shown
}

// said is lines as text, for what a test says when it fails.
func (c *container) said() string {
	var b strings.Builder
	for _, line := range c.lines() {
		if line.Command != nil {
			b.WriteString("[" + line.Command.Name + "] ")
		}
		b.WriteString(line.Text + "\n")
	}
	return b.String()
}

// annotations are the errors or warnings that GitHub shows outside the log.
func (c *container) annotations(kind string) (texts []string) {
	for _, line := range c.lines() {
		if line.Command != nil && line.Command.Name == kind {
			texts = append(texts, line.Command.Properties["title"]+": "+line.Text)
		}
	}
	return texts
}

// ends checks that the step ends with this status.
func (c *container) ends(status int) *container {
	c.j.t.Helper()
	if got := c.wait(); got != status {
		c.j.t.Errorf("%s: exit status %d, want %d:\n%s", c.client.Args[slices.Index(c.client.Args, "--entrypoint")+1], got, status, c.said())
	}
	return c
}

// quiet checks that the step has nothing to complain of.
func (c *container) quiet() *container {
	c.j.t.Helper()
	for _, kind := range []string{"error", "warning"} {
		if texts := c.annotations(kind); len(texts) > 0 {
			c.j.t.Errorf("%s: %q in\n%s", kind, texts, c.said())
		}
	}
	return c
}

// untouched checks that the command files are still the runner's to read and
// remove, and that nothing was left in its other directories: a runner whose
// machine outlives the job cannot remove what belongs to root.
func (j *job) untouched(mine ...string) {
	j.t.Helper()
	for _, m := range j.mounts {
		err := filepath.WalkDir(m.host, func(path string, entry os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			stat := info.Sys().(*syscall.Stat_t)
			switch name := filepath.Base(path); {
			case entry.IsDir(): // the steps' own are the harness's
			case strings.HasPrefix(name, "github_"):
				if stat.Uid != runnerID || stat.Gid != runnerID || info.Mode() != 0o644 {
					j.t.Errorf("%s is now %v and of %d:%d", name, info.Mode(), stat.Uid, stat.Gid)
				}
			case !slices.Contains(mine, name):
				j.t.Errorf("there is now %s in %s", name, m.container)
			}
			return nil
		})
		if err != nil {
			j.t.Fatal(err)
		}
	}
}
