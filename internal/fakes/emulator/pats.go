package emulator

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
)

// The versions of the PAT Lifecycle API, which differ in what they document.
var patVersions = []string{"7.1-preview.1", "7.2-preview.1"}

// A PAT is a personal access token as Azure DevOps keeps it.
type PAT struct {
	ID             string // authorizationId
	Name           string // displayName
	Scope          string
	ValidFrom      time.Time
	ValidTo        time.Time
	TargetAccounts []string // nil: all of the owner's organizations
	Token          string
	Revoked        bool
	Owner          string // object id
	Organization   string // name
}

// PATs returns all personal access tokens there have ever been, oldest first.
func (e *Emulator) PATs() []PAT {
	return e.selectPATs(func(*PAT) bool { return true })
}

// Active returns the personal access tokens that work: neither revoked nor
// expired by Azure DevOps' clock.
func (e *Emulator) Active() []PAT {
	return e.selectPATs(func(p *PAT) bool { return p.active(e.Now(AzureDevOps)) })
}

func (e *Emulator) selectPATs(want func(*PAT) bool) []PAT {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []PAT
	for _, p := range e.pats {
		if want(p) {
			c := *p
			c.TargetAccounts = slices.Clone(p.TargetAccounts)
			list = append(list, c)
		}
	}
	return list
}

// Seed plants a personal access token and returns it. Empty fields are filled
// in: a fresh id and token, the scope vso.code, valid from now for one hour,
// in the default organization, of the agent's user.
func (e *Emulator) Seed(p PAT) PAT {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.Now(AzureDevOps)
	if p.ID == "" {
		p.ID = guid()
	}
	if p.Token == "" {
		p.Token = newPAT()
	}
	if p.Scope == "" {
		p.Scope = "vso.code"
	}
	if p.ValidFrom.IsZero() {
		p.ValidFrom = now
	}
	if p.ValidTo.IsZero() {
		p.ValidTo = p.ValidFrom.Add(time.Hour)
	}
	if p.Owner == "" {
		p.Owner = AgentUserID
	}
	if p.Organization == "" {
		p.Organization = OrganizationName
		p.TargetAccounts = []string{OrganizationID}
	}
	e.keepLocked(p.Token)
	stored := p
	e.pats = append(e.pats, &stored)
	return p
}

// End revokes a PAT as its owner does by hand.
func (e *Emulator) End(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.pats {
		if p.ID == id {
			p.Revoked = true
		}
	}
}

func (p *PAT) active(now time.Time) bool { return !p.Revoked && now.Before(p.ValidTo) }

// newPAT makes a token of 84 characters in the form that Azure DevOps has used
// since July 2024.
func newPAT() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, 80)
	rand.Read(b)
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b[:76]) + "AZDO" + string(b[76:])
}

// A patCall is a request to the PAT Lifecycle API by a user who may use it.
type patCall struct {
	*Emulator
	w            http.ResponseWriter
	r            *http.Request
	organization *Organization
	user         string // object id
	now          time.Time
}

// patOperation returns an operation of the PAT Lifecycle API, after the checks that
// all of them share.
func (e *Emulator) patOperation(f func(*patCall)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		organization := e.organizationLocked(w, r)
		if organization == nil {
			return
		}
		user := e.callerLocked(w, r, organization)
		if user == "" {
			return
		}
		if bad := badVersion(r, patVersions...); bad != nil {
			bad.refuse(w, r, http.StatusBadRequest)
			return
		}
		f(&patCall{Emulator: e, w: w, r: r, organization: organization, user: user, now: e.Now(AzureDevOps)})
	}
}

// A patRequest is the body of create and update.
type patRequest struct {
	AuthorizationID *string `json:"authorizationId"`
	DisplayName     *string `json:"displayName"`
	Scope           *string `json:"scope"`
	ValidTo         *string `json:"validTo"`
	AllOrgs         *bool   `json:"allOrgs"`
}

