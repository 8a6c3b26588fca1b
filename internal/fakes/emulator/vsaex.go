package emulator

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Who is in an organization, after
// https://learn.microsoft.com/rest/api/azure/devops/memberentitlementmanagement, at
// vsaex.dev.azure.com, and after https://learn.microsoft.com/rest/api/azure/devops/graph
// at vssps.dev.azure.com: of service principals the first one has no list.
const (
	OpUserEntitlements      = "azdo.userentitlements"
	OpPrincipalEntitlements = "azdo.serviceprincipalentitlements"
	OpGraphPrincipals       = "azdo.graph" // Azure DevOps' own Graph
)

// isEntitlement reports whether a path below an organization is about its members.
func isEntitlement(rest string) bool {
	rest = strings.ToLower(rest)
	return strings.HasPrefix(rest, "_apis/userentitlements") || strings.HasPrefix(rest, "_apis/serviceprincipalentitlements") ||
		strings.HasPrefix(rest, "_apis/graph/")
}

// An entitlementCall is one request about members.
type entitlementCall struct {
	*Emulator
	w      http.ResponseWriter
	r      *http.Request
	o      *Organization
	id     string // in the path
	kind   string // user or servicePrincipal
	caller string // object id
}

func entitlementOperation(e *Emulator, method, rest string) (string, http.HandlerFunc) {
	_, id, _ := strings.Cut(strings.TrimPrefix(rest, "_apis/"), "/")
	op, host, kind := OpUserEntitlements, "vsaex.dev.azure.com", "user"
	var do func(*entitlementCall)
	version, scope := "7.1", "vso.memberentitlementmanagement"
	switch lower := strings.ToLower(rest); {
	case strings.HasPrefix(lower, "_apis/serviceprincipal"):
		op, kind, version = OpPrincipalEntitlements, "servicePrincipal", "7.1-preview.1"
	case strings.HasPrefix(lower, "_apis/graph/"):
		op, host, version, scope = OpGraphPrincipals, "vssps.dev.azure.com", "7.1-preview.1", "vso.graph"
	}
	switch {
	case op == OpGraphPrincipals && method == http.MethodGet && strings.EqualFold(id, "serviceprincipals"):
		do = (*entitlementCall).graphPrincipals
	case op == OpGraphPrincipals && method == http.MethodGet && strings.HasPrefix(strings.ToLower(id), "storagekeys/"):
		do = (*entitlementCall).storageKey
	case op == OpGraphPrincipals:
	case method == http.MethodPost && id == "":
		do, scope = (*entitlementCall).add, "vso.memberentitlementmanagement_write"
	case method == http.MethodGet && id == "" && kind == "user":
		do = (*entitlementCall).search
	case method == http.MethodGet && id != "":
		do = (*entitlementCall).get
	case method == http.MethodDelete && id != "":
		do, scope = (*entitlementCall).remove, "vso.memberentitlementmanagement_write"
	}
	return op, func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		c := &entitlementCall{Emulator: e, w: w, r: r, id: id, kind: kind}
		switch {
		case !cameTo(r, host):
			notFound(w, r)
		case c.check(scope, version) && do == nil:
			recordOf(r).Refusal = "method"
			http.Error(w, "The requested resource does not support http method '"+method+"'.", http.StatusMethodNotAllowed)
		case c.caller != "" && do != nil:
			do(c)
		}
	}
}

// check authenticates and authorizes the caller: a member, with the scope, and for
// writing a Project Collection Administrator.
func (c *entitlementCall) check(scope, version string) bool {
	c.o = c.organizationLocked(c.w, c.r)
	if c.o == nil {
		return false
	}
	t, why := c.entraTokenLocked(bearer(c.r), c.o)
	switch bad := badVersion(c.r, version); {
	case why != "":
		c.signInLocked(c.w, c.r, c.o, why)
	case !slices.Contains(c.o.Members, t.text("oid")):
		notMember(c.w, c.r, c.o.Tenant, t.text("oid"))
	case !allows(t.text("scp"), scope):
		unauthorized(c.w, c.r, t.text("oid"))
	case strings.HasSuffix(scope, "_write") && !slices.Contains(c.o.Administrators, t.text("oid")):
		vssError{
			Message: "VS403283: You do not have permission to manage the members of this organization. Project Collection Administrators have it.",
			Type:    "Microsoft.TeamFoundation.Framework.Server.AccessCheckException",
		}.refuse(c.w, c.r, http.StatusForbidden)
	case bad != nil:
		bad.refuse(c.w, c.r, http.StatusBadRequest)
	default:
		c.caller = t.text("oid")
		return true
	}
	return false
}

// EntitlementID is Azure DevOps' own id of a member, which differs from the object id in
// Entra, in the default organization.
func EntitlementID(objectID string) string {
	return uuid.NewSHA1(uuid.MustParse(OrganizationID), []byte(strings.ToLower(objectID))).String()
}

// member is the object id of the member with an id of Azure DevOps, "" if there is none.
func (c *entitlementCall) member(id string) string {
	for _, m := range c.o.Members {
		if strings.EqualFold(EntitlementID(m), id) && (c.world.User(m) != nil) == (c.kind == "user") {
			return m
		}
	}
	return ""
}

