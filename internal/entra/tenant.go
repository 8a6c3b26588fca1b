package entra

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"github.com/google/uuid"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/sanitize"
)

// Organization finds the tenant of an organization. Azure DevOps sends it to a request
// without credentials:
//
//	WWW-Authenticate: Bearer authorization_uri=https://login.microsoftonline.com/TENANT
//	X-VSS-ResourceTenant: TENANT
type Organization struct {
	HTTP    *http.Client
	BaseURL string // the token service's, without a slash at the end
	Name    string
}

// ErrNoTenant is the cause if the organization does not exist or is in no tenant. All
// other requests to it will fail too.
var ErrNoTenant = errors.New("the organization does not exist or has no tenant")

const askingTenant = "ask the organization for its tenant"

var (
	authURI  = regexp.MustCompile(`(?i)(?:^|[\s,;])authorization(?:_uri)?\s*=\s*"?\s*([^",;\s]+)`)
	notThere = regexp.MustCompile(`(?i)\b(?:not found|not be found|does not exist|no such)\b`)
)

// noTenant is what Azure DevOps sends for an organization without a tenant.
var noTenant = uuid.Nil.String()

// Tenant returns the tenant's GUID in lower case. It makes one attempt. The error is a
// [*httpclient.Error], unless the URL is invalid.
func (o *Organization) Tenant(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.BaseURL+"/"+url.PathEscape(o.Name), nil)
	if err != nil {
		return "", fmt.Errorf("%s: %w", askingTenant, err)
	}
	req.Header.Set("X-TFS-FedAuthRedirect", "Suppress")
	resp, err := o.HTTP.Do(req)
	if err != nil {
		return "", httpclient.TransportError(askingTenant, req.URL.Host, err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body) // only the headers matter; the body may explain an error
	said := httpclient.ReadAnswer(resp.Header, body)

	tenant := tenantOf(resp.Header)
	if tenant == "" && resp.StatusCode/100 == 3 {
		tenant = tenantOfSignIn(resp.Header.Get("Location"))
	}
	e := httpclient.StatusError(askingTenant, resp, "the answer names no tenant")
	e.Name, e.Support = "Azure DevOps", said.Support
	switch {
	case tenant != "" && tenant != noTenant:
		return tenant, nil
	// The hint for a misspelt organization is not to connect it to Entra, even if the
	// answer names a tenant of zeros.
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode >= 400 && resp.StatusCode < 500 && notThere.MatchString(said.Message):
		e.Err = ErrNoTenant
		e.Detail, e.Advice = "there is no organization "+sanitize.Line(o.Name, 60), "check organization, or set tenant-id"
	case tenant == noTenant && !httpclient.RetryableStatus(resp.StatusCode):
		e.Err = ErrNoTenant
		e.Detail = "the organization " + sanitize.Line(o.Name, 60) + " is in no Entra tenant"
		e.Advice = "connect the organization to Microsoft Entra ID (Organization settings, Microsoft Entra): without it there is no token for it"
	case resp.StatusCode/100 == 2:
		e.Transient, e.MaxAttempts, e.Advice = true, httpclient.Repeats, "set tenant-id"
	case said.Code == httpclient.CodeConditionalAccess:
		e.Detail, e.Permanent, e.Advice = said.Message, true, httpclient.ConditionalAccess
	case e.Advice == "":
		e.Advice = "set tenant-id"
	}
	return "", e
}

// tenantOfSignIn is the tenant of Entra's sign-in page, to which an answer redirects:
// https://HOST/TENANT/oauth2/authorize. Empty: it is another page.
func tenantOfSignIn(location string) string {
	u, err := url.Parse(location)
	if err != nil || u.Scheme != "https" && !(u.Scheme == "http" && httpclient.IsLoopback(u.Hostname())) {
		return ""
	}
	tenant, page, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	id, err := uuid.Parse(tenant)
	if err != nil || len(tenant) != len(noTenant) || page != "oauth2/authorize" && page != "oauth2/v2.0/authorize" {
		return ""
	}
	return id.String()
}

// tenantOf returns the tenant in the headers of an answer, or "": from the challenge,
// otherwise from X-VSS-ResourceTenant. Each may have several lines, be a list, and
// contain a GUID of zeros, which is the result only if there is no other.
func tenantOf(h http.Header) string {
	var found []string
	for _, line := range h.Values("WWW-Authenticate") {
		for _, m := range authURI.FindAllStringSubmatch(line, -1) {
			if u, err := url.Parse(m[1]); err == nil {
				found = append(found, strings.Split(u.Path, "/")...)
			}
		}
	}
	for _, line := range h.Values("X-VSS-ResourceTenant") {
		found = append(found, strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ';' || r == '"' || unicode.IsSpace(r) })...)
	}
	tenant := ""
	for _, text := range found {
		id, err := uuid.Parse(text)
		switch {
		case err != nil || len(text) != len(noTenant): // other notations of a GUID
		case id != uuid.Nil:
			return id.String()
		default:
			tenant = noTenant
		}
	}
	return tenant
}
