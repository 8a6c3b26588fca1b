// Package cli is the command line. Each command has a file: it reads the settings, calls
// one package that does the work, and reports the result.
//
// To add a command NAME, write one file and one line:
//
//   - NAME.go has a function NAMECommand(a *app) *cobra.Command with the help, and a
//     function runNAME, which calls [app.load] for the settings, calls the package that
//     does the work, and reports what that returns: an error with [app.failed]. runNAME
//     returns nil, or an error that it has reported.
//   - [commands] gets a line.
//
// The flags come from the settings: in package settings, add the command to the constants
// of type Command and to the tags of the settings that it reads. A command that only
// prints needs neither: see version.go.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/settings"
)

// Exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2 // the settings or the command line are wrong; nothing was sent
)

// ShutdownTimeout is how long the program may take to clean up and end after it was told
// to stop or its time limit has passed.
const ShutdownTimeout = lease.Cleanup - 100*time.Millisecond

// System holds the program's side effects, so that tests can replace them. Only the files
// that settings name are opened elsewhere.
type System struct {
	Args      []string // Args[0] is the program's name, as in [os.Args]
	LookupEnv func(string) (string, bool)
	Environ   func() []string // as [os.Environ] does
	Stdin     *os.File        // for the command of exec and rotate; nil: the null device
	Stdout    io.Writer
	Stderr    io.Writer
	Random    io.Reader
	Host      string // this machine's name
	// Dial opens a network connection; nil: as [net.Dialer.DialContext] does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Start starts a command, as [process.Start] does.
	Start func(*exec.Cmd) (Process, error)
	// Exit exits at once, even if the program is blocked by a standard output that is not
	// being read.
	Exit func(why string)
	// Catch sends the signals that would stop the program, and [process.Forwarded], to the
	// returned channel until giveBack is called.
	Catch func() (signals <-chan os.Signal, giveBack func())
}

// Process is a command that was started; see [process.Process].
type Process interface {
	Wait() (status int)
	Signal(os.Signal)
}

// Run runs the command that the arguments name and returns the exit status. It stops
// early when ctx ends, and logs its [context.Cause].
func Run(ctx context.Context, w System) int {
	a := newApp(ctx, w)
	args := w.Args[1:]
	// The action's post step starts the same binary under another name, since its
	// arguments are those of the main step.
	if strings.TrimSuffix(filepath.Base(w.Args[0]), ".exe") == "post" {
		status, _ := statusOf(runPost(ctx, a, args))
		return status
	}
	if a.platform.Info().ActionInputs {
		input, _ := w.LookupEnv("INPUT_COMMAND")
		if input != "" && input != string(settings.Mint) {
			// So that no other step can plant a record for the post step. A failure is no
			// error, since this command mints nothing.
			_ = a.platform.Record(lease.Record{Stage: lease.Started}.String())
		}
		var err error
		args, err = actionArgs(input, args)
		if err != nil {
			a.platform.Log().Error("azdo-pat wrong settings", err)
			return exitUsage
		}
	}
	args = joined(args)
	root := a.root(func(name string) bool { return slices.Contains(args, name) })
	root.SetArgs(args)
	root.SetErr(w.Stderr)
	err := unknownTopic(root, args)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	status, reported := statusOf(err)
	if a.out.failed != nil && (status == exitOK || !reported) { // cobra's own commands do not report this
		status, _ = statusOf(a.failed(root.Name(), fmt.Errorf("write to standard output: %w", a.out.failed)))
		return status
	}
	if !reported {
		a.platform.Log().Error("azdo-pat wrong command line", commandLineError(err, root, args))
		return exitUsage
	}
	return status
}

// exitStatus is the error of a command that has failed and has reported why.
type exitStatus int

// Error implements error.
func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// exit is the error for an exit status.
func exit(status int) error {
	if status == exitOK {
		return nil
	}
	return exitStatus(status)
}

// statusOf returns the exit status for the error of a command. reported is false for
// cobra's own errors, which are about the command line.
func statusOf(err error) (status int, reported bool) {
	if err == nil {
		return exitOK, true
	}
	var s exitStatus
	if errors.As(err, &s) {
		return int(s), true
	}
	return exitUsage, false
}

// unknownTopic returns the error for arguments that cobra's own commands ignore: help for
// a command that does not exist, completion for an unknown shell.
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

// actionArgs checks the input command, which action.yml passes as the argument.
// An empty one counts as unset.
func actionArgs(input string, args []string) ([]string, error) {
	if len(args) == 1 && args[0] == "" {
		return []string{string(settings.Mint)}, nil
	}
	if input == "" || len(args) != 1 || args[0] != input || slices.Contains(actionCommands, settings.Command(input)) {
		return args, nil
	}
	found := fmt.Sprintf("%q", input)
	if !repeatable(input) {
		found = "a value that is not shown, since it may be a credential"
	}
	err := fmt.Errorf("command: found %s; allowed: mint, sweep, check or list", found)
	if input == string(settings.Exec) || input == string(settings.Rotate) {
		err = hint.Add(err, "the action runs in a container and cannot start the job's commands: run azdo-pat in a script step")
	}
	return nil, err
}

// actionCommands are the commands of the action.
var actionCommands = []settings.Command{settings.Mint, settings.Sweep, settings.Check, settings.List}

// commands make the commands, in the order of the help.
var commands = []func(*app) *cobra.Command{
	mintCommand, revokeCommand, execCommand, rotateCommand, sweepCommand, checkCommand, listCommand,
	setupCommand, loginCommand, policyCommand, scopesCommand, versionCommand,
}

// Root is the command line with its help, from which the manual page is made.
func Root() *cobra.Command { return (&app{out: &printer{}}).root(func(string) bool { return true }) }

// root makes the command line. It adds flags only to the commands that named accepts:
// building the flags of all commands would delay every job.
func (a *app) root(named func(string) bool) *cobra.Command {
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
	for _, command := range commands {
		cmd := command(a)
		root.AddCommand(cmd)
		if named(cmd.Name()) {
			addFlags(cmd, settings.Command(cmd.Name()))
		}
	}
	root.SetOut(a.out) // before InitDefaultCompletionCmd, which captures the writer
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

// noArgs refuses arguments. It does not repeat them, because one may be a credential in
// the wrong place.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, %d found", cmd.CommandPath(), len(args))
	}
	return nil
}
