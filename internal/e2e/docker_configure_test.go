//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

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
