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
// Its reader may be gone or may have stopped reading, and then a write to a full pipe
// blocks forever. That must neither leave a PAT behind nor keep the program running. The
// guards against it:
//
//   - SIGPIPE does not end the program: a write to a closed pipe is an error ([run]).
//   - A write may block until the time limit of the program. After a signal to stop, and
//     while only revoking is left to do, it fails after [writeTimeout], as do all later
//     ones, and the program continues without its log.
//   - [System.Exit], called after a time limit or [ShutdownTimeout], exits the process even while it is blocked.
//   - The output of exec's command is copied for at most [process.DrainTimeout] after the
//     command has ended.
type stream struct {
	io.Writer
	told   <-chan struct{} // closed when the program was told to stop
	ending *atomic.Bool    // there is nothing left to do but revoke
	stuck  atomic.Bool     // a write has not returned in time
	failed atomic.Bool     // something was not written, or not in time
}

// writeTimeout leaves enough of [ShutdownTimeout] to revoke a PAT.
const writeTimeout = 2 * time.Second

var errNotRead = errors.New("it is not being read")

// Write implements [io.Writer]. Text that was not written in time may be written
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
		case <-s.told:
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