// licenses are the access levels, and what they are called.
var licenses = map[string]string{
	"express": "Basic", "stakeholder": "Stakeholder", "advanced": "Basic + Test Plans",
	"professional": "Visual Studio Professional", "earlyAdopter": "Early Adopter",
}

// principalLocked finds a service principal by object id, or nil.
func (e *Emulator) principalLocked(id string) *App {
	i := slices.IndexFunc(e.world.Apps, func(a *App) bool { return a.PrincipalID != "" && strings.EqualFold(a.PrincipalID, id) })
	if i < 0 {
		return nil
	}
	return e.world.Apps[i]
}

// subject is a member as Azure DevOps' graph shows it.
func (c *entitlementCall) subject(objectID string) map[string]any {
	o := map[string]any{
		"subjectKind": "user", "origin": "aad", "originId": objectID, "domain": c.world.TenantID,
		"descriptor": descriptorOf(objectID, "aad"), "metaType": "member",
	}
	if u := c.world.User(objectID); u != nil {
		o["principalName"], o["mailAddress"], o["displayName"], o["directoryAlias"] = u.UPN, u.UPN, u.UPN, u.ID
		if u.Agent != "" {
			o["mailAddress"] = nil // it has no mailbox by itself
		}
		return o
	}
	o["subjectKind"], o["metaType"], o["descriptor"] = "servicePrincipal", "application", descriptorOf(objectID, "aadsp")
	o["mailAddress"], o["directoryAlias"] = nil, objectID
	if a := c.principalLocked(objectID); a != nil {
		o["applicationId"], o["principalName"], o["displayName"] = a.ClientID, a.ClientID, a.DisplayName
	}
	return o
}

func descriptorOf(objectID, kind string) string {
	return kind + "." + base64.RawURLEncoding.EncodeToString([]byte(EntitlementID(objectID)))
}

// entitlement is a member with the access level.
func (c *entitlementCall) entitlement(objectID string) map[string]any {
	license := c.o.Licenses[objectID]
	if license == "" {
		license = "express"
	}
	return map[string]any{
		"id": EntitlementID(objectID), c.kind: c.subject(objectID),
		"accessLevel": map[string]any{
			"licensingSource": "account", "accountLicenseType": license, "msdnLicenseType": "none",
			"licenseDisplayName": licenses[license], "status": "pending", "statusMessage": "", "assignmentSource": "unknown",
		},
		"lastAccessedDate": "0001-01-01T00:00:00Z", "dateCreated": timestamp(c.Now(AzureDevOps)),
		"projectEntitlements": []any{}, "groupAssignments": []any{},
	}
}

// nameFilter is the part of $filter that is played.
var nameFilter = regexp.MustCompile(`^name eq '((?:[^']|'')*)'$`)

// search is GET userentitlements: those whose name contains what the filter says. A
// service principal is never among them.
func (c *entitlementCall) search() {
	wanted := ""
	if filter := c.r.URL.Query().Get("$filter"); filter != "" {
		m := nameFilter.FindStringSubmatch(filter)
		if m == nil {
			c.argument("The emulator knows no filter but name eq '…': " + filter)
			return
		}
		wanted = strings.ToLower(strings.ReplaceAll(m[1], "''", "'"))
	}
	items := []any{}
	for _, m := range c.o.Members {
		if u := c.world.User(m); u != nil && strings.Contains(strings.ToLower(u.UPN+" "+u.DisplayName), wanted) {
			items = append(items, c.entitlement(m))
		}
	}
	// A continuation token that is null is not as described; the real one leaves it out
	// or sends null.
	writeJSON(c.w, http.StatusOK, map[string]any{"items": items, "totalCount": len(items)})
}

func (c *entitlementCall) argument(why string) {
	vssError{Message: why, Type: "Microsoft.VisualStudio.Services.Common.VssPropertyValidationException"}.refuse(c.w, c.r, http.StatusBadRequest)
}

func (c *entitlementCall) get() {
	m := c.member(c.id)
	if m == "" {
		c.unknownMember()
		return
	}
	writeJSON(c.w, http.StatusOK, c.entitlement(m))
}

func (c *entitlementCall) unknownMember() {
	vssError{
		Message: "TF14045: The identity with id " + c.id + " could not be found.",
		Type:    "Microsoft.VisualStudio.Services.Identity.IdentityNotFoundException",
	}.refuse(c.w, c.r, http.StatusNotFound)
}

func (c *entitlementCall) remove() {
	m := c.member(c.id)
	if m == "" {
		c.unknownMember()
		return
	}
	c.o.Members = slices.DeleteFunc(c.o.Members, func(other string) bool { return other == m })
	delete(c.o.Licenses, m)
	c.w.WriteHeader(http.StatusNoContent)
}

// An entitlementRequest is the body of a POST.
type entitlementRequest struct {
	AccessLevel struct {
		LicensingSource, AccountLicenseType string
		MsdnLicenseType, AssignmentSource   string
		LicenseDisplayName                  string
	}
	User, ServicePrincipal *struct {
		Origin, OriginID, SubjectKind, PrincipalName string
	}
	ProjectEntitlements []struct {
		Group      struct{ GroupType, DisplayName string }
		ProjectRef struct{ ID, Name string }
		TeamRefs   []any
	}
	Extensions []struct{ ID string }
}

