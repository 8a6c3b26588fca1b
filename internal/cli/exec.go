package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/process"
	"azdo-pat/internal/redact"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
)

func (c *app) execCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARG…]",
		Short: "Run a command with a PAT in its environment",
		Long: `exec mints a PAT, runs COMMAND with it in the variable AZURE_DEVOPS_EXT_PAT, or in
those that --env names, and revokes it when COMMAND ends. The PAT is short-lived
and is renewed as long as COMMAND runs: if the machine dies, so does the PAT.

COMMAND gets the terminal and the signals that azdo-pat receives; SIGINT, SIGTERM
and SIGHUP also revoke the PAT at once. The exit status is COMMAND's, or 128+n if
signal n ended it. It is 127 if COMMAND is not found and 126 if it cannot be
started; in both cases nothing was minted (outside Linux a file in a wrong format is
found only when it is started: the PAT is revoked, and the status is 1). It is 1 if
no PAT could be minted.

The credentials of azdo-pat itself are removed from COMMAND's environment. In a CI
system, *** replaces the PAT in what COMMAND writes.`,
		Example: `  azdo-pat exec --organization contoso --client-id BLUEPRINT --agent-id AGENT \
    --agent-user agent@contoso.com --federated-token-file "$TOKEN_FILE" \
    --scopes vso.build \
    -- az pipelines list --org https://dev.azure.com/contoso -p widgets

  # With the settings in AZDO_PAT_ORGANIZATION and so on:
  azdo-pat exec --scopes vso.project_manage --env AZDO_PERSONAL_ACCESS_TOKEN \
    -- terraform apply
  azdo-pat exec --scopes vso.packaging \
    -- sh -c 'curl --user ":$AZURE_DEVOPS_EXT_PAT" "$FEED"'`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch dash := cmd.ArgsLenAtDash(); {
			case len(args) == 0:
				return errors.New("there is no command to run")
			case dash < 0: // the command's flags would be parsed as ours
				return errors.New("put the command after --")
			case dash > 0:
				return fmt.Errorf("%s takes no arguments before --, %d found", cmd.CommandPath(), dash)
			}
			return nil
		},
		ValidArgsFunction: programs,
		Run: func(cmd *cobra.Command, args []string) {
			c.status = c.exec(cmd.Context(), flags(cmd), args)
		},
	}
}

