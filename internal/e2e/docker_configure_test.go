//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"azdo-pat/internal/fakes/azurehosts"
	"azdo-pat/internal/fakes/emulator"
)

// In a container the temp folder has another path than for the job's steps. What
// configure wrote is found by them, as the runner's user, for the one organization, and
// is gone after the post step.
func TestDockerConfigure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.AgentUser)
	w.env["INPUT_CONFIGURE"] = "git"
	w.env["INPUT_RUNNER-TEMP"] = "host:" + w.temp
	// The folder of the test is root's alone; that of a runner's work is not.
	if err := os.Chmod(filepath.Dir(filepath.Dir(w.temp)), 0o755); err != nil {
		t.Fatal(err)
	}
	main := w.main().ends(0).quiet()
	outputs, err := main.Outputs()
	if err != nil {
		t.Fatal(err)
	}
	variables, err := main.Variables()
	if err != nil {
		t.Fatal(err)
	}
	if got := fill(w, variables, "contoso/demo/_git/hello"); !strings.Contains(got, "password="+outputs["token"]+"\n") {
		t.Errorf("git gets %q", got)
	}
	if got := fill(w, variables, "other/demo/_git/hello"); strings.Contains(got, outputs["token"]) {
		t.Errorf("git gets %q for another organization", got)
	}
	w.post(main).ends(0)
	if left, err := filepath.Glob(filepath.Join(w.temp, "azdo-pat-*")); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
	if got := fill(w, variables, "contoso/demo/_git/hello"); strings.Contains(got, outputs["token"]) {
		t.Errorf("git gets %q after the post step", got)
	}
	w.left(0)
}

// Every tool works on the runner's side, as the runner's user, with what the caller had in
// variables: the files that these name are in the temp folder, where azdo-pat sees them.
func TestDockerConfigureRealTools(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.AgentUser)
	r := newRealTools(t, w.Emulator, "127.0.0.77")
	maps.Copy(r.env, azurehosts.CallersVariables(t, filepath.Join(w.temp, "own")))
	maps.Copy(w.env, r.env)
	w.env["INPUT_CONFIGURE"], w.env["INPUT_FEED"] = r.settings(), "widgets"
	w.env["INPUT_SCOPES"] = "vso.code_write vso.packaging_write"
	w.env["INPUT_RUNNER-TEMP"] = "host:" + w.temp
	// The folder of the test is root's alone; that of a runner's work is not.
	readable(t, filepath.Dir(w.temp))
	if err := filepath.WalkDir(r.home, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, runnerID, runnerID))
	}); err != nil {
		t.Fatal(err)
	}
	main := w.main().ends(0).quiet()
	variables, err := main.Variables()
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range variables {
		if strings.Contains(value, "/github/") && !strings.HasPrefix(name, "GIT_CONFIG_VALUE_") {
			t.Errorf("%s is %s, which the runner does not have", name, value)
		}
	}
	maps.Copy(r.env, variables)
	for _, tool := range r.all {
		t.Run(tool.Name, func(t *testing.T) {
			if output, err := asUser(t, r, runnerID, tool, "use", "own"); err != nil {
				t.Errorf("%v\n%s\n%s", err, output, r.asked(t))
			}
			r.asked(t)
		})
	}
	// Another user of the machine, such as that of a job container, cannot read the files.
	t.Run("another user", func(t *testing.T) {
		if output, err := asUser(t, r, runnerID+1, r.all[0], "use"); err == nil {
			t.Errorf("git works\n%s", output)
		}
		r.asked(t)
	})
	// A later container action has the same variables, with the paths translated that
	// values begin with.
	t.Run("a later container action", func(t *testing.T) {
		mustRun(t, exec.Command("bash", "act-image.sh", jobImage))
		for _, name := range []string{"git", "npm", "curl"} {
			tool := r.all[slices.IndexFunc(r.all, func(tool azurehosts.Tool) bool { return tool.Name == name })]
			args := []string{"run", "--rm", "--network", "host", "-v", filepath.Join(r.Dir, "hosts") + ":/etc/hosts:ro", "-v", r.Dir + ":" + r.Dir + ":ro", "--tmpfs", "/scratch", "--workdir", "/scratch"}
			for _, m := range w.mounts {
				args = append(args, "-v", m.host+":"+m.container)
			}
			cmd := exec.Command("docker")
			cmd.Env = os.Environ()
			for name, value := range r.env {
				if name != "PATH" && name != "HOME" {
					args = append(args, "-e", name)
					cmd.Env = append(cmd.Env, name+"="+w.inContainer(value))
				}
			}
			cmd.Args = append(append([]string{"docker"}, args...), jobImage, "sh", "-c", tool.Command("widgets", "use"))
			if output, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s\n%s", name, err, output, r.asked(t))
			}
			r.asked(t)
		}
	})
	w.post(main).ends(0)
	if left, err := filepath.Glob(filepath.Join(w.temp, "azdo-pat-*")); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
	w.left(0)
}

// asUser runs functions of a tool's script on the runner's side, with the server's hosts
// file and the real tools, as a user.
func asUser(t *testing.T, r *realTools, id int, tool azurehosts.Tool, functions ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	readable(t, dir)
	if err := os.Chown(dir, id, id); err != nil {
		t.Fatal(err)
	}
	script := "set -e; mount --bind \"$0\" /etc/hosts\n"
	for _, m := range r.mounts {
		script += fmt.Sprintf("mount --bind '%s' '%s'\n", m.host, m.container)
	}
	script += fmt.Sprintf("exec setpriv --reuid %d --regid %d --clear-groups sh -c \"$1\"\n", id, id)
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", script, filepath.Join(r.Dir, "hosts"), tool.Command("widgets", functions...))
	cmd.Dir = dir
	for name, value := range r.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// fill asks git for the credential of a repository, as a step of the job does.
func fill(w *world, variables map[string]string, path string) string {
	w.t.Helper()
	cmd := exec.Command("git", "-c", "credential.useHttpPath=true", "credential", "fill")
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true"}
	for name, value := range variables {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stdin = strings.NewReader("protocol=https\nhost=dev.azure.com\npath=" + path + "\n\n")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: runnerID, Gid: runnerID}}
	out, _ := cmd.CombinedOutput() // without a credential git fails
	return string(out)             // an empty password where there is none
}
