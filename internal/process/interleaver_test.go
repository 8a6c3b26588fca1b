package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Every line of the log is a line of its own in the stream that it shares with a
// command.
func TestLineInterleaver(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		parts []string      // what the command writes, the first at once
		pause time.Duration // between these; the log writes in the middle of the first pause
		want  string
		took  time.Duration // until the log has written
	}{
		{"nothing yet", []string{""}, 0, "LOG\n", 0},
		{"a line", []string{"one\n", "two\n"}, 50 * time.Millisecond, "one\nLOG\ntwo\n", 0},
		{"a line of Windows", []string{"one\r\n", "two\r\n"}, 50 * time.Millisecond, "one\r\nLOG\ntwo\r\n", 0},
		{"progress", []string{"10 %\r", "20 %\r"}, 50 * time.Millisecond, "10 %\rLOG\n20 %\r", 0},
		{"half a line", []string{"one", " more\ntwo"}, 50 * time.Millisecond, "one more\nLOG\ntwo", 25 * time.Millisecond},
		{"half a line that goes on", []string{"one", " more", " and more\n"}, 50 * time.Millisecond, "one more and more\nLOG\n", 75 * time.Millisecond},
		{"half a line for a second", []string{"one", " more\n"}, time.Second, "one\nLOG\n more\n", lineTimeout},
		{"half a line that never ends", []string{"Password: "}, time.Second, "Password: \nLOG\n", lineTimeout},
		{"several lines at once", []string{"one", "\ntwo\nthree\n"}, 50 * time.Millisecond, "one\nLOG\ntwo\nthree\n", 25 * time.Millisecond},
		{"a logging command of the command", []string{"text", "::error::x\n"}, 50 * time.Millisecond, "text::error::x\nLOG\n", 25 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				s := NewLineInterleaver(&out)
				var both sync.WaitGroup
				both.Go(func() {
					for i, part := range tc.parts {
						if i > 0 {
							time.Sleep(tc.pause)
						}
						if n, err := s.Command().Write([]byte(part)); n != len(part) || err != nil {
							t.Errorf("%d, %v", n, err)
						}
					}
				})
				time.Sleep(tc.pause/2 + time.Nanosecond)
				start := time.Now()
				if n, err := s.Write([]byte("LOG\n")); n != 4 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
				if took := time.Since(start).Round(time.Millisecond); took != tc.took {
					t.Errorf("the log waited %s, want %s", took, tc.took)
				}
				both.Wait()
				if out.String() != tc.want {
					t.Errorf("%q, want %q", out.String(), tc.want)
				}
			})
		})
	}
}

// However both write, every line of the log is a line of its own, and the command's
// output is complete and in order.
func TestLineInterleaverByMany(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := NewLineInterleaver(&out)
	s.timeout = time.Millisecond
	var log sync.Mutex
	var logged, all sync.WaitGroup
	for n := range 4 {
		logged.Go(func() {
			for i := range 50 {
				log.Lock()
				fmt.Fprintf(s, "LOG %d %d\n", n, i)
				log.Unlock()
			}
		})
	}
	stop := make(chan struct{})
	var wrote strings.Builder
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			fmt.Fprintf(io.MultiWriter(&wrote, s.Command()), "%d%s", i%10, strings.Repeat("\n", i%3/2))
		}
	})
	logged.Wait()
	close(stop)
	all.Wait()
	var command strings.Builder
	lines := 0
	for line := range strings.Lines(out.String()) {
		switch {
		case strings.HasPrefix(line, "LOG "):
			lines++
		case strings.Contains(line, "LOG"):
			t.Fatalf("the line %q", line)
		default:
			command.WriteString(line)
		}
	}
	bare := strings.NewReplacer("\n", "")
	if lines != 200 || bare.Replace(command.String()) != bare.Replace(wrote.String()) {
		t.Errorf("%d lines of the log; of the command %d bytes of %d", lines, command.Len(), wrote.Len())
	}
}

func TestLineInterleaverThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewLineInterleaver(&onceOnly{})
		if _, err := io.WriteString(s.Command(), "half"); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(lineTimeout / 2)
			if _, err := io.WriteString(s.Command(), " a line\n"); err == nil {
				t.Error("the command got no error")
			}
		}()
		for range 2 {
			if n, err := s.Write([]byte("LOG\n")); n != 0 || err == nil || errors.Is(err, io.ErrShortWrite) {
				t.Errorf("the log: %d, %v", n, err)
			}
		}
	})
}

// onceOnly is a stream that takes one write.
type onceOnly struct{ written bool }

func (w *onceOnly) Write(p []byte) (int, error) {
	if w.written {
		return 0, errors.New("broken pipe")
	}
	w.written = true
	return len(p), nil
}
