package process

import (
	"bytes"
	"io"
	"slices"
	"sync"
	"time"
)

// Shared is a stream that a command and the log share. What the log writes stands
// on lines of its own, since a logging command is one only at the start of a line:
// it waits for the command to end its line, and where that takes too long, a line
// feed is put in.
type LineInterleaver struct {
	w        io.Writer
	patience time.Duration

	mu      sync.Mutex
	open    bool // the command has begun a line and not ended it
	waiting *entry
}

// entry is what the log has to say.
type entry struct {
	text []byte
	done chan error
}

// lineTime is how long a command may take to end a line. It is short: a mask that
// waits, waits with what it is for.
const lineTime = 100 * time.Millisecond

// NewLineInterleaver returns a stream on w.
func NewLineInterleaver(w io.Writer) *LineInterleaver {
	return &LineInterleaver{w: w, patience: lineTime}
}

// Write is the log's. Its calls must not overlap.
func (s *LineInterleaver) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open {
		said := &entry{p, make(chan error, 1)}
		s.waiting = said
		s.mu.Unlock()
		timer := time.NewTimer(s.patience)
		select {
		case err := <-said.done:
			said.done <- err
		case <-timer.C:
		}
		timer.Stop()
		s.mu.Lock()
		if s.waiting == nil {
			return written(p, <-said.done)
		}
		s.waiting = nil
	}
	text := p
	if s.open {
		text = append([]byte("\n"), p...)
	}
	_, err := s.w.Write(text)
	s.open = false
	return written(p, err)
}

// Command is the end to which the command's output goes.
func (s *LineInterleaver) Command() io.Writer { return commandEnd{s} }

type commandEnd struct{ s *LineInterleaver }

func (c commandEnd) Write(p []byte) (int, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	text := p
	end := bytes.IndexByte(p, '\n') + 1
	said := s.waiting
	if said != nil && end > 0 {
		text = slices.Concat(p[:end], said.text, p[end:])
		s.waiting = nil
	}
	_, err := s.w.Write(text)
	if said != nil && s.waiting == nil {
		said.done <- err
	}
	if len(p) > 0 {
		// To those who read it line by line a carriage return ends one, too.
		last := p[len(p)-1]
		s.open = last != '\n' && last != '\r'
	}
	return written(p, err)
}

func written(p []byte, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return len(p), nil
}
