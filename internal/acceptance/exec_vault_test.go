//go:build unix

package acceptance

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// exec renews the refresh token in Key Vault while the command runs: the command does
// not wait for the vault.
func TestExecRenewsTheRefreshToken(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	dueForRenewal(e)
	gate := emulator.NewGate()
	defer gate.Open()
	e.Intercept(emulator.OpSetSecret, gate.Before)
	x := startExecAs(t, e, emulator.VaultToken) // returns when the command runs
	waitFor(t, "the new refresh token", gate.Arrived())
	gate.Open()
	if status, said := x.end(); status != 5 || strings.Contains(said, "::warning") {
		t.Errorf("status %d\n%s", status, said)
	}
	e.Change(func(w *emulator.State) {
		if n := len(w.Vault.Secrets[0].Versions); n != 2 {
			t.Errorf("the vault has %d versions", n)
		}
	})
}

// A vault that does not answer holds up neither a signal to stop nor the revocation.
func TestExecStoppedWhileRenewing(t *testing.T) {
	t.Parallel()
	untilInTime(t, func() bool { return stopWhileRenewing(t) })
}

func stopWhileRenewing(t *testing.T) (inTime bool) {
	e := emulator.Start(t)
	dueForRenewal(e)
	gate := emulator.NewGate()
	defer gate.Open()
	e.Intercept(emulator.OpSetSecret, gate.Before)
	x := startExecAs(t, e, emulator.VaultToken)
	waitFor(t, "the new refresh token", gate.Arrived())
	begin := time.Now()
	x.signal(syscall.SIGTERM, 1)
	status, said := x.end()
	took := time.Since(begin)
	if took > harness.StopLimit {
		t.Errorf("it took %s to stop", took)
	}
	inTime = took < harness.CleanUpLimit
	if status != 5 || !strings.Contains(said, "refresh token not renewed") || len(e.Active()) > 0 && inTime {
		t.Errorf("status %d, %d PATs left\n%s", status, len(e.Active()), said)
	}
	return inTime
}
