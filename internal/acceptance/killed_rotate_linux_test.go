package acceptance

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

func init() { harness.Programs["store"] = storeProgram }

// storeProgram is a command for rotate: store FILE STATUS [WAIT PIPE] puts the PAT into
// FILE, as a server that keeps it, and exits with STATUS. With WAIT, "before" or "after"
// it stores, it prints that and waits until the pipe is opened. Once it has stored the PAT, it
// ignores signals.
func storeProgram(args []string) int {
	wait := func(when string) {
		if len(args) > 2 && args[2] == when {
			fmt.Println("waiting", when)
			if f, err := os.Open(args[3]); err == nil {
				f.Close()
			}
		}
	}
	wait("before")
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
	if err := os.WriteFile(args[0]+".new", []byte(os.Getenv("AZURE_DEVOPS_EXT_PAT")), 0o600); err != nil {
		return 99
	}
	if err := os.Rename(args[0]+".new", args[0]); err != nil {
		return 99
	}
	wait("after")
	status := 0
	fmt.Sscan(args[1], &status)
	return status
}

// consumer is a server that keeps a PAT.
type consumer struct {
	*testing.T
	*emulator.Emulator
	file    string // holds its PAT
	pipe    string // see [storeProgram]
	command string
}

const consumerName = "sonarqube"

func newConsumer(t *testing.T) *consumer {
	dir := t.TempDir()
	c := &consumer{
		T: t, Emulator: emulator.Start(t), command: harness.Link(t, "store"),
		file: filepath.Join(dir, "pat"), pipe: filepath.Join(dir, "pipe"),
	}
	if err := syscall.Mkfifo(c.pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.resume() })
	return c
}

// give makes an active PAT of the consumer that is due. The consumer has the first one that
// it is given.
func (c *consumer) give(key string) {
	now := c.Now(emulator.AzureDevOps)
	p := c.Seed(emulator.PAT{
		Name: "azdo-pat rotated " + consumerName + " " + key, Owner: emulator.ServiceUserID,
		ValidFrom: now.Add(-25 * 24 * time.Hour), ValidTo: now.Add(5 * 24 * time.Hour),
	})
	if _, err := os.Stat(c.file); err == nil {
		return
	}
	if err := os.WriteFile(c.file, []byte(p.Token), 0o600); err != nil {
		c.Fatal(err)
	}
}

// has is the PAT that the consumer keeps; empty: none.
func (c *consumer) has() string {
	text, err := os.ReadFile(c.file)
	if err != nil && !os.IsNotExist(err) {
		c.Error(err)
	}
	return string(text)
}

// works reports whether the consumer's PAT is active.
func (c *consumer) works() bool {
	has := c.has()
	return slices.ContainsFunc(c.Active(), func(p emulator.PAT) bool { return p.Token == has })
}

// resume lets a command that waits at the pipe go on, and reports whether there was one.
func (c *consumer) resume() bool {
	f, err := os.OpenFile(c.pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		f.Close()
	}
	return err == nil
}

// rotation returns a rotate whose command is [storeProgram] with those arguments.
func (c *consumer) rotation(flags []string, store ...string) *exec.Cmd {
	env := c.Env(emulator.AccessToken)
	env["INPUT_NAME"] = consumerName
	env["INPUT_TIMEOUT"] = longTimeout
	args := append(append([]string{"rotate"}, flags...), "--", c.command, c.file)
	return harness.Command(c.T, env, harness.NewStep(c.T), "azdo-pat", append(args, store...)...)
}

// checkRotated runs a rotate and checks that then the consumer has the only active PAT.
func (c *consumer) checkRotated(flags ...string) {
	c.Helper()
	cmd := c.rotation(flags, "0")
	if err := cmd.Run(); err != nil {
		c.Errorf("the next rotation: %v\n%s", err, harness.Output(cmd))
	}
	if n := len(c.Active()); n != 1 || !c.works() {
		c.Errorf("after the next rotation %d PATs are active, and the consumer's works: %t\n%s", n, c.works(), harness.Output(cmd))
	}
}

