package emulator

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Microsoft Graph, as far as the scripts of the command setup need it, after
// https://learn.microsoft.com/graph/api/overview. Its operations are called
// graph.METHOD.COLLECTION, such as graph.post.applications,
// graph.patch.federatedIdentityCredentials or graph.get.me.

// A graphCall is one request to Microsoft Graph, past the checks that all share.
type graphCall struct {
	*Emulator
	r      *http.Request
	now    time.Time
	beta   bool
	path   []segment // without the version
	query  url.Values
	body   map[string]any // nil unless there is one
	user   *User          // in whose name it is made
	scopes []string       // delegated permissions of the token
}

// A graphError is a refusal in Graph's form.
type graphError struct {
	status        int
	code, message string
}

// The refusals that many operations share.
func badRequest(message string) *graphError {
	return &graphError{http.StatusBadRequest, "Request_BadRequest", message}
}

func notFoundError(id string) *graphError {
	return &graphError{http.StatusNotFound, "Request_ResourceNotFound", "Resource '" + id + "' does not exist or one of its queried reference-property objects are not present."}
}

func forbidden() *graphError {
	return &graphError{http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."}
}

func conflict(message string) *graphError {
	return &graphError{http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue", message}
}

func (g *graphError) write(w http.ResponseWriter, now time.Time) {
	id := guid()
	writeJSON(w, g.status, map[string]any{"error": map[string]any{
		"code": g.code, "message": g.message,
		"innerError": map[string]any{"date": now.Format("2006-01-02T15:04:05"), "request-id": id, "client-request-id": id},
	}})
}

// GraphError answers as Microsoft Graph does with the given error, without looking at
// the request, such as the 409 of two changes to one application at once:
//
//	e.Intercept("graph.post.federatedIdentityCredentials",
//		emulator.Times(1, emulator.GraphError(409, "Request_ConcurrentUpdate", "…")))
func GraphError(status int, code, message string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		(&graphError{status, code, message}).write(w, emulatorOf(r).Now(Graph))
	}
}

// An operation answers a call with a status and a body, nil for none.
type operation func(*graphCall) (int, any, *graphError)

// routeGraph finds the operation.
func (e *Emulator) routeGraph(a arrival) (string, http.HandlerFunc) {
	version, path := graphPath(a.URL)
	if version != "v1.0" && version != "beta" || len(path) == 0 {
		return string(Graph) + other, notFound
	}
	collection, o := graphOperation(a.Method, path)
	op := string(Graph) + "." + strings.ToLower(a.Method) + "." + collection
	return op, func(w http.ResponseWriter, r *http.Request) { e.graph(w, r, version == "beta", path, o) }
}

// graphOperation finds the operation of a path, nil if there is none, and the name of
// the collection, or of what is no collection, that it is about.
func graphOperation(method string, path []segment) (string, operation) {
	sub := func(i int) string {
		if i < len(path) {
			return path[i].name
		}
		return ""
	}
	switch path[0].name {
	case "me":
		if method == http.MethodGet && len(path) == 1 {
			return "me", (*graphCall).me
		}
		return "me", nil
	case "organization", "domains":
		if method == http.MethodGet && len(path) == 1 {
			return path[0].name, (*graphCall).tenantObjects
		}
		return path[0].name, nil
	case "directory":
		return "deletedItems", deletedOperation(method, path)
	case "directoryObjects":
		if method == http.MethodPost && sub(1) == "getByIds" {
			return "directoryObjects", (*graphCall).getByIDs
		}
		return "directoryObjects", nil
	case "applications":
		return applicationOperation(method, path)
	case "servicePrincipals":
		return "servicePrincipals", principalOperation(method, path)
	case "users":
		return "users", userOperation(method, path)
	}
	if strings.EqualFold(path[0].name, "oauth2PermissionGrants") { // az has it with a capital A
		return "oauth2PermissionGrants", grantOperation(method, path)
	}
	return path[0].name, nil
}

// graph carries out an operation, past the checks that all share.
func (e *Emulator) graph(w http.ResponseWriter, r *http.Request, beta bool, path []segment, o operation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := &graphCall{Emulator: e, r: r, now: e.Now(Graph), beta: beta, path: path}
	status, body, refused := 0, any(nil), c.check()
	switch {
	case refused != nil:
	case o == nil:
		refused = badRequest("Resource not found for the segment '" + path[len(path)-1].name + "'.")
	default:
		status, body, refused = o(c)
	}
	if refused != nil {
		recordOf(r).Refusal = refused.code
		refused.write(w, c.now)
		return
	}
	if body == nil {
		w.WriteHeader(status)
		return
	}
	if broken, ok := body.(brokenJSON); ok {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, string(broken))
		return
	}
	writeJSON(w, status, body)
}

