package process

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
)

// No parallel test: it changes what this process ignores.
func TestStartedIgnoring(t *testing.T) {
	const variable = "PROCESS_TEST_IGNORED"
	if os.Getenv(variable) != "" {
		fmt.Print(startedIgnoring(syscall.SIGTSTP), startedIgnoring(syscall.SIGTTIN))
		os.Exit(0)
	}
	signal.Ignore(syscall.SIGTSTP)
	defer signal.Reset(syscall.SIGTSTP)
	cmd := exec.Command(os.Args[0], "-test.run", "^TestStartedIgnoring$")
	cmd.Env = append(os.Environ(), variable+"=1")
	out, err := cmd.Output()
	if err != nil || string(out) != "true false" {
		t.Errorf("%q, %v", out, err)
	}
}
