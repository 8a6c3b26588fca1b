package process

import (
	"bytes"
	"io"
	"slices"
	"sync"
	"time"
)

// LineInterleaver lets a command and the log share a stream. The CI system recognizes a
// logging command only at the start of a line. So the log waits until the command has
// ended its line; after lineTimeout it ends the line itself.
type LineInterleaver struct {
	w       io.Writer
	timeout time.Duration

	mu      sync.Mutex
	midLine bool // the command's last line has not ended
	waiting *logEntry
}

// logEntry is text of the log that waits for the end of a line.
type logEntry struct {
	text    []byte
	written chan error
}

// lineTimeout is short because the program may be waiting for a mask to be written.
const lineTimeout = 100 * time.Millisecond

// NewLineInterleaver returns a LineInterleaver that writes to w.
func NewLineInterleaver(w io.Writer) *LineInterleaver {
	return &LineInterleaver{w: w, timeout: lineTimeout}
}

// Write writes whole lines of the log. Calls must not overlap.
func (l *LineInterleaver) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.midLine {
		if entry := l.waitForLineEnd(p); entry != nil {
			return written(p, <-entry.written)
		}
	}
	text := p
	if l.midLine {
		text = append([]byte("\n"), p...)
	}
	_, err := l.w.Write(text)
	l.midLine = false
	return written(p, err)
}

// waitForLineEnd gives up the lock until the command has written text after the end
// of its line, or timeout has passed. Then it returns nil.
func (l *LineInterleaver) waitForLineEnd(text []byte) *logEntry {
	entry := &logEntry{text, make(chan error, 1)}
	l.waiting = entry
	l.mu.Unlock()
	timer := time.NewTimer(l.timeout)
	select {
	case err := <-entry.written:
		entry.written <- err
	case <-timer.C:
	}
	timer.Stop()
	l.mu.Lock()
	if l.waiting == nil {
		return entry
	}
	l.waiting = nil
	return nil
}

// Command returns the writer for what the command writes.
func (l *LineInterleaver) Command() io.Writer { return commandWriter{l} }

type commandWriter struct{ *LineInterleaver }

func (l commandWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := p
	entry := l.waiting
	if lineEnd := bytes.IndexByte(p, '\n') + 1; entry != nil && lineEnd > 0 {
		text = slices.Concat(p[:lineEnd], entry.text, p[lineEnd:])
		l.waiting = nil
	}
	_, err := l.w.Write(text)
	if entry != nil && l.waiting == nil {
		entry.written <- err
	}
	if len(p) > 0 {
		// For a reader that reads lines, a carriage return ends one too.
		last := p[len(p)-1]
		l.midLine = last != '\n' && last != '\r'
	}
	return written(p, err)
}

func written(p []byte, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return len(p), nil
}
