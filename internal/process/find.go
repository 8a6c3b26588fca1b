// Package process starts a command, gives it the terminal, forwards signals to it and
// copies its output.
package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/sanitize"
)

// The exit statuses of a command that did not run, as in shells.
const (
	StatusCannotStart = 126
	StatusNotFound    = 127
)

// StartError is the error for a command that cannot be started.
type StartError struct {
	Status int // the exit status, as in shells
	err    error
}

func (e *StartError) Error() string { return e.err.Error() }
func (e *StartError) Unwrap() error { return e.err }

// Find returns the path of the program that a command names, if the system can
// start it. The error is a [*StartError].
func Find(command, environ []string) (path string, err error) {
	path, err = find(command[0])
	if err != nil {
		return "", err
	}
	err = checkFile(path)
	if err == nil {
		err = probe(&exec.Cmd{Path: path, Args: command, Env: environ})
	}
	if err != nil {
		return "", cannotStart(command[0], err, StatusCannotStart)
	}
	return path, nil
}

func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path, nil
	case errors.Is(err, exec.ErrDot):
		return "", &StartError{StatusNotFound, hint.Add(
			fmt.Errorf("%q is only in the current directory, which is not searched", shown(name)),
			"write it with its directory, as in ./"+shown(name))}
	case errors.Is(err, exec.ErrNotFound):
		if path := notExecutable(name); path != "" {
			return "", cannotStart(name, fmt.Errorf("%s: %w", sanitize.Line(path, 200), fs.ErrPermission), StatusCannotStart)
		}
		return "", &StartError{StatusNotFound, hint.Add(
			fmt.Errorf("%q is not found", shown(name)),
			"the first word after -- must be a program in PATH; to run what only a shell knows: -- sh -c '…'")}
	case errors.Is(err, fs.ErrNotExist):
		return "", cannotStart(name, err, StatusNotFound)
	}
	return "", cannotStart(name, err, StatusCannotStart)
}

// notExecutable returns the first file of that name in PATH. It is called after
// LookPath found none, so the file is not executable.
func notExecutable(name string) string {
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

func cannotStart(name string, err error, status int) error {
	// The message has the name already.
	cause := err
	if e := (*exec.Error)(nil); errors.As(cause, &e) {
		cause = e.Err
	}
	if e := (*fs.PathError)(nil); errors.As(cause, &e) {
		cause = e.Err
	}
	advice := hint.Of(err)
	switch {
	case advice != "":
	case errors.Is(err, fs.ErrPermission):
		advice = "make the file executable (chmod +x), or name the program that reads it, as in -- sh FILE"
	case errors.Is(err, fs.ErrNotExist):
		advice = "check this path; an assignment, or another word that only a shell knows, needs -- sh -c '…'"
	}
	return &StartError{status, hint.Add(fmt.Errorf("%q cannot be started: %w", shown(name), cause), advice)}
}

// shown is the name of a program for a message. In NAME=VALUE, with which a shell would
// set a variable, the value may be a credential and is left out.
func shown(name string) string {
	if variable, _, assigns := strings.Cut(name, "="); assigns {
		return sanitize.Line(variable, 100) + "=…"
	}
	return sanitize.Line(name, 200)
}
