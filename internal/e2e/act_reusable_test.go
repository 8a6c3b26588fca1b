//go:build e2e

package e2e

import (
	"slices"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// actReusable: a reusable workflow mints with a secret of its caller's, and hands
// back the PAT's id and end, which are not masked. (The PAT itself would be
// empty in the caller on GitHub; act would pass it on.)
func actReusable(t *testing.T, w *workflow) {
	w.secrets["REFRESH_TOKEN"] = w.Settings(emulator.RefreshToken)["refresh-token"]
	if !w.run(t) {
		t.Error("the workflow failed")
	}
	w.pats(t, 0, 1)
	p := w.PATs()[0]
	for name, want := range map[string]string{
		"called": p.ID,
		"caller": p.ID + " " + p.ValidTo.UTC().Format(time.RFC3339),
	} {
		if got := w.log.said(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	w.eachRevokedOnce(t)
}
