package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The commands as the release's workflow calls them.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	none := func(string) (string, bool) { return "", false }
	out := filepath.Join(dir, "out")
	for _, test := range []struct {
		args []string
		want string // in the file that is written
	}{
		{[]string{"action", "-image", pinned, "-in", filepath.Join(tree, "action.yml"), "-out", out}, "image: docker://" + pinned},
		{[]string{"notes", "-version", "v0.1.0", "-in", changelog(t, dir), "-out", out}, "the first"},
	} {
		var stdout bytes.Buffer
		if err := run(t.Context(), test.args, none, &stdout, io.Discard); err != nil {
			t.Errorf("%q: %v", test.args, err)
		}
		if text, err := os.ReadFile(out); err != nil || !strings.Contains(string(text), test.want) {
			t.Errorf("%q wrote %q, %v", test.args, text, err)
		}
		if stdout.Len() > 0 {
			t.Errorf("%q said %q", test.args, stdout.String())
		}
	}
}

func changelog(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "CHANGELOG.md")
	write(t, file, "# Changelog\n\n## 0.1.0\n\nthe first\n")
	return file
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "which command?"},
		{[]string{"publish"}, `no command "publish"`},
		{[]string{"image", "more"}, "takes no arguments"},
		{[]string{"image", "-version", "1.2.3"}, "-version: found"},
		{[]string{"binaries", "-commit", "HEAD"}, "-commit: found"},
		{[]string{"push"}, "-layout: not set"},
		{[]string{"push", "-layout", file, "-to", "ghcr.io/owner/repository:v1.2.3"}, "no such file"},
		{[]string{"action", "-image", pinned}, "-out: not set"},
		{[]string{"man"}, "-out: not set"},
		{[]string{"man", "-version", "1.2.3", "-out", file}, "-version: found"},
		{[]string{"notes", "-version", "v9.9.9", "-in", filepath.Join(tree, "CHANGELOG.md"), "-out", file}, `there is no text under a heading "## 9.9.9"`},
	} {
		err := run(t.Context(), test.args, func(string) (string, bool) { return "", false }, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error %v, want %q", test.args, err, test.want)
		}
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("something was written")
	}
}
