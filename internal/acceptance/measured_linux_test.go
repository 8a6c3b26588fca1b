package acceptance

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
)

// measured runs a command and returns the most memory that it had, in KiB. The
// kernel lets a process inherit that figure from the one that starts it, which
// for the tests themselves is much: so a small one does.
func measured(t *testing.T, cmd *exec.Cmd) (peak int, ended error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	startedBy(cmd, "measured")
	cmd.ExtraFiles = []*os.File{w}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	text, err := io.ReadAll(r)
	ended = cmd.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if peak, err = strconv.Atoi(string(text)); err != nil {
		t.Fatalf("%v: %v", ended, err)
	}
	return peak, ended
}

func init() {
	starters["measured"] = func(args []string) error {
		cmd := exec.Command(args[0])
		cmd.Args = args[1:]
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		status, err := statusOf(cmd.Run())
		if err != nil {
			return err
		}
		fmt.Fprint(os.NewFile(3, "peak"), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
		os.Exit(status)
		return nil
	}
}
