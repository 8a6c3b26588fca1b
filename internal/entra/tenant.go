package entra

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"

	"azdo-pat/internal/lazyregexp"
	"azdo-pat/internal/outside"
	"azdo-pat/internal/wire"
)

// Organization asks Azure DevOps in which tenant an organization is. The answer
// to somebody who is not signed in tells it, as
//
//	WWW-Authenticate: Bearer authorization_uri=https://login.microsoftonline.com/TENANT
//	X-VSS-ResourceTenant: TENANT
type Organization struct {
	HTTP    *http.Client
	BaseURL string // the token service's, without a slash at the end
	Name    string
}

// ErrNowhere is the cause of an error that says that there is no such
// organization, or none in a tenant: what is asked of it will fail too.
var ErrNowhere = errors.New("the organization is nowhere")

const askingTenant = "ask the organization for its tenant"

var (
	tenantGUID = lazyregexp.New(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
	authURI    = lazyregexp.New(`(?i)\bauthorization_uri="?([^",\s]+)"?`)
)

const noTenant = "00000000-0000-0000-0000-000000000000"

// Tenant makes one attempt.
func (o *Organization) Tenant(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.BaseURL+"/"+url.PathEscape(o.Name), nil)
	if err != nil {
		return "", fmt.Errorf("%s: %w", askingTenant, err)
	}
	req.Header.Set("X-TFS-FedAuthRedirect", "Suppress")
	resp, err := o.HTTP.Do(req)
	if err != nil {
		return "", wire.NoAnswer(askingTenant, req.URL.Host, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection can be used again

	tenant := tenantOf(resp.Header)
	switch {
	case tenant == noTenant:
		return "", &wire.Error{Doing: askingTenant, Host: req.URL.Host, Status: resp.StatusCode, Err: ErrNowhere,
			Detail: "the organization " + outside.Line(o.Name, 60) + " is in no Entra tenant",
			Advice: "connect the organization to Microsoft Entra ID (Organization settings, Microsoft Entra): without it there is no token for it"}
	case tenant != "":
		return tenant, nil
	case resp.StatusCode == http.StatusNotFound:
		return "", &wire.Error{Doing: askingTenant, Host: req.URL.Host, Status: resp.StatusCode, Err: ErrNowhere,
			Detail: "there is no organization " + outside.Line(o.Name, 60), Advice: "check organization, or set tenant-id"}
	}
	e := wire.Refused(askingTenant, resp, "the answer names no tenant")
	if e.Advice == "" {
		e.Advice = "set tenant-id"
	}
	return "", e
}

func tenantOf(h http.Header) string {
	for _, challenge := range h.Values("WWW-Authenticate") {
		for _, m := range authURI().FindAllStringSubmatch(challenge, -1) {
			if u, err := url.Parse(m[1]); err == nil {
				if last := path.Base(u.Path); tenantGUID().MatchString(last) {
					return strings.ToLower(last)
				}
			}
		}
	}
	if t := h.Get("X-VSS-ResourceTenant"); tenantGUID().MatchString(t) {
		return strings.ToLower(t)
	}
	return ""
}
