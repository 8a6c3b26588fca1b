//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package toolconfig

import "os"

// lock is not possible here.
func lock(*os.File) bool { return false }

// unlock has nothing to do.
func unlock(*os.File) {}
