//go:build e2e

package e2e

import "testing"

// actSkipRevoke: act gives the post step no state, so nothing says that the PAT was
// handed over, and it is revoked.
func actSkipRevoke(t *testing.T, w *workflow) {
	if !w.run(t) {
		t.Error("the job failed")
	}
	w.pats(t, 0, 1)
	w.log.has(t, `Success - Post contoso/azdo-pat@v1`, `because mint did not record that it was handed over`)
}

// actWrong: settings that cannot be right, or that are not there, fail the step
// before anything is sent, and an annotation names all of them.
func actWrong(t *testing.T, w *workflow) {
	if w.run(t) {
		t.Error("the workflow succeeded")
	}
	w.pats(t, 0, 0)
	if sent := w.Requests(); len(sent) != 0 {
		t.Errorf("%d requests were sent, the first one %s %s", len(sent), sent[0].Method, sent[0].URL)
	}
	for job, names := range map[string][]string{
		"mistaken": {"organization", "agent-user", "username", "app_token", "lifetime", "authority-host"},
		"empty":    {"organization", "scopes", "agent-user", "refresh-token", "password", "access-token"},
	} {
		w.log.has(t,
			job+`\s*\] .*exit with .FAILURE.: 2$`,
			job+`\s*\] .* Failure - Main contoso/azdo-pat@v1`,
			job+`\s*\] .* Success - Post contoso/azdo-pat@v1`,
		)
		for _, name := range names {
			w.log.has(t, job+`\s*\] .* ::error title=.*`+name)
		}
	}
	w.log.hasNot(t, "after the mistake: ")
}
