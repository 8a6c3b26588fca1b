package emulator

import (
	"net/http"
	"slices"
	"strings"
)

const (
	blueprintPrincipalType = "microsoft.graph.agentIdentityBlueprintPrincipal"
	agentIdentityType      = "microsoft.graph.agentIdentity"
)

// principalOperation finds the operation of a path that begins with servicePrincipals.
func principalOperation(method string, path []segment) operation {
	key, rest, isOne := one(path)
	cast := ""
	if len(rest) > 0 && strings.HasPrefix(rest[0].name, "microsoft.graph.") {
		cast, rest = rest[0].name, rest[1:]
	}
	switch {
	case len(rest) == 1 && isOne && rest[0].name == "oauth2PermissionGrants" && method == http.MethodGet:
		return func(c *graphCall) (int, any, *graphError) { return c.grantsOf(key) }
	case len(rest) > 0, cast != "" && cast != agentIdentityType && cast != blueprintPrincipalType:
	case !isOne && method == http.MethodGet:
		return func(c *graphCall) (int, any, *graphError) { return c.listPrincipals(cast) }
	case !isOne && method == http.MethodPost:
		return func(c *graphCall) (int, any, *graphError) { return c.createPrincipal(cast) }
	case isOne && method == http.MethodGet:
		return func(c *graphCall) (int, any, *graphError) { return c.getPrincipal(key, cast) }
	case isOne && method == http.MethodDelete:
		return func(c *graphCall) (int, any, *graphError) { return c.deletePrincipal(key, cast) }
	}
	return nil
}

// resourceApps are Microsoft's own applications, as far as their service principals can
// be found here.
func (c *graphCall) resourceApps() []*App {
	list := []*App{{ClientID: GraphResource, PrincipalID: "e3e3e3e3-0000-4000-8000-00000000000b", DisplayName: "Microsoft Graph"}}
	if !c.world.NoAzureDevOps {
		list = append(list, &App{ClientID: AzureDevOpsResource, PrincipalID: AzureDevOpsPrincipalID, DisplayName: "Azure DevOps"})
	}
	return list
}

// principal finds a service principal by its object id or appId.
func (c *graphCall) principal(key segment) (*App, *graphError) {
	for _, a := range append(c.resourceApps(), c.world.Apps...) {
		id := map[string]string{"": a.PrincipalID, "id": a.PrincipalID, "appId": a.ClientID}[key.key]
		if a.PrincipalID == "" || id == "" || !strings.EqualFold(id, key.value) {
			continue
		}
		if c.freshLocked(a.PrincipalID) {
			break
		}
		return a, nil
	}
	return nil, notFoundError(key.value)
}

// isOf reports whether a service principal is of the type in a path, "" for any.
func (a *App) isOf(cast string) bool {
	return cast == "" || cast == agentIdentityType && a.Kind == AgentIdentity || cast == blueprintPrincipalType && a.Kind == Blueprint
}

// principalOf is principal for one of the type.
func (c *graphCall) principalOf(key segment, cast string) (*App, *graphError) {
	a, err := c.principal(key)
	if err == nil && !a.isOf(cast) {
		return nil, notFoundError(key.value)
	}
	return a, err
}

// principalObject is a service principal as Graph shows it.
func (c *graphCall) principalObject(a *App) map[string]any {
	o := map[string]any{
		"id": a.PrincipalID, "appId": a.ClientID, "displayName": a.DisplayName, "accountEnabled": true,
		"appRoleAssignmentRequired": false, "deletedDateTime": nil, "servicePrincipalType": "Application",
		"tags": []string{}, "oauth2PermissionScopes": []any{}, unshown: []string{a.ClientID},
	}
	switch a.Kind {
	case Blueprint:
		o["@odata.type"] = "#" + blueprintPrincipalType
	case AgentIdentity:
		o["@odata.type"] = "#" + agentIdentityType
		o["servicePrincipalType"] = "ServiceIdentity"
		o["agentIdentityBlueprintId"] = a.Blueprint
		o["createdDateTime"] = timestamp(a.created)
	}
	if a.ClientID == AzureDevOpsResource {
		o["oauth2PermissionScopes"] = azureDevOpsScopes()
	}
	return o
}

