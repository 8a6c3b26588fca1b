package cli

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// full is a full pipe: a write waits until it is closed.
type full chan struct{}

func (f full) Write(p []byte) (int, error) { <-f; return len(p), nil }

func TestStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told, pipe := make(chan struct{}), make(full)
		s := &stream{Writer: pipe, stopping: told, ending: new(atomic.Bool)}
		begin := time.Now()
		// A write waits as long as there is time.
		time.AfterFunc(time.Hour, func() { close(told) })
		if n, err := s.Write([]byte("mask")); n != 0 || !errors.Is(err, errNotRead) || time.Since(begin) != time.Hour+writeTimeout {
			t.Errorf("%d, %v after %s", n, err, time.Since(begin))
		}
		// A later write does not overtake the one that hangs, and does not wait.
		if _, err := s.Write([]byte("log")); !errors.Is(err, errNotRead) || time.Since(begin) != time.Hour+writeTimeout {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		close(pipe)
	})
}

// While only revoking is left to do, a blocked write delays it by at most writeTimeout.
func TestStreamWhileRevoking(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pipe, ending := make(full), new(atomic.Bool)
		ending.Store(true)
		s := &stream{Writer: pipe, stopping: make(chan struct{}), ending: ending}
		begin := time.Now()
		if _, err := s.Write([]byte("log")); !errors.Is(err, errNotRead) || time.Since(begin) != writeTimeout {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		close(pipe)
	})
}

func TestStreamThatIsRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told := make(chan struct{})
		close(told)
		var text strings.Builder
		s := &stream{Writer: &text, stopping: told, ending: new(atomic.Bool)}
		line := []byte("a\n")
		for range 3 {
			if n, err := s.Write(line); n != 2 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			line[0]++
		}
		if text.String() != "a\nb\nc\n" {
			t.Errorf("wrote %q", text.String())
		}
		// It is read slowly, but in time.
		pipe := make(full)
		time.AfterFunc(writeTimeout/2, func() { close(pipe) })
		if n, err := (&stream{Writer: pipe, stopping: told, ending: new(atomic.Bool)}).Write(line); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		broken := &stream{Writer: failing{}, stopping: told, ending: new(atomic.Bool)}
		if _, err := broken.Write(line); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("error %v", err)
		}
	})
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// The null device can still be recognized.
func TestStreamTellsWhatItIs(t *testing.T) {
	t.Parallel()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	want, err := null.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := (&stream{Writer: null}).Stat(); err != nil || !os.SameFile(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := (&stream{Writer: io.Discard}).Stat(); err == nil {
		t.Error("io.Discard is taken for a file")
	}
}
