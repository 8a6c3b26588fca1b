package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/hint"
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

COMMAND gets the terminal, and signals that azdo-pat is sent; SIGINT, SIGTERM and
SIGHUP also revoke the PAT at once. The exit status is COMMAND's, or 128+n if
signal n ended it. It is 127 if COMMAND is not found and 126 if it cannot be
started; then nothing was minted. It is 1 if there is no PAT.

The credentials that azdo-pat itself was given are not in COMMAND's environment.
In a CI system the PAT is replaced by *** in what COMMAND writes.`,
		Example: `  azdo-pat exec --organization contoso --client-id BLUEPRINT --agent-id AGENT \
    --agent-user agent@contoso.com --federated-token-file "$TOKEN_FILE" \
    --scopes vso.build -- az pipelines list --org https://dev.azure.com/contoso -p widgets

  # With the settings in AZDO_PAT_ORGANIZATION and so on:
  azdo-pat exec --scopes vso.project_manage --env AZDO_PERSONAL_ACCESS_TOKEN -- terraform apply
  azdo-pat exec --scopes vso.packaging -- sh -c 'curl --user ":$AZURE_DEVOPS_EXT_PAT" "$FEED"'`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch dash := cmd.ArgsLenAtDash(); {
			case len(args) == 0:
				return errors.New("there is no command to run")
			case dash < 0: // its flags would be taken for ours
				return errors.New("the command does not stand behind --")
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

// programs completes the name of a command, and leaves what follows to the shell.
func programs(_ *cobra.Command, args []string, begun string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) > 0 || begun == "" || strings.ContainsAny(begun, `/\`) {
		return nil, cobra.ShellCompDirectiveDefault
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		found, _ := filepath.Glob(filepath.Join(dir, strings.NewReplacer("*", "", "?", "", "[", "").Replace(begun)+"*"))
		for _, path := range found {
			if _, err := exec.LookPath(path); err == nil {
				names = append(names, filepath.Base(path))
			}
		}
	}
	return names, cobra.ShellCompDirectiveDefault
}

func (c *app) exec(ctx context.Context, given map[string]string, command []string) int {
	c.alone = true
	x := &execution{app: c, command: command, stdout: c.Stdout, stderr: c.Stderr}
	if c.platform.Info().CI {
		x.shared = ci.Share(c.Stdout)
		c.Stdout = x.shared
		c.platform = ci.Detect(c.options(false))
	}
	var err error
	if x.s, err = c.load(settings.Exec, c.source(given, nil)); err != nil {
		return c.failed("exec", err)
	}
	if x.program, err = find(command[0]); err == nil {
		err = startable(x.program)
		if err == nil {
			err = tryStart(&exec.Cmd{Path: x.program, Args: command, Env: x.Environ()})
		}
		if err != nil {
			err = &notStarted{unstartable(command[0], err), cannotStart}
		}
	}
	if err != nil {
		return x.failed(err)
	}
	if err = x.acquire(ctx); err != nil {
		return x.failed(err)
	}
	status, err := x.run(ctx)
	if err != nil {
		return x.failed(err)
	}
	return status
}

// The statuses of a command that did not run, as a shell has them.
const (
	cannotStart = 126
	notFound    = 127
)

// notStarted is why a command did not run, and the exit status for it.
type notStarted struct {
	error
	status int
}

func (e *notStarted) Unwrap() error { return e.error }

// failed says what failed and returns the exit status for it.
func (x *execution) failed(err error) int {
	status := x.app.failed("exec", err)
	if e := (*notStarted)(nil); errors.As(err, &e) {
		return e.status
	}
	return status
}

// find returns the path of a program.
func find(name string) (string, error) {
	shown := shownProgram(name)
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path, nil
	case errors.Is(err, exec.ErrDot):
		return "", &notStarted{hint.Add(fmt.Errorf("%q is found in the current directory alone, which is not searched; nothing was minted", shown), "write it with its directory, as in ./"+shown), notFound}
	case errors.Is(err, exec.ErrNotFound):
		if denied := foundDenied(name); denied != "" {
			return "", &notStarted{fmt.Errorf("%q cannot be started: %s: %w; nothing was minted", shown, sanitize.Line(denied, 200), fs.ErrPermission), cannotStart}
		}
		return "", &notStarted{hint.Add(fmt.Errorf("%q is not found; nothing was minted", shown), "the first word after -- is looked for in PATH; what only a shell knows needs one: -- sh -c '…'"), notFound}
	case errors.Is(err, fs.ErrNotExist):
		return "", &notStarted{unstartable(name, err), notFound}
	}
	return "", &notStarted{unstartable(name, err), cannotStart}
}

// foundDenied is the first file of that name in PATH that may not be executed.
func foundDenied(name string) string {
	if strings.ContainsAny(name, `/\`) {
		return ""
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// unstartable is the error for a program that cannot be started.
func unstartable(name string, err error) error {
	why := err
	// Without the name, which is said already.
	if e := (*exec.Error)(nil); errors.As(why, &e) {
		why = e.Err
	}
	if e := (*fs.PathError)(nil); errors.As(why, &e) {
		why = e.Err
	}
	return hint.Add(fmt.Errorf("%q cannot be started: %w; nothing was minted", shownProgram(name), why), hint.Of(err))
}

// shownProgram is the name of a program for a message. NAME=VALUE is a shell's way
// to set a variable, and the value may be a credential.
func shownProgram(name string) string {
	if variable, _, assigns := strings.Cut(name, "="); assigns {
		return sanitize.Line(variable, 100) + "=…"
	}
	return sanitize.Line(name, 200)
}

// execution is one command that runs with a PAT.
type execution struct {
	*app
	s              *settings.Settings
	command        []string
	program        string              // its path
	shared         *ci.LineInterleaver // of the log and the command; nil: on a terminal
	stdout, stderr io.Writer           // the program's own
	execLease
}

// run runs the command and returns its status, or an error if it could not be
// started.
func (x *execution) run(ctx context.Context) (status int, err error) {
	signals, giveBack := x.Catch()
	defer giveBack()
	if ctx.Err() != nil {
		return exitFailure, x.lessor().Undo(ctx, x.lease, context.Cause(ctx))
	}
	running, out, err := x.start()
	if err != nil {
		return exitFailure, x.lessor().Undo(ctx, x.lease, err)
	}
	x.bound(0)
	x.ran.Store(true)
	x.started.Store(true)
	x.keep(ctx)

	// Told to stop, the release goes on for a while, as that of the post step does.
	told, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ended, drained, released := make(chan int, 1), make(chan struct{}), make(chan func() int, 1)
	go func() { ended <- running.wait() }()
	release := sync.OnceFunc(func() { go func() { released <- sync.OnceValue(x.release(told)) }() })
	var cause error       // why it was told to stop
	var report func() int // says how the release went, once
	for over := false; !over || report == nil || drained != nil; {
		select {
		case signal := <-signals:
			running.pass(signal)
			if !slices.Contains(stopping, signal) {
				continue
			}
			x.ending.Store(true)
			release()
			if cause == nil {
				cause = fmt.Errorf("stopped by a signal (%s)", signal)
				x.platform.Log().Infof("%v, which is passed on to %s; the PAT is not kept any longer", cause, x.shown())
			}
			if over {
				x.bound(ShutdownTimeout)
				stop(cause)
			}
		case report = <-released:
			if !over {
				report()
			}
		case status = <-ended:
			over = true
			x.started.Store(false)
			x.bound(x.s.Timeout + linger + ShutdownTimeout)
			release()
			if cause != nil {
				stop(cause)
			}
			go func() { x.drain(out); close(drained) }()
		case <-drained:
			drained = nil
		}
	}
	if report() != exitOK || x.revoked != nil && status == exitOK {
		status = exitFailure
	}
	return status, nil
}

// shown is the command for a line of the log: its arguments may hold credentials.
func (x *execution) shown() string { return sanitize.Line(filepath.Base(x.command[0]), 100) }

// start starts the command.
func (x *execution) start() (*child, outputs, error) {
	out, err := x.outputs()
	if err != nil {
		return nil, out, fmt.Errorf("%s could not be started: %w", x.shown(), err)
	}
	defer out.handed()
	cmd := &exec.Cmd{
		Path: x.program, Args: x.command, Env: x.environment(),
		Stdout: out.stdout, Stderr: out.stderr,
	}
	if x.Stdin != nil {
		cmd.Stdin = x.Stdin
	}
	running, err := start(cmd)
	if err != nil {
		err = &notStarted{fmt.Errorf("%s could not be started: %w", x.shown(), err), cannotStart}
	}
	return running, out, err
}

// environment is the command's: the caller's without our own credentials, and with
// the PAT. What the caller put under a name of their own, such as the job's request
// token for another program, stays.
func (x *execution) environment() []string {
	ours := append(settings.SecretVariables(), platformVariables...)
	env := slices.DeleteFunc(slices.Clone(x.Environ()), func(entry string) bool {
		name, value, _ := strings.Cut(entry, "=")
		same := func(other string) bool { return sameVariable(name, other) }
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

// platformVariables are those in which a CI system gives a job its own credentials
// and, on GitHub, where to use them.
var platformVariables = []string{"ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_RUNTIME_TOKEN", "SYSTEM_ACCESSTOKEN"}
