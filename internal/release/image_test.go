package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// stand-ins for the programs: what an image is made of does not depend on them.
var standIns = map[platform][]byte{imagePlatforms[0]: []byte("for amd64"), imagePlatforms[1]: []byte("for arm64")}

// The image is what the Dockerfile makes: one layer with the program and its
// second name, the same entry point and labels, no user.
func TestImage(t *testing.T) {
	all := indexOf(t, standIns, tested)
	manifest, err := all.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if manifest.MediaType != types.OCIImageIndex || len(manifest.Manifests) != len(imagePlatforms) {
		t.Fatalf("%s of %d images", manifest.MediaType, len(manifest.Manifests))
	}
	for i, p := range imagePlatforms {
		d := manifest.Manifests[i]
		if d.Platform.String() != p.String() || d.ArtifactType != "" {
			t.Errorf("image %d is for %s, want %s; artifact type %q, want none", i, d.Platform, p, d.ArtifactType)
		}
		one, err := all.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		file, err := one.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if file.OS != p.OS || file.Architecture != p.Arch || !file.Created.Time.Equal(tested.Time) {
			t.Errorf("%s: %s/%s, created %s", p, file.OS, file.Architecture, file.Created)
		}
		c := file.Config
		if fmt.Sprint(c.Entrypoint) != "[/azdo-pat]" || c.User != "" || len(c.Cmd)+len(c.Env)+len(c.Volumes)+len(c.ExposedPorts) > 0 || c.WorkingDir != "" {
			t.Errorf("%s: configuration %+v", p, c)
		}
		layers, err := one.Layers()
		if err != nil {
			t.Fatal(err)
		}
		if len(layers) != 1 {
			t.Fatalf("%s: %d layers, want 1", p, len(layers))
		}
		got := files(t, layers[0])
		want := []string{"azdo-pat 0755 0:0 1700000000 " + string(standIns[p]), "post -> azdo-pat 0:0 1700000000"}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: files %q, want %q", p, got, want)
		}
	}
}

// files describes what is in a layer.
func files(t *testing.T, layer v1.Layer) []string {
	t.Helper()
	content, err := layer.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var all []string
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeSymlink {
			all = append(all, fmt.Sprintf("%s -> %s %d:%d %d", h.Name, h.Linkname, h.Uid, h.Gid, h.ModTime.Unix()))
			continue
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s %04o %d:%d %d %s", h.Name, h.Mode, h.Uid, h.Gid, h.ModTime.Unix(), text))
	}
}

var label = regexp.MustCompile(`org\.opencontainers\.image\.([a-z]+)="([^"]*)"`)

// The labels are read off the Dockerfile, so that the two cannot part.
func TestLabels(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(tree, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	got := tested.labels()
	found := label.FindAllStringSubmatch(string(text), -1)
	if len(found) != len(got) {
		t.Errorf("%d labels, the Dockerfile has %d", len(got), len(found))
	}
	values := strings.NewReplacer("${SOURCE}", tested.Source, "${VERSION}", tested.Version, "${COMMIT}", tested.Commit)
	for _, l := range found {
		if want := values.Replace(l[2]); got["org.opencontainers.image."+l[1]] != want {
			t.Errorf("label %s is %q, the Dockerfile says %q", l[1], got["org.opencontainers.image."+l[1]], want)
		}
	}
	entry := `ENTRYPOINT ["/azdo-pat"]`
	if !bytes.Contains(text, []byte(entry)) || regexp.MustCompile(`(?m)^USER`).Match(text) {
		t.Errorf("the Dockerfile has not %s and no USER, as the image does", entry)
	}
}

// A pushed layout has the same digest in the registry; tags of other images are not
// changed.
func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	to := strings.TrimPrefix(server.URL, "http://") + "/owner/repository:v1.2.3"

	dir := filepath.Join(t.TempDir(), "image")
	made := indexOf(t, standIns, tested)
	if err := writeLayout(dir, made); err != nil {
		t.Fatal(err)
	}
	if err := writeLayout(dir, made); err == nil {
		t.Error("a layout was written into a directory that was there")
	}
	read, err := readLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	if hash(t, read) != hash(t, made) {
		t.Errorf("the layout holds %s, written was %s", hash(t, read), hash(t, made))
	}
	for range 2 { // a release that is run again
		if err := push(t.Context(), read, to, authn.Anonymous); err != nil {
			t.Fatal(err)
		}
	}
	ref, err := name.ParseReference(to)
	if err != nil {
		t.Fatal(err)
	}
	there, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(there); err != nil {
		t.Error(err)
	}
	if hash(t, there) != hash(t, made) {
		t.Errorf("the registry has %s, pushed was %s", hash(t, there), hash(t, made))
	}

	o := tested
	o.Commit = "f" + o.Commit[1:]
	if err := push(t.Context(), indexOf(t, standIns, o), to, authn.Anonymous); !errors.Is(err, errTaken) {
		t.Errorf("pushing another image under the same tag: %v, want %v", err, errTaken)
	}
	for _, slip := range []string{"", "owner/repository", "owner/repository:v1", "ghcr.io/owner/repository", "ghcr.io/Owner/repository:v1"} {
		if err := push(t.Context(), made, slip, authn.Anonymous); err == nil {
			t.Errorf("pushed to %q", slip)
		}
	}
}

// A layout that was changed on its way from job to job is not taken for an image.
func TestDamagedLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "image")
	if err := writeLayout(dir, indexOf(t, standIns, tested)); err != nil {
		t.Fatal(err)
	}
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	if err != nil || len(blobs) != 7 { // an index, and two of: manifest, configuration, layer
		t.Fatal(blobs, err)
	}
	for _, blob := range blobs {
		whole, err := os.ReadFile(blob)
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Clone(whole)
		changed[len(changed)/2] ^= 1
		if err := os.WriteFile(blob, changed, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readLayout(dir); err == nil {
			t.Errorf("%s was changed, and that went unseen", filepath.Base(blob))
		}
		if err := os.WriteFile(blob, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := readLayout(dir); err != nil {
		t.Error(err)
	}
}

// The registry's password comes by the environment and goes to the registry.
func TestCredentials(t *testing.T) {
	env := map[string]string{"REGISTRY_USERNAME": "somebody", "REGISTRY_PASSWORD": "something"}
	lookup := func(key string) (string, bool) { v, ok := env[key]; return v, ok }
	config, err := authn.Authorization(t.Context(), credentials(lookup))
	if err != nil || config.Username != "somebody" || config.Password != "something" {
		t.Errorf("%+v, %v", config, err)
	}
	delete(env, "REGISTRY_PASSWORD")
	if credentials(lookup) != authn.Anonymous {
		t.Error("not anonymous without a password")
	}
}
