// Package pat is a client of Azure DevOps's PAT Lifecycle Management API: it
// creates, reads, lists, updates and revokes personal access tokens (PATs) in
// the name of the user whose Entra token it is given.
//
// It is written in the style of Microsoft's azure-devops-go-api, which has no
// client for this API, on that SDK's exported [azuredevops.Client], but without
// the SDK's discovery: the address of the API is documented, so asking the
// server for it would cost a round trip and tell nothing.
//
//	c := pat.New(pat.Options{
//		HTTP:         client,
//		BaseURL:      "https://vssps.dev.azure.com",
//		Organization: "contoso",
//		Token:        entraToken,
//	})
//	t, err := c.Create(ctx, pat.Create{
//		DisplayName: "nightly",
//		Scopes:      []string{"vso.code"},
//		ValidTo:     time.Now().Add(time.Hour),
//	})
//	…
//	gone, err := c.Revoke(ctx, t.ID)
//
// Nothing here is tried twice. Every error is an [*Error], which says whether
// trying again can help ([Error.Retryable]), and, after a create, whether it is
// certain that no PAT was made ([Error.Settled]).
//
// The wire format is that of Microsoft's OpenAPI description, "Tokens", 7.1 and
// 7.2 (MicrosoftDocs/vsts-rest-api-specs, specification/tokens).
package pat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/microsoft/azure-devops-go-api/azuredevops/v7"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

const (
	// apiVersion goes into the query, as the specification has it.
	apiVersion = "7.1-preview.1"

	// maxBody and maxPage bound, in bytes, what is read of one answer.
	maxBody = 1 << 20
	maxPage = 4 << 20

	// maxName bounds, in runes, what an error repeats of a name that it was
	// given.
	maxName = 100
)

// Client talks to one organization in the name of one user. It is safe for
// concurrent use.
type Client struct {
	sdk          *azuredevops.Client
	endpoint     string // of the collection of PATs, without a query
	host         string
	organization string
	token        secret.Value
	now          func() time.Time
}

// Options say whom a [Client] talks to, and how.
type Options struct {
	// HTTP sends the requests; nil means one with net/http's defaults. Its
	// deadlines, proxies and roots of trust are used. Whatever it says of
	// redirects, none is followed.
	HTTP *http.Client

	// BaseURL is the token service's, such as https://vssps.dev.azure.com.
	// The path /{organization}/_apis/tokens/pats is appended.
	BaseURL string

	// Organization is the organization's name, such as contoso.
	Organization string

	// Token is a delegated Entra access token of the user for Azure DevOps
	// (resource 499b84ac-1321-427f-aa17-267ca6975798) with the scopes vso.pats
	// and vso.pats_manage.
	Token secret.Value

	// UserAgent is appended to the SDK's own.
	UserAgent string

	// Now is the clock against which a date in Retry-After is read if the
	// answer has none of its own; nil means [time.Now].
	Now func() time.Time
}

// New returns a client. It sends nothing.
func New(o Options) *Client {
	c := &Client{
		endpoint:     strings.TrimRight(o.BaseURL, "/") + "/" + url.PathEscape(o.Organization) + "/_apis/tokens/pats",
		organization: sanitize.Line(o.Organization, maxName),
		token:        o.Token,
		now:          o.Now,
	}
	if u, err := url.Parse(o.BaseURL); err == nil {
		c.host = sanitize.Line(u.Host, maxName)
	}
	if c.now == nil {
		c.now = time.Now
	}
	var h http.Client
	if o.HTTP != nil {
		h = *o.HTTP
	}
	h.Transport = &errorTransport{next: h.Transport, client: c}
	c.sdk = azuredevops.NewClientWithOptions(&azuredevops.Connection{
		AuthorizationString:     "Bearer " + o.Token.Reveal(),
		SuppressFedAuthRedirect: true, // or a caller who is not signed in is sent to a sign-in page
		UserAgent:               o.UserAgent,
	}, o.BaseURL, azuredevops.WithHTTPClient(&h))
	return c
}

// Token is a personal access token as the server describes it.
type Token struct {
	// ID is the authorizationId, a GUID.
	ID string
	// DisplayName is its name in the user's list of tokens. It was written by
	// whoever made the token.
	DisplayName string
	// Scopes are the granted scopes, in the server's order.
	Scopes []string
	// ValidFrom and ValidTo bound its life, in UTC. The zero time stands for a
	// date that is absent or cannot be read; a ValidTo that came from Create,
	// Get or Update without an error is never zero.
	ValidFrom, ValidTo time.Time
	// TargetAccounts are the ids (GUIDs) of the organizations for which the
	// token is good; nil means all organizations of the user.
	TargetAccounts []string
	// Secret is the token itself. Only Create returns it.
	Secret secret.Value
}

// Create says what PAT to make.
type Create struct {
	// DisplayName names the PAT in the user's list of tokens.
	DisplayName string
	// Scopes are what the PAT may do; see [Known].
	Scopes []string
	// ValidTo is when it ends, cut to whole seconds. The server takes at most
	// sendForToken year, and a policy of the tenant may shorten or refuse it.
	ValidTo time.Time
}

