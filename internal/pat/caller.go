package pat

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// opCaller is the [Error.Op] of [Client.Caller].
const opCaller = "caller"

// callerVersion is the api-version of connectionData.
const callerVersion = "7.1-preview.1"

// Caller asks the organization who the token belongs to, and returns the name by which
// it knows that user or service principal, or its id. Any valid token of a member will
// do: this is for a service principal's, which may not list PATs. The wire format is
// that of ConnectionData in azure-devops-go-api's package location.
func (c *Client) Caller(ctx context.Context) (string, error) {
	r := call{
		op: opCaller, method: http.MethodGet, query: url.Values{"api-version": {callerVersion}},
		endpoint: strings.TrimSuffix(c.endpoint, "/tokens/pats") + "/connectionData",
	}
	status, body, header, err := c.send(ctx, r)
	if err != nil {
		return "", err
	}
	var data struct {
		User struct {
			ID   string `json:"id"`
			Name string `json:"providerDisplayName"`
		} `json:"authenticatedUser"`
	}
	if httpclient.Decode(body, &data) != nil || data.User.ID == "" {
		return "", c.withCall(r, c.unreadableError(status, header, body, " instead of the caller", secret.Value{}))
	}
	if data.User.Name != "" {
		return sanitize.Line(data.User.Name, maxName), nil
	}
	return sanitize.Line(data.User.ID, maxName), nil
}

// callerHint is the [Error.Hint] of a refusal of a service principal; empty: that of any
// other request holds.
func (e *Error) callerHint() string {
	switch {
	case e.Code == codeNoMember, e.Code == codeDenied && !e.anonymous(), e.Code == codeForbidden, e.Code == codeNoIdentity:
		return "the service principal is not a member of the organization, or has no access level: a Project Collection Administrator must add it (Organization settings → Users → Add users, access level Basic)"
	case e.Challenge == nil && e.SignedOut():
		return "Azure DevOps did not accept the token: check that `tenant-id` is the tenant that the organization is connected to, and `token-service-url`"
	}
	return ""
}
