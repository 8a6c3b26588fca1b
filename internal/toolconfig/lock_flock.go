//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package toolconfig

import (
	"os"
	"syscall"
)

// lock locks a folder for as long as it is open here. It reports false if another
// process has locked it, or if the file system knows no locks.
func lock(dir *os.File) bool {
	return syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
