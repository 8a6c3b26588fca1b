// Package standin writes programs that stand in for real ones.
package standin

import (
	"os"
	"syscall"
	"testing"
)

// Write writes a program, which can be started at once.
func Write(t testing.TB, file, text string) {
	t.Helper()
	// A process that is started meanwhile by a parallel test would inherit the file, and
	// as long as it is open for writing the program cannot be started.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}
