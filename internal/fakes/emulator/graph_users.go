package emulator

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

const agentUserType = "microsoft.graph.agentUser"

// userOperation finds the operation of a path that begins with users.
func userOperation(method string, path []segment) operation {
	key, rest, isOne := one(path)
	cast := !isOne && len(rest) == 1 && rest[0].name == agentUserType
	if cast {
		rest = nil
	}
	switch {
	case len(rest) > 0:
	case !isOne && method == http.MethodGet:
		return func(c *graphCall) (int, any, *graphError) { return c.listUsers(cast) }
	case !isOne && method == http.MethodPost:
		return func(c *graphCall) (int, any, *graphError) { return c.createUser(cast) }
	case isOne && method == http.MethodGet:
		return func(c *graphCall) (int, any, *graphError) { return c.getUser(key) }
	case isOne && method == http.MethodDelete:
		return func(c *graphCall) (int, any, *graphError) { return c.deleteUser(key) }
	}
	return nil
}

func (c *graphCall) findUser(key segment) (*User, *graphError) {
	u := c.world.User(key.value)
	if u == nil || c.freshLocked(u.ID) {
		return nil, notFoundError(key.value)
	}
	return u, nil
}

// userObject is a user as Graph shows one.
func (c *graphCall) userObject(u *User) map[string]any {
	o := map[string]any{
		"id": u.ID, "userPrincipalName": u.UPN, "displayName": u.DisplayName, "mailNickname": u.mailNickname,
		"jobTitle": nil, "accountEnabled": !u.Disabled, "userType": "Member", "deletedDateTime": nil, "createdDateTime": timestamp(u.created),
	}
	if u.jobTitle != "" {
		o["jobTitle"] = u.jobTitle
	}
	if u.Agent != "" {
		o["@odata.type"] = "#" + agentUserType
		o["identityParentId"] = u.parent
	}
	return o
}

var (
	readUsers  = []string{"User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All", "User.ReadBasic.All"}
	writeUsers = []string{"User.ReadWrite.All", "Directory.ReadWrite.All"}
)

// me is GET /me.
func (c *graphCall) me() (int, any, *graphError) {
	if err := c.may("User.Read", "User.ReadWrite.All", "User.Read.All"); err != nil {
		return 0, nil, err
	}
	return c.single(http.StatusOK, "users", c.userObject(c.user))
}

func (c *graphCall) listUsers(agents bool) (int, any, *graphError) {
	if err := c.mayReadUsers(); err != nil {
		return 0, nil, err
	}
	var objects []map[string]any
	for _, u := range c.world.Users {
		if !agents || u.Agent != "" {
			objects = append(objects, c.userObject(u))
		}
	}
	return c.list("users", objects, "userPrincipalName", "displayName", "id", "mailNickname", "identityParentId")
}

func (c *graphCall) mayReadUsers() *graphError {
	return c.may(append(slices.Clone(readUsers), "AgentIdUser.ReadWrite.All")...)
}

func (c *graphCall) getUser(key segment) (int, any, *graphError) {
	if err := c.mayReadUsers(); err != nil {
		return 0, nil, err
	}
	u, err := c.findUser(key)
	if err != nil {
		return 0, nil, err
	}
	return c.single(http.StatusOK, "users", c.userObject(u))
}

// createUser is POST /users, and with the type in path or body that of an agent user.
func (c *graphCall) createUser(cast bool) (int, any, *graphError) {
	agent, err := c.wantsType("agentUser", cast)
	if err != nil {
		return 0, nil, err
	}
	writable := []string{"accountEnabled", "displayName", "mailNickname", "userPrincipalName", "usageLocation", "jobTitle"}
	if agent {
		err = firstOf(c.mayAgent("AgentIdUser.ReadWrite.All", "AgentIdUser.ReadWrite.IdentityParentedBy", "User.ReadWrite.All"),
			c.hasRole("Agent ID Administrator"))
		writable = append(writable, "identityParentId")
	} else {
		err = firstOf(c.may(writeUsers...), c.hasRole("User Administrator", "Global Administrator"))
		writable = append(writable, "passwordProfile", "passwordPolicies")
	}
	if err == nil {
		err = firstOf(checkProperties(c.body, "user", writable...), c.requiredOfUser())
	}
	if err != nil {
		return 0, nil, err
	}
	user := &User{
		ID: guid(), UPN: c.text("userPrincipalName"), DisplayName: c.text("displayName"), created: c.now,
		mailNickname: c.text("mailNickname"), jobTitle: c.text("jobTitle"), Disabled: c.body["accountEnabled"] == false,
	}
	if agent {
		err = c.setParent(user)
	} else {
		err = c.setPassword(user)
	}
	if err != nil {
		return 0, nil, err
	}
	c.world.Users = append(c.world.Users, user)
	c.createdLocked(user.ID)
	return c.single(http.StatusCreated, "users", c.userObject(user))
}

