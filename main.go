// Command azdo-pat mints Azure DevOps personal access tokens that live no
// longer than the job that needs them. See README.md.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"azdo-pat/internal/cli"
)

// memory is how many bytes of memory are worth more than the time to collect
// them: what a server sends in vain must not add up.
const memory = 24 << 20

func main() {
	debug.SetMemoryLimit(memory)
	os.Exit(run())
}

func run() int {
	// A log that nobody reads any more is no reason to leave a PAT behind.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		stop(fmt.Errorf("stopped by a signal (%s)", <-signals))
		time.Sleep(cli.LastWord)
		os.Exit(1)
	}()
	host, _ := os.Hostname()
	return cli.Run(ctx, cli.World{
		Args: os.Args, LookupEnv: os.LookupEnv,
		Stdout: os.Stdout, Stderr: os.Stderr,
		Random: rand.Reader, Now: time.Now, Host: host,
		Bound: func(d time.Duration) { time.AfterFunc(d, func() { os.Exit(1) }) },
	})
}
