//go:build unix

package policy

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A file that is none, or that would keep the program waiting, is refused.
func TestReadFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, size int) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.Repeat("x", size)), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(pipe, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		write("right", MaxSize):       "",
		write("large", MaxSize+1):     "it has more than 64 KiB",
		write("empty", 0):             "it is empty",
		filepath.Join(dir, "missing"): "it cannot be read: no such file or directory",
		dir:                           "it is not a regular file",
		pipe:                          "it is not a regular file",
		link:                          "it is not a regular file",
		"/dev/zero":                   "it is not a regular file",
	} {
		if _, err := ReadFile(path); errText(err) != want {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