// read decodes the body. The service ignores fields that it does not know;
// here they are refused, and so is whatever follows the object.
func (c *patCall) read() (*patRequest, bool) {
	if contentType(c.r) != "application/json" {
		c.badRequest("Microsoft.VisualStudio.Services.WebApi.VssRequestContentTypeNotSupportedException",
			"The request indicated a Content-Type of "+c.r.Header.Get("Content-Type")+" for method type "+c.r.Method+" which is not supported. Valid content types for this method are: application/json.")
		return nil, false
	}
	body := json.NewDecoder(bytes.NewReader(recordOf(c.r).Body))
	body.DisallowUnknownFields()
	var request *patRequest
	err := body.Decode(&request)
	if err == nil && request != nil {
		_, err = body.Token()
	}
	if err != io.EOF || request == nil {
		c.badRequest("System.ArgumentException", "the body is not one JSON object of the known fields")
		return nil, false
	}
	return request, true
}

func (c *patCall) badRequest(typeName, message string) {
	vssError{Message: message, Type: typeName}.refuse(c.w, c.r, http.StatusBadRequest)
}

// fail answers a business error: 200, no PAT, and the reason.
func (c *patCall) fail(reason string) {
	recordOf(c.r).Refusal = reason
	answer := map[string]any{"patToken": nil, "patTokenError": reason}
	if c.r.URL.Query().Get("api-version") == "7.2-preview.1" {
		answer["patTokenErrorMessage"] = "The emulator refuses this: " + reason + "."
	}
	writeJSON(c.w, http.StatusOK, answer)
}

// succeed answers with the PAT, and with the token itself if it is to be seen.
func (c *patCall) succeed(p *PAT, token bool) {
	writeJSON(c.w, http.StatusOK, map[string]any{"patToken": p.json(token), "patTokenError": "none"})
}

// json is the PAT as the API shows it; the token itself is shown by create
// alone.
func (p *PAT) json(token bool) map[string]any {
	shown := map[string]any{
		"displayName":     p.Name,
		"validTo":         p.ValidTo.Format(time.RFC3339Nano),
		"scope":           p.Scope,
		"targetAccounts":  p.TargetAccounts,
		"validFrom":       p.ValidFrom.Format(time.RFC3339Nano),
		"authorizationId": p.ID,
		"token":           nil,
	}
	if token {
		shown["token"] = p.Token
	}
	return shown
}

// find is the caller's PAT by id, revoked ones among them, or nil.
func (c *patCall) find(id string) *PAT {
	for _, p := range c.pats {
		if strings.EqualFold(p.ID, id) && p.Owner == c.user && strings.EqualFold(p.Organization, c.organization.Name) {
			return p
		}
	}
	return nil
}

func (c *patCall) create() {
	request, ok := c.read()
	if !ok {
		return
	}
	if request.AuthorizationID != nil {
		c.badRequest("System.ArgumentException", "authorizationId is not a field of a create")
		return
	}
	p := &PAT{
		ID: guid(), ValidFrom: c.now.Truncate(100 * time.Nanosecond),
		TargetAccounts: []string{c.organization.ID}, Token: newPAT(),
		Owner: c.user, Organization: c.organization.Name,
	}
	for _, field := range []**string{&request.DisplayName, &request.Scope, &request.ValidTo} {
		if *field == nil {
			*field = new(string)
		}
	}
	reason := c.apply(request, p)
	if reason == "" && c.organization.Policies.forbidsCreating(p) {
		reason = "disablePatCreationPolicyViolation"
	}
	if reason != "" {
		c.fail(reason)
		return
	}
	c.keepLocked(p.Token)
	c.Emulator.pats = append(c.Emulator.pats, p)
	c.succeed(p, true)
}

func (c *patCall) update() {
	request, ok := c.read()
	if !ok {
		return
	}
	if request.AuthorizationID == nil || !isGUID(*request.AuthorizationID) {
		c.fail("invalidAuthorizationId")
		return
	}
	p := c.find(*request.AuthorizationID)
	switch {
	case p == nil || p.Revoked:
		c.fail("tokenNotFound")
		return
	case !p.active(c.now):
		c.fail("expiredPatCannotBeExtended")
		return
	}
	changed := *p
	if reason := c.apply(request, &changed); reason != "" {
		c.fail(reason)
		return
	}
	*p = changed
	c.succeed(p, false)
}

