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
const unread = time.Second

// errUnread is what a write ends with that was not waited for any longer.
var errUnread = errors.New("nobody reads it")

// stream is a standard stream of which nobody knows whether somebody reads it: a
// full pipe would hold a write for ever, and with it a program that was told to
// stop and still has a PAT to revoke.
type stream struct {
	io.Writer
	told  <-chan struct{} // closed when the program was told to stop
	stuck atomic.Bool     // a write is still going on that nobody waits for
}

// Write implements [io.Writer]. What it was given is written in the end if
// somebody reads after all, but nothing that comes later.
func (s *stream) Write(p []byte) (int, error) {
	if s.stuck.Load() {
		return 0, errUnread
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
	select {
	case w := <-done:
		return w.n, w.err
	case <-s.told:
	}
	select {
	case w := <-done:
		return w.n, w.err
	case <-time.After(unread):
		s.stuck.Store(true)
		return 0, errUnread
	}
}

// Stat tells what the stream is, where it is a file.
func (s *stream) Stat() (os.FileInfo, error) {
	if f, ok := s.Writer.(interface{ Stat() (os.FileInfo, error) }); ok {
		return f.Stat()
	}
	return nil, errors.ErrUnsupported
}
