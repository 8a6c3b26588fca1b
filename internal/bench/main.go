//go:build linux

// Command bench measures azdo-pat and prints two tables in Markdown: how long a
// mint takes, compared with the fewest possible round trips and with a program
// made of Microsoft's SDKs; and the CPU time, memory and size of the program and
// its image. README.md explains each figure, and how latency is added.
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
	{"azdo-pat, refresh token in Key Vault", azdoPAT, emulator.VaultToken, 7},
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
	// floor is the lowest possible number of round trips: two for the first
	// handshake, and one for each request.
	floor int
}

// latencies are how long a round trip takes.
var latencies = []time.Duration{0, 20 * time.Millisecond, 50 * time.Millisecond, 150 * time.Millisecond}

// A network is between a program and the services.
type network struct {
	rtt time.Duration
	// plain is without TLS, to show the cost of the handshakes. Only the agent
	// user's mint by azdo-pat and by the bare program is measured on it: MSAL
	// requires TLS.
	plain bool
}

func networks() []network {
	all := []network{{plain: true}}
	for _, rtt := range latencies {
		all = append(all, network{rtt: rtt})
	}
	return all
}

func (n network) String() string {
	if n.plain {
		return "round trips of 0s, without TLS"
	}
	return "round trips of " + n.rtt.String()
}

// measures reports whether a subject is measured on this network.
func (n network) measures(s subject) bool {
	return !n.plain || s.identity == emulator.AgentUser && s.program != stock
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	n := flags.Int("n", 7, "how often each program is run at each latency")
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
	fmt.Fprintln(stderr, "building azdo-pat, its image, and the programs to compare it with")
	if err := b.build(ctx); err != nil {
		return err
	}
	// The first run is slower, because no file is cached. It is not counted.
	if _, err := b.round(ctx, network{}, 0); err != nil {
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
	results := map[network][]result{}
	for _, net := range networks() {
		fmt.Fprintf(stderr, "%s: ", net)
		results[net] = make([]result, len(subjects))
		for i := range *n {
			measured, err := b.round(ctx, net, i)
			if err != nil {
				return err
			}
			for s, m := range measured {
				results[net][s] = append(results[net][s], m)
			}
			fmt.Fprint(stderr, ".")
		}
		fmt.Fprintln(stderr)
	}
	_, err = fmt.Fprintf(stdout, "%s, %s/%s, %d cores; %d runs at each latency.\n\n%s\n%s",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), *n,
		timeTable(results), costTable(results, versions, b.image))
	return err
}
