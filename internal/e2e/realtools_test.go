//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/azurehosts"
	"azdo-pat/internal/fakes/emulator"
)

// This file runs the real tools that the setting configure sets up.

// toolsVariable names the folder in which npm has installed pnpm, yarn and nuget-exe.
// Without it only the tools are run that these tests need anyway.
const toolsVariable = "AZDO_PAT_TOOLS"

// realTools are the tools, and the server that they use.
type realTools struct {
	*azurehosts.Server
	all []azurehosts.Tool
	// mounts are folders of this machine that a container or the runner's user does not
	// have, and where they are to be.
	mounts []mount
	env    map[string]string // where mounts are there
	home   string            // where the tools have their own files
}

// newRealTools starts a server on an address of loopback.
func newRealTools(t *testing.T, e *emulator.Emulator, ip string) *realTools {
	t.Helper()
	r := &realTools{Server: azurehosts.Start(t, e, ip), home: t.TempDir()}
	readable(t, r.home)
	r.Home(t, r.home)
	installed, all := os.LookupEnv(toolsVariable)
	for _, tool := range azurehosts.Tools {
		if all || slices.Contains([]string{"git", "npm", "curl"}, tool.Name) {
			r.all = append(r.all, tool)
		}
	}
	r.env = r.Env(r.home, "")
	r.env["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if !all {
		return r
	}
	// At paths that others can reach: a user's home folder is closed to them.
	at := t.TempDir()
	readable(t, at)
	r.env = r.Env(r.home, filepath.Join(at, "npm"))
	r.env["PATH"] = filepath.Join(at, "npm/node_modules/.bin") + ":" + filepath.Join(at, "cargo/bin") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	r.mounts = []mount{{installed, filepath.Join(at, "npm")}, {toolchain(t), filepath.Join(at, "cargo")}}
	for _, m := range r.mounts {
		if err := os.Mkdir(m.container, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// readable lets others reach a folder of the test.
func readable(t *testing.T, dir string) {
	t.Helper()
	for _, path := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// toolchain is the folder that cargo is in, also if rustup starts it.
func toolchain(t *testing.T) string {
	t.Helper()
	cargo, err := exec.LookPath("cargo")
	if err != nil {
		t.Fatalf("%v: these tests need cargo 1.74", err)
	}
	which := exec.Command("rustup", "which", "cargo")
	which.Env = append(os.Environ(), "RUSTUP_HOME="+azurehosts.RustupHome())
	if out, err := which.Output(); err == nil {
		cargo = strings.TrimSpace(string(out))
	}
	return filepath.Dir(filepath.Dir(cargo))
}

// settings are the tools' names in configure.
func (r *realTools) settings() string {
	var names []string
	for _, tool := range r.all {
		names = append(names, tool.Setting)
	}
	return strings.Join(names, " ")
}

// asked returns the requests since the last call, and fails if a PAT was sent elsewhere.
func (r *realTools) asked(t *testing.T) azurehosts.Requests {
	t.Helper()
	all := r.Take()
	if leaked := all.Leaked(); len(leaked) > 0 {
		t.Errorf("a PAT was sent to %q", leaked)
	}
	return all
}
