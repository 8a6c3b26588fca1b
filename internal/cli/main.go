package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	stdlog "log"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"azdo-pat/internal/process"
)

// memory is how many bytes of memory are worth more than the time to collect
// them: what a server sends in vain must not add up.
const memory = 24 << 20

// Main is the program: it runs the command that os.Args names, and exits.
func Main() {
	debug.SetMemoryLimit(memory)
	// net/http logs what a server sends without being asked, as it came: a line
	// that GitHub would read a logging command from.
	stdlog.SetOutput(io.Discard)
	os.Exit(run())
}

func run() int {
	// A log that nobody reads any more is no reason to leave a PAT behind. The
	// signal is not ignored, since what exec starts would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := context.WithCancelCause(context.Background())
	host, _ := os.Hostname()
	return Run(ctx, System{
		Args: os.Args, LookupEnv: os.LookupEnv, Environ: os.Environ,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Random: rand.Reader, Now: time.Now, After: time.After, Host: host,
		Bound: func(d time.Duration) func() {
			timer := time.AfterFunc(d, func() { giveUp("its time was up") })
			return func() { timer.Stop() }
		},
		Catch: listen(stop),
	})
}

// giveUp ends the program, whatever it is doing: mostly it waits for somebody to
// read what it writes. The word of it may not be read either.
func giveUp(why string) {
	said := make(chan struct{})
	go func() {
		fmt.Fprintf(os.Stderr, "azdo-pat: ended, since %s; does anybody read its output?\n", why)
		close(said)
	}()
	select {
	case <-said:
	case <-time.After(50 * time.Millisecond):
	}
	os.Exit(1)
}

// listen ends the program when it is told to stop: by stop, and if that takes too
// long, at once. It returns what takes the signals over for a while.
func listen(stop context.CancelCauseFunc) (catch func() (<-chan os.Signal, func())) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // by nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	var mu sync.Mutex
	var caught chan os.Signal
	told := func(s os.Signal) {
		mu.Lock()
		defer mu.Unlock()
		if caught == nil {
			stop(fmt.Errorf("stopped by a signal (%s)", s))
			time.AfterFunc(ShutdownTimeout, func() { giveUp("it was told to stop and did not in time") })
			return
		}
		select {
		case caught <- s:
		default: // more than anybody reads
		}
	}
	go func() {
		for s := range signals {
			told(s)
		}
	}()
	turn := func(to chan os.Signal) {
		mu.Lock()
		defer mu.Unlock()
		caught = to
	}
	return func() (<-chan os.Signal, func()) {
		to := make(chan os.Signal, 16)
		turn(to)
		for _, s := range process.Forwarded { // none would mean all
			signal.Notify(signals, s)
		}
		return to, func() {
			for _, s := range process.Forwarded {
				signal.Reset(s)
			}
			turn(nil)
		}
	}
}
