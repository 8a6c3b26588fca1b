package toolconfig

import (
	"io/fs"
	"os"
)

// chown does nothing: a new file has the rights of the temp folder.
func chown(*os.File, fs.FileInfo) error { return nil }

func private(fs.FileInfo) bool { return true }