// programs completes the name of a command, and leaves its arguments to the shell.
func programs(_ *cobra.Command, args []string, prefix string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) > 0 || prefix == "" || strings.ContainsAny(prefix, `/\`) {
		return nil, cobra.ShellCompDirectiveDefault
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		found, _ := filepath.Glob(filepath.Join(dir, strings.NewReplacer("*", "", "?", "", "[", "").Replace(prefix)+"*"))
		for _, path := range found {
			if _, err := exec.LookPath(path); err == nil {
				names = append(names, filepath.Base(path))
			}
		}
	}
	return names, cobra.ShellCompDirectiveDefault
}

func (c *app) exec(ctx context.Context, given map[string]string, command []string) int {
	x := &execution{app: c, command: command, stdout: c.Stdout, stderr: c.Stderr}
	if c.platform.Info().CI {
		x.shared = process.NewLineInterleaver(c.Stdout)
		c.Stdout = x.shared
		c.platform = ci.Detect(c.options(false))
	}
	var err error
	if x.s, err = c.load(settings.Exec, c.source(given, nil)); err != nil {
		return c.failed("exec", err)
	}
	if x.program, err = process.Find(command, x.Environ()); err != nil {
		return x.failed(fmt.Errorf("%w; nothing was minted", err))
	}
	if err = x.mint(ctx); err != nil {
		return x.failed(err)
	}
	status, err := x.run(ctx)
	if err != nil {
		return x.failed(err)
	}
	return status
}

// failed logs an error and returns the exit status for it.
func (x *execution) failed(err error) int {
	status := x.app.failed("exec", err)
	if e := (*process.StartError)(nil); errors.As(err, &e) {
		return e.Status
	}
	return status
}

// execution is one command that runs with a PAT.
type execution struct {
	*app
	s              *settings.Settings
	command        []string
	program        string                   // the command's path
	shared         *process.LineInterleaver // of the log and the command; nil at a terminal
	stdout, stderr io.Writer                // of this process
	execLease
}

// run runs the command and returns its exit status, or an error if it was not
// started.
func (x *execution) run(ctx context.Context) (status int, err error) {
	signals, giveBack := x.Catch()
	defer giveBack()
	if ctx.Err() != nil {
		return exitFailure, x.leaseClient().Undo(ctx, x.lease, context.Cause(ctx))
	}
	command, output, err := x.start()
	if err != nil {
		return exitFailure, x.leaseClient().Undo(ctx, x.lease, err)
	}
	x.bound(0)
	x.ran.Store(true)
	x.started.Store(true)
	x.startRenewing(ctx)
	return x.supervise(ctx, command, output, signals), nil
}

// supervise waits until the command has ended, its output is written and the PAT is
// released, and returns the exit status. On a signal to stop, it releases the PAT even
// if the command still runs.
func (x *execution) supervise(ctx context.Context, command *process.Process, output *process.Output, signals <-chan os.Signal) (status int) {
	// Once this is cancelled, the release has its grace period, as in the post step.
	releaseCtx, hurry := context.WithCancelCause(ctx)
	defer hurry(nil)
	ended, drained, released := make(chan int, 1), make(chan struct{}), make(chan func() int, 1)
	go func() { ended <- command.Wait() }()
	release := sync.OnceFunc(func() {
		go func() { released <- sync.OnceValue(x.release(releaseCtx)) }()
	})
	var stopped error            // the signal to stop
	var reportRelease func() int // logs how the release ended, once; nil until it has
	for hasEnded := false; !hasEnded || reportRelease == nil || drained != nil; {
		select {
		case signal := <-signals:
			command.Signal(signal)
			if !slices.Contains(process.Stopping, signal) {
				continue
			}
			x.ending.Store(true)
			release()
			if stopped == nil {
				stopped = fmt.Errorf("stopped by a signal (%s)", signal)
				x.platform.Log().Infof("%v, which is passed on to %s; the PAT is no longer renewed", stopped, x.shown())
			}
			if hasEnded {
				x.bound(ShutdownTimeout)
				hurry(stopped)
			}
		case reportRelease = <-released:
			if !hasEnded {
				reportRelease()
			}
		case status = <-ended:
			hasEnded = true
			x.started.Store(false)
			x.bound(x.s.Timeout + process.DrainTimeout + ShutdownTimeout)
			release()
			if stopped != nil {
				hurry(stopped)
			}
			go func() { x.drain(output); close(drained) }()
		case <-drained:
			drained = nil
		}
	}
	if reportRelease() != exitOK || x.revoked != nil && status == exitOK {
		return exitFailure
	}
	return status
}

// shown is the command in the log, without arguments: they may hold credentials.
func (x *execution) shown() string { return sanitize.Line(filepath.Base(x.command[0]), 100) }

// start starts the command.
func (x *execution) start() (*process.Process, *process.Output, error) {
	cmd := &exec.Cmd{Path: x.program, Args: x.command, Env: x.environment(), Stdout: x.stdout, Stderr: x.stderr}
	if x.Stdin != nil {
		cmd.Stdin = x.Stdin
	}
	out := new(process.Output)
	defer out.CloseCommandEnds()
	err := x.redactOutput(cmd, out)
	var command *process.Process
	if err == nil {
		command, err = process.Start(cmd)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", x.shown(), err)
	}
	return command, out, nil
}

// redactOutput connects the command's output to pipes and redacts it. At a terminal it
// does nothing, since the command writes to the terminal directly.
func (x *execution) redactOutput(cmd *exec.Cmd, out *process.Output) error {
	if x.shared == nil {
		return nil
	}
	pipe := func(w io.Writer) (*os.File, error) {
		redacted, err := redact.NewWriter(w, x.lease.Token.Secret)
		if err != nil {
			return nil, err
		}
		return out.Pipe(redacted)
	}
	stdout, err := pipe(x.shared.Command())
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = stdout, stdout
	if process.SameFile(x.stdout, x.stderr) { // with two pipes the order of lines is lost
		return nil
	}
	cmd.Stderr, err = pipe(x.stderr)
	return err
}

// drain waits for the rest of the command's output.
func (x *execution) drain(out *process.Output) {
	if more := out.Drain(); more {
		x.platform.Log().Infof("%s has ended; a process that it started still has its output open; azdo-pat does not wait for it", x.shown())
	}
}

// environment is the caller's, without azdo-pat's own credentials and with the PAT. A
// copy of the job's token under another name stays: the caller made it for another
// program.
func (x *execution) environment() []string {
	ours := append(settings.SecretVariables(), platformVariables...)
	env := slices.DeleteFunc(slices.Clone(x.Environ()), func(entry string) bool {
		name, value, _ := strings.Cut(entry, "=")
		same := func(other string) bool { return process.SameVariable(name, other) }
		isGiven := func(v secret.Value) bool {
			return !v.IsZero() && strings.TrimSpace(value) == strings.TrimSpace(v.Reveal())
		}
		return slices.ContainsFunc(ours, same) || slices.ContainsFunc(x.s.Env, same) || slices.ContainsFunc(x.s.Credentials(), isGiven)
	})
	for _, name := range x.s.Env {
		env = append(env, name+"="+x.lease.Token.Secret.Reveal())
	}
	return env
}

// platformVariables hold the credentials that a CI system gives to a job and, on
// GitHub, the URL to use them at.
var platformVariables = []string{"ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_RUNTIME_TOKEN", "SYSTEM_ACCESSTOKEN"}
