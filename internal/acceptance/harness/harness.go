// Package harness starts the built program as GitHub's runner, Azure Pipelines'
// agent or a person at a terminal would, against the services of package emulator,
// and checks that nothing that it writes holds a credential.
package harness

import (
	"flag"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"azdo-pat/internal/cli"
)

// Programs are what the test binary does instead of testing when it is started
// under one of these names. Tests add their own before [Main] runs.
var Programs = map[string]func(args []string) (status int){
	"curl":    curl,
	"docker":  docker,
	"npm":     npm,
	"az":      az,
	"browser": browser,
}

// Main runs the tests of a package two folders below the root of the
// repository. Started as azdo-pat or post, the names in an image, the test binary
// is the program itself.
func Main(m *testing.M) {
	name := filepath.Base(os.Args[0])
	switch name {
	case "azdo-pat", "post":
		cli.Main()
	}
	if program := Programs[name]; program != nil {
		os.Exit(program(os.Args[1:]))
	}
	// The tests build the program and read its documents at the root.
	if err := os.Chdir("../.."); err != nil {
		panic(err)
	}
	// The tests wait more than they compute, except with the race detector or when
	// coverage is measured.
	parallel := "60"
	if RaceDetector || os.Getenv("GOCOVERDIR") != "" {
		parallel = "30"
	}
	_ = flag.Set("test.parallel", parallel)
	debug.SetGCPercent(400) // memory is plentiful, processor time is not
	status := m.Run()
	os.RemoveAll(builtDir)
	os.Exit(status)
}

// Link returns a path at which there is the program, named azdo-pat, or one of
// [Programs].
func Link(t testing.TB, name string) string {
	t.Helper()
	dir := t.TempDir()
	LinkTo(t, dir, name)
	return filepath.Join(dir, name)
}

// LinkTo puts the program, named azdo-pat, and some of [Programs] into a folder.
func LinkTo(t testing.TB, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		find := os.Executable
		if name == "azdo-pat" {
			find = Program
		}
		path, err := find()
		if err == nil {
			err = os.Symlink(path, filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
