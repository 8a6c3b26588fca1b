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

// Process is a running command, in a process group of its own.
//
// A terminal sends the signals of its keys to the process group in its foreground,
// and stops a process of any other group that reads from it. If standard input and
// output are the terminal, the command's group is in the foreground from the start.
// Otherwise, as in a pipeline whose pager needs the keys, it is put there when the
// command reads from the terminal. Either way the command gets the signal of a key
// once: from the terminal, or forwarded by this process.
type Process struct {
	group    int // the command's process group, and its process
	ownGroup int
	tty      int // the terminal, or -1

	jobControl chan os.Signal // SIGCONT and SIGTSTP of the terminal and the shell
	stopSignal syscall.Signal // stops this process, if a shell can continue it
	continued  chan struct{}  // receives when this process was continued

	mu              sync.Mutex
	wantsForeground bool // put the command in the foreground whenever this process could be there
	ended           bool
}

// Start starts a command. An error is a [*StartError].
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{ownGroup: unix.Getpgrp(), tty: -1, continued: make(chan struct{}, 1)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if tty, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
		p.tty = tty
		p.wantsForeground = isTerminal(cmd.Stdin) && isTerminal(cmd.Stdout)
		cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = p.wantsForeground && p.foreground() == p.ownGroup, tty
		p.catchJobControl()
	}
	err := cmd.Start()
	if p.tty >= 0 {
		// Without SIGTTOU a process in the background may change the foreground. The
		// command must not inherit that, so it is ignored only now.
		signal.Ignore(syscall.SIGTTOU)
	}
	if err != nil {
		p.end(cmd.SysProcAttr.Foreground && p.foreground() != p.ownGroup)
		return nil, &StartError{StatusCannotStart, err}
	}
	p.group = cmd.Process.Pid
	_ = cmd.Process.Release() // Wait needs WUNTRACED, so it waits for the id
	if p.tty >= 0 {
		go p.followJobControl()
	}
	return p, nil
}

// catchJobControl catches the signals for [Process.followJobControl]. Call it before the
// command starts: otherwise a Ctrl-Z just after the start would stop this process alone.
func (p *Process) catchJobControl() {
	p.jobControl = make(chan os.Signal, 4)
	signal.Notify(p.jobControl, syscall.SIGCONT)
	p.stopSignal = syscall.SIGTSTP
	if !p.wantsForeground {
		// Ctrl-Z stops only this process, so forward it. Once Go has caught SIGTSTP, the
		// signal no longer stops this process, and that cannot be undone; SIGTTIN still does.
		p.stopSignal = syscall.SIGTTIN
		if !startedIgnoring(syscall.SIGTSTP) { // otherwise it stays ignored, by the command too
			signal.Notify(p.jobControl, syscall.SIGTSTP)
		}
	}
}

// followJobControl makes this process stop and continue together with the command.
func (p *Process) followJobControl() {
	for s := range p.jobControl {
		if s == syscall.SIGTSTP {
			p.Signal(s) // when the command has stopped, so does this process
			continue
		}
		p.resume()
		select {
		case p.continued <- struct{}{}:
		default:
		}
	}
}

// isTerminal reports whether a stream is the terminal of this process.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	return err == nil
}

// foreground returns the process group in the foreground of the terminal, or -1.
func (p *Process) foreground() int {
	group, err := unix.IoctlGetInt(p.tty, unix.TIOCGPGRP)
	if err != nil {
		return -1
	}
	return group
}

func (p *Process) setForeground(group int) {
	_ = unix.IoctlSetPointerInt(p.tty, unix.TIOCSPGRP, group)
}

// Signal sends a signal to the command and to what it has started.
func (p *Process) Signal(s os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n, ok := s.(syscall.Signal); ok && !p.ended {
		_ = unix.Kill(-p.group, n)
	}
}

// Wait waits for the command to end and returns its exit status: 128+n if signal n
// ended it.
func (p *Process) Wait() int {
	defer func() { p.end(p.tty >= 0 && p.foreground() == p.group) }()
	options := 0
	if p.tty >= 0 {
		options = unix.WUNTRACED
	}
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(p.group, &status, options, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 1
		case status.Stopped():
			p.stopped(status.StopSignal())
		case status.Signaled():
			return 128 + int(status.Signal())
		default:
			return status.ExitStatus()
		}
	}
}

// end undoes what Start did to the terminal and the signals.
func (p *Process) end(inForeground bool) {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	if p.tty < 0 {
		return
	}
	if inForeground {
		p.setForeground(p.ownGroup)
	}
	if p.jobControl != nil {
		signal.Stop(p.jobControl)
		close(p.jobControl)
	}
	signal.Reset(syscall.SIGTTOU)
	_ = unix.Close(p.tty)
}

// resumeTimeout is how long to wait for the stop of this process, which takes a while on a
// busy machine. After it no shell could have continued this process, so the system has
// not stopped it, and the command is continued.
const resumeTimeout = time.Second

// stopped is called when a signal has stopped the command. Unless the command only
// wanted the foreground, this process stops too: the shell waits for the whole job.
func (p *Process) stopped(by syscall.Signal) {
	if by == syscall.SIGTTIN || by == syscall.SIGTTOU {
		p.mu.Lock()
		p.wantsForeground = true
		p.mu.Unlock()
		if p.foreground() == p.ownGroup {
			p.resume()
			return
		}
	}
	if p.foreground() == p.group {
		p.setForeground(p.ownGroup)
	}
	select { // discard an earlier one
	case <-p.continued:
	default:
	}
	_ = unix.Kill(0, p.stopSignal)
	select {
	case <-p.continued:
	case <-time.After(resumeTimeout):
		p.resume()
	}
}

// resume continues the command, in the foreground if it wants to be there and may.
func (p *Process) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	if p.wantsForeground && p.foreground() == p.ownGroup {
		p.setForeground(p.group)
	}
	_ = unix.Kill(-p.group, unix.SIGCONT)
}

// SameVariable reports whether two names are of one environment variable.
func SameVariable(a, b string) bool { return a == b }

// IsBrokenPipe reports whether an error is that of a write to a pipe whose reader has
// closed it.
func IsBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
