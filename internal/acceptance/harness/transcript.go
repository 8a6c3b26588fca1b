package harness

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// Transcript is what a running program has written so far.
type Transcript struct {
	mu      sync.Mutex
	written strings.Builder
	more    chan struct{} // closed at the next write
}

// NewTranscript returns an empty transcript.
func NewTranscript() *Transcript { return &Transcript{more: make(chan struct{})} }

// Write implements [io.Writer].
func (s *Transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written.Write(p)
	close(s.more)
	s.more = make(chan struct{})
	return len(p), nil
}

// Text returns all of it, as [withoutMasks] does.
func (s *Transcript) Text() string {
	text, _ := s.read()
	return text
}

func (s *Transcript) read() (text string, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return WithoutMasks(s.written.String()), s.more
}

// Await waits until the program has written text this many times.
func (s *Transcript) Await(t testing.TB, text string, times int) {
	t.Helper()
	deadline := time.After(Patience)
	for {
		all, more := s.read()
		if strings.Count(all, text) >= times {
			return
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("%q was not written %d times within %s:\n%s", text, times, Patience, all)
		}
	}
}