// rotateKill is one rotate: what it finds, the point and the signal that end it.
type rotateKill struct {
	old     int    // PATs that are active before
	overlap bool   // instead of revoking them
	status  string // of the command
	change  func(*emulator.Emulator)
	name    string // of change

	op    string // a request …
	nth   int    // … the first or a later one …
	phase string // … is in this phase; or
	wait  string // the command waits "before" or "after" it stores the PAT

	signal syscall.Signal
	orphan bool // with SIGKILL the command goes on
}

func (k rotateKill) String() string {
	at := k.wait + " storing"
	if k.op != "" {
		at = fmt.Sprintf("%s %d %s", k.op, k.nth, k.phase)
	}
	return fmt.Sprintf("%d old, overlap %t, status %s, %s, %s, %s, orphan %t", k.old, k.overlap, k.status, k.name, at, k.signal, k.orphan)
}

func rotateKills() (all []rotateKill) {
	add := func(k rotateKill) {
		for _, s := range signals {
			k.signal = s
			all = append(all, k)
		}
	}
	requests := func(k rotateKill, op string, nth int) {
		for _, phase := range phases {
			k.op, k.nth, k.phase = op, nth, phase
			add(k)
		}
	}
	for _, old := range []int{0, 1, 2} {
		k := rotateKill{old: old, status: "0"}
		requests(k, emulator.OpList, 1)
		requests(k, emulator.OpCreate, 1)
		requests(k, emulator.OpList, 2) // after the command
		for nth := range old {
			requests(k, emulator.OpRevoke, nth+1)
		}
		for _, wait := range []string{"before", "after"} {
			k.wait = wait
			add(k)
			k.orphan, k.signal = true, syscall.SIGKILL
			all = append(all, k)
			k.orphan = false
		}
	}
	requests(rotateKill{old: 2, status: "0", overlap: true}, emulator.OpUpdate, 1)
	requests(rotateKill{old: 2, status: "0", overlap: true}, emulator.OpUpdate, 2)
	requests(rotateKill{old: 1, status: "7"}, emulator.OpRevoke, 1) // of the new one
	lost := rotateKill{old: 1, status: "0", name: "answer lost", change: func(e *emulator.Emulator) {
		e.Intercept(emulator.OpCreate, emulator.Times(1, emulator.CommitAndDrop))
	}}
	requests(lost, emulator.OpList, 2)
	requests(lost, emulator.OpRevoke, 1)
	requests(lost, emulator.OpCreate, 2)
	requests(rotateKill{old: 1, status: "0", name: "granted more", change: func(e *emulator.Emulator) {
		e.Intercept(emulator.OpCreate, emulator.RewritePAT(func(pat map[string]any) { pat["scope"] = "vso.code vso.work" }))
	}}, emulator.OpRevoke, 1)
	return all
}

// Wherever a signal ends a rotate, the consumer still has a PAT that works, and the next
// rotate ends what is left: afterwards the consumer has the only active PAT. On SIGINT and
// SIGTERM rotate ends within 5 seconds and leaves no PAT that no consumer was given, unless
// the machine stood still.
func TestRotateKilledAnywhere(t *testing.T) {
	t.Parallel()
	all := harness.Part(rotateKills())
	var ended atomic.Int32
	var stopped stops
	t.Run("rotate", func(t *testing.T) {
		for _, k := range all {
			t.Run(k.String(), func(t *testing.T) {
				t.Parallel()
				if k.run(t, &stopped) {
					ended.Add(1)
				}
			})
		}
	})
	stopped.check(t)
	// On a slow machine some end before they reach their point.
	if n := int(ended.Load()); n < len(all)*3/4 {
		t.Errorf("only %d of %d rotations were ended", n, len(all))
	}
}

