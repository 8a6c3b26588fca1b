package cli

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/windows"
)

// PassedOn are the signals that a command gets when the program gets them: none,
// since a console sends its events to all processes that it has.
var PassedOn []os.Signal

// stopping are the signals that end a lease.
var stopping = []os.Signal{os.Interrupt, syscall.SIGTERM}

// child is a command that runs.
type child struct{ process *os.Process }

func start(cmd *exec.Cmd) (*child, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &child{cmd.Process}, nil
}

func (c *child) pass(os.Signal) {}

// wait returns the command's status.
func (c *child) wait() int {
	state, err := c.process.Wait()
	if err != nil {
		return exitFailure
	}
	return state.ExitCode()
}

// startable has nothing to say: what a program is, its name tells.
func startable(string) error { return nil }

// sameVariable reports whether two names are of one variable.
func sameVariable(a, b string) bool { return strings.EqualFold(a, b) }

// closedPipe reports whether an error is that of writing to a pipe that nobody reads
// any more.
func closedPipe(err error) bool {
	return errors.Is(err, windows.ERROR_NO_DATA) || errors.Is(err, windows.ERROR_BROKEN_PIPE)
}
