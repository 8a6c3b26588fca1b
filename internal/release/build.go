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
	"slices"
	"time"
)

// origin is the version of a release and the source that it is built from.
type origin struct {
	Version string    // v1.2.3, or "dev"
	Commit  string    // 40 hex digits, or "unknown"
	Source  string    // URL of the repository, or empty
	Time    time.Time // the date of everything in the release
}

var (
	// https://semver.org without build metadata, which no image tag can hold.
	versionForm = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)
	commitForm  = regexp.MustCompile(`^[0-9a-f]{40}$`)
	sourceForm  = regexp.MustCompile(`^https?://[A-Za-z0-9.:-]+(/[A-Za-z0-9._-]+)*$`)
)

// check refuses mistakes, and values that could become other options of the linker.
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

// platform is an operating system and an architecture.
type platform struct{ OS, Arch string }

func (p platform) String() string { return p.OS + "/" + p.Arch }

// file is the name of the binary in a release. It has no version, so that the URL of
// the latest release's binary does not change.
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

// checkToolchain refuses to make a release with another version of Go than go.mod
// names. Its compiler and its gzip would produce other bytes.
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

// gcflags are those of the Dockerfile, which says what they are for.
var gcflags = []string{
	"-gcflags=all=-l", "-gcflags=runtime=", "-gcflags=internal/...=", "-gcflags=sync/...=", "-gcflags=reflect=",
	"-gcflags=strings=", "-gcflags=bytes=", "-gcflags=unicode/...=", "-gcflags=strconv=", "-gcflags=io=", "-gcflags=bufio=",
	"-gcflags=encoding/json=", "-gcflags=crypto/internal/fips140/mlkem=", "-gcflags=crypto/internal/fips140/sha3=",
	"-gcflags=azdo-pat/internal/redact=",
}

// compile builds the program. The result does not depend on the time, the directory,
// the repository or the caller's settings of Go.
func compile(ctx context.Context, tree string, p platform, o origin) ([]byte, error) {
	dir, err := os.MkdirTemp("", "azdo-pat-release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, p.file())
	// For an empty variable Go uses the file that "go env -w" writes, so each has a
	// value if possible.
	env := []string{
		"CGO_ENABLED=0", "GOOS=" + p.OS, "GOARCH=" + p.Arch, "GOAMD64=v1", "GOARM64=v8.0",
		"GOFLAGS=-mod=readonly", "GOWORK=off", "GOEXPERIMENT=", "GOFIPS140=off", "GOTOOLCHAIN=" + runtime.Version(),
	}
	ldflags := fmt.Sprintf("-s -w -buildid= -X azdo-pat/internal/cli.version=%s -X azdo-pat/internal/cli.commit=%s", o.Version, o.Commit)
	args := slices.Concat([]string{"build", "-trimpath", "-buildvcs=false"}, gcflags, []string{"-ldflags", ldflags, "-o", out, "."})
	if _, err := goCommand(ctx, tree, env, args...); err != nil {
		return nil, fmt.Errorf("build for %s: %w", p, err)
	}
	// The version names compiler experiments.
	if info, err := buildinfo.ReadFile(out); err != nil {
		return nil, err
	} else if info.GoVersion != runtime.Version() {
		return nil, fmt.Errorf("build for %s: built by %q instead of %q; \"go env -w\" may have set an experiment", p, info.GoVersion, runtime.Version())
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

// writeBinaries writes a binary for each platform, one SBOM, the manual, and the
// checksums of all.
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