// Create makes a PAT for the one organization of the client.
//
// If the error is not [Error.Settled], a PAT may have been made. An answer that
// cannot be relied on but names the PAT gives both an error and a Token with as
// much of ID, DisplayName and Secret as was found in it, to be revoked and masked.
func (c *Client) Create(ctx context.Context, p Create) (Token, error) {
	return c.sendForToken(ctx, call{
		op:     "create",
		method: http.MethodPost,
		body: createRequest{
			DisplayName: p.DisplayName,
			Scope:       strings.Join(p.Scopes, " "),
			ValidTo:     wireTime(p.ValidTo),
		},
	})
}

// Get reads one PAT. The error of a PAT that is not there is
// [Error.NotFound].
func (c *Client) Get(ctx context.Context, id string) (Token, error) {
	return c.sendForToken(ctx, call{op: "get", method: http.MethodGet, id: id, query: byID(id)})
}

// Update says how a PAT is to change. What is left at its zero value is not
// sent and, by the specification, stays as it is.
type Update struct {
	// ValidTo is the new end, cut to whole seconds.
	ValidTo time.Time
	// DisplayName is the new name.
	DisplayName string
	// Scopes are the new scopes, all of them.
	Scopes []string
}

// Update changes a PAT that has neither expired nor been revoked. No secret
// comes back. It never widens the PAT to further organizations.
func (c *Client) Update(ctx context.Context, id string, p Update) (Token, error) {
	body := updateRequest{
		AuthorizationID: id,
		DisplayName:     p.DisplayName,
		Scope:           strings.Join(p.Scopes, " "),
	}
	if !p.ValidTo.IsZero() {
		body.ValidTo = wireTime(p.ValidTo)
	}
	return c.sendForToken(ctx, call{op: "update", method: http.MethodPut, id: id, body: body})
}

// call is one request of the API.
type call struct {
	op     string // as in Error.Op
	method string
	id     string // as in Error.ID
	query  url.Values
	body   any // sent as JSON; nil: no body
	limit  int // of the answer, in bytes; 0: maxBody
}

// byID returns the query that names a PAT.
func byID(id string) url.Values { return url.Values{"authorizationId": {id}} }

// send sends a request and returns the status, body and header of its answer:
// sendForToken of the 2xx but 203, for anything else is an error. What was read before an error
// is returned with it.
func (c *Client) send(ctx context.Context, r call) (status int, body []byte, header http.Header, err error) {
	if r.method != http.MethodPost && r.op != "list" && !isID(r.id) {
		return 0, nil, nil, c.withCall(r, &Error{Unsent: true, Message: "the authorization id is not a GUID", Err: errID})
	}
	query := url.Values{"api-version": {apiVersion}}
	for k, v := range r.query {
		query[k] = v
	}
	var in io.Reader
	mediaType := ""
	if r.body != nil {
		text, _ := json.Marshal(r.body) // strings and booleans: it cannot fail
		in, mediaType = bytes.NewReader(text), azuredevops.MediaTypeApplicationJson
	}
	if ctx.Err() != nil {
		e := c.transportError(ctx, context.Cause(ctx))
		e.Unsent = true
		return 0, nil, nil, c.withCall(r, e)
	}
	ctx, unsent := sentTracer(ctx)
	req, err := c.sdk.CreateRequestMessage(ctx, r.method, c.endpoint+"?"+query.Encode(), "", in, mediaType, azuredevops.MediaTypeApplicationJson, nil)
	if err != nil {
		e := c.transportError(ctx, err)
		e.Unsent, e.Err = true, errRequest
		return 0, nil, nil, c.withCall(r, e)
	}
	// Without it net/http cannot send the body a second time, as it would by
	// itself after some ends of an HTTP/2 stream: what became of a create is to
	// be looked for first.
	req.GetBody = nil
	resp, err := c.sdk.SendRequest(req)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			e = c.transportError(ctx, err)
			e.Unsent = unsent(err) || e.throttled() != nil
		}
		return e.Status, nil, nil, c.withCall(r, e)
	}
	defer resp.Body.Close()
	limit := maxBody
	if r.limit > 0 {
		limit = r.limit
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	switch {
	case errors.Is(err, httpclient.ErrTooLarge), len(body) > limit:
		return resp.StatusCode, body, resp.Header, c.withCall(r, &Error{
			Status: resp.StatusCode, Unreadable: true,
			Message: fmt.Sprintf("the answer is larger than %d MiB", limit>>20),
			Support: httpclient.SupportIDs(resp.Header, c.token),
		})
	case err != nil:
		e := c.transportError(ctx, err)
		e.Status = resp.StatusCode
		return resp.StatusCode, body, resp.Header, c.withCall(r, e)
	}
	return resp.StatusCode, body, resp.Header, nil
}

// withCall fills in what an error of a call does not know of itself.
func (c *Client) withCall(r call, e *Error) *Error {
	e.Op, e.ID, e.Host, e.Organization = r.op, sanitize.Line(r.id, maxName), c.host, c.organization
	return e
}
