//go:build unix

package login

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"azdo-pat/internal/fakes/standin"
)

// The first command of BROWSER that starts is used. What it writes is discarded.
func TestBrowser(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opener, pipe := filepath.Join(dir, "opener"), filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nout=$(readlink /proc/$$/fd/1)\nprintf '%s %s' \"$out\" \"$1\" >" + pipe + "\n"
	standin.Write(t, opener, script)
	open := func(value string) error {
		return Browser(func(name string) (string, bool) { return value, name == "BROWSER" })(someAddress)
	}
	if err := open(filepath.Join(dir, "none") + ":" + opener + " %s"); err != nil {
		t.Fatal(err)
	}
	seen, err := os.ReadFile(pipe) // waits for the opener
	if err != nil || !strings.HasSuffix(string(seen), someAddress) {
		t.Errorf("the opener got %q, %v", seen, err)
	}
	if _, err := os.Stat("/proc/self/fd"); err == nil && !strings.Contains(string(seen), os.DevNull) {
		t.Errorf("the opener's standard output is %s", seen)
	}
	if err := open(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("got %v", err)
	}
}
