//go:build e2e

package e2e

import (
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

// actCancel: a job that is cancelled at its work still revokes.
func actCancel(t *testing.T, w *workflow) {
	w.start(t)
	w.log.await(t, `\| working: with `)
	if len(w.Active()) != 1 {
		t.Errorf("%d PATs are active while the job works, want 1", len(w.Active()))
	}
	w.interrupt(t)
	if w.wait(t) {
		t.Error("the job succeeded, although it was cancelled")
	}
	w.pats(t, 0, 1)
	w.eachRevokedOnce(t)
	w.log.hasNot(t, "after the cancellation: ")
}

// actCancelMint: a job that is cancelled while the answer to the create is on its
// way. act leaves the container alone until the post step begins and kills it
// then, so that the PAT was never handed over; the post step knows only its name.
// (act does not cancel as GitHub's runner does.)
func actCancelMint(t *testing.T, w *workflow) {
	w.file = "cancel.yml"
	gate := emulator.NewGate()
	w.Intercept(emulator.OpCreate, emulator.Times(1, gate.After))
	w.start(t)
	<-gate.Arrived()
	w.interrupt(t)
	if w.wait(t) {
		t.Error("the job succeeded, although it was cancelled")
	}
	w.pats(t, 0, 1)
	w.eachRevokedOnce(t)
	w.log.hasNot(t, "working: ", "after the cancellation: ")
}
