//go:build e2e

// Package image_test looks at the action's image from outside: what it is made
// of, and how it starts under the very command with which GitHub's runner
// starts a container action.
//
// It needs a Docker engine and the image, which build.sh builds; both are a
// matter of course for who asks for these tests with -tags e2e, so nothing here
// skips.
package image_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// image is the image under test.
func image() string {
	if name := os.Getenv("AZDO_PAT_IMAGE"); name != "" {
		return name
	}
	return "azdo-pat:test"
}

// inspected is the part of docker image inspect that the tests read.
type inspected struct {
	Size   int64
	Config struct {
		User         string
		Entrypoint   []string
		Cmd          []string
		Env          []string
		Labels       map[string]string
		Volumes      map[string]any
		ExposedPorts map[string]any
	}
	RootFS struct{ Layers []string }
}

func inspect(t *testing.T, name string) inspected {
	t.Helper()
	var images []inspected
	out := docker(t, "image", "inspect", name)
	if err := json.Unmarshal([]byte(out), &images); err != nil {
		t.Fatalf("docker image inspect %s: %v in %s", name, err, out)
	}
	return images[0]
}

// docker runs the docker command, which must succeed, and returns its standard
// output.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, stderr, status := dockerStatus(t, args...)
	if status != 0 {
		t.Fatalf("docker %s: exit status %d\n%s%s", strings.Join(args, " "), status, out, stderr)
	}
	return out
}

// dockerStatus runs the docker command and returns both its streams and its exit
// status, which under docker run is the container's.
func dockerStatus(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	// Not t.Context(), which has ended when a test's cleanup runs.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), errs.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatalf("docker %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errs.String(), 0
}

func TestConfig(t *testing.T) {
	got := inspect(t, image())

	if n := len(got.RootFS.Layers); n != 1 {
		t.Errorf("%d layers, want 1: each is a further request before the job's first step", n)
	}
	if limit := int64(10_000_000); got.Size >= limit {
		t.Errorf("%d bytes, want fewer than %d", got.Size, limit)
	}
	t.Logf("%d bytes in %d layer", got.Size, len(got.RootFS.Layers))

	c := got.Config
	if c.User != "" {
		t.Errorf("user %q, want none: the command files are the runner's, and only root can write them", c.User)
	}
	if want := []string{"/azdo-pat"}; !slices.Equal(c.Entrypoint, want) {
		t.Errorf("entrypoint %q, want %q", c.Entrypoint, want)
	}
	if len(c.Cmd) != 0 || len(c.Volumes) != 0 || len(c.ExposedPorts) != 0 {
		t.Errorf("command %q, volumes %v, ports %v, want none", c.Cmd, c.Volumes, c.ExposedPorts)
	}
	for _, variable := range c.Env {
		if !strings.HasPrefix(variable, "PATH=") {
			t.Errorf("the image sets %s, want nothing but the builder's PATH", variable)
		}
	}

	for label, want := range map[string]string{
		"title":    "azdo-pat",
		"licenses": "Apache-2.0",
	} {
		if got := c.Labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("label %s is %q, want %q", label, got, want)
		}
	}
	for _, label := range []string{"description", "version"} {
		if c.Labels["org.opencontainers.image."+label] == "" {
			t.Errorf("label %s is empty", label)
		}
	}
	for _, label := range []string{"source", "revision"} {
		if _, ok := c.Labels["org.opencontainers.image."+label]; !ok {
			t.Errorf("no label %s", label)
		}
	}
}

