package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/process"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
)

// app is what all commands share. Its fields do not change: [app.withOutput] returns a
// copy.
type app struct {
	System
	platform ci.Platform
	log      *stream         // where the platform's log goes in a CI system
	stopping <-chan struct{} // closed when the program is told to stop
	out      *printer
	limit    *timeLimit
	// ending: only revoking is left to do. Neither the log nor a mask may delay that.
	ending *atomic.Bool
}

func newApp(ctx context.Context, w System) *app {
	a := &app{System: w, stopping: ctx.Done(), out: &printer{Writer: w.Stdout}, limit: &timeLimit{exit: w.Exit}, ending: new(atomic.Bool)}
	return a.withOutput(w.Stdout, false)
}

// withOutput returns a copy of the app with another standard output. With json, standard
// output is for the result alone, and the log goes to standard error.
func (a *app) withOutput(stdout io.Writer, json bool) *app {
	b := *a
	b.Stdout = stdout
	out := &stream{Writer: stdout, stopping: a.stopping, ending: a.ending}
	err := &stream{Writer: a.Stderr, stopping: a.stopping, ending: a.ending}
	b.log = out
	if json {
		b.log = err
	}
	b.platform = ci.Detect(ci.Options{LookupEnv: a.LookupEnv, Stdout: out, Stderr: err, Random: a.Random, JSON: json, Host: a.Host, Previous: a.platform})
	return &b
}

// mask keeps a credential out of the log. A mask that cannot be written is no error while
// revoking: then the log itself cannot be written, and the PAT must still be revoked.
func (a *app) mask(v secret.Value) error {
	if err := a.platform.Mask(v); err != nil && (!a.ending.Load() || errors.Is(err, ci.ErrTooShort)) {
		return err
	}
	return nil
}

// failed logs the error of a command and returns the error for its exit status.
func (a *app) failed(command string, err error) error {
	title, status := " failed", exitFailure
	if wrong := (*settings.Problems)(nil); errors.As(err, &wrong) {
		title, status = ": wrong settings", exitUsage
	}
	a.platform.Log().Error("azdo-pat "+command+title, err)
	a.fallbackToStderr(command + title + ": " + ci.Explain(err))
	return exitStatus(status)
}

// fallbackToStderr writes text to standard error if the CI system's log could not be
// written.
func (a *app) fallbackToStderr(text string) {
	if a.platform.Info().CI && a.log.failed.Load() {
		fmt.Fprintf(a.Stderr, "azdo-pat: %s\n", strings.ReplaceAll(sanitize.NoCommands(a.platform.Log().Redact(text)), "\n", "\n  "))
	}
}

// summary adds Markdown to the summary of the job.
func (a *app) summary(markdown string) {
	if err := a.platform.Summary(markdown); err != nil {
		a.platform.Log().Warning("no summary", err.Error())
	}
}

// timeLimit exits the process when its time has passed; see [System.Exit].
type timeLimit struct {
	exit  func(why string)
	timer *time.Timer // nil: there is no limit
}

// set limits how long the program may still run. Zero removes the limit.
func (l *timeLimit) set(d time.Duration) {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if d > 0 {
		l.timer = time.AfterFunc(d, func() { l.exit("its time limit has passed") })
	}
}

// printer is standard output for a command that only prints. A reader that closes the
// pipe early, such as "| head -1", is not an error.
type printer struct {
	io.Writer
	failed error // the first error
}

// Write implements [io.Writer].
func (p *printer) Write(text []byte) (int, error) {
	n, err := p.Writer.Write(text)
	if err != nil && process.IsBrokenPipe(err) {
		p.Writer = io.Discard
		return len(text), nil
	}
	if p.failed == nil {
		p.failed = err
	}
	return n, err
}