// requiredOfUser checks what every user needs.
func (c *graphCall) requiredOfUser() *graphError {
	for _, name := range []string{"displayName", "mailNickname", "userPrincipalName"} {
		if c.text(name) == "" {
			return badRequest("A value is required for property '" + name + "' of resource 'User'.")
		}
	}
	if _, given := c.body["accountEnabled"]; !given {
		return badRequest("A value is required for property 'accountEnabled' of resource 'User'.")
	}
	upn := c.text("userPrincipalName")
	name, domain, _ := strings.Cut(upn, "@")
	switch {
	case !strings.EqualFold(domain, c.world.TenantDomain):
		return badRequest("The domain portion of the userPrincipalName property is invalid. You must use one of the verified domain names in your organization.")
	case name == "" || strings.ContainsAny(name, ` '"()<>[]:;,\`):
		return badRequest("Property userPrincipalName is invalid.")
	case strings.ContainsAny(c.text("mailNickname"), ` @()\[]";:.<>,`):
		return badRequest("Invalid value specified for property 'mailNickname' of resource 'User'.")
	case c.world.User(upn) != nil:
		return badRequest("Another object with the same value for property userPrincipalName already exists.")
	}
	return nil
}

// setPassword sets an ordinary user's password, which is required.
func (c *graphCall) setPassword(user *User) *graphError {
	profile, _ := c.body["passwordProfile"].(map[string]any)
	password := stringOf(profile["password"])
	if len(password) < 8 {
		return badRequest("The specified password does not comply with password complexity requirements. Please provide a different password.")
	}
	user.Password = c.keepLocked(password)
	// It must be changed at the first sign-in, which no job can do.
	user.PasswordExpired = profile["forceChangePasswordNextSignIn"] != false
	return nil
}

// setParent makes a user an agent identity's, which may have one.
func (c *graphCall) setParent(user *User) *graphError {
	id := c.text("identityParentId")
	i := slices.IndexFunc(c.world.Apps, func(a *App) bool { return a.Kind == AgentIdentity && strings.EqualFold(a.PrincipalID, id) })
	if i < 0 || c.freshLocked(c.world.Apps[i].PrincipalID) {
		return badRequest("The identityParentId '" + id + "' is not the object id of an agent identity.")
	}
	agent := c.world.Apps[i]
	if slices.ContainsFunc(c.world.Users, func(u *User) bool { return u.Agent == agent.ClientID }) {
		return badRequest("The agent identity '" + id + "' has an agent user already.")
	}
	user.Agent, user.parent = agent.ClientID, agent.PrincipalID
	return nil
}

// deleteUser deletes a user softly.
func (c *graphCall) deleteUser(key segment) (int, any, *graphError) {
	user, err := c.findUser(key)
	switch {
	case err != nil:
	case user.Agent != "":
		err = firstOf(c.mayAgent("AgentIdUser.ReadWrite.All", "AgentIdUser.ReadWrite.IdentityParentedBy", "User.ReadWrite.All"),
			c.hasRole("Agent ID Administrator"))
	default:
		err = firstOf(c.may(append(slices.Clone(writeUsers), "User.DeleteRestore.All")...), c.hasRole("User Administrator", "Global Administrator"))
	}
	if err != nil {
		return 0, nil, err
	}
	c.recycle("user", user.ID, "", c.userObject(user))
	c.world.Users = slices.DeleteFunc(c.world.Users, func(u *User) bool { return u == user })
	c.world.Grants = slices.DeleteFunc(c.world.Grants, func(g *Grant) bool { return g.Principal == user.ID })
	return http.StatusNoContent, nil, nil
}

// tenantObjects is GET /organization and GET /domains.
func (c *graphCall) tenantObjects() (int, any, *graphError) {
	if err := c.may("User.Read", "Organization.Read.All", "Domain.Read.All", "Directory.Read.All"); err != nil {
		return 0, nil, err
	}
	domain := map[string]any{"id": c.world.TenantDomain, "isDefault": true, "isInitial": true, "isVerified": true}
	if c.path[0].name == "domains" {
		return c.list("domains", []map[string]any{domain})
	}
	return c.list("organization", []map[string]any{{
		"id": c.world.TenantID, "displayName": "Contoso",
		"verifiedDomains": []any{map[string]any{"name": c.world.TenantDomain, "isDefault": true, "isInitial": true}},
	}})
}

// getByIDs is POST /directoryObjects/getByIds, which the Azure CLI uses for names.
func (c *graphCall) getByIDs() (int, any, *graphError) {
	if err := c.may("Directory.Read.All"); err != nil {
		return 0, nil, err
	}
	found := []any{}
	for _, id := range stringsOf(c.body["ids"]) {
		if u := c.world.User(id); u != nil && u.ID == id {
			o := c.userObject(u)
			o["@odata.type"] = "#microsoft.graph.user"
			found = append(found, o)
		}
		if a, err := c.principal(segment{value: id}); err == nil {
			o := maps.Clone(c.principalObject(a))
			delete(o, unshown)
			o["@odata.type"] = "#microsoft.graph.servicePrincipal"
			o["servicePrincipalNames"] = []string{a.ClientID}
			found = append(found, o)
		}
	}
	return http.StatusOK, map[string]any{"@odata.context": c.context("directoryObjects"), "value": found}, nil
}

// deletedOperation finds the operation of a path that begins with directory.
func deletedOperation(method string, path []segment) operation {
	if len(path) < 2 || path[1].name != "deletedItems" {
		return nil
	}
	key, rest, isOne := one(path[1:])
	switch {
	case !isOne && len(rest) == 1 && method == http.MethodGet:
		return func(c *graphCall) (int, any, *graphError) {
			return c.listDeleted(strings.TrimPrefix(rest[0].name, "microsoft.graph."))
		}
	case isOne && len(rest) == 0 && method == http.MethodGet, isOne && len(rest) == 0 && method == http.MethodDelete:
		return func(c *graphCall) (int, any, *graphError) { return c.deletedItem(key, method == http.MethodDelete) }
	}
	return nil
}

func (c *graphCall) listDeleted(kind string) (int, any, *graphError) {
	if err := c.mayRecycle(kind); err != nil {
		return 0, nil, err
	}
	var objects []map[string]any
	for _, d := range c.world.Deleted {
		if d.Type == kind {
			objects = append(objects, d.object)
		}
	}
	return c.list("directory/deletedItems", objects, "displayName", "appId", "id", "uniqueName", "userPrincipalName")
}

// mayRecycle checks that the caller may see and empty the recycle bin of a type.
func (c *graphCall) mayRecycle(kind string) *graphError {
	if kind == "user" {
		return firstOf(c.may(append(slices.Clone(writeUsers), "User.DeleteRestore.All", "AgentIdUser.ReadWrite.All")...),
			c.hasRole("User Administrator", "Agent ID Administrator", "Global Administrator"))
	}
	return firstOf(c.may(append(slices.Clone(writeApplications), "AgentIdentityBlueprint.DeleteRestore.All", "AgentIdentity.DeleteRestore.All")...),
		c.hasRole(append(slices.Clone(applicationAdministrators), "Agent ID Administrator")...))
}

// deletedItem shows a deleted object, or deletes it for good.
func (c *graphCall) deletedItem(key segment, forGood bool) (int, any, *graphError) {
	i := slices.IndexFunc(c.world.Deleted, func(d *DeletedObject) bool { return strings.EqualFold(d.ID, key.value) })
	if i < 0 {
		return 0, nil, notFoundError(key.value)
	}
	d := c.world.Deleted[i]
	if err := c.mayRecycle(d.Type); err != nil {
		return 0, nil, err
	}
	if !forGood {
		return c.single(http.StatusOK, "directoryObjects", d.object)
	}
	c.world.Deleted = slices.Delete(c.world.Deleted, i, i+1)
	return http.StatusNoContent, nil, nil
}
