package emulator

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// OpServiceConnections is Azure Pipelines' service connections, after
// https://learn.microsoft.com/rest/api/azure/devops/serviceendpoint/endpoints. Played are
// those to Azure with workload identity federation that an application is given to.
const OpServiceConnections = "azdo.serviceconnections"

// A connectionCall is one request about service connections.
type connectionCall struct {
	*Emulator
	w       http.ResponseWriter
	r       *http.Request
	project string // in the path, by name or id; POST and DELETE have none
	id      string
}

// serviceConnections is POST and DELETE {organization}/_apis/serviceendpoint/endpoints, and
// GET {organization}/{project}/_apis/serviceendpoint/endpoints.
func (e *Emulator) serviceConnections(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.organizationLocked(w, r)
	if o == nil {
		return
	}
	if !cameTo(r, "dev.azure.com") {
		notFound(w, r)
		return
	}
	_, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	project, id, _ := strings.Cut(rest, "_apis/serviceendpoint/endpoints")
	c := &connectionCall{e, w, r, strings.Trim(project, "/"), strings.Trim(id, "/")}
	if !c.check(o) {
		return
	}
	switch {
	case r.Method == http.MethodPost && c.id == "" && c.project == "":
		c.create(o)
	case r.Method == http.MethodGet && c.project != "":
		c.get()
	case r.Method == http.MethodDelete && c.id != "" && c.project == "":
		c.remove()
	default:
		recordOf(r).Refusal = "method"
		http.Error(w, "The requested resource does not support http method '"+r.Method+"'.", http.StatusMethodNotAllowed)
	}
}

// check authenticates and authorizes the caller, who must administer service connections:
// here, be a Project Collection Administrator.
func (c *connectionCall) check(o *Organization) bool {
	scope := "vso.serviceendpoint_manage"
	if c.r.Method == http.MethodGet {
		scope = "vso.serviceendpoint"
	}
	t, why := c.entraTokenLocked(bearer(c.r), o)
	switch bad := badVersion(c.r, "7.1", "7.1-preview.4"); {
	case why != "":
		c.signInLocked(c.w, c.r, o, why)
	case !slices.Contains(o.Members, t.text("oid")):
		notMember(c.w, c.r, o.Tenant, t.text("oid"))
	case !allows(t.text("scp"), scope):
		unauthorized(c.w, c.r, t.text("oid"))
	case !slices.Contains(o.Administrators, t.text("oid")):
		c.refuse(http.StatusForbidden, "Microsoft.TeamFoundation.Framework.Server.AccessCheckException", "You do not have permissions to perform this operation on the service connection.")
	case c.project != "" && !strings.EqualFold(c.project, Project) && !strings.EqualFold(c.project, ProjectID):
		c.refuse(http.StatusNotFound, "Microsoft.TeamFoundation.Core.WebApi.ProjectDoesNotExistWithNameException", "VS800075: The project with id '"+c.project+"' does not exist, or you do not have permission to access it.")
	case bad != nil:
		bad.refuse(c.w, c.r, http.StatusBadRequest)
	default:
		return true
	}
	return false
}

// allows reports whether the scp claim of a token has the scope, or one that includes it.
func allows(scp, scope string) bool {
	return hasScopes(scp, "user_impersonation") || permits(scp, scope)
}

func (c *connectionCall) refuse(status int, typeName, message string) {
	vssError{Message: message, Type: typeName}.refuse(c.w, c.r, status)
}

func (c *connectionCall) argument(message string) {
	c.refuse(http.StatusBadRequest, "System.ArgumentException", message)
}

// connectionObject is a service connection as the API shows it.
func (c *connectionCall) connectionObject(s *ServiceConnection) map[string]any {
	issuer := s.Issuer
	if issuer == "" {
		issuer = PipelinesIssuer
	}
	return map[string]any{
		"id": s.ID, "name": s.Name, "type": "AzureRM", "url": "https://management.azure.com/", "description": "",
		"owner": "library", "isShared": false, "isReady": true,
		"data": map[string]any{"environment": "AzureCloud", "scopeLevel": "Subscription", "creationMode": "Manual", "subscriptionId": SubscriptionID, "subscriptionName": "Build"},
		"authorization": map[string]any{"scheme": "WorkloadIdentityFederation", "parameters": map[string]any{
			"tenantid": c.world.TenantID, "serviceprincipalid": s.ClientID,
			"workloadIdentityFederationIssuer": issuer, "workloadIdentityFederationSubject": s.Subject,
		}},
		"serviceEndpointProjectReferences": []any{map[string]any{
			"name": s.Name, "description": "", "projectReference": map[string]any{"id": ProjectID, "name": Project},
		}},
	}
}

