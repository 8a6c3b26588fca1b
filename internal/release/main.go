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
	command, ok := map[string]func(context.Context, *call) error{
		"binaries": runBinaries, "image": runImage, "push": runPush,
		"action": runAction, "notes": runNotes, "man": runMan,
	}[args[0]]
	if !ok {
		return fmt.Errorf("there is no command %q: binaries, image, push, action, notes or man", args[0])
	}
	c := &call{
		FlagSet: flag.NewFlagSet("release "+args[0], flag.ContinueOnError),
		name:    args[0], args: args[1:], env: env, stdout: stdout, stderr: stderr,
	}
	c.SetOutput(stderr)
	c.StringVar(&c.tree, "C", ".", "directory of the source")
	return command(ctx, c)
}

// call is one call of a command. The command adds its flags, and then parses them.
type call struct {
	*flag.FlagSet
	name           string
	args           []string
	env            func(string) (string, bool)
	stdout, stderr io.Writer

	tree   string // the directory of the source
	origin origin
}

// addOriginFlags adds the flags that say where the source comes from.
func (c *call) addOriginFlags() {
	c.StringVar(&c.origin.Version, "version", "dev", "version to stamp, such as v1.2.3")
	c.StringVar(&c.origin.Commit, "commit", "unknown", "commit to stamp, 40 hex digits")
	c.StringVar(&c.origin.Source, "source", "", "URL of the repository")
}

// parse parses the arguments.
func (c *call) parse() (err error) {
	if err := c.Parse(c.args); err != nil {
		return err
	}
	if c.NArg() > 0 {
		return fmt.Errorf("%s takes no arguments, found %q", c.name, c.FlagSet.Args())
	}
	c.origin.Time, err = sourceDate(c.env)
	if err != nil {
		return err
	}
	return c.origin.check()
}

// parseForBuild parses the arguments, and checks the version of Go if a release is
// built. A trial build may use any.
func (c *call) parseForBuild(ctx context.Context) error {
	if err := c.parse(); err != nil {
		return err
	}
	if c.origin.Version == "dev" {
		return nil
	}
	return checkToolchain(ctx, c.tree)
}

func runBinaries(ctx context.Context, c *call) error {
	c.addOriginFlags()
	out := c.String("out", "dist", "directory to write to")
	if err := c.parseForBuild(ctx); err != nil {
		return err
	}
	return writeBinaries(ctx, c.tree, *out, c.origin, c.stderr)
}

func runImage(ctx context.Context, c *call) error {
	c.addOriginFlags()
	out := c.String("out", "", "directory to write the OCI layout to; empty: only print the digest")
	if err := c.parseForBuild(ctx); err != nil {
		return err
	}
	index, err := buildIndex(ctx, c.tree, c.origin)
	if err != nil {
		return err
	}
	if *out != "" {
		if err := writeLayout(*out, index); err != nil {
			return err
		}
	}
	return printDigest(c.stdout, index)
}

func runPush(ctx context.Context, c *call) error {
	from := c.String("layout", "", "OCI layout that image wrote")
	to := c.String("to", "", "where to: REGISTRY/NAME:TAG")
	if err := c.parse(); err != nil {
		return err
	}
	index, err := readLayout(*from)
	if err != nil {
		return err
	}
	if err := push(ctx, index, *to, credentials(c.env)); err != nil {
		return err
	}
	return printDigest(c.stdout, index)
}

func runAction(_ context.Context, c *call) error {
	image := c.String("image", "", "the image to pin: REGISTRY/NAME@sha256:…")
	in := c.String("in", "action.yml", "the action.yml to read")
	out := c.String("out", "", "file to write to")
	if err := c.parse(); err != nil {
		return err
	}
	return rewrite(*in, *out, func(text []byte) ([]byte, error) { return pinImage(text, *image) })
}

func runNotes(_ context.Context, c *call) error {
	c.addOriginFlags()
	in := c.String("in", "CHANGELOG.md", "the changelog to read")
	out := c.String("out", "", "file to write to")
	if err := c.parse(); err != nil {
		return err
	}
	return rewrite(*in, *out, func(text []byte) ([]byte, error) { return notes(text, c.origin.Version) })
}

func runMan(_ context.Context, c *call) error {
	c.addOriginFlags()
	out := c.String("out", "", "file to write to")
	if err := c.parse(); err != nil {
		return err
	}
	if *out == "" {
		return errNoOut
	}
	return os.WriteFile(*out, manual(c.origin), 0o644)
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
	text, err = change(text)
	if err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	return os.WriteFile(out, text, 0o644)
}
