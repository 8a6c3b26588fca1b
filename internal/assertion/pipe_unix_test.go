//go:build unix

package assertion

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Opening a pipe without a writer, or reading one that stays open, never returns. The
// caller still returns when its context ends.
func TestPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("told to stop"))
	if _, err := (&File{path}).Assertion(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("without a writer: %v", err)
	} else if want := "read the assertion from federated-token-file: " + path + ": context canceled"; err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := (&File{path}).Assertion(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with a silent writer: %v", err)
	}
}

// A pipe that is written to and closed works like a file, such as the shell's
// <(command).
func TestPipeWithAToken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(path, []byte(someJWT+"\n"), 0) }()
	v, err := (&File{path}).Assertion(t.Context())
	if err := errors.Join(err, <-wrote); err != nil || v.Reveal() != someJWT {
		t.Errorf("%q, %v", v.Reveal(), err)
	}
}
