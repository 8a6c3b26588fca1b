package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"time"
)

// origin is what a release says of where it comes from.
type origin struct {
	Version string    // v1.2.3, or "dev"
	Commit  string    // 40 hex digits, or "unknown"
	Source  string    // URL of the repository, or empty
	Time    time.Time // of everything in it
}

var (
	// https://semver.org without build metadata, which no image tag can hold.
	versionForm = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)
	commitForm  = regexp.MustCompile(`^[0-9a-f]{40}$`)
	sourceForm  = regexp.MustCompile(`^https?://[A-Za-z0-9.:-]+(/[A-Za-z0-9._-]+)*$`)
)

// check refuses what could end the linker's option that carries it, or what is
// a slip.
func (o origin) check() error {
	var wrong []error
	if o.Version != "" && o.Version != "dev" && !versionForm.MatchString(o.Version) {
		wrong = append(wrong, fmt.Errorf("-version: found %q; allowed: a semantic version such as v1.2.3, or dev", o.Version))
	}
	if o.Commit != "" && o.Commit != "unknown" && !commitForm.MatchString(o.Commit) {
		wrong = append(wrong, fmt.Errorf("-commit: found %q; allowed: 40 hex digits, or unknown", o.Commit))
	}
	if o.Source != "" && !sourceForm.MatchString(o.Source) {
		wrong = append(wrong, fmt.Errorf("-source: found %q; allowed: the URL of a repository", o.Source))
	}
	return errors.Join(wrong...)
}

// platform is what a binary is made for.
type platform struct{ OS, Arch string }

func (p platform) String() string { return p.OS + "/" + p.Arch }

// file is the binary's name among the files of a release. It holds no version,
// so that "the latest" has one address.
func (p platform) file() string {
	name := "azdo-pat-" + p.OS + "-" + p.Arch
	if p.OS == "windows" {
		name += ".exe"
	}
	return name
}

// platforms are those of the binaries, imagePlatforms those of the image.
var (
	imagePlatforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}}
	platforms      = append(imagePlatforms[:len(imagePlatforms):len(imagePlatforms)],
		platform{"darwin", "amd64"}, platform{"darwin", "arm64"},
		platform{"windows", "amd64"}, platform{"windows", "arm64"})
)

// checkToolchain refuses to make a release with another Go than go.mod names.
// Another one makes other bytes: of the program as a compiler, of an image's
// layer by its gzip.
func checkToolchain(ctx context.Context, tree string) error {
	out, err := goCommand(ctx, tree, nil, "mod", "edit", "-json")
	if err != nil {
		return err
	}
	var module struct{ Go, Toolchain string }
	if err := json.Unmarshal(out, &module); err != nil {
		return err
	}
	want := cmp.Or(module.Toolchain, "go"+module.Go)
	if have := runtime.Version(); have != want {
		return fmt.Errorf("this runs on %s, but the release of this source is made with %s: set GOTOOLCHAIN=%[2]s", have, want)
	}
	return nil
}

// compile builds the program. Nothing of the time, the directory, the
// repository or the caller's settings of Go gets into it.
func compile(ctx context.Context, tree string, p platform, o origin) ([]byte, error) {
	dir, err := os.MkdirTemp("", "azdo-pat-release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, p.file())
	// Each variable has a value where it can, since for an empty one Go looks
	// into the file that "go env -w" writes.
	env := []string{
		"CGO_ENABLED=0", "GOOS=" + p.OS, "GOARCH=" + p.Arch, "GOAMD64=v1", "GOARM64=v8.0",
		"GOFLAGS=-mod=readonly", "GOWORK=off", "GOEXPERIMENT=", "GOFIPS140=off", "GOTOOLCHAIN=" + runtime.Version(),
	}
	ldflags := fmt.Sprintf("-s -w -buildid= -X azdo-pat/internal/cli.version=%s -X azdo-pat/internal/cli.commit=%s", o.Version, o.Commit)
	if _, err := goCommand(ctx, tree, env, "build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", out, "."); err != nil {
		return nil, fmt.Errorf("build for %s: %w", p, err)
	}
	// A compiler experiment would be part of the version.
	if info, err := buildinfo.ReadFile(out); err != nil {
		return nil, err
	} else if info.GoVersion != runtime.Version() {
		return nil, fmt.Errorf("build for %s: made by %q, want %q: is an experiment set by go env -w?", p, info.GoVersion, runtime.Version())
	}
	return os.ReadFile(out)
}

// goCommand runs the go command in a directory and returns its standard output.
func goCommand(ctx context.Context, dir string, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// The files of a release beside the binaries.
const (
	sumsFile = "SHA256SUMS"
	sbomFile = "azdo-pat.spdx.json"
	manFile  = "azdo-pat.1"
)

// writeBinaries writes a binary for each platform, the SBOM of them all, the
// manual, and their checksums.
func writeBinaries(ctx context.Context, tree, out string, o origin, progress io.Writer) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var built []binary
	var sums bytes.Buffer
	write := func(name string, content []byte, mode os.FileMode) error {
		// The form that "sha256sum --check" reads.
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), name)
		fmt.Fprintf(progress, "%s: %d bytes\n", name, len(content))
		return os.WriteFile(filepath.Join(out, name), content, mode)
	}
	for _, p := range platforms {
		content, err := compile(ctx, tree, p, o)
		if err != nil {
			return err
		}
		if err := write(p.file(), content, 0o755); err != nil {
			return err
		}
		built = append(built, binary{p.file(), content})
	}
	document, err := sbom(built, o)
	if err != nil {
		return err
	}
	if err := write(sbomFile, document, 0o644); err != nil {
		return err
	}
	if err := write(manFile, manual(o), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, sumsFile), sums.Bytes(), 0o644)
}