// azureDevOpsScopes are the delegated permissions that the scripts may look for. The ids
// are the emulator's, except that of user_impersonation.
func azureDevOpsScopes() []any {
	var list []any
	for value, id := range map[string]string{
		"user_impersonation": "ee69721e-6c3a-468f-a9ec-302d16a4c599",
		"vso.pats":           "f2f2f2f2-0000-4000-8000-00000000000c",
		"vso.pats_manage":    "f3f3f3f3-0000-4000-8000-00000000000d",
	} {
		list = append(list, map[string]any{"id": id, "value": value, "isEnabled": true, "type": "User",
			"adminConsentDisplayName": value, "adminConsentDescription": value, "userConsentDisplayName": value, "userConsentDescription": value})
	}
	return list
}

// mayReadPrincipals checks that the token may read service principals.
func (c *graphCall) mayReadPrincipals() *graphError {
	return c.may(append(slices.Clone(readApplications), "AgentIdentity.Read.All", "AgentIdentity.ReadWrite.All", "AgentIdentity.Create.All")...)
}

func (c *graphCall) listPrincipals(cast string) (int, any, *graphError) {
	if err := c.mayReadPrincipals(); err != nil {
		return 0, nil, err
	}
	var objects []map[string]any
	for _, a := range append(c.resourceApps(), c.world.Apps...) {
		if a.PrincipalID != "" && a.isOf(cast) {
			objects = append(objects, c.principalObject(a))
		}
	}
	return c.list("servicePrincipals", objects, "displayName", "appId", "id", unshown)
}

func (c *graphCall) getPrincipal(key segment, cast string) (int, any, *graphError) {
	if err := c.mayReadPrincipals(); err != nil {
		return 0, nil, err
	}
	a, err := c.principalOf(key, cast)
	if err != nil {
		return 0, nil, err
	}
	return c.single(http.StatusOK, "servicePrincipals", c.principalObject(a))
}

// createPrincipal is POST /servicePrincipals, with or without a type.
func (c *graphCall) createPrincipal(cast string) (int, any, *graphError) {
	agent, err := c.wantsType("agentIdentity", cast == agentIdentityType)
	if agent && err == nil {
		return c.createAgentIdentity()
	}
	blueprint := cast == blueprintPrincipalType
	if !blueprint {
		blueprint, _ = c.wantsType("agentIdentityBlueprintPrincipal", false)
		if !blueprint && err != nil {
			return 0, nil, err
		}
	}
	if err := checkProperties(c.body, "servicePrincipal", "appId", "accountEnabled", "displayName", "tags", "appRoleAssignmentRequired"); err != nil {
		return 0, nil, err
	}
	id := c.text("appId")
	if strings.EqualFold(id, AzureDevOpsResource) {
		return c.createAzureDevOps()
	}
	app := c.world.App(id)
	if app == nil || app.ObjectID == "" || c.freshLocked(app.ObjectID) {
		return 0, nil, &graphError{http.StatusBadRequest, "NoBackingApplicationObject", "The appId '" + id + "' of the service principal does not reference a valid application object."}
	}
	if (app.Kind == Blueprint) != blueprint {
		return 0, nil, badRequest("The application '" + id + "' is of another type than its service principal shall be.")
	}
	if blueprint {
		err = firstOf(c.mayAgent("AgentIdentityBlueprintPrincipal.Create", "AgentIdentityBlueprintPrincipal.ReadWrite.All"),
			c.hasRole("Agent ID Developer", "Agent ID Administrator"))
	} else {
		err = c.mayWrite(app)
	}
	if err == nil && app.PrincipalID != "" {
		err = conflict("The service principal cannot be created, updated, or restored because the service principal name " + id + " is already in use.")
	}
	if err != nil {
		return 0, nil, err
	}
	app.PrincipalID = guid()
	c.createdLocked(app.PrincipalID)
	return c.single(http.StatusCreated, "servicePrincipals", c.principalObject(app))
}

// createAzureDevOps creates Azure DevOps' service principal in a tenant that has none.
func (c *graphCall) createAzureDevOps() (int, any, *graphError) {
	err := firstOf(c.may(writeApplications...), c.hasRole(applicationAdministrators...))
	if err == nil && !c.world.NoAzureDevOps {
		err = conflict("The service principal cannot be created, updated, or restored because the service principal name " + AzureDevOpsResource + " is already in use.")
	}
	if err != nil {
		return 0, nil, err
	}
	c.world.NoAzureDevOps = false
	a, err := c.principal(segment{key: "appId", value: AzureDevOpsResource})
	if err != nil {
		return 0, nil, err
	}
	return c.single(http.StatusCreated, "servicePrincipals", c.principalObject(a))
}

