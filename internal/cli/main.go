package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	stdlog "log"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"azdo-pat/internal/process"
)

// memoryLimit is in bytes. Near it the garbage collector runs as often as it must to stay
// below it.
const memoryLimit = 24 << 20

// Main is the program: it runs the command that os.Args names, and exits.
func Main() {
	debug.SetMemoryLimit(memoryLimit)
	// net/http logs unsolicited answers verbatim. GitHub would execute a logging command
	// in one.
	stdlog.SetOutput(io.Discard)
	os.Exit(run())
}

func run() int {
	// A closed log must not end the program; see [stream]. The signal is caught, not
	// ignored, because exec's command would inherit an ignored signal.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := context.WithCancelCause(context.Background())
	host, _ := os.Hostname()
	return Run(ctx, System{
		Args: os.Args, LookupEnv: os.LookupEnv, Environ: os.Environ,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Random: rand.Reader, Host: host,
		Start: func(cmd *exec.Cmd) (Process, error) { return process.Start(cmd) },
		Exit:  exitNow, Catch: listen(stop),
	})
}

// exitNow exits even if the program is blocked. Writing the message may block too, so it
// gets only 50 ms.
func exitNow(why string) {
	written := make(chan struct{})
	go func() {
		fmt.Fprintf(os.Stderr, "azdo-pat: stopped: %s; check that its output is being read\n", why)
		close(written)
	}()
	select {
	case <-written:
	case <-time.After(50 * time.Millisecond):
	}
	os.Exit(1)
}

// listen calls stop when a signal tells the program to stop, and exits the process if it
// does not end in time. While a caller of catch has the signals, they go to its channel
// instead.
func listen(stop context.CancelCauseFunc) (catch func() (<-chan os.Signal, func())) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	var mu sync.Mutex
	var caught chan os.Signal
	handle := func(s os.Signal) {
		mu.Lock()
		defer mu.Unlock()
		if caught == nil {
			stop(fmt.Errorf("stopped by a signal (%s)", s))
			time.AfterFunc(ShutdownTimeout, func() { exitNow("it did not end in time after a signal to stop") })
			return
		}
		select {
		case caught <- s:
		default: // the channel is full
		}
	}
	go func() {
		for s := range signals {
			handle(s)
		}
	}()
	redirect := func(to chan os.Signal) {
		mu.Lock()
		defer mu.Unlock()
		caught = to
	}
	return func() (<-chan os.Signal, func()) {
		to := make(chan os.Signal, 16)
		redirect(to)
		for _, s := range process.Forwarded { // one by one: Notify without signals means all of them
			signal.Notify(signals, s)
		}
		return to, func() {
			for _, s := range process.Forwarded {
				signal.Reset(s)
			}
			redirect(nil)
		}
	}
}
