package emulator

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// routeAzureDevOps finds the operation by path and method, and tells get and
// list apart by the query, as the service does.
func (e *Emulator) routeAzureDevOps(a arrival) (string, http.HandlerFunc) {
	organization, rest, _ := strings.Cut(strings.TrimPrefix(a.URL.Path, "/"), "/")
	switch {
	case isGit(a.URL.Path):
		return OpGit, e.git
	case organization != "" && rest == "":
		return OpTenant, e.tenant
	case rest == "_apis/tokens/pats":
		switch a.Method {
		case http.MethodPost:
			return OpCreate, e.patOperation((*patCall).create)
		case http.MethodPut:
			return OpUpdate, e.patOperation((*patCall).update)
		case http.MethodDelete:
			return OpRevoke, e.patOperation((*patCall).revoke)
		case http.MethodGet:
			if a.URL.Query().Has("authorizationId") {
				return OpGet, e.patOperation((*patCall).get)
			}
			return OpList, e.patOperation((*patCall).list)
		}
	case a.Method == http.MethodOptions && e.options.SDKs && (rest == "_apis" || strings.HasPrefix(rest, "_apis/") && strings.Count(rest, "/") == 1):
		return OpLocations, e.locations
	case strings.EqualFold(rest, "_apis/resourceAreas") && a.Method == http.MethodGet && e.options.SDKs:
		return OpResourceAreas, e.resourceAreas
	case isEntitlement(rest):
		return entitlementOperation(e, a.Method, rest)
	case strings.Contains(strings.ToLower(rest), "_apis/serviceendpoint/endpoints"):
		return OpServiceConnections, e.serviceConnections
	case rest == "_apis/projects":
		return OpProjects, e.projects
	case strings.EqualFold(rest, "_apis/connectionData"):
		return OpConnectionData, e.connectionData
	case strings.Contains(rest, "/_apis/distributedtask/hubs/build/plans/") && strings.HasSuffix(rest, "/oidctoken"):
		return OpPipelinesOIDC, e.pipelinesOIDC
	}
	return string(AzureDevOps) + other, notFound
}

