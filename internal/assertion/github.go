package assertion

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

// GitHub requests the OIDC token of a job from GitHub:
// https://docs.github.com/actions/reference/security/oidc#methods-for-requesting-the-oidc-token
type GitHub struct {
	HTTP     *http.Client
	URL      string       // ACTIONS_ID_TOKEN_REQUEST_URL
	Token    secret.Value // ACTIONS_ID_TOKEN_REQUEST_TOKEN
	Audience string
}

var pending = regexp.MustCompile(`(?i)\bpending\b`)

const askingGitHub = "ask GitHub for an assertion"

// Assertion implements [Source].
func (g *GitHub) Assertion(ctx context.Context) (secret.Value, error) {
	u, err := url.Parse(g.URL)
	if err != nil {
		return secret.Value{}, errors.New(askingGitHub + ": ACTIONS_ID_TOKEN_REQUEST_URL is not a URL")
	}
	q := u.Query()
	q.Set("audience", g.Audience)
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return secret.Value{}, errors.New(askingGitHub + ": ACTIONS_ID_TOKEN_REQUEST_URL is not a URL")
	}
	req.Header.Set("Authorization", "Bearer "+g.Token.Reveal())
	req.Header.Set("Accept", "application/json")
	resp, err := g.HTTP.Do(req)
	if err != nil {
		return secret.Value{}, httpclient.TransportError(askingGitHub, u.Host, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return secret.Value{}, httpclient.TransportError(askingGitHub, u.Host, err)
	}
	if resp.StatusCode/100 == 2 && httpclient.NoContent(body) {
		return secret.Value{}, httpclient.NoContentError(askingGitHub, resp, body, "an assertion", g.Token)
	}
	if resp.StatusCode != http.StatusOK {
		return secret.Value{}, g.refused(resp, body)
	}
	var answer struct {
		Value string `json:"value"`
	}
	if httpclient.Decode(body, &answer) != nil {
		return secret.Value{}, httpclient.StatusError(askingGitHub, resp, "the answer holds no assertion", g.Token)
	}
	v, err := newAssertion(answer.Value)
	if err != nil {
		return secret.Value{}, unusableError(askingGitHub, resp, err, g.Token)
	}
	return v, nil
}

// refused returns the error of a refusal. Right after a job's start the endpoint may
// answer that the job is pending, which is temporary.
func (g *GitHub) refused(resp *http.Response, body []byte) error {
	a := httpclient.ReadAnswer(resp.Header, body, g.Token)
	e := a.StatusError(askingGitHub, resp)
	e.Name = "GitHub"
	e.Transient = pending.Match(body[:min(len(body), 4096)])
	if !e.Transient && (resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden) {
		e.Advice = "the job's request token is not accepted: it is good for about 6 hours from the job's start, and for this job alone"
	}
	return e
}

// Available returns nil if GitHub offers the job an assertion. Otherwise the error may
// have a hint what to change.
func (g *GitHub) Available() error {
	if g.URL != "" && !g.Token.IsZero() {
		if _, err := newAssertion(g.Token.Reveal()); err != nil {
			return errors.New("ACTIONS_ID_TOKEN_REQUEST_TOKEN is not a token: " + describe(err))
		}
		return nil
	}
	return hint.Add(errors.New("GitHub gives this job no OIDC token (ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN are not set)"),
		"add to the job: permissions: { id-token: write, contents: read }; in a reusable workflow the calling job needs it too; a pull request from a fork never gets it")
}
