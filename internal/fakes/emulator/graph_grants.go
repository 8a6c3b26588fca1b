package emulator

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// Consents to delegated permissions, after
// https://learn.microsoft.com/graph/api/resources/oauth2permissiongrant.

// grantOperation finds the operation of a path that begins with oauth2PermissionGrants.
func grantOperation(method string, path []segment) operation {
	key, rest, isOne := one(path)
	if len(rest) > 0 {
		return nil
	}
	switch {
	case !isOne && method == http.MethodGet:
		return (*graphCall).listGrants
	case !isOne && method == http.MethodPost:
		return (*graphCall).createGrant
	case isOne:
		return func(c *graphCall) (int, any, *graphError) { return c.oneGrant(key) }
	}
	return nil
}

// grants are all consents: the grants, and what [App.Consented] says, which is for all
// users.
func (c *graphCall) grants() []*Grant {
	list := slices.Clone(c.world.Grants)
	for _, a := range c.world.Apps {
		if len(a.Consented) > 0 {
			list = append(list, &Grant{ID: "consented-" + a.PrincipalID, Client: a.PrincipalID, Resource: AzureDevOpsPrincipalID, Scope: strings.Join(a.Consented, " ")})
		}
	}
	return list
}

// grantObject is a grant as Graph shows it.
func grantObject(g *Grant) map[string]any {
	o := map[string]any{
		"id": g.ID, "clientId": g.Client, "consentType": "AllPrincipals", "principalId": nil, "resourceId": g.Resource, "scope": g.Scope,
	}
	if g.Principal != "" {
		o["consentType"], o["principalId"] = "Principal", g.Principal
	}
	return o
}

// mayGrant checks that the caller may consent for others.
func (c *graphCall) mayGrant() *graphError {
	return firstOf(c.may("DelegatedPermissionGrant.ReadWrite.All"),
		c.hasRole("Cloud Application Administrator", "Application Administrator", "Privileged Role Administrator", "Global Administrator"))
}

func (c *graphCall) mayReadGrants() *graphError {
	return c.may("DelegatedPermissionGrant.Read.All", "DelegatedPermissionGrant.ReadWrite.All", "Directory.Read.All")
}

func (c *graphCall) listGrants() (int, any, *graphError) {
	if err := c.mayReadGrants(); err != nil {
		return 0, nil, err
	}
	var objects []map[string]any
	for _, g := range c.grants() {
		objects = append(objects, grantObject(g))
	}
	return c.list("oauth2PermissionGrants", objects, "clientId", "resourceId", "consentType", "principalId", "id")
}

// grantsOf is GET /servicePrincipals/…/oauth2PermissionGrants.
func (c *graphCall) grantsOf(key segment) (int, any, *graphError) {
	if err := c.mayReadGrants(); err != nil {
		return 0, nil, err
	}
	a, err := c.principal(key)
	if err != nil {
		return 0, nil, err
	}
	var objects []map[string]any
	for _, g := range c.grants() {
		if g.Client == a.PrincipalID {
			objects = append(objects, grantObject(g))
		}
	}
	return c.list("oauth2PermissionGrants", objects)
}

// createGrant is POST /oauth2PermissionGrants.
func (c *graphCall) createGrant() (int, any, *graphError) {
	if err := c.mayGrant(); err != nil {
		return 0, nil, err
	}
	// Older clients send when the grant begins and ends, which Graph ignores.
	delete(c.body, "startTime")
	delete(c.body, "expiryTime")
	if err := checkProperties(c.body, "oAuth2PermissionGrant", "clientId", "consentType", "principalId", "resourceId", "scope"); err != nil {
		return 0, nil, err
	}
	g := &Grant{ID: random(43), Client: c.text("clientId"), Principal: c.text("principalId"), Resource: c.text("resourceId"), Scope: c.text("scope")}
	if err := c.checkGrant(g); err != nil {
		return 0, nil, err
	}
	for _, other := range c.grants() {
		if other.Client == g.Client && other.Resource == g.Resource && other.Principal == g.Principal {
			return 0, nil, &graphError{http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue", "Permission entry already exists."}
		}
	}
	c.world.Grants = append(c.world.Grants, g)
	return c.single(http.StatusCreated, "oauth2PermissionGrants", grantObject(g))
}

// checkGrant checks that a grant is about objects that there are, by their object ids.
func (c *graphCall) checkGrant(g *Grant) *graphError {
	client, err := c.principal(segment{value: g.Client})
	if err != nil || client.Kind == Blueprint {
		return badRequest("Permission entry's clientId '" + g.Client + "' is not the object id of a service principal that can have grants.")
	}
	if _, err := c.principal(segment{value: g.Resource}); err != nil {
		return badRequest("Permission entry's resourceId '" + g.Resource + "' is not the object id of a service principal.")
	}
	switch consentType := c.text("consentType"); {
	case consentType == "Principal" && g.Principal != "":
		if u := c.world.User(g.Principal); u == nil || u.ID != g.Principal || c.freshLocked(u.ID) {
			return badRequest("Permission entry's principalId '" + g.Principal + "' is not the object id of a user.")
		}
	case consentType == "AllPrincipals" && g.Principal == "":
	default:
		return badRequest("Invalid value specified for property 'consentType' or 'principalId' of resource 'OAuth2PermissionGrant'.")
	}
	if strings.TrimSpace(g.Scope) == "" {
		return badRequest("A value is required for property 'scope'.")
	}
	return nil
}

// oneGrant is GET, PATCH and DELETE of a grant. Only its scope can be changed.
func (c *graphCall) oneGrant(key segment) (int, any, *graphError) {
	all := c.grants()
	i := slices.IndexFunc(all, func(g *Grant) bool { return g.ID == cmp.Or(key.value, "-") })
	if i < 0 {
		return 0, nil, notFoundError(key.value)
	}
	g := all[i]
	if c.r.Method == http.MethodGet {
		if err := c.mayReadGrants(); err != nil {
			return 0, nil, err
		}
		return c.single(http.StatusOK, "oauth2PermissionGrants", grantObject(g))
	}
	if err := c.mayGrant(); err != nil {
		return 0, nil, err
	}
	switch c.r.Method {
	case http.MethodPatch:
		if err := checkProperties(c.body, "oAuth2PermissionGrant", "scope"); err != nil {
			return 0, nil, err
		}
		c.setScope(g, c.text("scope"))
	case http.MethodDelete:
		c.setScope(g, "")
	default:
		return 0, nil, badRequest("The method is not allowed.")
	}
	return http.StatusNoContent, nil, nil
}

// setScope changes what has been consented to; with "" it ends the consent.
func (c *graphCall) setScope(g *Grant, scope string) {
	for _, a := range c.world.Apps {
		if g.ID == "consented-"+a.PrincipalID {
			a.Consented = strings.Fields(scope)
			return
		}
	}
	g.Scope = scope
	c.world.Grants = slices.DeleteFunc(c.world.Grants, func(g *Grant) bool { return g.Scope == "" })
}
