//go:build e2e

package e2e

import (
	"slices"
	"testing"
)

// actTwice: two uses in one job have a PAT each, which can do what it was asked
// for and no more, and each post step revokes the one of its own main step.
func actTwice(t *testing.T, w *workflow) {
	if !w.run(t) {
		t.Error("the job failed")
	}
	w.pats(t, 0, 2)
	for name, want := range map[string]string{
		"push with the PAT that may read":  "refused",
		"push with the PAT that may write": "succeeded",
		"names":                            w.names(),
	} {
		if got := w.log.said(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	w.eachRevokedOnce(t)
}

// actComposite: a composite action that uses azdo-pat twice passes the PATs on to the
// job. The post steps inside it run when the job ends, and revoke them.
func actComposite(t *testing.T, w *workflow) {
	if !w.run(t) {
		t.Error("the job failed")
	}
	w.pats(t, 0, 2)
	for name, want := range map[string]string{
		"inside":  "***",
		"outside": "*** ***",
		"names":   w.names(),
	} {
		if got := w.log.said(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	w.eachRevokedOnce(t)
}
