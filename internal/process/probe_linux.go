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

// probe returns why the system cannot start a command. It starts the command as a
// debugger does, stopped before its first instruction, and kills it there.
//
// Only the system knows what it can start: a file of another architecture, or of
// Windows, may be registered with an interpreter (binfmt_misc). Without the probe
// that would show only when there is a PAT already. The error is nil, too, where
// this process may not debug another.
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
		return hint.Add(fmt.Errorf("a file that it needs: %w", failed.Err), "the program may be built for another C library (glibc, musl), whose loader is missing here")
	}
	if errors.Is(err, syscall.ENOEXEC) {
		return hint.Add(failed.Err, "the file is damaged, or a program for another system or architecture")
	}
	return failed.Err
}