func (c *patCall) get() {
	id := c.r.URL.Query().Get("authorizationId")
	if !isGUID(id) {
		c.fail("invalidAuthorizationId")
		return
	}
	p := c.find(id)
	if p == nil {
		c.fail("tokenNotFound")
		return
	}
	c.succeed(p, false)
}

func (c *patCall) revoke() {
	ids := c.r.URL.Query()["authorizationId"]
	if len(ids) != 1 || !isGUID(ids[0]) {
		c.badRequest("System.ArgumentException", "authorizationId must be given once and be a GUID")
		return
	}
	if p := c.find(ids[0]); p != nil && !p.Revoked {
		p.Revoked = true
		c.w.WriteHeader(http.StatusNoContent)
		return
	}
	switch c.organization.Revoked {
	case GoneTokenNotFound:
		c.fail("tokenNotFound")
	case GoneAuthorizationNotFound:
		c.fail("authorizationNotFound")
	case GoneNoContent:
		c.w.WriteHeader(http.StatusNoContent)
	default:
		vssError{
			Message: "The token with authorization id " + ids[0] + " was not found.",
			Type:    "Microsoft.VisualStudio.Services.DelegatedAuthorization.SessionTokenNotFoundException",
		}.refuse(c.w, c.r, http.StatusNotFound)
	}
}

// apply checks what a request says and puts it into the PAT. The result is
// the patTokenError, "" if there is none. A field that is nil stays.
func (c *patCall) apply(request *patRequest, p *PAT) string {
	if request.DisplayName != nil {
		name := *request.DisplayName
		if strings.TrimSpace(name) == "" {
			return "displayNameRequired"
		}
		if len([]rune(name)) > 255 || strings.ContainsFunc(name, unicode.IsControl) {
			return "invalidDisplayName"
		}
		p.Name = name
	}
	if request.Scope != nil {
		if !validScope(*request.Scope) {
			return "invalidScope"
		}
		p.Scope = sorted(*request.Scope)
	}
	if request.ValidTo != nil {
		asked, err := time.Parse(time.RFC3339Nano, *request.ValidTo)
		if err != nil || !asked.After(c.now) || asked.After(c.now.AddDate(1, 0, 0)) {
			return "invalidValidTo"
		}
		p.ValidTo = asked.UTC().Round(10 * time.Millisecond)
	}
	if request.AllOrgs != nil && *request.AllOrgs {
		return "globalPATCreationBlocked"
	}
	return c.organization.Policies.apply(p)
}

// sorted puts the scopes in an order that the caller need not have had, as
// the service may.
func sorted(scope string) string {
	list := strings.Split(scope, " ")
	slices.Sort(list)
	return strings.Join(slices.Compact(list), " ")
}

// forbidsCreating reports whether the policies keep the PAT's owner from
// making it.
func (y Policies) forbidsCreating(p *PAT) bool {
	if !y.RestrictCreation || slices.Contains(y.AllowList, p.Owner) {
		return false
	}
	packaging := !slices.ContainsFunc(strings.Split(p.Scope, " "), func(s string) bool {
		return !strings.HasPrefix(s, "vso.packaging")
	})
	return !y.AllowPackaging || !packaging
}

// apply is what the other policies say of a new or changed PAT: a
// patTokenError, or "" and perhaps an earlier end.
func (y Policies) apply(p *PAT) string {
	if y.RestrictFullScope && slices.Contains(strings.Split(p.Scope, " "), fullAccess) {
		return "fullScopePatPolicyViolation"
	}
	latest := p.ValidFrom.Add(y.MaxLifetime)
	if y.MaxLifetime == 0 || !p.ValidTo.After(latest) {
		return ""
	}
	if y.RefuseLongLived {
		return "patLifespanPolicyViolation"
	}
	p.ValidTo = latest.Round(10 * time.Millisecond)
	return ""
}
