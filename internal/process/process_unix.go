//go:build unix

package process

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Forwarded are the signals, besides [Stopping], that the command gets when this
// process gets them.
var Forwarded = []os.Signal{syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH}

// Stopping are the signals that tell this process to stop.
var Stopping = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

// Process is a command that runs in a process group of its own, with the terminal, if
// there is one.
//
// A terminal sends the signals of its keys to the process group in its foreground,
// and stops others that want to read from it. Where standard input and output are
// the terminal, the command's group is put there from the start; otherwise, as in
// a pipeline whose pager has the keys, when the command asks for it. So it gets
// the signal of a key once: from the terminal, or from the terminal by way of us.
type Process struct {
	pid int // and its process group
	own int // our process group
	tty int // the terminal; -1: none

	keys    chan os.Signal // of the terminal, and of the shell that continues us
	halt    syscall.Signal // stops us, unless there is nobody to continue us
	resumed chan struct{}  // gets when we were continued

	mu    sync.Mutex
	asked bool // it is to have the foreground whenever we have
	over  bool
}

// Start starts a command.
func Start(cmd *exec.Cmd) (*Process, error) {
	c := &Process{own: unix.Getpgrp(), tty: -1, resumed: make(chan struct{}, 1)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if tty, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
		c.tty = tty
		c.asked = controls(cmd.Stdin) && controls(cmd.Stdout)
		cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = c.asked && c.foreground() == c.own, tty
	}
	err := cmd.Start()
	if c.tty >= 0 {
		// Ignored, the terminal lets us change its foreground from the background.
		// The command must not inherit that.
		signal.Ignore(syscall.SIGTTOU)
	}
	if err != nil {
		c.end(c.foreground() != c.own && cmd.SysProcAttr.Foreground)
		return nil, &StartError{StatusCannotStart, err}
	}
	c.pid = cmd.Process.Pid
	_ = cmd.Process.Release() // it is waited for by its number
	if c.tty >= 0 {
		c.keys = make(chan os.Signal, 4)
		signal.Notify(c.keys, syscall.SIGCONT)
		if c.halt = unix.SIGTSTP; !c.asked {
			// The key stops us and not the command. Once asked for, the signal does
			// not stop us any more, and Go cannot undo that.
			signal.Notify(c.keys, syscall.SIGTSTP)
			c.halt = unix.SIGTTIN
		}
		go c.follow(c.keys)
	}
	return c, nil
}

// controls reports whether a stream is the terminal of this process.
func controls(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	return err == nil
}

// foreground is the process group that the terminal's keys go to.
func (c *Process) foreground() int {
	group, err := unix.IoctlGetInt(c.tty, unix.TIOCGPGRP)
	if err != nil {
		return -1
	}
	return group
}

func (c *Process) put(group int) { _ = unix.IoctlSetPointerInt(c.tty, unix.TIOCSPGRP, group) }

// Signal sends a signal to the command and what it has started.
func (c *Process) Signal(s os.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, ok := s.(syscall.Signal); ok && !c.over {
		_ = unix.Kill(-c.pid, n)
	}
}

// Wait returns the command's status: 128+n if signal n has ended it.
func (c *Process) Wait() int {
	defer func() { c.end(c.tty >= 0 && c.foreground() == c.pid) }()
	options := 0
	if c.tty >= 0 {
		options = unix.WUNTRACED
	}
	for {
		var status unix.WaitStatus
		switch _, err := unix.Wait4(c.pid, &status, options, nil); {
		case err == unix.EINTR:
		case err != nil:
			return 1
		case status.Stopped():
			c.stopped(status.StopSignal())
		case status.Signaled():
			return 128 + int(status.Signal())
		default:
			return status.ExitStatus()
		}
	}
}

// end gives back what start took.
func (c *Process) end(foreground bool) {
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	if c.tty < 0 {
		return
	}
	if foreground {
		c.put(c.own)
	}
	if c.keys != nil {
		signal.Stop(c.keys)
		close(c.keys)
	}
	signal.Reset(syscall.SIGTTOU)
	_ = unix.Close(c.tty)
}

// stopped is called when the command was stopped, by the terminal or by a signal.
func (c *Process) stopped(by syscall.Signal) {
	if by == syscall.SIGTTIN || by == syscall.SIGTTOU {
		c.mu.Lock()
		c.asked = true
		c.mu.Unlock()
		if c.foreground() == c.own {
			c.resume()
			return
		}
	}
	// So are we, and who belongs to us: a shell waits for all of a job to stop.
	if c.foreground() == c.pid {
		c.put(c.own)
	}
	select {
	case <-c.resumed:
	default:
	}
	_ = unix.Kill(0, c.halt)
	select {
	case <-c.resumed:
	case <-time.After(noShell):
		c.resume()
	}
}

// noShell is how long after we were to stop we must still run to know that nobody
// is there to continue us, so that the system has not stopped us.
const noShell = 100 * time.Millisecond

// resume continues the command, in the foreground if it is ours to give.
func (c *Process) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	if c.asked && c.foreground() == c.own {
		c.put(c.pid)
	}
	_ = unix.Kill(-c.pid, unix.SIGCONT)
}

// follow does what a key or a shell asks of us.
func (c *Process) follow(keys <-chan os.Signal) {
	for s := range keys {
		if s == syscall.SIGTSTP {
			c.Signal(s) // we stop when the command has
			continue
		}
		c.resume()
		select {
		case c.resumed <- struct{}{}:
		default:
		}
	}
}

// SameVariable reports whether two names are of one environment variable.
func SameVariable(a, b string) bool { return a == b }

// IsBrokenPipe reports whether an error is that of a write to a pipe whose reader has
// closed it.
func IsBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
