package emulator

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// gitHubAPI is the path of GitHub's REST API, as on GitHub Enterprise Server.
const gitHubAPI = "/api/v3"

// GitHubToken is the GITHUB_TOKEN that may read workflow runs.
func (e *Emulator) GitHubToken() string { return e.gitHubToken }

// A Run is one attempt of a GitHub Actions workflow run, as its REST API
// shows it.
type Run struct {
	Repository string // OWNER/REPO
	ID         string
	Attempt    int    // the latest attempt of an id is the run itself
	Status     string // queued, in_progress, completed, …
	Conclusion string // success, failure, cancelled; "" unless completed
}

// gitHubRun answers GET /repos/OWNER/REPO/actions/runs/ID[/attempts/N], in the
// form of https://docs.github.com/rest/actions/workflow-runs. The fields are
// the few that tell whether a run has completed.
func (e *Emulator) gitHubRun(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, message string) {
		e.refuse(r, message)
		writeJSON(w, status, map[string]any{"message": message, "status": strconv.Itoa(status)})
	}
	// https://docs.github.com/rest/using-the-rest-api/getting-started-with-the-rest-api#headers
	if r.Header.Get("User-Agent") == "" {
		refuse(http.StatusForbidden, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header")
		return
	}
	if v := r.Header.Get("X-GitHub-Api-Version"); v != "" && v != "2022-11-28" {
		refuse(http.StatusBadRequest, "\"X-GitHub-Api-Version\" does not support version "+strconv.Quote(v))
		return
	}
	token := bearer(r)
	if scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " "); scheme == "token" {
		token = value
	}
	if token != e.gitHubToken {
		refuse(http.StatusUnauthorized, "Bad credentials")
		return
	}
	// "", owner, repo, actions, runs, id[, attempts, n]
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, gitHubAPI+"/repos"), "/")
	if r.Method != http.MethodGet || len(parts) < 6 || parts[3] != "actions" || parts[4] != "runs" {
		refuse(http.StatusNotFound, "Not Found")
		return
	}
	attempt := 0
	switch {
	case len(parts) == 8 && parts[6] == "attempts":
		n, err := strconv.Atoi(parts[7])
		if err != nil || n < 1 {
			refuse(http.StatusNotFound, "Not Found")
			return
		}
		attempt = n
	case len(parts) != 6:
		refuse(http.StatusNotFound, "Not Found")
		return
	}
	e.mu.Lock()
	var found *Run
	for _, run := range e.world.Runs {
		if !strings.EqualFold(run.Repository, parts[1]+"/"+parts[2]) || run.ID != parts[5] {
			continue
		}
		if run.Attempt == attempt || attempt == 0 && (found == nil || run.Attempt > found.Attempt) {
			c := *run
			found = &c
		}
	}
	e.mu.Unlock()
	if found == nil {
		refuse(http.StatusNotFound, "Not Found")
		return
	}
	id, err := strconv.ParseInt(found.ID, 10, 64)
	if err != nil {
		refuse(http.StatusNotFound, "Not Found")
		return
	}
	answer := map[string]any{
		"id": id, "run_attempt": found.Attempt, "status": found.Status, "conclusion": nil,
		"repository": map[string]any{"full_name": found.Repository},
	}
	if found.Conclusion != "" {
		answer["conclusion"] = found.Conclusion
	}
	writeJSON(w, http.StatusOK, answer)
}

// GitHubLimit answers as GitHub does when a token has asked its questions of the
// hour: 403, and when it may ask again, by GitHub's clock
// (https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api).
func GitHubLimit(reset time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		e := emulatorOf(r)
		e.refuse(r, "rate limit")
		h := w.Header()
		h.Set("X-RateLimit-Limit", "1000")
		h.Set("X-RateLimit-Remaining", "0")
		h.Set("X-RateLimit-Used", "1000")
		h.Set("X-RateLimit-Resource", "core")
		h.Set("X-RateLimit-Reset", strconv.FormatInt(e.Now(GitHub).Add(reset).Unix(), 10))
		writeJSON(w, http.StatusForbidden, map[string]any{"message": "API rate limit exceeded for installation.", "status": "403"})
	}
}
