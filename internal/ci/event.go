package ci

import (
	"encoding/json"
	"io"
	"os"
)

// maxEvent bounds what is read of the event's payload, in bytes: GitHub caps it
// at 25 MB.
const maxEvent = 25 << 20

// Event names the event that started the workflow, and says whether it is of a
// pull request from a fork: its job never gets an OIDC token. Where the payload
// cannot be read, it counts as none.
func (g *GitHub) Event() (name string, fork bool) {
	name = g.get("GITHUB_EVENT_NAME")
	f, err := os.Open(g.get("GITHUB_EVENT_PATH"))
	if err != nil {
		return name, false
	}
	defer f.Close()
	type repository struct {
		Name string `json:"full_name"`
	}
	var event struct {
		PullRequest *struct {
			Head struct {
				// Nil where the fork is gone.
				Repository *repository `json:"repo"`
			} `json:"head"`
		} `json:"pull_request"`
		Repository repository `json:"repository"`
	}
	if json.NewDecoder(io.LimitReader(f, maxEvent)).Decode(&event) != nil || event.PullRequest == nil {
		return name, false
	}
	head := event.PullRequest.Head.Repository
	return name, head == nil || head.Name != event.Repository.Name
}