// createAgentIdentity is POST /servicePrincipals/microsoft.graph.agentIdentity.
func (c *graphCall) createAgentIdentity() (int, any, *graphError) {
	if err := firstOf(c.mayAgent("AgentIdentity.Create.All", "AgentIdentity.ReadWrite.All"), c.hasRole("Agent ID Administrator")); err != nil {
		return 0, nil, err
	}
	body := map[string]any{}
	for name, value := range c.body {
		if name != "agentIdentityBlueprintId" && name != "displayName" && !strings.Contains(name, "@") {
			body[name] = value
		}
	}
	if err := checkProperties(body, "servicePrincipal", "accountEnabled", "tags"); err != nil {
		return 0, nil, err
	}
	app := &App{ClientID: guid(), Kind: AgentIdentity, DisplayName: c.text("displayName"), created: c.now, madeByAPI: true}
	err := c.setBlueprint(app)
	if err == nil && app.DisplayName == "" {
		err = badRequest("A value is required for property 'displayName' of resource 'AgentIdentity'.")
	}
	if err == nil {
		err = c.bindPeople(app)
	}
	if err != nil {
		return 0, nil, err
	}
	// One of Microsoft's examples has one id for both; nothing says that it is so.
	app.PrincipalID = guid()
	c.world.Apps = append(c.world.Apps, app)
	c.createdLocked(app.PrincipalID)
	return c.single(http.StatusCreated, "servicePrincipals", c.principalObject(app))
}

// setBlueprint sets the blueprint that the body names by its client id.
func (c *graphCall) setBlueprint(app *App) *graphError {
	id := c.text("agentIdentityBlueprintId")
	for _, a := range c.world.Apps {
		if a.Kind == Blueprint && strings.EqualFold(a.ObjectID, id) && a.ObjectID != a.ClientID {
			return &graphError{http.StatusBadRequest, "AgentIdentity_IncompatibleParentType", "The parent '" + id + "' is not an agent identity blueprint's appId."}
		}
	}
	blueprint := c.world.App(id)
	switch {
	case blueprint == nil:
		return &graphError{http.StatusBadRequest, "AgentIdentity_AgentBlueprintDoesNotExist", "The agent identity blueprint '" + id + "' does not exist."}
	case blueprint.Kind != Blueprint:
		return &graphError{http.StatusBadRequest, "AgentIdentity_IncompatibleParentType", "The parent '" + id + "' is not an agent identity blueprint."}
	case blueprint.PrincipalID == "" || c.freshLocked(blueprint.PrincipalID):
		return &graphError{http.StatusBadRequest, "AgentIdentity_AgentBlueprintPrincipalDoesNotExist", "The agent identity blueprint '" + id + "' has no principal in this tenant."}
	}
	app.Blueprint = blueprint.ClientID
	return nil
}

// deletePrincipal deletes a service principal softly, with its grants.
func (c *graphCall) deletePrincipal(key segment, cast string) (int, any, *graphError) {
	app, err := c.principalOf(key, cast)
	if err != nil {
		return 0, nil, err
	}
	switch app.Kind {
	case AgentIdentity:
		err = firstOf(c.mayAgent("AgentIdentity.DeleteRestore.All", "AgentIdentity.ReadWrite.All"), c.hasRole("Agent ID Administrator"))
	case Blueprint:
		err = firstOf(c.mayAgent("AgentIdentityBlueprintPrincipal.DeleteRestore.All", "AgentIdentityBlueprint.DeleteRestore.All"), c.hasRole("Agent ID Administrator"))
	default:
		err = c.mayWrite(app)
	}
	if err == nil && (app.ClientID == AzureDevOpsResource || app.ClientID == GraphResource) {
		err = badRequest("The emulator does not delete Microsoft's service principals.")
	}
	if err != nil {
		return 0, nil, err
	}
	c.recyclePrincipal(app)
	if app.Kind == AgentIdentity {
		c.world.Apps = slices.DeleteFunc(c.world.Apps, func(a *App) bool { return a == app })
	}
	return http.StatusNoContent, nil, nil
}

// recyclePrincipal puts a service principal into the recycle bin. Its grants are gone.
func (c *graphCall) recyclePrincipal(app *App) {
	c.recycle("servicePrincipal", app.PrincipalID, "", c.principalObject(app))
	c.world.Grants = slices.DeleteFunc(c.world.Grants, func(g *Grant) bool { return g.Client == app.PrincipalID })
	app.PrincipalID, app.Consented, app.madeByAPI = "", nil, true
}