// brokenJSON is an answer that is written as it is, and is no JSON.
type brokenJSON string

// check authenticates the caller and reads query and body.
func (c *graphCall) check() *graphError {
	unauthenticated := func(why string) *graphError {
		return &graphError{http.StatusUnauthorized, "InvalidAuthenticationToken", why}
	}
	raw := bearer(c.r)
	if raw == "" {
		return unauthenticated("Access token is empty.")
	}
	t, err := parse(raw)
	switch {
	case err != nil:
		return unauthenticated("IDX14100: JWT is not well formed, there are no dots (.).")
	case !t.signedBy(entraKey) || t.text("tid") != c.world.TenantID:
		return unauthenticated("Access token validation failure. Invalid signature.")
	case !slices.Equal(t.Audience, []string{graphAudience}):
		return unauthenticated("Access token validation failure. Invalid audience.")
	case !t.inForce(c.now):
		return unauthenticated("Lifetime validation failed, the token is expired.")
	}
	c.user = c.world.User(t.text("oid"))
	if c.user == nil || t.text("idtyp") != "user" {
		return forbidden() // scripts run in a person's name
	}
	c.scopes = strings.Fields(t.text("scp"))
	c.query = c.r.URL.Query()
	return c.readBody()
}

// readBody reads the JSON object of a request that has one.
func (c *graphCall) readBody() *graphError {
	body := recordOf(c.r).Body
	switch c.r.Method {
	case http.MethodGet, http.MethodDelete:
		return nil
	}
	if contentType(c.r) != "application/json" {
		return &graphError{http.StatusUnsupportedMediaType, "Request_BadRequest", "A request with a body must have the Content-Type application/json."}
	}
	if json.Unmarshal(body, &c.body) != nil || c.body == nil {
		return badRequest("Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.")
	}
	return nil
}

// allAccess is the permission of the Azure CLI, with which an application may do
// what the user may, except everything about agent identities.
const allAccess = "Directory.AccessAsUser.All"

// may checks that the token has one of the permissions, or allAccess.
func (c *graphCall) may(permissions ...string) *graphError {
	for _, p := range append(permissions, allAccess) {
		if slices.Contains(c.scopes, p) {
			return nil
		}
	}
	return forbidden()
}

// mayAgent checks that the token has one of the Agent ID permissions, and none of
// those with which Graph ignores them
// (https://learn.microsoft.com/entra/agent-id/known-issues).
func (c *graphCall) mayAgent(permissions ...string) *graphError {
	if slices.Contains(c.scopes, allAccess) || slices.Contains(c.scopes, "Directory.ReadWrite.All") {
		return forbidden()
	}
	return c.may(permissions...)
}

// hasRole checks that the user has one of the directory roles.
func (c *graphCall) hasRole(roles ...string) *graphError {
	for _, role := range roles {
		if slices.Contains(c.user.Roles, role) {
			return nil
		}
	}
	return forbidden()
}

// upsert reports whether the request may create what it does not find.
func (c *graphCall) upsert() bool {
	for _, p := range strings.Split(strings.Join(c.r.Header.Values("Prefer"), ","), ",") {
		if strings.TrimSpace(p) == "create-if-missing" {
			return true
		}
	}
	return false
}

// firstOf returns the first refusal, nil if there is none.
func firstOf(checks ...*graphError) *graphError {
	for _, c := range checks {
		if c != nil {
			return c
		}
	}
	return nil
}

// fresh reports whether an object that was created a moment ago is not found yet,
// and counts the look.
func (e *Emulator) freshLocked(id string) bool {
	if e.unreplicated[id] == 0 {
		return false
	}
	e.unreplicated[id]--
	return true
}

// createdLocked begins the time in which a new object is not found.
func (e *Emulator) createdLocked(id string) { e.unreplicated[id] = e.world.ReplicationReads }

// context is the @odata.context of an answer.
func (c *graphCall) context(of string) string {
	version := "v1.0"
	if c.beta {
		version = "beta"
	}
	return "https://graph.microsoft.com/" + version + "/$metadata#" + of
}