// run reports whether the rotation reached the point. It counts whether one that must
// clean up stopped in time.
func (k rotateKill) run(t *testing.T, stopped *stops) (came bool) {
	c := newConsumer(t)
	for i := range k.old {
		c.give(fmt.Sprintf("%016x", i))
	}
	before := c.has()
	if k.change != nil {
		k.change(c.Emulator)
	}
	there := make(chan struct{})
	arrive, release := sync.OnceFunc(func() { close(there) }), func() {}
	if k.op != "" {
		release = holdRequest(t, c.Emulator, k.op, k.nth, k.phase, arrive)
	}
	t.Cleanup(release)
	var flags []string
	if k.overlap {
		flags = []string{"--overlap", "24h"}
	}
	cmd := c.rotation(flags, k.status, k.wait, c.pipe)
	said := harness.NewTranscript()
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if k.wait != "" {
		said.Await(t, "waiting "+k.wait, 1)
		arrive()
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	select {
	case <-there:
		came = true
	case <-gone:
		t.Logf("it never reached the point: %s\n%s", cmd.ProcessState, said.Text())
	}
	took := k.end(c, cmd, gone)
	unanswered := k.op == emulator.OpRevoke && k.phase == arrived
	if k.signal != syscall.SIGKILL && !unanswered && c.has() == before {
		if came {
			stopped.count(point{op: k.op, phase: k.phase}.searches(), took)
		}
		if took < harness.CleanUpLimit {
			checkStopped(c, said.Text())
		}
	}
	c.ClearFaults()
	release() // the next one must end what the server commits only now
	k.check(c, said.Text())
	return came
}

// end sends the signal and waits until rotate, and what it has started, have ended. It
// returns how long rotate took.
func (k rotateKill) end(c *consumer, cmd *exec.Cmd, gone <-chan struct{}) (took time.Duration) {
	begin := time.Now()
	if k.signal == syscall.SIGKILL && !k.orphan {
		killWithChildren(c.T, cmd.Process)
	}
	_ = cmd.Process.Signal(k.signal)
	if k.orphan || k.wait == "after" && k.signal != syscall.SIGKILL {
		before := c.has()
		await(c.T, "the wait of the command", c.resume) // it prints that before it opens the pipe
		if k.wait == "before" {
			await(c.T, "storing the PAT", func() bool { return c.has() != before })
		}
	}
	<-gone
	took = time.Since(begin)
	if took > harness.StopLimit {
		c.Errorf("it took %s to stop", took)
	}
	return took
}

// killWithChildren kills a process and its children, and waits until the children have
// ended. It stops the process first, so that it starts no others.
func killWithChildren(t *testing.T, p *os.Process) {
	t.Helper()
	err := p.Signal(syscall.SIGSTOP)
	if err != nil {
		return // it has ended, and so has what it has started
	}
	threads := fmt.Sprintf("/proc/%d/task/*/stat", p.Pid)
	await(t, "the stop", func() bool {
		for _, state := range states(threads) {
			if !strings.Contains("TZX", state) {
				return false
			}
		}
		return true
	})
	children := childrenOf(p.Pid)
	_ = p.Kill()
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, pid := range children {
		await(t, "the command's end", func() bool {
			state := states(fmt.Sprintf("/proc/%d/stat", pid))
			return len(state) == 0 || state[0] == "Z"
		})
	}
}

// states are the states of processes or threads, letters as in proc(5), given the pattern
// of their stat files. There is none of those that are gone.
func states(pattern string) (all []string) {
	files, _ := filepath.Glob(pattern)
	for _, file := range files {
		stat, _ := os.ReadFile(file)
		if i := bytes.LastIndexByte(stat, ')'); i >= 0 && len(stat) > i+2 { // the name before it may hold anything
			all = append(all, string(stat[i+2]))
		}
	}
	return all
}

// childrenOf are the processes that a process has started, in whichever of its threads.
func childrenOf(pid int) (children []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for _, word := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(word); err == nil {
				children = append(children, n)
			}
		}
	}
	return children
}

// checkStopped checks that a rotation that was told to stop, before the consumer was given
// a PAT, has left none.
func checkStopped(c *consumer, said string) {
	c.Helper()
	for _, p := range c.Active() {
		if p.ValidFrom.After(c.Now(emulator.AzureDevOps).Add(-time.Hour)) {
			c.Errorf("the PAT %s was left:\n%s", p.ID, said)
		}
	}
}

// check checks what the rotation has left, and that the next one ends it.
func (k rotateKill) check(c *consumer, said string) {
	if c.has() != "" && !c.works() && k.status == "0" {
		c.Errorf("the consumer has a PAT that does not work:\n%s", said)
	}
	for _, s := range c.Secrets() {
		if strings.Contains(said, s) {
			c.Errorf("a credential is in the log:\n%s", said)
		}
	}
	if k.old == 0 && c.has() == "" {
		// The next one cannot see that the command did not store the first PAT.
		c.checkRotated("--when-left", "30d")
	} else {
		c.checkRotated()
	}
	for _, v := range c.Violations() {
		c.Error(v)
	}
}
