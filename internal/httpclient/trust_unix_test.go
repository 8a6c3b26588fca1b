//go:build unix

package httpclient

import (
	"syscall"
	"testing"
)

// Reading neither of them would end.
func TestCAFileWithoutAnEnd(t *testing.T) {
	t.Parallel()
	pipe := t.TempDir() + "/pipe"
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	noCAFile(t, []caFileCase{
		{"a device without end", "/dev/zero", "is not a regular file"},
		// Opening it waits for a writer.
		{"a pipe without a writer", pipe, "is not a regular file"},
	})
}