// tenant answers GET /{organization} with the sign-in of an unknown user, whose
// headers name the organization's tenant. No credential changes that.
func (e *Emulator) tenant(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	organization := e.organizationLocked(w, r)
	if organization == nil {
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		recordOf(r).Refusal = "method"
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	e.signInLocked(w, r, organization, "")
}

// organizationLocked is the organization in the path; if there is none, it
// has been answered.
func (e *Emulator) organizationLocked(w http.ResponseWriter, r *http.Request) *Organization {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	organization := e.world.Organization(name)
	if organization == nil {
		recordOf(r).Refusal = "organization"
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		w.Write([]byte("<!DOCTYPE html>\n<html><head><title>Azure DevOps Services | 404</title></head>" +
			"<body><h1>404 - Not Found</h1><p>The resource cannot be found.</p></body></html>\n"))
	}
	return organization
}

// signInLocked answers a client that is not signed in: with 401 if the request asks
// for that, otherwise with the sign-in page.
func (e *Emulator) signInLocked(w http.ResponseWriter, r *http.Request, o *Organization, why string) {
	if why != "" {
		recordOf(r).Refusal = "sign-in: " + why
	}
	h := w.Header()
	h.Set("X-VSS-ResourceTenant", o.Tenant)
	h.Add("WWW-Authenticate", "Bearer authorization_uri=https://login.microsoftonline.com/"+o.Tenant)
	h.Add("WWW-Authenticate", `Basic realm="`+e.urls[AzureDevOps]+`/"`)
	h.Add("WWW-Authenticate", "TFS-Federated")
	status := http.StatusNonAuthoritativeInfo
	switch {
	case strings.EqualFold(r.Header.Get("X-TFS-FedAuthRedirect"), "Suppress"):
		status = http.StatusUnauthorized
	case o.SignIn == SignInRedirect:
		status = http.StatusFound
		h.Set("Location", e.urls[AzureDevOps]+"/_signin?realm="+url.QueryEscape(o.Name)+"&reply_to="+url.QueryEscape(e.urls[AzureDevOps]+r.URL.RequestURI()))
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write([]byte("<!DOCTYPE html>\n<html lang=\"en-US\"><head><title>Azure DevOps Services | Sign In</title></head>" +
		"<body><p>Sign in to your account</p></body></html>\n"))
}

// callerLocked is the user in whose name a request to the PAT API is made. If
// there is none, the request has been answered.
//
// Only delegated user tokens of Entra will do: signed by it, for Azure DevOps,
// of the organization's tenant, in force, with both scopes, of a member.
func (e *Emulator) callerLocked(w http.ResponseWriter, r *http.Request, o *Organization) (objectID string) {
	raw := bearer(r)
	if raw == "" {
		e.signInLocked(w, r, o, "no bearer token")
		return ""
	}
	t, why := e.entraTokenLocked(raw, o)
	switch {
	case why != "":
		e.signInLocked(w, r, o, why)
	case t.text("idtyp") == "app":
		vssError{
			Message: "Service principals are not allowed to perform this action.",
			Type:    "Microsoft.TeamFoundation.Framework.Server.InvalidAccessException",
		}.refuse(w, r, http.StatusForbidden)
	case t.text("idtyp") != "user" || t.text("oid") == "":
		e.signInLocked(w, r, o, "the token is no user's")
	case !slices.Contains(o.Members, t.text("oid")):
		notMember(w, r, o.Tenant, t.text("oid"))
	case !hasScopes(t.text("scp"), "vso.pats", "vso.pats_manage"):
		unauthorized(w, r, t.text("oid"))
	default:
		return t.text("oid")
	}
	return ""
}

// entraTokenLocked is a token of Entra for this organization, or why it is not taken: it
// must be signed by Entra, for Azure DevOps, of the organization's tenant, and in force.
func (e *Emulator) entraTokenLocked(raw string, o *Organization) (t *token, why string) {
	t, err := parse(raw)
	switch {
	case err != nil:
		return nil, "the token is no JWT"
	case !t.signedBy(entraKey):
		return nil, "the token is not signed by Entra"
	case t.Issuer != accessTokenIssuer(o.Tenant) || t.text("tid") != o.Tenant:
		return nil, "the token is of another tenant"
	case !slices.Equal(t.Audience, []string{AzureDevOpsResource}):
		return nil, "the token is for another resource"
	case !t.inForce(e.Now(AzureDevOps)):
		return nil, "the token is not in force"
	}
	return t, ""
}

// notAMember is why the valid token of a service principal is not taken.
const notAMember = "the service principal is not a member"

// servicePrincipalLocked is the object id of the service principal whose own token it
// is, or why the token is not taken. Azure DevOps takes it wherever it takes a PAT,
// except for the PAT API, if the service principal is a member.
func (e *Emulator) servicePrincipalLocked(raw string, o *Organization) (objectID, why string) {
	t, why := e.entraTokenLocked(raw, o)
	switch {
	case why != "":
		return "", why
	case t.text("idtyp") != "app" || t.text("scp") != "" || t.text("oid") == "":
		return "", "the token is no service principal's"
	case !slices.Contains(o.Members, t.text("oid")):
		return t.text("oid"), notAMember
	}
	return t.text("oid"), ""
}

// hasScopes reports whether a scp claim has all the scopes.
func hasScopes(scp string, want ...string) bool {
	have := strings.Fields(scp)
	for _, s := range want {
		if !slices.Contains(have, s) {
			return false
		}
	}
	return true
}

// notMember answers a user of the tenant who is not in the organization.
func notMember(w http.ResponseWriter, r *http.Request, tenant, user string) {
	vssError{
		Message: "TF401444: Please sign-in at least once as " + tenant + `\` + tenant + `\` + user + " in a web browser to enable access to the service.",
		Type:    "Microsoft.TeamFoundation.Framework.Server.UnauthorizedRequestException",
	}.refuse(w, r, http.StatusUnauthorized)
}

// unauthorized answers a signed-in user who lacks the permission.
func unauthorized(w http.ResponseWriter, r *http.Request, user string) {
	vssError{
		Message: "TF400813: The user '" + user + "' is not authorized to access this resource.",
		Type:    "Microsoft.TeamFoundation.Framework.Server.UnauthorizedRequestException",
	}.refuse(w, r, http.StatusUnauthorized)
}
