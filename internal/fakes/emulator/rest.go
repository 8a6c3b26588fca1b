package emulator

import (
	"net/http"
	"strings"
)

// patLocked is the PAT that a request presents, by HTTP Basic with any user name and the
// token as password, or why it is not taken. A service principal's own token of Entra,
// which is also taken as Bearer, counts as a PAT with full access.
func (e *Emulator) patLocked(r *http.Request, o *Organization) (*PAT, string) {
	_, given, ok := r.BasicAuth()
	if raw := bearer(r); raw != "" {
		given, ok = raw, true
	}
	if !ok {
		return nil, "no PAT"
	}
	if bearer(r) != "" || strings.Count(given, ".") == 2 {
		owner, why := e.servicePrincipalLocked(given, o)
		if why != "" {
			return nil, why
		}
		return &PAT{Owner: owner, Scope: fullAccess}, ""
	}
	for _, p := range e.pats {
		if p.Token != given {
			continue
		}
		switch {
		case p.Revoked:
			return nil, "PAT revoked"
		case !p.active(e.Now(AzureDevOps)):
			return nil, "PAT expired"
		case p.TargetAccounts != nil && p.Organization != o.Name:
			return nil, "PAT of another organization"
		}
		return p, ""
	}
	return nil, "PAT unknown"
}

// basicLocked returns the request's PAT if it permits the request. Otherwise it has
// answered: with 401, or, without an Authorization header, with the sign-in page.
func (e *Emulator) basicLocked(w http.ResponseWriter, r *http.Request, o *Organization, want string) *PAT {
	p, refusal := e.patLocked(r, o)
	if p == nil && r.Header.Get("Authorization") == "" {
		e.signInLocked(w, r, o, "no PAT")
		return nil
	}
	if p != nil && want != "" && !permits(p.Scope, want) {
		refusal = "PAT without " + want
	}
	if refusal != "" {
		recordOf(r).Refusal = refusal
		w.Header().Set("WWW-Authenticate", `Basic realm="`+e.urls[AzureDevOps]+`/"`)
		http.Error(w, "Access Denied: "+refusal, http.StatusUnauthorized)
		return nil
	}
	return p
}

// restLocked are the checks of a REST GET that needs a scope of a PAT, or any
// credential if want is empty. It returns the user in whose name it is made; if
// the checks fail, the request has been answered. A GET without a version gets the
// latest one: azure-devops-node-api leaves it out, and the service is known to
// demand it of other methods only.
func (e *Emulator) restLocked(w http.ResponseWriter, r *http.Request, want string, versions ...string) (owner string) {
	o := e.organizationLocked(w, r)
	if o == nil {
		return ""
	}
	if want == "" {
		owner = e.anyoneLocked(w, r, o)
	} else if p := e.basicLocked(w, r, o, want); p != nil {
		owner = p.Owner
	}
	if owner == "" {
		return ""
	}
	if r.Method != http.MethodGet {
		recordOf(r).Refusal = "method"
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return ""
	}
	if bad := badVersion(r, versions...); bad != nil && versionOf(r) != "" {
		bad.refuse(w, r, http.StatusBadRequest)
		return ""
	}
	return owner
}

// anyoneLocked is the user in whose name a request is made with a PAT of any scope
// or with a token of Entra. If there is none, the request has been answered.
func (e *Emulator) anyoneLocked(w http.ResponseWriter, r *http.Request, o *Organization) (owner string) {
	if raw := bearer(r); raw != "" {
		switch owner, why := e.servicePrincipalLocked(raw, o); why {
		case "":
			return owner
		case notAMember:
			notMember(w, r, o.Tenant, owner)
			return ""
		}
	}
	if _, _, basic := r.BasicAuth(); !basic {
		return e.callerLocked(w, r, o)
	}
	if p := e.basicLocked(w, r, o, ""); p != nil {
		return p.Owner
	}
	return ""
}

// projects answers GET /{organization}/_apis/projects?api-version=7.1, which
// needs vso.project.
func (e *Emulator) projects(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.restLocked(w, r, "vso.project", "7.1", "7.2-preview.4") == "" {
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"count": 1, "value": []any{map[string]any{
		"id": ProjectID, "name": Project, "state": "wellFormed", "visibility": "private",
	}}})
}

// connectionData answers GET /{organization}/_apis/connectionData, which says
// who the caller is and needs no particular scope.
func (e *Emulator) connectionData(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	owner := e.restLocked(w, r, "", "7.1-preview", "7.1-preview.1", "7.2-preview.1")
	if owner == "" {
		return
	}
	user := map[string]any{"id": owner}
	if u := e.world.User(owner); u != nil {
		user["providerDisplayName"] = u.UPN
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"authenticatedUser": user, "authorizedUser": user, "instanceId": OrganizationID,
	})
}
