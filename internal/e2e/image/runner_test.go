//go:build e2e

package image_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/githubrunner"
)

// runnerID is the user and group of GitHub's hosted runners.
const runnerID = 1001

// job is a job's directories on the machine of the runner, as the runner lays
// them out and mounts them into the containers of the job's steps.
type job struct {
	dir string
	env map[string]string // of every step
}

// mounts are the names of a job's directories under /github in a container.
var mounts = []string{"workspace", "home", "workflow", "file_commands", "runner_temp"}

// newJob makes the directories of a job, all of them the runner's.
func newJob(t *testing.T, env map[string]string) *job {
	t.Helper()
	j := &job{dir: t.TempDir(), env: env}
	for _, name := range mounts {
		if err := os.Mkdir(filepath.Join(j.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(j.dir, name), runnerID, runnerID); err != nil {
			t.Fatalf("%v (these tests run as root, to make files that are the runner's)", err)
		}
	}
	return j
}

// commandFile makes an empty command file, such as a step finds, and returns its
// path in the container.
func (j *job) commandFile(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(j.dir, "file_commands", name)
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(file, runnerID, runnerID); err != nil {
		t.Fatal(err)
	}
	return "/github/file_commands/" + name
}

// read returns the names and values in a command file.
func (j *job) read(t *testing.T, name string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(j.dir, "file_commands", name))
	if err != nil {
		t.Fatal(err)
	}
	pairs, err := githubrunner.ParsePairs(string(content))
	if err != nil {
		t.Fatalf("%s: %v in\n%s", name, err, content)
	}
	return githubrunner.Fold(pairs)
}

// step starts the image as the runner starts it for a step, and returns what
// the log shows and the exit status. An empty entrypoint is the image's own. In
// one thing it differs: the host's network, on which the emulator is.
func (j *job) step(t *testing.T, id, entrypoint string, own map[string]string, args ...string) (log string, status int) {
	t.Helper()
	env := map[string]string{}
	maps.Copy(env, j.env)
	maps.Copy(env, own)
	maps.Copy(env, map[string]string{
		"HOME":                "/github/home",
		"CI":                  "true",
		"GITHUB_ACTIONS":      "true",
		"GITHUB_WORKSPACE":    "/github/workspace",
		"RUNNER_TEMP":         "/github/runner_temp",
		"GITHUB_OUTPUT":       j.commandFile(t, "set_output_"+id),
		"GITHUB_STATE":        j.commandFile(t, "save_state_"+id),
		"GITHUB_STEP_SUMMARY": j.commandFile(t, "step_summary_"+id),
		"GITHUB_ENV":          j.commandFile(t, "set_env_"+id),
		"GITHUB_PATH":         j.commandFile(t, "add_path_"+id),
	})

	run := []string{"run", "--rm", "--network", "host", "--workdir", "/github/workspace"}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		run = append(run, "-e", name+"="+env[name])
	}
	if entrypoint != "" {
		run = append(run, "--entrypoint", entrypoint)
	}
	for _, name := range mounts {
		run = append(run, "-v", filepath.Join(j.dir, name)+":/github/"+name)
	}
	stdout, stderr, status := dockerStatus(t, append(append(run, image()), args...)...)
	return stdout + stderr, status
}

// TestRunnerStartsIt walks through main and post as a runner starts them: the
// command files belong to another user who alone may write them, the post step
// has the arguments of main and another entrypoint.
func TestRunnerStartsIt(t *testing.T) {
	services := emulator.Start(t)
	j := newJob(t, services.Env(emulator.AgentUser))

	log, status := j.step(t, "main", "/azdo-pat", map[string]string{"INPUT_COMMAND": "mint"}, "mint")
	if status != 0 {
		t.Fatalf("main: exit status %d\n%s", status, log)
	}
	if n := len(services.Active()); n != 1 {
		t.Errorf("after main %d PATs live, want 1\n%s", n, log)
	}
	if outputs := j.read(t, "set_output_main"); outputs["token"] == "" {
		t.Errorf("main set the outputs %q, want token among them", slices.Sorted(maps.Keys(outputs)))
	}

	state := map[string]string{"INPUT_COMMAND": "mint"}
	for name, value := range j.read(t, "save_state_main") {
		state["STATE_"+name] = value
	}
	log, status = j.step(t, "post", "/post", state, "mint")
	if status != 0 {
		t.Errorf("post: exit status %d\n%s", status, log)
	}
	if n := len(services.Active()); n != 0 {
		t.Errorf("after post %d PATs live, want none\n%s", n, log)
	}

	j.untouched(t)
}

// TestPostWithoutState: mint, then a post step that has lost the saved state,
// as one has whose main was killed early: its inputs and its name are enough.
func TestPostWithoutState(t *testing.T) {
	services := emulator.Start(t)
	j := newJob(t, services.Env(emulator.AgentUser))
	if log, status := j.step(t, "main", "/azdo-pat", nil, "mint"); status != 0 || len(services.Active()) != 1 {
		t.Fatalf("main: exit status %d, %d PATs live\n%s", status, len(services.Active()), log)
	}
	if log, status := j.step(t, "post", "/post", nil, "mint"); status != 0 || len(services.Active()) != 0 {
		t.Errorf("post: exit status %d, %d PATs live, want none\n%s", status, len(services.Active()), log)
	}
}

// TestWrongSettings shows that a step with wrong settings reports them in an
// annotation, which GitHub shows outside the log, with the image's own entrypoint.
func TestWrongSettings(t *testing.T) {
	j := newJob(t, nil)
	log, status := j.step(t, "main", "", map[string]string{"INPUT_COMMAND": "mint", "INPUT_ORGANIZATION": ""}, "mint")
	if status != 2 {
		t.Errorf("exit status %d, want 2\n%s", status, log)
	}
	if !strings.Contains("\n"+log, "\n::error") || !strings.Contains(log, "organization") {
		t.Errorf("no annotation that names the setting in\n%s", log)
	}
	j.untouched(t)
}

// untouched checks that the command files are still the runner's to read and
// remove, and that nothing was left in the other directories: a runner on a
// machine of its user's own cannot remove what belongs to root.
func (j *job) untouched(t *testing.T) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(j.dir, "file_commands"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		info, err := file.Info()
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		if stat.Uid != runnerID || stat.Gid != runnerID || info.Mode() != 0o644 {
			t.Errorf("%s is now %v and of %d:%d", file.Name(), info.Mode(), stat.Uid, stat.Gid)
		}
	}
	for _, name := range mounts {
		if name == "file_commands" {
			continue
		}
		if files, err := os.ReadDir(filepath.Join(j.dir, name)); err != nil || len(files) > 0 {
			t.Errorf("in /github/%s there is now %v (%v)", name, files, err)
		}
	}
}
