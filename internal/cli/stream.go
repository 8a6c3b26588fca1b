package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// stream is standard output or standard error.
//
// If its reader has closed it, or has stopped reading, a write can fail or block forever.
// That must neither leave a PAT behind nor keep the program running:
//
//   - SIGPIPE does not end the program: a write to a closed pipe is an error ([run]).
//   - After a signal to stop, and while only revoking is left to do, a write fails after
//     [writeTimeout]. All later ones fail at once, and the program goes on without a log.
//   - At any other time a write may block until the program's time limit. Then
//     [System.Exit] ends the process, although it is blocked.
//   - The output of exec's command is copied for at most [process.DrainTimeout] after the
//     command has ended.
type stream struct {
	io.Writer
	stopping <-chan struct{} // closed when the program is told to stop
	ending   *atomic.Bool    // only revoking is left to do
	stuck    atomic.Bool     // a write has not returned in time
	failed   atomic.Bool     // something was not written, or not in time
}

// writeTimeout leaves enough of [ShutdownTimeout] to revoke a PAT.
const writeTimeout = 2 * time.Second

var errNotRead = errors.New("it is not being read")

// Write implements [io.Writer]. Text that is not written in time may still be written
// later, but no text after it.
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
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	p = bytes.Clone(p) // the caller may use it again while the write still waits
	go func() {
		n, err := s.Writer.Write(p)
		done <- result{n, err}
	}()
	if !s.ending.Load() {
		select {
		case r := <-done:
			return r.n, r.err
		case <-s.stopping:
		}
	}
	select {
	case r := <-done:
		return r.n, r.err
	case <-time.After(writeTimeout):
		s.stuck.Store(true)
		return 0, errNotRead
	}
}

// Stat returns what the stream is, if it is a file.
func (s *stream) Stat() (os.FileInfo, error) {
	if f, ok := s.Writer.(interface{ Stat() (os.FileInfo, error) }); ok {
		return f.Stat()
	}
	return nil, errors.ErrUnsupported
}
