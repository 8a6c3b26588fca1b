package cli

import (
	"errors"
	"io"
	"os"
	"time"

	"azdo-pat/internal/redact"
)

// linger is how long after the command's end its output is waited for: what it
// has left running may hold it open for ever.
const linger = 2 * time.Second

// outputs are the two streams that a command writes to. At a terminal they are
// the program's own; in a CI system they are pipes, and the PAT is masked in what
// comes out of them.
type outputs struct {
	stdout, stderr *os.File
	pipes          []*pipe
}

// pipe carries what the command writes.
type pipe struct {
	r, w *os.File
	done chan error // gets why it ended before all was written, or nil
}

func (x *execution) outputs() (o outputs, err error) {
	if x.shared == nil {
		if o.stdout, err = o.to(x, x.stdout); err == nil {
			o.stderr, err = o.to(x, x.stderr)
		}
	} else if o.stdout, err = o.to(x, x.shared.Command()); err == nil {
		if o.stderr = o.stdout; !sameFile(x.stdout, x.stderr) { // or their order would get lost
			o.stderr, err = o.to(x, x.stderr)
		}
	}
	if err != nil {
		o.handed()
	}
	return o, err
}

// to returns what the command is to write to, so that w gets it.
func (o *outputs) to(x *execution, w io.Writer) (*os.File, error) {
	if f, ok := w.(*os.File); ok && x.shared == nil {
		return f, nil
	}
	filter, err := redact.NewWriter(w, x.lease.Token.Secret)
	if err != nil {
		return nil, err
	}
	p := &pipe{done: make(chan error, 1)}
	if p.r, p.w, err = os.Pipe(); err != nil {
		return nil, err
	}
	o.pipes = append(o.pipes, p)
	go func() {
		_, err := io.Copy(filter, p.r)
		err = errors.Join(err, filter.Close())
		p.r.Close() // nobody reads on: the command is told when it writes
		p.done <- err
	}()
	return p.w, nil
}

// handed says that the command has its end of the pipes, or that there is none.
func (o *outputs) handed() {
	for _, p := range o.pipes {
		p.w.Close()
	}
}

// drain waits until all is written, or linger is over.
func (x *execution) drain(o outputs) {
	late := time.After(linger + time.Second) // where a pipe knows no deadline
	for _, p := range o.pipes {
		_ = p.r.SetReadDeadline(time.Now().Add(linger))
	}
	for _, p := range o.pipes {
		var err error
		select {
		case err = <-p.done:
		case <-late:
			err = os.ErrDeadlineExceeded
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			x.platform.Log().Infof("%s has ended, but something that it started still has its output; that is not waited for", x.shown())
			return
		}
	}
}

// sameFile reports whether two streams are one.
func sameFile(a, b io.Writer) bool {
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
