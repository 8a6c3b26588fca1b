//go:build unix

package toolconfig

import (
	"io/fs"
	"os"
	"syscall"
)

// chown gives a file to the owner of another. Only root can; anybody else's files
// already belong to the user that the job's steps run as.
func chown(f *os.File, owner fs.FileInfo) error {
	o, ok := owner.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return f.Chown(int(o.Uid), int(o.Gid))
}

// private reports whether a folder is this user's and closed to everybody else.
func private(info fs.FileInfo) bool {
	o, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(o.Uid) == os.Geteuid() && info.Mode().Perm()&0o077 == 0
}
