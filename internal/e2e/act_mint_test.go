//go:build e2e

package e2e

import (
	"slices"
	"testing"
	"time"
)

// actMint: the PAT does its work in the job, is masked, and is revoked in the post
// step although the job fails.
func actMint(t *testing.T, w *workflow) {
	if w.run(t) {
		t.Error("the job succeeded, although a step of it fails")
	}
	w.pats(t, 0, 1)
	p := w.PATs()[0]
	w.log.has(t,
		`Success - Main contoso/azdo-pat@v1`,
		`::set-output:: token=\*\*\*$`,
		`Failure - Main Fail`,
		`Success - Post contoso/azdo-pat@v1`,
	)
	for name, want := range map[string]string{
		"cloned":           "Hello from Azure DevOps.",
		"token":            "***",
		"basic":            "***",
		"base64":           "***",
		"authorization-id": p.ID,
		"expires-at":       p.ValidTo.UTC().Format(time.RFC3339),
		"display-name":     p.Name,
		"scopes":           "vso.code",
		"until the end":    "usable",
	} {
		if got := w.log.said(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	w.log.hasNot(t, "after the failure: ")
}
