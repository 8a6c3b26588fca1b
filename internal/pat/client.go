// Package pat is a client of Azure DevOps' PAT Lifecycle Management API: it creates,
// reads, lists, updates and revokes personal access tokens (PATs) of the user whose
// Entra token it is given.
//
// It uses the exported [azuredevops.Client] of Microsoft's azure-devops-go-api, which
// has no client for this API. It skips the SDK's discovery: the address of the API
// is documented, and looking it up would cost a round trip.
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
// Nothing here is retried. Every error is an [*Error], which tells whether a retry
// can help ([Error.Retryable]) and whether a failed create certainly made no PAT
// ([Error.Settled]).
//
// The wire format comes from Microsoft's OpenAPI description "Tokens", 7.1 and 7.2
// (MicrosoftDocs/vsts-rest-api-specs, specification/tokens).
package pat

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
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
	// apiVersion is the value of the query parameter api-version.
	apiVersion = "7.1-preview.1"

	// maxBody and maxPage limit an answer, in bytes.
	maxBody = 1 << 20
	maxPage = 4 << 20

	// maxName limits, in runes, the names that an error repeats.
	maxName = 100
)

// Client sends requests to one organization as one user. It is safe for concurrent
// use.
type Client struct {
	sdk          *azuredevops.Client
	endpoint     string // of the collection of PATs, without a query
	host         string
	organization string
	token        secret.Value
}

// Options of a [Client].
type Options struct {
	// HTTP sends the requests; nil means a client with net/http's defaults. No
	// redirect is followed, whatever its CheckRedirect does.
	HTTP *http.Client

	// BaseURL is the URL of the token service, such as https://vssps.dev.azure.com.
	// The path /{organization}/_apis/tokens/pats is appended.
	BaseURL string

	// Organization is the organization's name, such as contoso.
	Organization string

	// Token is a delegated Entra access token of the user for Azure DevOps
	// (resource 499b84ac-1321-427f-aa17-267ca6975798) with the scopes vso.pats
	// and vso.pats_manage.
	Token secret.Value

	// UserAgent is appended to the SDK's user agent.
	UserAgent string
}

// New returns a client. It sends nothing.
func New(o Options) *Client {
	c := &Client{
		endpoint:     strings.TrimRight(o.BaseURL, "/") + "/" + url.PathEscape(o.Organization) + "/_apis/tokens/pats",
		organization: sanitize.Line(o.Organization, maxName),
		token:        o.Token,
	}
	if u, err := url.Parse(o.BaseURL); err == nil {
		c.host = sanitize.Line(u.Host, maxName)
	}
	var h http.Client
	if o.HTTP != nil {
		h = *o.HTTP
	}
	h.Transport = &errorTransport{next: h.Transport, client: c}
	c.sdk = azuredevops.NewClientWithOptions(&azuredevops.Connection{
		AuthorizationString:     "Bearer " + o.Token.Reveal(),
		SuppressFedAuthRedirect: true, // otherwise an unauthenticated request is redirected to a sign-in page
		UserAgent:               o.UserAgent,
	}, o.BaseURL, azuredevops.WithHTTPClient(&h))
	return c
}

// Token is a personal access token as the server describes it.
type Token struct {
	// ID is the authorizationId, a GUID.
	ID string
	// DisplayName is its name in the user's list of tokens: untrusted text.
	DisplayName string
	// Scopes are the granted scopes, in the server's order.
	Scopes []string
	// ValidFrom and ValidTo are the start and the end of its life, in UTC. Zero: the
	// date is absent or invalid. ValidTo is never zero if Create, Get or Update
	// succeed.
	ValidFrom, ValidTo time.Time
	// TargetAccounts are the ids (GUIDs) of the organizations that accept the
	// token; nil means all organizations of the user.
	TargetAccounts []string
	// Secret is the token itself. Only Create returns it.
	Secret secret.Value
}

// Create describes the PAT to make.
type Create struct {
	// DisplayName names the PAT in the user's list of tokens.
	DisplayName string
	// Scopes are what the PAT may do; see [Known].
	Scopes []string
	// ValidTo is when it ends, cut to whole seconds. The server takes at most
	// one year, and a policy of the tenant may shorten or refuse it.
	ValidTo time.Time
}

// Create makes a PAT for the one organization of the client.
//
// If the error is not [Error.Settled], a PAT may have been made. If the answer is
// invalid but contains parts of a PAT, both an error and a Token are returned. That
// Token has the ID, DisplayName and Secret that were found; the caller must mask
// and revoke it.
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

// Get reads one PAT. If there is no such PAT, the error is [Error.NotFound].
func (c *Client) Get(ctx context.Context, id string) (Token, error) {
	return c.sendForToken(ctx, call{op: "get", method: http.MethodGet, id: id, query: byID(id)})
}

// Update describes the changes of a PAT. A zero field is not sent and, according to
// the specification, stays unchanged.
type Update struct {
	// ValidTo is the new end, cut to whole seconds.
	ValidTo time.Time
	// DisplayName is the new name.
	DisplayName string
	// Scopes are the new scopes, all of them.
	Scopes []string
}

// Update changes a PAT that has neither expired nor been revoked. The result has no
// Secret. It never extends the PAT to further organizations.
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
	// endpoint is the URL without a query; empty: that of the collection of PATs.
	endpoint string
}

// byID returns the query that names a PAT.
func byID(id string) url.Values { return url.Values{"authorizationId": {id}} }

// send sends a request and returns the status, body and header of a 2xx answer. A 203
// and every other status is an error. An error is returned together with the part of
// the body that was read.
func (c *Client) send(ctx context.Context, r call) (status int, body []byte, header http.Header, err error) {
	if r.method != http.MethodPost && r.op != "list" && r.op != opCaller && !isID(r.id) {
		return 0, nil, nil, c.withCall(r, &Error{Unsent: true, Message: "the authorization id is not a GUID", Err: errID})
	}
	if ctx.Err() != nil {
		e := c.transportError(ctx, context.Cause(ctx))
		e.Unsent = true
		return 0, nil, nil, c.withCall(r, e)
	}
	ctx, unsent := sentTracer(ctx)
	req, err := c.request(ctx, r)
	if err != nil {
		e := c.transportError(ctx, err)
		e.Unsent, e.Err = true, errRequest
		return 0, nil, nil, c.withCall(r, e)
	}
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

// request makes the request of a call.
func (c *Client) request(ctx context.Context, r call) (*http.Request, error) {
	query := url.Values{"api-version": {apiVersion}}
	maps.Copy(query, r.query)
	var body io.Reader
	mediaType := ""
	if r.body != nil {
		text, _ := json.Marshal(r.body) // strings and booleans: it cannot fail
		body, mediaType = bytes.NewReader(text), azuredevops.MediaTypeApplicationJson
	}
	address := cmp.Or(r.endpoint, c.endpoint) + "?" + query.Encode()
	req, err := c.sdk.CreateRequestMessage(ctx, r.method, address, "", body, mediaType, azuredevops.MediaTypeApplicationJson, nil)
	if err != nil {
		return nil, err
	}
	// Without GetBody, net/http cannot repeat the request by itself, as it does
	// after some HTTP/2 errors. A create must be looked up before it is repeated.
	req.GetBody = nil
	return req, nil
}

// withCall adds to an error what was being done, to which PAT, and where.
func (c *Client) withCall(r call, e *Error) *Error {
	e.Op, e.ID, e.Host, e.Organization = r.op, sanitize.Line(r.id, maxName), c.host, c.organization
	return e
}
