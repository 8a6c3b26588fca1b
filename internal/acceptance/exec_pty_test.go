//go:build linux

package acceptance

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

func init() {
	harness.Programs["shell"] = shellProgram
	harness.Programs["asker"] = passwordProgram
}

// shellProgram is a shell with job control on a terminal. It runs its arguments as a
// foreground job. When the job stops, it prints that and reads fg or bg.
func shellProgram(args []string) int {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if os.Getenv("SHELL_STDIN") != "" { // as in a pipeline
		r, w, _ := os.Pipe()
		defer w.Close() // keeps the garbage collector from closing it
		cmd.Stdin = r
	}
	if os.Getenv("SHELL_STDOUT") != "" {
		r, w, _ := os.Pipe()
		go func() { _, _ = io.Copy(os.Stdout, r) }()
		cmd.Stdout = w
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Foreground: true}
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		return 1
	}
	signal.Ignore(syscall.SIGTTOU) // after the start, or the job would inherit it
	job, in := cmd.Process.Pid, bufio.NewScanner(os.Stdin)
	foreground := func(group int) { _ = unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, group) }
	for {
		var status unix.WaitStatus
		if _, err := unix.Wait4(job, &status, unix.WUNTRACED, nil); err != nil {
			continue
		}
		foreground(os.Getpid())
		if !status.Stopped() {
			fmt.Printf("shell: status %d\n", status.ExitStatus())
			return 0
		}
		fmt.Println("shell: stopped")
		for in.Scan() {
			if in.Text() == "fg" {
				foreground(job)
			}
			_ = unix.Kill(-job, unix.SIGCONT)
			if in.Text() == "fg" {
				break
			}
			fmt.Println("shell: continued")
		}
	}
}

// passwordProgram reads from the terminal itself, as programs do that need a
// password.
func passwordProgram([]string) int {
	fmt.Println("asking")
	tty, err := os.Open("/dev/tty")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for in := bufio.NewScanner(tty); in.Scan() && in.Text() != "end"; {
		fmt.Printf("told %s\n", in.Text())
	}
	return 6
}

// terminal is a program on a terminal of its own.
type terminal struct {
	*testing.T
	*emulator.Emulator
	keyboard *os.File
	said     *harness.Transcript
	read     chan struct{} // closed when all output was read
	cmd      *exec.Cmd
}

