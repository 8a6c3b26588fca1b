package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The script that changes the module's path leaves a module that builds, with the
// version where "azdo-pat version" reads it.
func TestModulePath(t *testing.T) {
	t.Parallel()
	const path = "github.com/contoso/azdo-pat"
	dir := t.TempDir()
	run := func(where, name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = where
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly -buildvcs=false")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	run(tree, "sh", "-c", `git ls-files -z | xargs -0 cp --parents --target-directory "$0"`, dir)
	run(dir, "git", "init", "--quiet")
	run(dir, "git", "add", ".")

	if out, err := exec.Command("bash", filepath.Join(dir, "internal/release/module-path.sh"), "https://github.com/contoso/azdo-pat").CombinedOutput(); err == nil {
		t.Errorf("a URL was accepted: %s", out)
	}
	run(dir, "bash", "internal/release/module-path.sh", path)
	if left := run(dir, "sh", "-c", `git grep -nE '(^|[^/a-z0-9-])azdo-pat/internal/[a-z]' -- '*.go' Dockerfile go.mod || true`); left != "" {
		t.Errorf("the old path is left:\n%s", left)
	}
	binary := filepath.Join(dir, "binary")
	// Unoptimized, which takes half of the time.
	run(dir, "go", "build", "-gcflags="+path+"/...=-N -l", "-ldflags", "-X "+path+"/internal/cli.version=v1.2.3", "-o", binary, ".")
	if out := run(dir, binary, "version"); !strings.Contains(out, "v1.2.3") {
		t.Errorf("version: %s", out)
	}
	if out := run(dir, "go", "list", "-m"); strings.TrimSpace(out) != path {
		t.Errorf("the module is %s", out)
	}
	// A second run changes nothing.
	if out := run(dir, "bash", "internal/release/module-path.sh", path); !strings.Contains(out, "already") {
		t.Errorf("the second run: %s", out)
	}
}
