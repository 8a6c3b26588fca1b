// Command release makes what a release of azdo-pat consists of, to the byte the
// same wherever and whenever it is run on the same source:
//
//	go run ./internal/release binaries -version v1.2.3 -commit … -out dist
//	go run ./internal/release image    -version v1.2.3 -commit … -out dist/image
//	go run ./internal/release push     -layout dist/image -to ghcr.io/OWNER/REPO:v1.2.3
//	go run ./internal/release action   -image ghcr.io/OWNER/REPO@sha256:… -out dist/action.yml
//	go run ./internal/release notes    -version v1.2.3 -out dist/notes.md
//	go run ./internal/release man      -version v1.2.3 -out azdo-pat.1
//
// The manual is among the files that binaries makes. Every time in an image, an
// SBOM or the manual is SOURCE_DATE_EPOCH, in seconds since 1970
// (https://reproducible-builds.org/specs/source-date-epoch/), or 0 where that is
// not set. Nothing else of the machine it runs on goes into what it makes.
//
// It is for the project's own workflows and never linked into azdo-pat.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// run runs the command that args name. Standard output carries what a workflow
// reads on: the digest of an image, and nothing else.
func run(ctx context.Context, args []string, env func(string) (string, bool), stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errors.New("which command? binaries, image, push, action, notes or man")
	}
	name := args[0]
	fs := flag.NewFlagSet("release "+name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	var o origin
	stamped := func() {
		fs.StringVar(&o.Version, "version", "dev", "version to stamp, such as v1.2.3")
		fs.StringVar(&o.Commit, "commit", "unknown", "commit to stamp, 40 hex digits")
		fs.StringVar(&o.Source, "source", "", "URL of the repository")
	}
	tree := fs.String("C", ".", "directory of the source")
	parse := func() error {
		if err := fs.Parse(args[1:]); err != nil {
			return err
		}
		if fs.NArg() > 0 {
			return fmt.Errorf("%s takes no arguments, found %q", name, fs.Args())
		}
		var err error
		if o.Time, err = sourceDate(env); err != nil {
			return err
		}
		return o.check()
	}
	// A trial build may use any version of Go.
	released := func() error {
		if o.Version == "dev" {
			return nil
		}
		return checkToolchain(ctx, *tree)
	}

	switch name {
	case "binaries":
		stamped()
		out := fs.String("out", "dist", "directory to write to")
		if err := parse(); err != nil {
			return err
		}
		if err := released(); err != nil {
			return err
		}
		return writeBinaries(ctx, *tree, *out, o, stderr)

	case "image":
		stamped()
		out := fs.String("out", "", "directory to write the OCI layout to; empty: the digest alone is wanted")
		if err := parse(); err != nil {
			return err
		}
		if err := released(); err != nil {
			return err
		}
		index, err := buildIndex(ctx, *tree, o)
		if err != nil {
			return err
		}
		if *out != "" {
			if err := writeLayout(*out, index); err != nil {
				return err
			}
		}
		return printDigest(stdout, index)

	case "push":
		from := fs.String("layout", "", "OCI layout that image wrote")
		to := fs.String("to", "", "where to: REGISTRY/NAME:TAG")
		if err := parse(); err != nil {
			return err
		}
		index, err := readLayout(*from)
		if err != nil {
			return err
		}
		if err := push(ctx, index, *to, credentials(env)); err != nil {
			return err
		}
		return printDigest(stdout, index)

	case "action":
		image := fs.String("image", "", "the image to pin: REGISTRY/NAME@sha256:…")
		in := fs.String("in", "action.yml", "the action.yml to read")
		out := fs.String("out", "", "file to write to")
		if err := parse(); err != nil {
			return err
		}
		return rewrite(*in, *out, func(text []byte) ([]byte, error) { return pinImage(text, *image) })

	case "notes":
		stamped()
		in := fs.String("in", "CHANGELOG.md", "the changelog to read")
		out := fs.String("out", "", "file to write to")
		if err := parse(); err != nil {
			return err
		}
		return rewrite(*in, *out, func(text []byte) ([]byte, error) { return notes(text, o.Version) })

	case "man":
		stamped()
		out := fs.String("out", "", "file to write to")
		if err := parse(); err != nil {
			return err
		}
		if *out == "" {
			return errNoOut
		}
		return os.WriteFile(*out, manual(o), 0o644)
	}
	return fmt.Errorf("there is no command %q: binaries, image, push, action, notes or man", name)
}

// sourceDate is the moment that everything is dated to.
func sourceDate(env func(string) (string, bool)) (time.Time, error) {
	text, ok := env("SOURCE_DATE_EPOCH")
	if !ok || text == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: found %q; allowed: seconds since 1970", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

var errNoOut = errors.New("-out: not set; the file to write to")

// rewrite reads a file and writes what change makes of it to another.
func rewrite(in, out string, change func([]byte) ([]byte, error)) error {
	if out == "" {
		return errNoOut
	}
	text, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	if text, err = change(text); err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	return os.WriteFile(out, text, 0o644)
}
