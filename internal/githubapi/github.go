// Package githubapi asks GitHub's REST API whether a workflow run has completed:
// https://docs.github.com/rest/actions/workflow-runs#get-a-workflow-run-attempt
package githubapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

// Run is one attempt of a workflow run.
type Run struct {
	Repository string // OWNER/REPO
	// ID and Attempt are decimal digits.
	ID, Attempt string
}

// String returns a description, as in "run 12.1 of OWNER/REPO".
func (r Run) String() string { return "run " + r.ID + "." + r.Attempt + " of " + r.Repository }

// The causes of refusals, see [Client.Completed].
var (
	// ErrCredentials: the token is not accepted for any request.
	ErrCredentials = errors.New("bad credentials")
	// ErrForbidden: the token may not read the runs of this repository.
	ErrForbidden = errors.New("forbidden")
	// ErrNotFound: there is no such run, or the token may not read it. GitHub does
	// not distinguish the two.
	ErrNotFound = errors.New("not found")
	// ErrMoved: the repository has been renamed, or GitHub has another URL.
	ErrMoved = errors.New("moved")
	// ErrLimited: GitHub asks to wait for [httpclient.Error].RetryAfter.
	ErrLimited = errors.New("rate limit")
)

// Client sends requests with one token. It is safe for concurrent use.
type Client struct {
	// HTTP sends the requests; it must not follow redirects.
	HTTP *http.Client
	// BaseURL is https://api.github.com, or https://HOST/api/v3 of a GitHub
	// Enterprise Server; without a slash at the end.
	BaseURL string
	// Token needs the permission to read the actions of the repositories.
	Token     secret.Value
	UserAgent string
}

// apiVersion is the API version that this package was written for.
const apiVersion = "2022-11-28"

// secondaryLimitWait is the shortest wait after a rate limit answer that does not say
// how long to wait:
// https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
const secondaryLimitWait = time.Minute

var limitText = regexp.MustCompile(`(?i)\brate limit\b|\babuse detection\b`)

// Completed reports whether a run attempt has completed. It sends one request. The
// error is a [*httpclient.Error]; errors.Is distinguishes refusals.
func (c *Client) Completed(ctx context.Context, run Run) (bool, error) {
	doing := "ask GitHub about " + run.String()
	owner, name, _ := strings.Cut(run.Repository, "/")
	address := fmt.Sprintf("%s/repos/%s/%s/actions/runs/%s/attempts/%s", c.BaseURL,
		url.PathEscape(owner), url.PathEscape(name), url.PathEscape(run.ID), url.PathEscape(run.Attempt))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false, &httpclient.Error{Doing: doing, Err: context.Canceled, Detail: "it cannot be requested"}
	}
	req.Header.Set("Authorization", "Bearer "+c.Token.Reveal())
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("X-GitHub-Api-Version", apiVersion)
	req.Header.Set("User-Agent", c.UserAgent)
	resp, err := c.HTTP.Do(req)
	if err != nil {
		e := httpclient.TransportError(doing, req.URL.Host, err)
		var throttled *httpclient.Throttled
		if errors.As(err, &throttled) { // by the answer to an earlier request
			e.Err = errors.Join(ErrLimited, e.Err)
		}
		return false, e
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return false, httpclient.TransportError(doing, req.URL.Host, err)
	}
	if resp.StatusCode/100 == 2 && httpclient.NoContent(body) {
		return false, httpclient.NoContentError(doing, resp, body, "a run", c.Token)
	}
	if resp.StatusCode != http.StatusOK {
		return false, c.refused(doing, resp, body)
	}
	var answer struct {
		ID      json.Number `json:"id"`
		Attempt json.Number `json:"run_attempt"`
		Status  string      `json:"status"`
	}
	if err := httpclient.Decode(body, &answer); err != nil {
		return false, httpclient.StatusError(doing, resp, "the answer does not describe a run", c.Token)
	}
	if answer.ID.String() != run.ID || answer.Attempt.String() != run.Attempt || answer.Status == "" {
		return false, httpclient.StatusError(doing, resp, "the answer describes another run", c.Token)
	}
	return answer.Status == "completed", nil
}

// refused returns the error of a refusal.
func (c *Client) refused(doing string, resp *http.Response, body []byte) error {
	a := httpclient.ReadAnswer(resp.Header, body, c.Token)
	e := a.StatusError(doing, resp)
	e.Name = "GitHub"
	wait, limited := rateLimit(resp, a.Message)
	switch s := resp.StatusCode; {
	case limited:
		e.Err, e.RetryAfter, e.Transient = ErrLimited, wait, true
		e.Advice = "GitHub limits the requests of a token in an hour; the next run asks again"
	case s == http.StatusUnauthorized:
		e.Err = ErrCredentials
		e.Advice = "check github-token (also read from GITHUB_TOKEN): GitHub does not accept it"
	case s == http.StatusForbidden:
		e.Err = ErrForbidden
		e.Advice = "give github-token the permission to read actions there; in a workflow: permissions: { actions: read }"
	case s == http.StatusNotFound:
		e.Err = ErrNotFound
	case s >= 300 && s <= 399:
		e.Err = ErrMoved
		e.Advice = "the repository may have been renamed; its leases have the old name"
	}
	return e
}

// rateLimit reports whether an answer is that of a rate limit, and how long GitHub asks
// to wait.
func rateLimit(resp *http.Response, message string) (time.Duration, bool) {
	if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusTooManyRequests {
		return 0, false
	}
	if wait := httpclient.RetryAfter(resp.Header); wait > 0 {
		return wait, true
	}
	reset, err := strconv.ParseInt(resp.Header.Get("X-RateLimit-Reset"), 10, 64)
	if err == nil && resp.Header.Get("X-RateLimit-Remaining") == "0" {
		now := time.Now()
		if server, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			now = server
		}
		return max(time.Second, time.Unix(reset, 0).Sub(now)), true
	}
	return secondaryLimitWait, resp.StatusCode == http.StatusTooManyRequests || limitText.MatchString(message)
}
