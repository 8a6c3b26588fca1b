package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// unread is how long a write that nobody reads is waited for once the program was
// told to stop.
const stopWriteTimeout = time.Second

// pressing is how long a write is waited for where there is a PAT to revoke: a
// word that nobody hears is no reason to let it live.
const revokeWriteTimeout = 3 * time.Second

// errUnread is what a write ends with that was not waited for any longer.
var errNotRead = errors.New("nobody reads it")

// stream is a standard stream of which nobody knows whether somebody reads it: a
// full pipe would hold a write for ever, and with it a program that was told to
// stop and still has a PAT to revoke.
type stream struct {
	io.Writer
	told   <-chan struct{} // closed when the program was told to stop
	ending *atomic.Bool    // all that is left to do is to revoke
	stuck  atomic.Bool     // a write is still going on that nobody waits for
	failed atomic.Bool     // something could not be written
}

// Write implements [io.Writer]. What it was given is written in the end if
// somebody reads after all, but nothing that comes later.
func (s *stream) Write(p []byte) (int, error) {
	n, err := s.write(p)
	if err != nil {
		s.failed.Store(true)
	}
	return n, err
}

func (s *stream) write(p []byte) (int, error) {
	if s.stuck.Load() {
		return 0, errNotRead
	}
	type written struct {
		n   int
		err error
	}
	done := make(chan written, 1)
	p = bytes.Clone(p) // its owner may use it again
	go func() {
		n, err := s.Writer.Write(p)
		done <- written{n, err}
	}()
	var late <-chan time.Time
	if s.ending.Load() {
		late = time.After(revokeWriteTimeout)
	}
	patience := time.Duration(0)
	select {
	case w := <-done:
		return w.n, w.err
	case <-late:
	case <-s.told:
		patience = stopWriteTimeout
	}
	select {
	case w := <-done:
		return w.n, w.err
	case <-time.After(patience):
		s.stuck.Store(true)
		return 0, errNotRead
	}
}

// Stat tells what the stream is, where it is a file.
func (s *stream) Stat() (os.FileInfo, error) {
	if f, ok := s.Writer.(interface{ Stat() (os.FileInfo, error) }); ok {
		return f.Stat()
	}
	return nil, errors.ErrUnsupported
}
