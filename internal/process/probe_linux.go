package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"runtime"
	"syscall"

	"azdo-pat/internal/hint"
)

// probe reports why the system cannot start a command, before there is a PAT.
// It starts it as a debugger does, stopped before its first instruction, and kills
// it there. Nil, too, where this process may debug none.
func probe(cmd *exec.Cmd) error {
	// If the thread that started it ended, the command would run.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	err := cmd.Start()
	if err == nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil
	}
	var failed *fs.PathError
	if !errors.As(err, &failed) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return hint.Add(fmt.Errorf("a file that it needs: %w", failed.Err), "it may be a program for another C library (glibc, musl): its loader is not here")
	}
	return failed.Err
}