// openTerminal makes a new terminal. The master has the keyboard and the screen.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here: ", err)
	}
	t.Cleanup(func() { master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// startOnTerminal starts a program as the leader of a session on a new terminal, with
// the settings for exec in its environment.
func startOnTerminal(t *testing.T, env map[string]string, args ...string) *terminal {
	t.Helper()
	master, slave := openTerminal(t)
	defer slave.Close()
	s := &terminal{T: t, Emulator: emulator.Start(t), keyboard: master, said: harness.NewTranscript()}
	s.cmd = exec.Command(args[0], args[1:]...)
	token := filepath.Join(t.TempDir(), "token.jwt")
	if err := os.WriteFile(token, []byte(s.Assertion()), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := s.Settings(emulator.AgentUser)
	settings["federated-token-file"] = token
	all := map[string]string{}
	maps.Copy(all, env)
	for name, value := range settings {
		all[emulator.Variable(name)] = value
	}
	for name, value := range all {
		s.cmd.Env = append(s.cmd.Env, name+"="+value)
	}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		s.cmd.Env = append(s.cmd.Env, "GOCOVERDIR="+dir)
	}
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.read = make(chan struct{})
	go func() { // until no process has the terminal open
		_, _ = io.Copy(s.said, master)
		close(s.read)
	}()
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	return s
}

// press types on the keyboard.
func (s *terminal) press(keys string) {
	s.Helper()
	if _, err := s.keyboard.WriteString(keys); err != nil {
		s.Fatal(err)
	}
}

func (s *terminal) await(text string, times int) { s.Helper(); s.said.Await(s.T, text, times) }

// wait waits for the program's end and returns its status and output.
func (s *terminal) wait() (status int, all string) {
	s.Helper()
	done := make(chan struct{})
	go func() { _ = s.cmd.Wait(); <-s.read; close(done) }()
	select {
	case <-done:
	case <-time.After(harness.Patience):
		all = s.said.Text()
		s.Fatalf("the program does not end:\n%s", all)
	}
	all = s.said.Text()
	return s.cmd.ProcessState.ExitCode(), all
}

const (
	ctrlC = "\x03"
	ctrlD = "\x04"
	ctrlZ = "\x1a"

	ctrlBackslash = "\x1c"
)

// The command has the terminal: only the command gets Ctrl-C, once, and its PAT
// lives as long as it runs.
func TestExecOnTerminal(t *testing.T) {
	t.Parallel()
	s := startOnTerminal(t, nil, harness.Link(t, "azdo-pat"), "exec", "--", harness.Link(t, "command"), "5")
	s.await("ready, group true, foreground true", 1)
	s.press("hello\n")
	s.await("read hello", 1)
	for times := 1; times <= 3; times++ {
		s.press(ctrlC)
		s.await("got interrupt", times)
	}
	s.press(ctrlBackslash)
	s.await("got quit", 1)
	if len(s.Active()) != 1 {
		t.Errorf("%d PATs while the command runs", len(s.Active()))
	}
	// Without a shell that could continue it, Ctrl-Z does not stop the command.
	s.press(ctrlZ)
	s.await("got continued", 1)
	s.press("again\n")
	s.await("read again", 1)
	s.press(ctrlD)
	status, all := s.wait()
	if status != 5 || len(s.Active()) != 0 || strings.Count(all, "got interrupt") != 3 || strings.Count(all, "got quit") != 1 || strings.Contains(all, "stopped by") {
		t.Errorf("status %d, %d PATs\n%s", status, len(s.Active()), all)
	}
}

// After exec has ended, the script that started it has the terminal again.
func TestExecInScript(t *testing.T) {
	t.Parallel()
	s := startOnTerminal(t, nil, "/bin/sh", "-c", `"$0" exec -- "$1" 0 && read x && echo "read by the script: $x"`, harness.Link(t, "azdo-pat"), harness.Link(t, "command"))
	s.await("ready, group true, foreground true", 1)
	s.press(ctrlD)
	s.await("is revoked", 1)
	s.press("hello\n")
	if status, all := s.wait(); status != 0 || !strings.Contains(all, "read by the script: hello") {
		t.Errorf("status %d\n%s", status, all)
	}
}

// Under a shell, Ctrl-Z stops exec and its command, and fg and bg continue both.
func TestExecUnderShell(t *testing.T) {
	t.Parallel()
	s := startOnTerminal(t, nil, harness.Link(t, "shell"), harness.Link(t, "azdo-pat"), "exec", "--", harness.Link(t, "command"), "5")
	s.await("ready, group true", 1)
	for times := 1; times <= 2; times++ {
		s.press(ctrlZ)
		s.await("shell: stopped", times)
		s.press("fg\n")
		s.await("got continued", times)
		s.press("hello\n")
		s.await("read hello", times)
	}
	// In the background, reading stops the command again; in the foreground it can read.
	s.press(ctrlZ)
	s.await("shell: stopped", 3)
	s.press("bg\n")
	s.await("shell: continued", 1)
	// No shell can tell whether a program that it continues is just about to stop.
	stat := fmt.Sprintf("/proc/%d/stat", childrenOf(s.cmd.Process.Pid)[0])
	await(t, "the stop", func() bool { return slices.Equal(states(stat), []string{"T"}) })
	s.press("fg\n")
	s.press("back\n")
	s.await("read back", 1)
	s.press(ctrlC)
	s.await("got interrupt", 1)
	s.press(ctrlD)
	if _, all := s.wait(); !strings.Contains(all, "shell: status 5") || strings.Count(all, "got interrupt") != 1 || len(s.Active()) != 0 {
		t.Errorf("%d PATs\n%s", len(s.Active()), all)
	}
}

// In a pipeline the other programs have the keyboard until the command reads from the
// terminal. Until then exec passes Ctrl-C on to the command, once.
func TestExecInPipeline(t *testing.T) {
	t.Parallel()
	pipeline := map[string]string{"SHELL_STDOUT": "pipe"}
	s := startOnTerminal(t, pipeline, harness.Link(t, "shell"), harness.Link(t, "azdo-pat"), "exec", "--", harness.Link(t, "asker"))
	s.await("asking", 1)
	s.press("a password\n")
	s.await("told a password", 1)
	s.press(ctrlZ)
	s.await("shell: stopped", 1)
	s.press("fg\n")
	s.press("more\n")
	s.await("told more", 1)
	s.press("end\n")
	if _, all := s.wait(); !strings.Contains(all, "shell: status 6") || len(s.Active()) != 0 {
		t.Errorf("%d PATs\n%s", len(s.Active()), all)
	}

	s = startOnTerminal(t, map[string]string{"SHELL_STDIN": "pipe", "SHELL_STDOUT": "pipe"},
		harness.Link(t, "shell"), harness.Link(t, "azdo-pat"), "exec", "--", harness.Link(t, "command"), "5", "quit")
	s.await("ready, group true, foreground false", 1)
	s.press(ctrlZ)
	s.await("shell: stopped", 1)
	// Ctrl-Z discards output that was not read yet, so the rest of this line may be missing.
	pid := regexp.MustCompile(`pid (\d+) ready`).FindStringSubmatch(s.said.Text())[1]
	if state := states("/proc/" + pid + "/stat"); !slices.Equal(state, []string{"T"}) {
		t.Errorf("the command is not stopped: %v", state)
	}
	s.press("fg\n")
	s.await("got continued", 1)
	s.press(ctrlC)
	s.await("got interrupt", 1)
	s.await("is revoked", 1)
	s.await("stopped by a signal (interrupt)", 1)
	s.press(ctrlBackslash)
	if _, all := s.wait(); !strings.Contains(all, "shell: status 5") || strings.Count(all, "got interrupt") != 1 || strings.Count(all, "stopped by a signal (interrupt)") != 1 {
		t.Errorf("%s", all)
	}
}
