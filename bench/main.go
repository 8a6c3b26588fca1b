//go:build linux

// Command bench measures azdo-pat and prints two tables in Markdown: how long a
// mint takes, as a ratio to the floor in round trips and to a program made of
// Microsoft's SDKs, and what the program and its image weigh. README.md says
// what each figure means, and how the way to the services is made long.
//
//	go run ./bench      # under two minutes
//	go run ./bench -n 1 # whether it still works
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

	"azdo-pat/internal/emulator"
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

// subjects are what is measured. The first three do the same job.
var subjects = []subject{
	{"azdo-pat, agent user", azdoPAT, emulator.AgentUser, 7},
	{"stock SDKs, agent user", stock, emulator.AgentUser, 7},
	{"bare net/http, agent user", bare, emulator.AgentUser, 7},
	{"azdo-pat, refresh token", azdoPAT, emulator.RefreshToken, 5},
	{"azdo-pat, password", azdoPAT, emulator.Password, 5},
	{"azdo-pat, access token", azdoPAT, emulator.AccessToken, 3},
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
	if _, err := b.round(ctx, 0, 0); err != nil {
		return err
	}
	results := map[time.Duration][]result{}
	for _, rtt := range distances {
		fmt.Fprintf(stderr, "round trips of %s: ", rtt)
		results[rtt] = make([]result, len(subjects))
		for i := range *n {
			measured, err := b.round(ctx, rtt, i)
			if err != nil {
				return err
			}
			for s, m := range measured {
				results[rtt][s] = append(results[rtt][s], m)
			}
			fmt.Fprint(stderr, ".")
		}
		fmt.Fprintln(stderr)
	}
	_, err = fmt.Fprintf(stdout, "%s, %s/%s, %d cores; %d runs at each distance.\n\n%s\n%s",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), *n,
		times(results), weights(results, b.image))
	return err
}
