//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// minting are the requests of a mint, in order.
var minting = []string{emulator.OpGitHubOIDC, emulator.OpT1, emulator.OpT2, emulator.OpUserFIC, emulator.OpCreate}

// Whenever a job is cancelled or its container is killed, the post step, a new
// container with the state and the inputs, leaves no PAT.
func TestDockerCancelledAtEveryRequest(t *testing.T) {
	var inTime, late atomic.Int32
	t.Cleanup(func() { // after the parallel subtests
		if inTime.Load() == 0 && late.Load() > 0 {
			t.Errorf("each mint that was cancelled took longer than %s to end", harness.CleanUpLimit)
		}
	})
	for _, op := range minting {
		for _, when := range []string{"before", "after"} {
			t.Run(fmt.Sprintf("cancelled %s %s", when, op), func(t *testing.T) {
				t.Parallel()
				w, main, open := held(t, op, when)
				// The mint ends with its process; docker takes a while to remove the container.
				main.pid()
				told, took := time.Now(), make(chan time.Duration, 1)
				go func() { main.gone(); took <- time.Since(told) }()
				if last := main.cancel(harness.StopLimit); last != syscall.SIGINT {
					t.Errorf("it took %v to end the step", last)
				}
				main.ends(1)
				// The PAT was not handed over, so mint itself has revoked it.
				if <-took < harness.CleanUpLimit {
					inTime.Add(1)
					w.left(0)
				} else {
					late.Add(1)
				}
				open()
				w.postEndsAll(main)
			})
			t.Run(fmt.Sprintf("killed %s %s", when, op), func(t *testing.T) {
				t.Parallel()
				w, main, open := held(t, op, when)
				engine(t, "kill", main.name)
				main.ends(killed)
				open()
				w.postEndsAll(main)
			})
		}
	}
}

// held starts a main step and returns when one of its requests is held, before
// or after it has taken effect. The server carries it out when open is called, even
// if the client no longer waits for the answer.
func held(t *testing.T, op, when string, options ...string) (w *world, main *container, open func()) {
	t.Helper()
	return heldIn(t, newWorld(t, emulator.AgentUser), op, when, options...)
}

// heldIn is held in a world that there is already.
func heldIn(t *testing.T, w *world, op, when string, options ...string) (_ *world, main *container, open func()) {
	t.Helper()
	gate := emulator.NewGate()
	fault := gate.Before
	if when == "after" {
		fault = gate.After
	}
	w.Intercept(op, emulator.Times(1, fault))
	main = w.main(options...)
	select {
	case <-gate.Arrived():
	case <-main.ended:
		t.Fatalf("mint made no request %s:\n%s", op, main.said())
	case <-time.After(time.Minute):
		t.Fatalf("no request %s within a minute:\n%s", op, main.said())
	}
	if made := len(w.PATs()); made == 1 != (op == emulator.OpCreate && when == "after") {
		t.Fatalf("%d PATs made %s %s", made, when, op)
	}
	return w, main, gate.Open
}

// postEndsAll runs the post step and checks that it leaves nothing and has
// nothing to complain of.
func (w *world) postEndsAll(main *container) {
	w.t.Helper()
	post := w.post(main).ends(0).quiet()
	w.left(0)
	if w.t.Failed() {
		w.t.Logf("main:\n%s\npost:\n%s", main.said(), post.said())
	}
	discreet(w, main, post)
}

// A job that is cancelled while docker still prepares the container, when there
// is nothing yet to pass a signal on to, or at any moment of the first second.
func TestDockerCancelledAtAnyTime(t *testing.T) {
	for delay := time.Duration(0); delay <= time.Second; delay += 125 * time.Millisecond {
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, emulator.AgentUser)
			main := w.main()
			time.Sleep(delay)
			last := main.cancel(afterInterrupt)
			w.postEndsAll(main)
			t.Logf("ended by %v with status %d, %d PATs made", last, main.wait(), len(w.PATs()))
		})
	}
}

// A container that ends at no signal is left to itself: it may wake up when the
// job is long over. Here the process is stopped, as on a machine that stands
// still; the signals wait for it, and so do the answers.
func TestDockerLeftToItself(t *testing.T) {
	for _, tt := range []struct{ op, when string }{
		{emulator.OpUserFIC, "after"},
		{emulator.OpCreate, "before"},
		{emulator.OpCreate, "after"},
	} {
		t.Run(tt.when+" "+tt.op, func(t *testing.T) {
			t.Parallel()
			w, main, open := held(t, tt.op, tt.when)
			pid := main.pid()
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			told := time.Now()
			if last := main.cancel(afterInterrupt); last != syscall.SIGKILL {
				t.Errorf("a process that stands still ended by %v", last)
			}
			if took := time.Since(told); took < afterInterrupt+afterTerminate {
				t.Errorf("the runner waited only %s", took)
			}
			if !alive(pid) {
				t.Error("the container is gone with its client")
			}
			open()
			w.postEndsAll(main)
			// The runner deletes a step's command files when the next step begins.
			if err := os.Remove(main.Env()["GITHUB_STATE"]); err != nil {
				t.Fatal(err)
			}

			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			main.gone()
			w.left(0)
		})
	}
}