// TestImageHoldsOneProgram guards that nothing but the program is in the image, and the program
// once: a second copy would double what every job pulls.
func TestImageHoldsOneProgram(t *testing.T) {
	type file struct {
		Type byte
		Mode fs.FileMode
		Link string
	}
	want := map[string]file{
		"azdo-pat": {Type: tar.TypeReg, Mode: 0o755},
		"post":     {Type: tar.TypeSymlink, Link: "azdo-pat"},
	}

	got := map[string]file{}
	for _, header := range layer(t, image()) {
		f := file{Type: header.Typeflag, Link: header.Linkname}
		if f.Type == tar.TypeReg {
			f.Mode = header.FileInfo().Mode()
		}
		got[header.Name] = f
		if header.Uid != 0 || header.Gid != 0 {
			t.Errorf("%s belongs to %d:%d, want 0:0", header.Name, header.Uid, header.Gid)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("files %v, want %v", got, want)
	}
}

// layer returns the headers of the files in the image's first layer.
func layer(t *testing.T, name string) []*tar.Header {
	t.Helper()
	files := map[string][]byte{}
	saved := tar.NewReader(strings.NewReader(docker(t, "save", name)))
	for {
		header, err := saved.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("docker save %s: %v", name, err)
		}
		content, err := io.ReadAll(saved)
		if err != nil {
			t.Fatalf("docker save %s: %s: %v", name, header.Name, err)
		}
		files[path.Clean(header.Name)] = content
	}

	var manifest []struct{ Layers []string }
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil || len(manifest) == 0 {
		t.Fatalf("docker save %s: manifest.json: %v in %q", name, err, files["manifest.json"])
	}
	var headers []*tar.Header
	content := tar.NewReader(bytes.NewReader(files[manifest[0].Layers[0]]))
	for {
		header, err := content.Next()
		if err == io.EOF {
			return headers
		}
		if err != nil {
			t.Fatalf("layer %s: %v", manifest[0].Layers[0], err)
		}
		headers = append(headers, header)
	}
}

func TestVersion(t *testing.T) {
	labels := inspect(t, image()).Config.Labels
	out := docker(t, "run", "--rm", "--network", "none", image(), "version")
	for _, label := range []string{"version", "revision"} {
		if want := labels["org.opencontainers.image."+label]; !strings.Contains(out, want) {
			t.Errorf("version says %q, want the label %s, %q, in it", out, label, want)
		}
	}
}

// TestReproducible builds the same source again, in another folder, without the cache
// and with each of Docker's builders, and compares the layers byte by byte. That is
// how anyone can verify that a published image is made from this source.
func TestReproducible(t *testing.T) {
	want := inspect(t, image())
	tree := copyTree(t)
	for _, builder := range []string{"legacy", "buildkit"} {
		t.Run(builder, func(t *testing.T) {
			name := "azdo-pat:again-" + builder
			removeLeftovers(t)
			cmd := exec.CommandContext(t.Context(), "bash", filepath.Join(tree, "internal/e2e/image/build.sh"), name, "--no-cache")
			cmd.Env = append(os.Environ(),
				"BUILDER="+builder,
				"VERSION="+want.Config.Labels["org.opencontainers.image.version"],
				"COMMIT="+want.Config.Labels["org.opencontainers.image.revision"],
				"SOURCE="+want.Config.Labels["org.opencontainers.image.source"],
			)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", cmd, err, out)
			}
			defer docker(t, "image", "rm", name)
			got := inspect(t, name)
			if !slices.Equal(got.RootFS.Layers, want.RootFS.Layers) {
				t.Errorf("layers %v, want those of %s, %v (is that image of this source?)",
					got.RootFS.Layers, image(), want.RootFS.Layers)
			}
		})
	}
}

// removeLeftovers removes, when the test ends, the untagged images that came up
// during it: the older builder keeps each stage's, hundreds of megabytes.
func removeLeftovers(t *testing.T) {
	t.Helper()
	untagged := func() []string {
		return strings.Fields(docker(t, "image", "ls", "--quiet", "--no-trunc", "--filter", "dangling=true"))
	}
	before := untagged()
	t.Cleanup(func() {
		for _, id := range untagged() {
			if !slices.Contains(before, id) {
				docker(t, "image", "rm", id)
			}
		}
	})
}

// copyTree copies what an image is built from into a directory of the test's.
func copyTree(t *testing.T) string {
	t.Helper()
	from, to := os.DirFS("../../.."), t.TempDir()
	err := fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name == ".git" {
			return fs.SkipDir
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, content, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}
