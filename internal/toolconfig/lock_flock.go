//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package toolconfig

import (
	"os"
	"syscall"
)

// lock locks a folder until [unlock]. It reports false if another
// process has locked it, or if the file system knows no locks.
func lock(dir *os.File) bool {
	return syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// unlock ends the lock of a folder. Closing the folder would not be enough: a process
// that is just being started has it open too, until it executes its program.
func unlock(dir *os.File) { _ = syscall.Flock(int(dir.Fd()), syscall.LOCK_UN) }
