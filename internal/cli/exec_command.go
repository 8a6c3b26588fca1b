package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/process"
	"azdo-pat/internal/redact"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/toolconfig"
)

// commandName is the command for the log, without its arguments, which may hold
// credentials.
func (x *execution) commandName() string { return sanitize.Line(filepath.Base(x.command[0]), 100) }

// start starts the command.
func (x *execution) start() (Process, *process.Output, error) {
	cmd := &exec.Cmd{Path: x.program, Args: x.command, Env: x.environment(), Stdout: x.stdout, Stderr: x.stderr}
	if x.Stdin != nil {
		cmd.Stdin = x.Stdin
	}
	out := new(process.Output)
	defer out.CloseCommandEnds()
	err := x.redactOutput(cmd, out)
	var command Process
	if err == nil {
		command, err = x.Start(cmd)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", x.commandName(), err)
	}
	return command, out, nil
}

// redactOutput redacts the command's output in a CI system. At a terminal it does nothing:
// the command writes to the terminal directly.
func (x *execution) redactOutput(cmd *exec.Cmd, out *process.Output) error {
	if x.shared == nil {
		return nil
	}
	pipe := func(w io.Writer) (*os.File, error) {
		redacted, err := redact.NewWriter(w, x.held.Secret())
		if err != nil {
			return nil, err
		}
		return out.Pipe(redacted)
	}
	stdout, err := pipe(&stopWatcher{Writer: x.shared.Command(), seen: &x.commandsStopped})
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = stdout, stdout
	if process.SameFile(x.stdout, x.stderr) { // with two pipes the order of lines is lost
		return nil
	}
	cmd.Stderr, err = pipe(&stopWatcher{Writer: x.stderr, seen: &x.commandsStopped})
	return err
}

// stopWatcher notices output that may turn off the CI system's logging commands. A mask
// that is written later would show the credential.
type stopWatcher struct {
	io.Writer
	seen *atomic.Bool
	tail []byte // the end of what was written, in lower case
}

// stopWord is the name of GitHub's command for that.
const stopWord = "stop-commands"

// Write implements [io.Writer].
func (w *stopWatcher) Write(p []byte) (int, error) {
	text := append(w.tail, bytes.ToLower(p)...)
	if bytes.Contains(text, []byte(stopWord)) {
		w.seen.Store(true)
	}
	w.tail = slices.Clone(text[max(0, len(text)-len(stopWord)+1):])
	return w.Writer.Write(p)
}

// drain waits for the rest of the command's output.
func (x *execution) drain(out *process.Output) {
	if more := out.Drain(); more {
		x.platform.Log().Infof("%s has ended, but a process that it started keeps its output open; azdo-pat does not wait for that process", x.commandName())
	}
}

// environment is the caller's, without azdo-pat's own credentials and with the token. A
// copy of the job's token under another name stays, since the caller meant it for another
// program.
func (x *execution) environment() []string {
	ours := append(settings.SecretVariables(), ci.CredentialVariables...)
	env := slices.DeleteFunc(slices.Clone(x.Environ()), func(entry string) bool {
		name, value, _ := strings.Cut(entry, "=")
		same := func(other string) bool { return process.SameVariable(name, other) }
		isGiven := func(v secret.Value) bool {
			return !v.IsZero() && strings.TrimSpace(value) == strings.TrimSpace(v.Reveal())
		}
		isTools := func(v toolconfig.Variable) bool { return same(v.Name) }
		return slices.ContainsFunc(x.toolVariables, isTools) || slices.ContainsFunc(ours, same) ||
			slices.ContainsFunc(x.Settings.Env, same) || slices.ContainsFunc(x.Settings.Credentials(), isGiven)
	})
	for _, name := range x.Settings.Env {
		env = append(env, name+"="+x.held.Secret().Reveal())
	}
	for _, v := range x.toolVariables {
		if !slices.ContainsFunc(x.Settings.Env, func(name string) bool { return process.SameVariable(name, v.Name) }) {
			env = append(env, v.Name+"="+v.Value)
		}
	}
	return env
}

// programs completes the name of a command. The shell completes its arguments.
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
