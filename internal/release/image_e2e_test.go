//go:build e2e

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"azdo-pat/internal/fakes/standin"
)

// release is the image of both platforms as the tool makes it, once.
var release = sync.OnceValues(func() (v1.ImageIndex, error) {
	return buildIndex(context.Background(), tree, tested)
})

func released(t *testing.T) v1.ImageIndex {
	t.Helper()
	i, err := release()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// The same source in another directory, with nothing of the first build at hand
// (a build cache of its own, so that every package is compiled again), gives the
// same image by its digest.
func TestReproducibleFromNothing(t *testing.T) {
	first := hash(t, released(t))
	elsewhere := copyTree(t, filepath.Join(t.TempDir(), "elsewhere"))
	t.Setenv("GOCACHE", filepath.Join(t.TempDir(), "cache"))
	t.Setenv("HOME", t.TempDir())
	t.Setenv("GOMODCACHE", moduleCache(t))
	t.Setenv("TZ", "Asia/Kathmandu")
	again, err := buildIndex(t.Context(), elsewhere, tested)
	if err != nil {
		t.Fatal(err)
	}
	if second := hash(t, again); first != second {
		t.Errorf("two builds of one source: %s and %s", first, second)
	}
	t.Logf("both are %s", first)
}

// moduleCache is where the modules are; to download them again would only prove
// that go.sum is checked.
func moduleCache(t *testing.T) string {
	t.Helper()
	out, err := goCommand(t.Context(), ".", nil, "env", "GOMODCACHE")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// The program in the image for arm64 starts, here under an emulator of that
// processor (Debian: qemu-user-static).
func TestARM64(t *testing.T) {
	const qemu = "qemu-aarch64-static"
	if _, err := exec.LookPath(qemu); err != nil {
		t.Fatalf("%v: install qemu-user-static", err)
	}
	file := filepath.Join(t.TempDir(), "azdo-pat")
	standin.Write(t, file, string(programOf(t, released(t), "arm64")))
	want := fmt.Sprintf("azdo-pat %s (commit %s, %s)\n", tested.Version, tested.Commit, runtime.Version())
	if out, err := exec.CommandContext(t.Context(), qemu, file, "version").CombinedOutput(); err != nil || string(out) != want {
		t.Errorf("version: %q, %v; want %q", out, err, want)
	}
	// More of the program than one line: settings are read and refused.
	cmd := exec.CommandContext(t.Context(), qemu, file, "mint")
	cmd.Env = []string{}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 2 || !bytes.Contains(out, []byte("no identity is set")) {
		t.Errorf("mint without settings: %v\n%s", err, out)
	}
}

// programOf is the program in the image for an architecture.
func programOf(t *testing.T, all v1.ImageIndex, arch string) []byte {
	t.Helper()
	manifest, err := all.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range manifest.Manifests {
		if d.Platform.Architecture != arch {
			continue
		}
		one, err := all.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := one.Layers()
		if err != nil {
			t.Fatal(err)
		}
		size, err := layers[0].Size()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes to pull", arch, size)
		name, content, _ := strings.Cut(files(t, layers[0])[0], fmt.Sprintf(" %d ", tested.Time.Unix()))
		if !strings.HasPrefix(name, "azdo-pat ") {
			t.Fatalf("the first file is %s", name)
		}
		return []byte(content)
	}
	t.Fatalf("no image for %s", arch)
	return nil
}

// Docker pulls the image by its digest from a registry, chooses the platform and
// starts it, under both of its names.
func TestDockerPulls(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Fatalf("no image for %s", runtime.GOARCH)
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	repository := strings.TrimPrefix(server.URL, "http://") + "/owner/repository"
	all := released(t)
	if err := push(t.Context(), all, repository+":"+tested.Version, authn.Anonymous); err != nil {
		t.Fatal(err)
	}
	image := repository + "@" + hash(t, all)
	docker(t, "pull", "--quiet", image)
	defer docker(t, "image", "rm", image)

	for _, entrypoint := range []string{"/azdo-pat", "/post"} {
		args := []string{"run", "--rm", "--network", "none", "--entrypoint", entrypoint, image, "version"}
		out := docker(t, args...)
		if entrypoint == "/azdo-pat" && !strings.Contains(out, tested.Version+" (commit "+tested.Commit) {
			t.Errorf("%s: %q", entrypoint, out)
		}
	}
}

// The Dockerfile and the tool make the same program of the same source, so that
// an action that is built by the runner is the one that a release is.
func TestSameAsDockerfile(t *testing.T) {
	image := os.Getenv("AZDO_PAT_IMAGE")
	if image == "" {
		image = "azdo-pat:test"
	}
	labels := strings.Fields(docker(t, "image", "inspect", "--format",
		`{{index .Config.Labels "org.opencontainers.image.version"}} {{index .Config.Labels "org.opencontainers.image.revision"}}`, image))
	if len(labels) != 2 {
		t.Fatalf("%s has no labels", image)
	}
	// Not checked by origin.check: a test's image has a version of its own.
	own, err := compile(t.Context(), tree, platform{"linux", runtime.GOARCH}, origin{Version: labels[0], Commit: labels[1]})
	if err != nil {
		t.Fatal(err)
	}
	container := strings.TrimSpace(docker(t, "create", image))
	defer docker(t, "rm", container)
	file := filepath.Join(t.TempDir(), "azdo-pat")
	docker(t, "cp", container+":/azdo-pat", file)
	theirs, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(own, theirs) {
		t.Errorf("the tool makes %x, %s holds %x (is that image of this source and toolchain?)", sha256.Sum256(own), image, sha256.Sum256(theirs))
	}
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("docker", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}
