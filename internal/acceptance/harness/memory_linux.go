package harness

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
)

// RunMeasured runs a command and returns its peak resident memory in KiB. A process
// inherits that figure from its parent, and the tests use a lot of memory, so a
// small process starts the command.
func RunMeasured(t *testing.T, cmd *exec.Cmd) (peak int, ended error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	LaunchThrough(cmd, "measured")
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
	peak, err = strconv.Atoi(string(text))
	if err != nil {
		t.Fatalf("%v: %v", ended, err)
	}
	return peak, ended
}

func init() {
	Programs["measured"] = func(args []string) int {
		cmd := exec.Command(args[0])
		cmd.Args = args[1:]
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		status, err := ExitStatus(cmd.Run())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Fprint(os.NewFile(3, "peak"), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
		return status
	}
}
