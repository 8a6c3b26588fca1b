//go:build linux

// Command bench measures azdo-pat and prints two tables in Markdown: how long a
// mint takes, as a ratio to the floor in round trips and to a program made of
// Microsoft's SDKs, and what the program and its image weigh. README.md says
// what each figure means, and how the way to the services is made long.
//
//	go run ./internal/bench      # under two minutes
//	go run ./internal/bench -n 1 # whether it still works
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// subjects are the programs to measure. The first three do the same work.
var subjects = []subject{
	{"azdo-pat, agent user", azdoPAT, emulator.AgentUser, 7},
	{"stock SDKs, agent user", stock, emulator.AgentUser, 7},
	{"bare net/http, agent user", bare, emulator.AgentUser, 7},
	{"azdo-pat, refresh token", azdoPAT, emulator.RefreshToken, 5},
	{"azdo-pat, password", azdoPAT, emulator.Password, 5},
	{"azdo-pat, access token", azdoPAT, emulator.AccessToken, 3},
	{"azdo-pat, Entra token", azdoPAT, emulator.ServicePrincipal, 4},
}

// The programs, by the names of their files.
const (
	azdoPAT = "azdo-pat"
	stock   = "stock"
	bare    = "bare"
)

// A subject is a program with an identity.
type subject struct {
	name     string
	program  string
	identity emulator.Identity
	// floor is how many round trips are the least: two for the first
	// handshake, and one for each request.
	floor int
}

// distances are how long a round trip takes.
var distances = []time.Duration{0, 20 * time.Millisecond, 50 * time.Millisecond, 150 * time.Millisecond}

// A way leads to the services.
type way struct {
	rtt time.Duration
	// plain is without TLS, so that what the handshakes take is seen. Only the
	// agent user's mint by azdo-pat and the bare program goes it: MSAL insists
	// on TLS.
	plain bool
}

func ways() []way {
	all := []way{{plain: true}}
	for _, rtt := range distances {
		all = append(all, way{rtt: rtt})
	}
	return all
}

func (w way) String() string {
	if w.plain {
		return "round trips of 0s, without TLS"
	}
	return "round trips of " + w.rtt.String()
}

// goes is whether a subject is measured on this way.
func (w way) goes(s subject) bool {
	return !w.plain || s.identity == emulator.AgentUser && s.program != stock
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	n := flags.Int("n", 7, "how often each program is run at each distance")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *n < 1 || flags.NArg() > 0 {
		return fmt.Errorf("found %q; allowed: -n of at least 1", args)
	}
	dir, err := os.MkdirTemp("", "azdo-pat-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir}
	fmt.Fprintln(stderr, "building the image, the program in it, and those to compare with")
	if err := b.build(ctx); err != nil {
		return err
	}
	// The first run of all finds nothing in memory.
	if _, err := b.round(ctx, way{}, 0); err != nil {
		return err
	}
	versions := map[string]result{}
	for range *n {
		for _, program := range []string{azdoPAT, bare} {
			m, err := b.version(ctx, program)
			if err != nil {
				return err
			}
			versions[program] = append(versions[program], m)
		}
	}
	results := map[way][]result{}
	for _, w := range ways() {
		fmt.Fprintf(stderr, "%s: ", w)
		results[w] = make([]result, len(subjects))
		for i := range *n {
			measured, err := b.round(ctx, w, i)
			if err != nil {
				return err
			}
			for s, m := range measured {
				results[w][s] = append(results[w][s], m)
			}
			fmt.Fprint(stderr, ".")
		}
		fmt.Fprintln(stderr)
	}
	_, err = fmt.Fprintf(stdout, "%s, %s/%s, %d cores; %d runs at each distance.\n\n%s\n%s",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), *n,
		times(results), weights(results, versions, b.image))
	return err
}
