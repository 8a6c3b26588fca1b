package assertion

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

// AzurePipelines requests the OIDC token of a service connection from Azure Pipelines:
// https://learn.microsoft.com/rest/api/azure/devops/distributedtask/oidctoken/create
type AzurePipelines struct {
	HTTP              *http.Client
	URL               string       // SYSTEM_OIDCREQUESTURI
	Token             secret.Value // SYSTEM_ACCESSTOKEN
	ServiceConnection string       // GUID
}

const (
	askingPipelines = "ask Azure Pipelines for an assertion"
	notAccepted     = "SYSTEM_ACCESSTOKEN is not accepted: it must be this job's own $(System.AccessToken), which ends with the job"
)

// Assertion implements [Source].
func (a *AzurePipelines) Assertion(ctx context.Context) (secret.Value, error) {
	u, err := url.Parse(a.URL)
	if err != nil {
		return secret.Value{}, errors.New(askingPipelines + ": SYSTEM_OIDCREQUESTURI is not a URL")
	}
	q := u.Query()
	q.Set("api-version", "7.1")
	q.Set("serviceConnectionId", a.ServiceConnection)
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), nil)
	if err != nil {
		return secret.Value{}, errors.New(askingPipelines + ": SYSTEM_OIDCREQUESTURI is not a URL")
	}
	req.Header.Set("Authorization", "Bearer "+a.Token.Reveal())
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	// Otherwise an unauthenticated request is redirected to a sign-in page.
	req.Header.Set("X-TFS-FedAuthRedirect", "Suppress")
	resp, err := a.HTTP.Do(req)
	if err != nil {
		return secret.Value{}, httpclient.TransportError(askingPipelines, u.Host, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return secret.Value{}, httpclient.TransportError(askingPipelines, u.Host, err)
	}
	if resp.StatusCode != http.StatusOK || httpclient.NoContent(body) {
		return secret.Value{}, a.refused(resp, body)
	}
	var answer struct {
		OIDCToken string `json:"oidcToken"`
	}
	if httpclient.Decode(body, &answer) != nil {
		return secret.Value{}, httpclient.StatusError(askingPipelines, resp, "the answer holds no assertion", a.Token)
	}
	v, err := newAssertion(answer.OIDCToken)
	if err != nil {
		return secret.Value{}, unusableError(askingPipelines, resp, err, a.Token)
	}
	return v, nil
}

// refused returns the error of a refusal: an error of Azure DevOps, or its sign-in
// page.
func (a *AzurePipelines) refused(resp *http.Response, body []byte) error {
	said := httpclient.ReadAnswer(resp.Header, body, a.Token)
	e := said.StatusError(askingPipelines, resp)
	// A 203 is Azure DevOps' sign-in page.
	if resp.StatusCode/100 == 2 && httpclient.NoContent(body) {
		e = httpclient.NoContentError(askingPipelines, resp, body, "an assertion", a.Token)
	}
	e.Name = "Azure Pipelines"
	text := strings.ToLower(said.Message)
	switch { // the first is an answer since March 2026 whose status is undocumented
	case strings.Contains(text, "explicit reference to service connection"):
		e.Advice = "a task of this stage must name the service connection " + a.ServiceConnection +
			" in one of its inputs, as AzureCLI@2 does in azureSubscription; a task that never runs (condition: false) is enough"
	case said.Challenge != nil:
		e.Advice = said.Challenge.Hint()
	case said.Code == httpclient.CodeConditionalAccess:
		e.Advice, e.Permanent = httpclient.ConditionalAccess, true
	case said.Anonymous():
		e.Advice, e.Permanent = notAccepted, true
	case said.HTML && resp.StatusCode < 400, resp.StatusCode == http.StatusUnauthorized:
		e.Advice = notAccepted
	case resp.StatusCode == http.StatusForbidden, resp.StatusCode == http.StatusNotFound:
		e.Advice = "service-connection-id must be the id of a service connection of this project (" + a.ServiceConnection +
			" was asked for), and this pipeline must be authorized to use it: see Security on the service connection's page"
	}
	return e
}

// Available returns nil if Azure Pipelines offers the job an assertion. Otherwise the
// error has a hint what to change.
func (a *AzurePipelines) Available() error {
	const (
		mapping = "add to the step: env: { SYSTEM_ACCESSTOKEN: $(System.AccessToken) }"
		given   = "Azure DevOps Services sets SYSTEM_OIDCREQUESTURI in every step; if azdo-pat runs in a container that the step starts, pass it on"
	)
	switch {
	case a.URL == "" && a.Token.IsZero():
		return hint.Add(errors.New("no OIDC token for this step of Azure Pipelines: SYSTEM_OIDCREQUESTURI and SYSTEM_ACCESSTOKEN are not set"), given+"; "+mapping)
	case a.URL == "":
		return hint.Add(errors.New("no OIDC token for this step of Azure Pipelines: SYSTEM_OIDCREQUESTURI is not set"), given)
	case a.Token.IsZero():
		return hint.Add(errors.New("SYSTEM_ACCESSTOKEN is not set: Azure Pipelines gives it to a script only if it is mapped"), mapping)
	}
	if _, err := newAssertion(a.Token.Reveal()); err != nil {
		return errors.New("SYSTEM_ACCESSTOKEN is not a token: " + describe(err))
	}
	return nil
}
