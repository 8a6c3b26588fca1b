package acceptance

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
)

// startWaiting starts a rotation whose command waits before it stores the PAT.
func (c *consumer) startWaiting() (*exec.Cmd, *harness.Transcript) {
	c.Helper()
	cmd, said := c.rotation(nil, "0", "before", c.pipe), harness.NewTranscript()
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { _ = cmd.Process.Kill() })
	said.Await(c, "waiting before", 1)
	return cmd, said
}

// Of two rotations at once, the one whose PAT the other has revoked gives the consumer
// another. In the end the consumer has the only PAT.
func TestTwoRotationsAtOnce(t *testing.T) {
	t.Parallel()
	c := newConsumer(t)
	c.give("0123456789abcdef")
	first, said := c.startWaiting()
	c.checkRotated() // the second one ends what it finds, the first one's PAT included
	await(t, "the first wait", c.resume)
	said.Await(t, "waiting before", 2)
	await(t, "the second wait", c.resume)
	if err := first.Wait(); err != nil {
		t.Errorf("%v\n%s", err, said.Text())
	}
	if n := len(c.Active()); n != 1 || !c.works() {
		t.Errorf("%d PATs are active, and the consumer's works: %t\n%s", n, c.works(), said.Text())
	}
	if text := said.Text(); !strings.Contains(text, "another rotation ran at the same time: the PAT ") || strings.Contains(text, "::error") {
		t.Errorf("it says\n%s", text)
	}
	for _, v := range c.Violations() {
		t.Error(v)
	}
}

// A rotation that was told to stop does not run its command again, but says that the
// consumer needs another PAT.
func TestOvertakenRotationIsStopped(t *testing.T) {
	t.Parallel()
	untilInTime(t, func() bool { return stopOvertaken(t) })
}

func stopOvertaken(t *testing.T) (inTime bool) {
	c := newConsumer(t)
	c.give("0123456789abcdef")
	cmd, said := c.rotation(nil, "0", "after", c.pipe), harness.NewTranscript()
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	said.Await(t, "waiting after", 1)
	c.checkRotated()
	begin := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	said.Await(t, "stopped by a signal (terminated); forwarded to store", 1)
	await(t, "the wait of the command", c.resume)
	status, _ := harness.ExitStatus(cmd.Wait())
	// If the machine stood still, there may have been no time to find out what happened.
	inTime = time.Since(begin) < harness.CleanUpLimit
	if text := said.Text(); status != 1 || inTime && (!strings.Contains(text, "sonarqube may have a PAT that has ended or will") || !strings.Contains(text, "--when-left 30d")) {
		t.Errorf("status %d\n%s", status, text)
	}
	c.checkRotated("--when-left", "30d")
	return inTime
}

// After the command has written what may have turned off GitHub's logging commands, no
// mask can be written, so that no second PAT is minted.
func TestOvertakenRotationWithoutMasks(t *testing.T) {
	t.Parallel()
	c := newConsumer(t)
	c.give("0123456789abcdef")
	first, said := c.rotation(nil), harness.NewTranscript()
	first.Args = append(first.Args[:len(first.Args)-2], "/bin/sh", "-c", `echo ::stop-commands::theirs; "$@"`, "sh", c.command, c.file, "0", "before", c.pipe)
	first.Env = append(first.Env, "PATH=/usr/bin:/bin")
	first.Stdout, first.Stderr = said, said
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Process.Kill() })
	said.Await(t, "waiting before", 1)
	c.checkRotated()
	ended := make(chan error, 1)
	go func() { ended <- first.Wait() }()
	status := -1
	await(t, "the end", func() bool {
		c.resume() // each run of the command
		select {
		case err := <-ended:
			status, _ = harness.ExitStatus(err)
			return true
		default:
			return false
		}
	})
	if text := said.Text(); status != 1 || strings.Count(text, "minting ") != 1 || !strings.Contains(text, "another rotation ran at the same time") {
		t.Errorf("status %d\n%s", status, text)
	}
	for _, s := range c.Secrets() {
		_, since, _ := strings.Cut(said.Text(), "stop-commands")
		if strings.Contains(since, s) {
			t.Fatalf("a credential is in the log:\n%s", since)
		}
	}
}
