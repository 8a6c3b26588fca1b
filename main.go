// Command azdo-pat mints Azure DevOps personal access tokens that live no
// longer than the job that needs them. See README.md.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"azdo-pat/internal/cli"
	"azdo-pat/internal/lease"
)

// lastWord is how long the program may take to end once it was told to stop or
// its time is up: cleaning up, and a moment to say so. A standard output that
// nobody reads would hold it for ever.
const lastWord = lease.Cleanup + time.Second

func main() { os.Exit(run()) }

func run() int {
	// A log that nobody reads any more is no reason to leave a PAT behind.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		stop(fmt.Errorf("stopped by a signal (%s)", <-signals))
		time.Sleep(lastWord)
		os.Exit(1)
	}()
	host, _ := os.Hostname()
	return cli.Run(ctx, cli.World{
		Args: os.Args, LookupEnv: os.LookupEnv,
		Stdout: os.Stdout, Stderr: os.Stderr,
		Random: rand.Reader, Now: time.Now, Host: host,
	})
}
