// Package cli is the command line, with a file for each command: it reads the
// settings, does the work and reports the result.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/process"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
)

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2 // the settings or the command line are wrong; nothing was sent
)

// ShutdownTimeout is how long the program may take to end after it was told to stop
// or its time is up. Cleaning up and its last log lines are included.
const ShutdownTimeout = lease.Cleanup - 100*time.Millisecond

// System is every side effect of the program, except the network and the files that
// the settings name.
type System struct {
	Args      []string // Args[0] is the program's name, as in [os.Args]
	LookupEnv func(string) (string, bool)
	Environ   func() []string // as [os.Environ] does
	Stdin     *os.File        // for what exec starts; nil: the null device
	Stdout    io.Writer
	Stderr    io.Writer
	Random    io.Reader
	Now       func() time.Time
	After     func(time.Duration) <-chan time.Time // as [time.After] does
	Host      string                               // this machine's name
	// Bound exits the process after the given time unless stop is called first: a
	// write to a standard output that is not read would block forever.
	Bound func(time.Duration) (stop func())
	// Catch delivers the signals that would stop the run, and [process.Forwarded], to
	// the returned channel until giveBack is called.
	Catch func() (signals <-chan os.Signal, giveBack func())
}

// Run runs the command that the arguments name and returns the exit status. It stops
// early when ctx ends, and logs its [context.Cause].
func Run(ctx context.Context, w System) int {
	c := &app{System: w, told: ctx.Done(), out: printer{Writer: w.Stdout}}
	c.platform = ci.Detect(c.options(false))
	args := w.Args[1:]
	// The action's post step is the same binary under another name: main and
	// post have the same arguments there.
	if strings.TrimSuffix(filepath.Base(w.Args[0]), ".exe") == "post" {
		return c.post(ctx, args)
	}
	if c.platform.Info().ActionInputs {
		if input, _ := c.LookupEnv("INPUT_COMMAND"); input != "" && input != string(settings.Mint) {
			// As in mint, so that no other step can plant a record for the post step. This
			// command mints nothing, so failing to write the record is not an error.
			_ = c.platform.Record(lease.Record{Stage: lease.Started}.String())
		}
		var err error
		if args, err = c.actionArgs(args); err != nil {
			c.platform.Log().Error("azdo-pat wrong settings", err)
			return exitUsage
		}
	}
	args = joined(args)
	root := c.root(func(name string) bool { return slices.Contains(args, name) })
	root.SetArgs(args)
	root.SetErr(w.Stderr)
	err := unknownTopic(root, args)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if c.out.failed != nil && c.status == exitOK { // cobra's own commands do not report it
		return c.failed(root.Name(), fmt.Errorf("write to standard output: %w", c.out.failed))
	}
	if err != nil {
		c.platform.Log().Error("azdo-pat wrong command line", commandLineError(err, root, args))
		return exitUsage
	}
	return c.status
}

// unknownTopic is the error for arguments that cobra's own commands ignore: help for
// a command that does not exist, completion for another shell.
func unknownTopic(root *cobra.Command, args []string) error {
	if len(args) > 1 && args[0] == "--" {
		return errUnknownCommand
	}
	if len(args) < 2 || args[0] != "help" && args[0] != "completion" || strings.HasPrefix(args[1], "-") {
		return nil
	}
	path := args[1:]
	if args[0] == "completion" {
		path = args[:2]
	}
	if cmd, left, err := root.Find(path); err == nil && cmd != root && len(left) == 0 {
		return nil
	}
	return fmt.Errorf("unknown argument of %s %s", root.Name(), args[0])
}

// app is one run of the program.
type app struct {
	System
	told     <-chan struct{} // closed when the program is told to stop
	platform ci.Platform
	http     *http.Client   // once the settings are read
	signin   *signin.Client // once the settings are read
	unbound  func()         // cancels the limit that System.Bound set; nil: there is none
	// keptRoots are the roots of trust that the post step will need. Nil: there is
	// no post step.
	keptRoots *string
	// started: the command of exec is running. ran: it was started, and may have ended.
	// ending: only revoking is left to do.
	started, ran, ending atomic.Bool
	log                  *stream // where the platform's log goes in a CI system
	out                  printer
	status               int
}

// bound limits how long the program may still run. Zero removes the limit.
func (c *app) bound(d time.Duration) {
	if c.unbound != nil {
		c.unbound()
		c.unbound = nil
	}
	if d > 0 {
		c.unbound = c.Bound(d)
	}
}

func (c *app) options(json bool) ci.Options {
	stdout := &stream{Writer: c.Stdout, told: c.told, ending: &c.ending}
	stderr := &stream{Writer: c.Stderr, told: c.told, ending: &c.ending}
	if c.log = stdout; json {
		c.log = stderr
	}
	return ci.Options{LookupEnv: c.LookupEnv, Stdout: stdout, Stderr: stderr, Random: c.Random, JSON: json, Host: c.Host, Previous: c.platform}
}

