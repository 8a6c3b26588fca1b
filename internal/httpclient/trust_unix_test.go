//go:build unix

package httpclient

import (
	"syscall"
	"testing"
)

// Neither ends, or not before somebody else does something.
func TestCAFileWithoutAnEnd(t *testing.T) {
	t.Parallel()
	pipe := t.TempDir() + "/pipe"
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	noCAFile(t, []caFileCase{
		{"a device without end", "/dev/zero", "is not a regular file"},
		// It used to be opened first, which waits for a writer for ever.
		{"a pipe that nobody writes to", pipe, "is not a regular file"},
	})
}
