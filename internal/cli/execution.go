package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/process"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
	"azdo-pat/internal/toolconfig"
)

// execution is one command that runs with a PAT.
type execution struct {
	*loaded
	held           held
	command        []string
	program        string                   // the command's path
	toolVariables  []toolconfig.Variable    // of the tools that are set up for the command
	shared         *process.LineInterleaver // of the log and the command; nil at a terminal
	stdout, stderr io.Writer                // of this process
	running        atomic.Bool              // the command has started and has not ended
	ran            atomic.Bool              // the command has started
	// commandsStopped: the command may have turned off the CI system's logging commands.
	commandsStopped atomic.Bool
	stopped         error // the signal to stop, if one came since the command was started
}

// newExecution reads the settings of exec or rotate. With an error, the result is only
// good for reporting it.
func newExecution(a *app, name settings.Command, given map[string]string, command []string) (x *execution, err error) {
	x = &execution{command: command, stdout: a.Stdout, stderr: a.Stderr}
	if a.platform.Info().CI {
		x.shared = process.NewLineInterleaver(a.Stdout)
		a = a.withOutput(x.shared, false)
	}
	x.loaded, err = a.load(name, a.source(given, nil))
	if err != nil {
		return x, err
	}
	o := x.SignIn.Options
	o.Mask, o.Log = x.maskFetched, x.quietLog()
	x.SignIn = signin.New(o)
	return x, nil
}

// conclude reports err and returns the error for the exit status.
func (x *execution) conclude(name string, status int, err error) error {
	if start := (*process.StartError)(nil); errors.As(err, &start) {
		_ = x.failed(name, err)
		return exitStatus(start.Status)
	}
	if err != nil {
		return x.failed(name, err)
	}
	return exit(status)
}

// commandAfterDash checks the arguments of exec and rotate.
func commandAfterDash(cmd *cobra.Command, args []string) error {
	switch dash := cmd.ArgsLenAtDash(); {
	case len(args) == 0:
		return errors.New("there is no command to run")
	case dash < 0: // azdo-pat would parse the command's flags as its own
		return errors.New("put the command after --")
	case dash > 0:
		return fmt.Errorf("%s takes no arguments before --, %d found", cmd.CommandPath(), dash)
	}
	return nil
}

// hooks are called while the command runs and when it ends.
type hooks struct {
	onStart func(context.Context) // the command was started
	onStop  func(signal error)    // the first signal to stop was forwarded
	// stopEarly: on a signal to stop, release is called while the command still runs.
	stopEarly bool
	// release revokes. status is the command's exit status, or 0 if it still runs.
	release func(ctx context.Context, status int)
	// report logs what release did, after the command's last output. An error makes the
	// exit status 1.
	report func() error
}

// runHeld runs the command with the token and returns its exit status, or an error if it
// was not started.
func (x *execution) runHeld(ctx context.Context, h hooks) (status int, err error) {
	signals, giveBack := x.Catch()
	defer giveBack()
	if ctx.Err() != nil {
		return exitFailure, x.held.Undo(ctx, context.Cause(ctx))
	}
	command, output, err := x.start()
	if err != nil {
		return exitFailure, x.held.Undo(ctx, err)
	}
	x.limit.set(0)
	x.ran.Store(true)
	x.running.Store(true)
	h.onStart(ctx)
	return x.supervise(ctx, command, output, signals, h), nil
}

// supervise waits until the command has ended, its output is written and the token is
// released, and returns the exit status.
func (x *execution) supervise(ctx context.Context, command Process, output *process.Output, signals <-chan os.Signal, h hooks) (status int) {
	// When this is cancelled, the release still has its grace period.
	releaseCtx, cancelRelease := context.WithCancelCause(ctx)
	defer cancelRelease(nil)
	var (
		renewed  = done(func() { x.RenewRefreshToken(releaseCtx) })
		exited   = result(command.Wait)
		written  = make(chan struct{}) // closed when the command's output is written
		released <-chan error          // gets the report's error, once release was called
		failed   error                 // the report's error
	)
	release := sync.OnceFunc(func() {
		x.ending.Store(true)
		status := status
		released = result(func() error {
			h.release(releaseCtx, status)
			if !x.running.Load() { // report after the command's last output
				<-written
			}
			return h.report()
		})
	})
	for exited != nil || released != nil {
		select {
		case signal := <-signals:
			command.Signal(signal)
			if !slices.Contains(process.Stopping, signal) {
				continue
			}
			if h.stopEarly {
				release()
			}
			if x.stopped == nil {
				x.stopped = fmt.Errorf("stopped by a signal (%s)", signal)
				h.onStop(x.stopped)
			}
			if exited == nil {
				x.limit.set(ShutdownTimeout)
				cancelRelease(x.stopped)
			}
		case status = <-exited:
			exited = nil
			x.running.Store(false)
			x.limit.set(x.Settings.Timeout + process.DrainTimeout + ShutdownTimeout)
			release()
			if x.stopped != nil {
				cancelRelease(x.stopped)
			}
			go func() { x.drain(output); close(written) }()
		case failed = <-released:
			released = nil
		}
	}
	<-written
	<-renewed
	if failed != nil {
		return exitFailure
	}
	return status
}

// result delivers what f returns.
func result[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return c
}

// done calls f in the background and closes the channel when it has returned.
func done(f func()) <-chan struct{} {
	c := make(chan struct{})
	go func() { defer close(c); f() }()
	return c
}

// quietLog is the job's log. While the command runs, progress goes to the debug log, so
// that it does not mix with the command's output.
type quietLog struct {
	*ci.Log
	quiet func() bool
}

// Infof implements [signin.Log].
func (l quietLog) Infof(format string, args ...any) {
	if l.quiet() {
		l.Debugf(format, args...)
		return
	}
	l.Log.Infof(format, args...)
}

func (x *execution) quietLog() quietLog { return quietLog{x.platform.Log(), x.running.Load} }

// maskFetched keeps a credential that was received while signing in out of the log. Once
// the command was started, it writes no mask: the command may have turned off logging
// commands (stop-commands), and a mask would then show the credential.
func (x *execution) maskFetched(v secret.Value) error {
	if x.ran.Load() {
		return x.platform.Log().Hide(v)
	}
	return x.mask(v)
}