// A connectionRequest is the body of a POST.
type connectionRequest struct {
	Name, Type, URL, Description, Owner string
	Data                                struct{ Environment, ScopeLevel, CreationMode, SubscriptionID, SubscriptionName string }
	Authorization                       struct {
		Scheme     string
		Parameters struct{ TenantID, ServicePrincipalID string }
	}
	IsShared, IsReady                bool
	ServiceEndpointProjectReferences []struct {
		Name, Description string
		ProjectReference  struct{ ID, Name string }
	}
}

// wrong is what is wrong with a request, "" if nothing is.
func (q *connectionRequest) wrong(w *State) string {
	switch {
	case q.Name == "":
		return "Value cannot be null. Parameter name: endpoint.Name"
	case q.Type != "AzureRM" || q.Authorization.Scheme != "WorkloadIdentityFederation" || q.URL != "https://management.azure.com/":
		return "The emulator plays service connections of type AzureRM with workload identity federation alone."
	case q.Data.CreationMode != "Manual":
		return "The creationMode must be Manual for a service connection to an application that exists."
	case q.Data.Environment != "AzureCloud" || q.Data.ScopeLevel != "Subscription" || !isGUID(q.Data.SubscriptionID) || q.Data.SubscriptionName == "":
		return "The data of the service connection must name the environment, the scope level and the subscription."
	case !strings.EqualFold(q.Authorization.Parameters.TenantID, w.TenantID) || !isGUID(q.Authorization.Parameters.ServicePrincipalID):
		return "The authorization of the service connection must name the tenant and the application."
	case len(q.ServiceEndpointProjectReferences) != 1 || !strings.EqualFold(q.ServiceEndpointProjectReferences[0].ProjectReference.ID, ProjectID):
		return "VS800075: The project does not exist, or you do not have permission to access it."
	}
	return ""
}

// create is POST. The subject is not one that could be told before.
func (c *connectionCall) create(o *Organization) {
	var request connectionRequest
	decoder := json.NewDecoder(strings.NewReader(string(recordOf(c.r).Body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil || contentType(c.r) != "application/json" {
		c.argument("The body is not a valid service connection.")
		return
	}
	if why := request.wrong(c.world); why != "" {
		c.argument(why)
		return
	}
	for _, s := range c.world.ServiceConnections {
		if s.Name == request.Name {
			c.refuse(http.StatusConflict, "Microsoft.TeamFoundation.DistributedTask.WebApi.DuplicateServiceConnectionException", "Service connection with name "+request.Name+" already exists.")
			return
		}
	}
	s := &ServiceConnection{ID: guid(), Name: request.Name, Issuer: c.entraIssuerLocked(), ClientID: request.Authorization.Parameters.ServicePrincipalID}
	s.Subject = "/eid1/c/pub/t/" + compactGUID(c.world.TenantID) + "/a/" + compactGUID(AzureDevOpsResource) + "/sc/" + o.ID + "/" + s.ID
	c.world.ServiceConnections = append(c.world.ServiceConnections, s)
	writeJSON(c.w, http.StatusOK, c.connectionObject(s))
}

// get is GET of one, or of those with the names. One that does not exist is null.
func (c *connectionCall) get() {
	names := c.r.URL.Query().Get("endpointNames")
	found := []any{}
	for _, s := range c.world.ServiceConnections {
		if c.id != "" && strings.EqualFold(s.ID, c.id) {
			writeJSON(c.w, http.StatusOK, c.connectionObject(s))
			return
		}
		if c.id == "" && (names == "" || slices.Contains(strings.Split(names, ","), s.Name)) {
			found = append(found, c.connectionObject(s))
		}
	}
	if c.id != "" {
		writeJSON(c.w, http.StatusOK, nil)
		return
	}
	writeJSON(c.w, http.StatusOK, map[string]any{"count": len(found), "value": found})
}

// remove is DELETE. deep would delete the application in Entra as well.
func (c *connectionCall) remove() {
	query := c.r.URL.Query()
	if !strings.EqualFold(query.Get("projectIds"), ProjectID) || query.Get("deep") == "true" {
		c.argument("projectIds must name the project; the emulator does not play deep.")
		return
	}
	c.world.ServiceConnections = slices.DeleteFunc(c.world.ServiceConnections, func(s *ServiceConnection) bool { return strings.EqualFold(s.ID, c.id) })
	c.w.WriteHeader(http.StatusNoContent)
}
