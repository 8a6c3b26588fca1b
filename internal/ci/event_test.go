package ci

import (
	"os"
	"path/filepath"
	"testing"
)

// Payloads of pull requests: https://docs.github.com/webhooks/webhook-events-and-payloads#pull_request
func TestEvent(t *testing.T) {
	t.Parallel()
	const base = `, "repository": {"full_name": "octo/tools", "fork": false}}`
	for _, tc := range []struct {
		name, event, payload string
		fork                 bool
	}{
		{"a push", "push", `{"ref": "refs/heads/main"` + base, false},
		{"of a branch", "pull_request", `{"pull_request": {"head": {"repo": {"full_name": "octo/tools"}}}` + base, false},
		{"from a fork", "pull_request", `{"pull_request": {"head": {"repo": {"full_name": "stranger/tools"}}}` + base, true},
		{"from a fork that is gone", "pull_request", `{"pull_request": {"head": {"repo": null}}` + base, true},
		{"from a fork, of the base", "pull_request_target", `{"pull_request": {"head": {"repo": {"full_name": "stranger/tools"}}}` + base, true},
		{"after a fork's run", "workflow_run", `{"workflow_run": {"head_repository": {"full_name": "stranger/tools"}}` + base, true},
		{"after a run of a fork that is gone", "workflow_run", `{"workflow_run": {"head_repository": null}` + base, true},
		{"after a branch's run", "workflow_run", `{"workflow_run": {"head_repository": {"full_name": "octo/tools"}}` + base, false},
		{"of a comment", "issue_comment", `{"issue": {"pull_request": {"url": "https://api.github.test/pulls/1"}}` + base, false},
		{"not JSON", "pull_request", `{`, false},
		{"not there", "schedule", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "event.json")
			if tc.payload != "" {
				if err := os.WriteFile(path, []byte(tc.payload), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := newBareStep(false, "GITHUB_EVENT_NAME", tc.event, "GITHUB_EVENT_PATH", path)
			if e := s.Event(); e.Name != tc.event || e.Fork != tc.fork || e.Dependabot || e.WithoutToken() != (tc.fork && tc.event == "pull_request") {
				t.Errorf("got %+v", e)
			}
		})
	}
}
