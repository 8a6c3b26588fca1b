package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// labels are those that the Dockerfile sets.
func (o origin) labels() map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title":       "azdo-pat",
		prefix + "description": "A short-lived Azure DevOps PAT for a CI job, without a stored secret",
		prefix + "licenses":    "Apache-2.0",
		prefix + "source":      o.Source,
		prefix + "version":     o.Version,
		prefix + "revision":    o.Commit,
	}
}

// buildIndex builds the program for each platform of the image and makes one
// image of several platforms of it.
func buildIndex(ctx context.Context, tree string, o origin) (v1.ImageIndex, error) {
	binaries := map[platform][]byte{}
	for _, p := range imagePlatforms {
		content, err := compile(ctx, tree, p, o)
		if err != nil {
			return nil, err
		}
		binaries[p] = content
	}
	return index(binaries, o)
}

// index makes an OCI image index (https://github.com/opencontainers/image-spec)
// of one image a platform.
func index(binaries map[platform][]byte, o origin) (v1.ImageIndex, error) {
	all := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range imagePlatforms {
		one, err := image(binaries[p], p, o)
		if err != nil {
			return nil, fmt.Errorf("image for %s: %w", p, err)
		}
		all = mutate.AppendManifests(all, mutate.IndexAddendum{
			Add:        plain{one},
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: p.OS, Architecture: p.Arch}},
		})
	}
	// A registry's web page shows these annotations.
	annotated, ok := mutate.Annotations(all, o.labels()).(v1.ImageIndex)
	if !ok {
		return nil, errors.New("the annotated index is not an index")
	}
	return annotated, nil
}

// plain is an image without an artifact type. The library would take the
// configuration's, and then clients would not recognize an image that can be run.
type plain struct{ v1.Image }

func (plain) ArtifactType() (string, error) { return "", nil }

// image makes the same image as the Dockerfile, without a builder: one layer with the
// program, and the same configuration.
func image(program []byte, p platform, o origin) (v1.Image, error) {
	content, err := layerTar(program, o)
	if err != nil {
		return nil, err
	}
	// Best compression: it is packed once and pulled by every job.
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	created := v1.Time{Time: o.Time}
	img, err = mutate.Append(img, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: created, CreatedBy: "go run ./internal/release image"},
	})
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = p.OS, p.Arch, created
	// No user: the command files belong to the runner's user, so GitHub requires
	// actions to run as root.
	file.Config = v1.Config{Entrypoint: []string{"/azdo-pat"}, Labels: o.labels()}
	return mutate.ConfigFile(img, file)
}

// layerTar is the layer: the program, and a link to it for the post step.
func layerTar(program []byte, o origin) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeReg, Name: "azdo-pat", Mode: 0o755, Size: int64(len(program))},
		{Typeflag: tar.TypeSymlink, Name: "post", Mode: 0o777, Linkname: "azdo-pat"},
	} {
		h.ModTime, h.Format = o.Time, tar.FormatUSTAR
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(program); err != nil {
				return nil, err
			}
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// writeLayout writes an image as an OCI layout into a new directory. In an existing one,
// other files could be taken for parts of the image.
func writeLayout(dir string, index v1.ImageIndex) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return path.AppendIndex(index)
}

// readLayout reads the one image in an OCI layout, and checks the digest of each part,
// since a layout is passed from job to job.
func readLayout(dir string) (v1.ImageIndex, error) {
	if dir == "" {
		return nil, errors.New("-layout: not set; the OCI layout that image wrote")
	}
	all, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	manifest, err := all.IndexManifest()
	if err != nil {
		return nil, err
	}
	if n := len(manifest.Manifests); n != 1 {
		return nil, fmt.Errorf("%s: %d images, want 1", dir, n)
	}
	index, err := all.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		return nil, err
	}
	if err := validate.Index(index); err != nil {
		return nil, fmt.Errorf("%s: the image is damaged: %w", dir, err)
	}
	return index, nil
}

func printDigest(w io.Writer, index v1.ImageIndex) error {
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, digest)
	return err
}
