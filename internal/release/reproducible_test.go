package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The origin that the tests stamp.
var tested = origin{
	Version: "v1.2.3", Commit: "0123456789abcdef0123456789abcdef01234567",
	Source: "https://example.com/owner/repository", Time: time.Unix(1_700_000_000, 0).UTC(),
}

const tree = "../.."

// program is the binary for Linux on this machine's processor, built once.
var program = sync.OnceValues(func() ([]byte, error) {
	return compile(context.Background(), tree, platform{"linux", runtime.GOARCH}, tested)
})

func built(t *testing.T) []byte {
	t.Helper()
	content, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Two builds in different directories, of files with different times and modes,
// and with the caller's own settings of Go, give the same binary, and from it
// the same image is made. The build cache is shared here; the e2e test does
// without, and compares the whole.
func TestReproducible(t *testing.T) {
	first := built(t)

	elsewhere := copyTree(t, filepath.Join(t.TempDir(), "a rather", "different directory"))
	t.Setenv("GOFLAGS", "-buildvcs=true -tags=other")
	t.Setenv("GOAMD64", "v3")
	t.Setenv("CGO_ENABLED", "1")
	t.Setenv("TZ", "Asia/Kathmandu")
	second, err := compile(t.Context(), elsewhere, platform{"linux", runtime.GOARCH}, tested)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Fatalf("two builds of one source differ: %d and %d bytes", len(first), len(second))
	}
	if bytes.Contains(second, []byte(elsewhere)) {
		t.Errorf("the binary holds the directory that it was built in")
	}

	// An image of given programs is as good as a function of them and of what is
	// stamped; a digest stands for one version and one commit.
	one := digest(t, standIns, tested)
	if two := digest(t, standIns, tested); one != two {
		t.Errorf("two images of one source: %s and %s", one, two)
	}
	o := tested
	o.Version = "v1.2.4"
	if digest(t, standIns, o) == one {
		t.Errorf("another version has the same digest")
	}
}

// The tool stays out of the program.
func TestNotLinked(t *testing.T) {
	info, err := buildinfo.Read(bytes.NewReader(built(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range info.Deps {
		for _, tool := range []string{"go-containerregistry", "spdx", "docker", "jsonschema", "md2man", "blackfriday"} {
			if strings.Contains(m.Path, tool) {
				t.Errorf("%s is linked into the program", m.Path)
			}
		}
	}
}

// Another toolchain produces other bytes, so it is refused; the error names the right
// one.
func TestToolchain(t *testing.T) {
	dir := t.TempDir()
	for mod, want := range map[string]string{
		"go 1.25.1":                       "go1.25.1",
		"go 1.25.0\n\ntoolchain go1.25.3": "go1.25.3",
	} {
		write(t, filepath.Join(dir, "go.mod"), "module azdo-pat\n\n"+mod+"\n")
		for _, command := range []string{"binaries", "image"} {
			err := run(t.Context(), []string{command, "-C", dir, "-version", "v1.2.3", "-out", filepath.Join(dir, "out")},
				func(string) (string, bool) { return "", false }, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), "set GOTOOLCHAIN="+want) {
				t.Errorf("%s: error %v, want one that names %s", command, err, want)
			}
		}
	}
}

func TestOrigin(t *testing.T) {
	for _, good := range []origin{{}, tested, {Version: "dev", Commit: "unknown"}, {Version: "v1.0.0-rc.1"}} {
		if err := good.check(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	// Each of these would be a further option for the linker, or a slip.
	for _, bad := range []origin{
		{Version: "1.2.3"}, {Version: "v1.2"}, {Version: "v1.2.3 -X main.x=y"}, {Version: "v1.2.3+build"}, {Version: "v01.2.3"},
		{Commit: "0123"}, {Commit: "HEAD -extld=evil"}, {Source: "owner/repository"}, {Source: "https://example.com/a b"},
	} {
		if err := bad.check(); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

func TestSourceDate(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "1700000000": 1_700_000_000} {
		got, err := sourceDate(func(string) (string, bool) { return text, text != "" })
		if err != nil || got.Unix() != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"now", "-1", "1.5"} {
		if _, err := sourceDate(func(string) (string, bool) { return text, true }); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

// buildsFrom reports whether the program is built from a file.
func buildsFrom(name string) bool {
	return slices.Contains([]string{".go", ".sh", ".ps1"}, filepath.Ext(name)) || strings.HasPrefix(name, "go.")
}

// copyTree copies what the program is built from, as another checkout would have
// it: with other times and other modes.
func copyTree(t *testing.T, to string) string {
	t.Helper()
	err := fs.WalkDir(os.DirFS(tree), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && name != "." {
			return fs.SkipDir
		}
		if !entry.Type().IsRegular() || !buildsFrom(name) {
			return nil
		}
		content, err := os.ReadFile(filepath.Join(tree, name))
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(target, content, 0o600); err != nil {
			return err
		}
		then := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
		return os.Chtimes(target, then, then)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func indexOf(t *testing.T, binaries map[platform][]byte, o origin) v1.ImageIndex {
	t.Helper()
	i, err := index(binaries, o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func hash(t *testing.T, i v1.ImageIndex) string {
	t.Helper()
	d, err := i.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func digest(t *testing.T, binaries map[platform][]byte, o origin) string {
	t.Helper()
	return hash(t, indexOf(t, binaries, o))
}