// add is POST. What is wrong with the member is answered with 200 and isSuccess false.
func (c *entitlementCall) add() {
	if contentType(c.r) != "application/json" {
		vssError{
			Message: "The request contains an entity body but no Content-Type header. The inferred media type 'application/octet-stream' is not supported for this resource.",
			Type:    "System.Net.Http.UnsupportedMediaTypeException",
		}.refuse(c.w, c.r, http.StatusUnsupportedMediaType)
		return
	}
	var request entitlementRequest
	decoder := json.NewDecoder(strings.NewReader(string(recordOf(c.r).Body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&request); err != nil {
		c.argument("The body is not a valid entitlement: " + err.Error())
		return
	}
	who := request.User
	if c.kind == "servicePrincipal" {
		who = request.ServicePrincipal
	}
	if who == nil || who.SubjectKind != c.kind || who.Origin != "" && who.Origin != "aad" {
		c.argument("Value cannot be null. Parameter name: " + c.kind)
		return
	}
	license := request.AccessLevel.AccountLicenseType
	if licenses[license] == "" {
		c.argument("The accountLicenseType '" + license + "' is not valid.")
		return
	}
	objectID, why := c.find(who.OriginID, who.PrincipalName)
	if why == "" {
		why = c.projects(request)
	}
	if why != "" {
		recordOf(c.r).Refusal = "isSuccess false"
		c.result(false, []any{map[string]any{"key": 5000, "value": why}}, nil, "")
		return
	}
	if !slices.Contains(c.o.Members, objectID) {
		c.o.Members = append(c.o.Members, objectID)
	}
	if c.o.Licenses == nil {
		c.o.Licenses = map[string]string{}
	}
	c.o.Licenses[objectID] = license
	c.result(true, []any{}, c.entitlement(objectID), EntitlementID(objectID))
}

// find is the object id of the new member, or why there can be none: a user by object id
// or principal name, a service principal by its own object id.
func (c *entitlementCall) find(originID, principalName string) (objectID, why string) {
	if c.kind == "user" {
		u := c.world.User(originID)
		if originID == "" {
			u = c.world.User(principalName)
		}
		switch {
		case u == nil || originID != "" && u.ID != originID:
			return "", "The user '" + originID + principalName + "' was not found in the directory."
		case u.Agent != "" && c.o.RefuseAgentUsers:
			return "", "The user '" + u.UPN + "' is of a type that is not supported."
		}
		objectID = u.ID
	} else {
		a := c.principalLocked(originID)
		if a == nil {
			return "", "The service principal '" + originID + "' was not found in the directory. Use the object id of the service principal, not that of the application."
		}
		objectID = a.PrincipalID
	}
	if c.freshLocked(objectID) {
		return "", "'" + objectID + "' was not found in the directory."
	}
	if c.o.RefuseKnownMembers && slices.Contains(c.o.Members, objectID) {
		return "", "The member is in the organization already."
	}
	return objectID, ""
}

// projects is why the projects of a request are refused, "" if they are not.
func (c *entitlementCall) projects(request entitlementRequest) string {
	for _, p := range request.ProjectEntitlements {
		switch p.Group.GroupType {
		case "projectReader", "projectContributor", "projectAdministrator", "projectStakeholder":
		default:
			return "The group type '" + p.Group.GroupType + "' is not valid."
		}
		if !strings.EqualFold(p.ProjectRef.ID, ProjectID) {
			return "VS800075: The project with id '" + p.ProjectRef.ID + "' does not exist, or you do not have permission to access it."
		}
	}
	return ""
}

// result answers a POST.
func (c *entitlementCall) result(success bool, errors []any, entitlement map[string]any, id string) {
	operation := map[string]any{"isSuccess": success, "errors": errors}
	answer := map[string]any{"isSuccess": success, "operationResult": operation}
	if success {
		operation["result"], operation[c.kind+"Id"] = entitlement, id
		answer[c.kind+"Entitlement"] = entitlement
	}
	writeJSON(c.w, http.StatusOK, answer)
}

// graphPrincipals is GET _apis/graph/serviceprincipals.
func (c *entitlementCall) graphPrincipals() {
	list := []any{}
	for _, m := range c.o.Members {
		if c.world.User(m) == nil {
			list = append(list, c.subject(m))
		}
	}
	writeJSON(c.w, http.StatusOK, map[string]any{"count": len(list), "value": list})
}

// storageKey is GET _apis/graph/storagekeys/{descriptor}: the id by which entitlements
// know a member.
func (c *entitlementCall) storageKey() {
	_, descriptor, _ := strings.Cut(c.id, "/")
	for _, m := range c.o.Members {
		if descriptor == descriptorOf(m, "aad") || descriptor == descriptorOf(m, "aadsp") {
			writeJSON(c.w, http.StatusOK, map[string]any{"value": EntitlementID(m)})
			return
		}
	}
	c.unknownMember()
}