// mask keeps a credential out of the log. While revoking, a mask that cannot be
// written is not an error: nothing else can be written to the log either.
func (c *app) mask(v secret.Value) error {
	if err := c.platform.Mask(v); err != nil && (!c.ending.Load() || errors.Is(err, ci.ErrTooShort)) {
		return err
	}
	return nil
}

// fallbackToStderr writes text to standard error if the log could not be written.
func (c *app) fallbackToStderr(text string) {
	if c.platform.Info().CI && c.log.failed.Load() {
		fmt.Fprintf(c.Stderr, "azdo-pat: %s\n", strings.ReplaceAll(sanitize.NoCommands(c.platform.Log().Redact(text)), "\n", "\n  "))
	}
}

// actionArgs checks the input command, which action.yml passes as the argument.
// An empty one counts as unset.
func (c *app) actionArgs(args []string) ([]string, error) {
	if len(args) == 1 && args[0] == "" {
		return []string{string(settings.Mint)}, nil
	}
	input, _ := c.LookupEnv("INPUT_COMMAND")
	if input != "" && len(args) == 1 && args[0] == input && !slices.Contains(actionCommands, settings.Command(input)) {
		found := fmt.Sprintf("%q", input)
		if !repeatable(input) {
			found = "a value that is not shown, since it may be a credential"
		}
		return nil, fmt.Errorf("command: found %s; allowed: mint, sweep or check", found)
	}
	return args, nil
}

// actionCommands are the commands of the action.
var actionCommands = []settings.Command{settings.Mint, settings.Sweep, settings.Check}

// Root is the command line with its help, from which the manual page is made.
func Root() *cobra.Command { return (&app{}).root(func(string) bool { return true }) }

// root adds flags only to the commands that named accepts: building all of them would
// delay each job, and only one command runs.
func (c *app) root(named func(string) bool) *cobra.Command {
	root := &cobra.Command{
		Use:   "azdo-pat",
		Short: "Azure DevOps personal access tokens that live no longer than the job",
		Long: `azdo-pat exchanges the OIDC identity of a CI job through Microsoft Entra ID for a
short-lived Azure DevOps personal access token (PAT) with only the scopes that the
job needs, and revokes it when the job is done.

A setting NAME is read from the flag --NAME, the action input NAME, the variable
AZDO_PAT_NAME and, for some settings, a variable of Azure's own tools. Secrets have
no flag, because other processes can read a command line.`,
		Example: `  # Find out what is missing and how to fix it:
  azdo-pat check

  # Mint a PAT that may read code for half an hour, and revoke it:
  lease=$(azdo-pat mint --scopes vso.code --lifetime 30m --output json)
  azdo-pat revoke --authorization-id "$(jq -r '.["authorization-id"]' <<<"$lease")"`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(c.mintCommand(), c.revokeCommand(), c.execCommand(), c.sweepCommand(), c.checkCommand(), c.scopesCommand(), c.versionCommand())
	for _, cmd := range root.Commands() {
		if named(cmd.Name()) {
			addFlags(cmd, settings.Command(cmd.Name()))
		}
	}
	root.SetOut(&c.out) // before InitDefaultCompletionCmd, which captures the writer
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for path, example := range examples {
		if cmd, _, err := root.Find(strings.Fields(path)); err == nil && cmd != root {
			cmd.Example = example
		}
	}
	return root
}

// examples are for the commands that cobra generates.
var examples = map[string]string{
	"help":                  "  azdo-pat help mint",
	"completion":            "  azdo-pat completion bash >/etc/bash_completion.d/azdo-pat",
	"completion bash":       "  source <(azdo-pat completion bash)",
	"completion zsh":        `  azdo-pat completion zsh >"${fpath[1]}/_azdo-pat"`,
	"completion fish":       "  azdo-pat completion fish >~/.config/fish/completions/azdo-pat.fish",
	"completion powershell": "  azdo-pat completion powershell | Out-String | Invoke-Expression",
}

// noArgs refuses arguments without repeating them: one may be a credential that
// was given in the wrong place.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, %d found", cmd.CommandPath(), len(args))
	}
	return nil
}

// failed logs the error of a command and returns its exit status.
func (c *app) failed(command string, err error) int {
	var wrong *settings.Problems
	if errors.As(err, &wrong) {
		c.platform.Log().Error("azdo-pat "+command+": wrong settings", err)
		c.fallbackToStderr(command + ": wrong settings: " + ci.Explain(err))
		return exitUsage
	}
	c.platform.Log().Error("azdo-pat "+command+" failed", err)
	c.fallbackToStderr(command + " failed: " + ci.Explain(err))
	return exitFailure
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

// printed reports that the output of a command could not be written.
func (c *app) printed(command string, err error) {
	if err != nil {
		c.status = c.failed(command, err)
	}
}

// withTimeout limits ctx by the setting timeout.
func withTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, hint.Add(
		fmt.Errorf("not done within %s", timeout), "if the services are just slow, give timeout a longer duration"))
}
