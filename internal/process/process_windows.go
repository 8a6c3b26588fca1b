package process

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/windows"
)

// Forwarded are the signals that the command gets when this process gets them: none,
// since a console sends its events to each of its processes.
var Forwarded []os.Signal

// Stopping are the signals that tell this process to stop.
var Stopping = []os.Signal{os.Interrupt, syscall.SIGTERM}

// Process is a command that runs.
type Process struct{ process *os.Process }

// Start starts a command.
func Start(cmd *exec.Cmd) (*Process, error) {
	if err := cmd.Start(); err != nil {
		return nil, &StartError{StatusCannotStart, err}
	}
	return &Process{cmd.Process}, nil
}

// Signal sends nothing: see [Forwarded].
func (p *Process) Signal(os.Signal) {}

// Wait returns the command's status.
func (p *Process) Wait() int {
	state, err := p.process.Wait()
	if err != nil {
		return 1
	}
	return state.ExitCode()
}

// checkFile finds nothing wrong: LookPath knows a program by its name.
func checkFile(string) error { return nil }

// SameVariable reports whether two names are of one environment variable.
func SameVariable(a, b string) bool { return strings.EqualFold(a, b) }

// IsBrokenPipe reports whether an error is that of a write to a pipe whose reader has
// closed it.
func IsBrokenPipe(err error) bool {
	return errors.Is(err, windows.ERROR_NO_DATA) || errors.Is(err, windows.ERROR_BROKEN_PIPE)
}
