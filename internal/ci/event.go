package ci

import (
	"encoding/json"
	"io"
	"os"
	"slices"
)

// maxEvent bounds what is read of the event's payload, in bytes: GitHub caps it
// at 25 MB.
const maxEvent = 25 << 20

// Event is the event that started the workflow.
type Event struct {
	Name string
	// Fork: the event is of a pull request from a fork, or of a workflow run that one
	// started. False if the payload cannot be read or does not tell, as for comments.
	Fork bool
	// Dependabot tells that Dependabot caused it.
	Dependabot bool
}

// WithoutToken reports whether GitHub gives no job of the event an OIDC token,
// whatever its permissions say, unless an administrator allows it.
func (e Event) WithoutToken() bool {
	return e.Fork && slices.Contains([]string{"pull_request", "pull_request_review", "pull_request_review_comment"}, e.Name)
}

// Event reads the event that started the workflow.
func (g *GitHub) Event() Event {
	e := Event{Name: g.get("GITHUB_EVENT_NAME"), Dependabot: g.get("GITHUB_ACTOR") == "dependabot[bot]"}
	f, err := os.Open(g.get("GITHUB_EVENT_PATH"))
	if err != nil {
		return e
	}
	defer f.Close()
	type repository struct {
		Name string `json:"full_name"`
	}
	var payload struct {
		PullRequest *struct {
			Head struct {
				// Nil if the fork was deleted.
				Repository *repository `json:"repo"`
			} `json:"head"`
		} `json:"pull_request"`
		WorkflowRun *struct {
			Head *repository `json:"head_repository"` // nil if the fork was deleted
		} `json:"workflow_run"`
		Repository repository `json:"repository"`
	}
	if json.NewDecoder(io.LimitReader(f, maxEvent)).Decode(&payload) != nil {
		return e
	}
	elsewhere := func(head *repository) bool { return head == nil || head.Name != payload.Repository.Name }
	switch {
	case payload.PullRequest != nil:
		e.Fork = elsewhere(payload.PullRequest.Head.Repository)
	case payload.WorkflowRun != nil:
		e.Fork = elsewhere(payload.WorkflowRun.Head)
	}
	return e
}
