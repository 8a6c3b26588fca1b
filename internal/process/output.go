package process

import (
	"errors"
	"io"
	"os"
	"time"
)

// DrainTimeout is how long after the command's end its output is read: a process
// that it left running may keep the pipe open.
const DrainTimeout = 2 * time.Second

// Output copies what a command writes to its pipes. The zero Output has no pipes.
type Output struct{ pipes []*pipe }

type pipe struct {
	r, w *os.File
	done chan error // gets nil, or why copying ended early
}

// Pipe creates a pipe and returns the command's end of it. The output is copied to w,
// which is closed at the end.
func (o *Output) Pipe(w io.WriteCloser) (*os.File, error) {
	p := &pipe{done: make(chan error, 1)}
	var err error
	p.r, p.w, err = os.Pipe()
	if err != nil {
		return nil, err
	}
	o.pipes = append(o.pipes, p)
	go func() {
		_, err := io.Copy(w, p.r)
		err = errors.Join(err, w.Close())
		p.r.Close() // so that the command's next write fails
		p.done <- err
	}()
	return p.w, nil
}

// CloseCommandEnds closes this process's copies of what Pipe returned, once the
// command has its own.
func (o *Output) CloseCommandEnds() {
	for _, p := range o.pipes {
		p.w.Close()
	}
}

// Drain waits until all output is copied, but no longer than [DrainTimeout]. It reports
// whether there may be more.
func (o *Output) Drain() (more bool) {
	late := time.After(DrainTimeout + time.Second) // not every system's pipes have deadlines
	for _, p := range o.pipes {
		_ = p.r.SetReadDeadline(time.Now().Add(DrainTimeout))
	}
	for _, p := range o.pipes {
		var err error
		select {
		case err = <-p.done:
		case <-late:
			return true
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return true
		}
	}
	return false
}

// SameFile reports whether two streams are the same file.
func SameFile(a, b io.Writer) bool {
	var infos []os.FileInfo
	for _, w := range []io.Writer{a, b} {
		if f, ok := w.(*os.File); ok {
			if info, err := f.Stat(); err == nil {
				infos = append(infos, info)
			}
		}
	}
	return len(infos) == 2 && os.SameFile(infos[0], infos[1])
}
