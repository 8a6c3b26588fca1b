//go:build linux

package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// bench is one run of the benchmark.
type bench struct {
	dir   string // temporary
	image image

	start string // the program that starts and measures the others
}

// An image has the sizes, in bytes, of the image for this machine's architecture.
type image struct {
	binary           int64
	unpacked, packed int64 // of layer, configuration and manifest
}

func (b *bench) file(program string) string { return filepath.Join(b.dir, program) }

// build makes the image of the action as a release does, takes the program out
// of it, and builds the other programs.
func (b *bench) build(ctx context.Context) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	b.start = b.file("start")
	dir := filepath.Join(b.dir, "image")
	small := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid="}
	for _, command := range []struct {
		dir  string
		args []string
	}{
		{root, []string{"run", "-buildvcs=false", "./internal/release", "image", "-out", dir}},
		{filepath.Join(root, "internal", "bench", "stock"), append(small, "-o", b.file(stock), ".")},
		{root, append(small, "-o", b.file(bare), "./internal/bench/bare")},
		{root, append(small, "-o", b.start, "./internal/bench/start")},
	} {
		cmd := exec.CommandContext(ctx, "go", command.args...)
		cmd.Dir = command.dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go %s: %w\n%s", command.args, err, text)
		}
	}
	return b.unpack(dir)
}

// unpack reads the image for this architecture.
func (b *bench) unpack(dir string) error {
	index, err := layout.ImageIndexFromPath(dir)
	for err == nil {
		var manifest *v1.IndexManifest
		manifest, err = index.IndexManifest()
		if err != nil {
			break
		}
		var next *v1.Descriptor
		for _, m := range manifest.Manifests {
			if m.Platform == nil || m.Platform.Architecture == runtime.GOARCH {
				next = &m
			}
		}
		switch {
		case next == nil:
			return fmt.Errorf("%s: no image for %s", dir, runtime.GOARCH)
		case next.MediaType.IsImage():
			var img v1.Image
			img, err = index.Image(next.Digest)
			if err == nil {
				return b.measureImage(img)
			}
		default:
			index, err = index.ImageIndex(next.Digest)
		}
	}
	return err
}

// measureImage measures an image and copies the program out of it.
func (b *bench) measureImage(img v1.Image) error {
	manifest, err := img.RawManifest()
	if err != nil {
		return err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	metadata := int64(len(manifest) + len(config))
	b.image.packed, b.image.unpacked = metadata, metadata
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	if len(layers) != 1 {
		return fmt.Errorf("the image has %d layers, want 1", len(layers))
	}
	packed, err := layers[0].Size()
	if err != nil {
		return err
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		return err
	}
	defer content.Close()
	counted := &counter{Reader: content}
	files := tar.NewReader(counted)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if header.Name == "azdo-pat" {
			if err := b.write(files); err != nil {
				return err
			}
			b.image.binary = header.Size
		}
	}
	if _, err := io.Copy(io.Discard, counted); err != nil {
		return err
	}
	b.image.packed += packed
	b.image.unpacked += counted.n
	return nil
}

func (b *bench) write(program io.Reader) error {
	f, err := os.OpenFile(b.file(azdoPAT), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, program)
	return errors.Join(err, f.Close())
}

type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// moduleRoot is the root of the checkout that the working directory is in.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, e := os.Stat(filepath.Join(dir, "internal", "bench", "stock", "go.mod")); e == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("there is no internal/bench/stock here or in a directory above: start bench inside the checkout")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}
