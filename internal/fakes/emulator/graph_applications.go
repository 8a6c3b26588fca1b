package emulator

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
)

const blueprintType = "microsoft.graph.agentIdentityBlueprint"

// applicationOperation finds the operation of a path that begins with applications.
func applicationOperation(method string, path []segment) (string, operation) {
	key, rest, isOne := one(path)
	cast := len(rest) > 0 && rest[0].name == blueprintType
	if cast {
		rest = rest[1:]
	}
	switch {
	case !isOne && len(rest) == 0 && method == http.MethodGet && !cast:
		return "applications", (*graphCall).listApplications
	case !isOne && len(rest) == 0 && method == http.MethodPost:
		return "applications", func(c *graphCall) (int, any, *graphError) { return c.createApplication(cast, "") }
	case isOne && len(rest) == 0:
		return "applications", oneApplication(method, key, cast)
	case isOne && rest[0].name == "federatedIdentityCredentials":
		return "federatedIdentityCredentials", credentialOperation(method, key, cast, rest)
	}
	return "applications", nil
}

func oneApplication(method string, key segment, cast bool) operation {
	switch method {
	case http.MethodGet:
		return func(c *graphCall) (int, any, *graphError) {
			app, err := c.application(key, cast)
			if err == nil {
				err = c.mayRead(app)
			}
			if err != nil {
				return 0, nil, err
			}
			return c.single(http.StatusOK, "applications", c.applicationObject(app))
		}
	case http.MethodPatch:
		return func(c *graphCall) (int, any, *graphError) { return c.patchApplication(key, cast) }
	case http.MethodDelete:
		return func(c *graphCall) (int, any, *graphError) { return c.deleteApplication(key, cast) }
	}
	return nil
}

// application finds an application by its object id or an alternate key.
func (c *graphCall) application(key segment, cast bool) (*App, *graphError) {
	for _, a := range c.world.Apps {
		if a.ObjectID == "" || cast && a.Kind != Blueprint {
			continue
		}
		id := map[string]string{"": a.ObjectID, "id": a.ObjectID, "appId": a.ClientID, "uniqueName": a.UniqueName}[key.key]
		if id == "" || !strings.EqualFold(id, key.value) {
			continue
		}
		if c.freshLocked(a.ObjectID) {
			break
		}
		return a, nil
	}
	return nil, notFoundError(key.value)
}

// applicationObject is an application as Graph shows it.
func (c *graphCall) applicationObject(a *App) map[string]any {
	o := map[string]any{
		"identifierUris": []string{}, "keyCredentials": []any{}, "passwordCredentials": []any{},
		"requiredResourceAccess": []any{}, "tags": []string{}, "description": nil, "notes": nil,
		"isFallbackPublicClient": nil, "serviceManagementReference": nil,
		"web":          map[string]any{"homePageUrl": nil, "logoutUrl": nil, "redirectUris": []any{}},
		"publicClient": map[string]any{"redirectUris": []any{}},
	}
	maps.Copy(o, a.properties)
	o["id"], o["appId"], o["displayName"], o["deletedDateTime"] = a.ObjectID, a.ClientID, a.DisplayName, nil
	o["createdDateTime"] = timestamp(a.created)
	o["signInAudience"] = "AzureADMyOrg"
	if a.MultiTenant {
		o["signInAudience"] = "AzureADMultipleOrgs"
	}
	o["uniqueName"] = nil
	if a.UniqueName != "" {
		o["uniqueName"] = a.UniqueName
	}
	o["keyCredentials"] = c.keyCredentials(a)
	if a.Kind == Blueprint {
		o["@odata.type"] = "#" + blueprintType
	}
	return o
}

// keyCredentials are an application's certificates. The certificate itself is shown
// only to who asks for it by $select for a single application.
func (c *graphCall) keyCredentials(a *App) []any {
	stored, _ := a.properties["keyCredentials"].([]any)
	out := make([]any, 0, len(stored))
	for _, s := range stored {
		k := maps.Clone(s.(map[string]any))
		if !strings.Contains(c.query.Get("$select"), "keyCredentials") {
			k["key"] = nil
		}
		out = append(out, k)
	}
	return out
}

// The permissions with which applications can be read and written.
var (
	readApplications  = []string{"Application.Read.All", "Application.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"}
	writeApplications = []string{"Application.ReadWrite.All", "Directory.ReadWrite.All"}
)

// The directory roles of who administers applications.
var applicationAdministrators = []string{"Cloud Application Administrator", "Application Administrator", "Global Administrator"}

// mayRead checks that the token may read an application; a blueprint can be read with
// the Agent ID permissions too.
func (c *graphCall) mayRead(a *App) *graphError {
	if a.Kind == AppRegistration {
		return c.may(readApplications...)
	}
	return c.may(append(slices.Clone(readApplications), "AgentIdentityBlueprint.Read.All", "AgentIdentityBlueprint.ReadWrite.All",
		"AgentIdentityBlueprint.Create", "AgentIdentityBlueprint.AddRemoveCreds.All")...)
}

// mayWrite checks that the caller may change an application: with the permission, as its
// owner or by role.
func (c *graphCall) mayWrite(a *App, agentPermissions ...string) *graphError {
	if a.Kind == Blueprint {
		err := c.mayAgent(append(agentPermissions, "AgentIdentityBlueprint.ReadWrite.All")...)
		if err == nil && !slices.Contains(a.Owners, c.user.ID) {
			err = c.hasRole("Agent ID Administrator")
		}
		return err
	}
	if err := c.may(writeApplications...); err != nil || slices.Contains(a.Owners, c.user.ID) {
		return err
	}
	return c.hasRole(applicationAdministrators...)
}

func (c *graphCall) listApplications() (int, any, *graphError) {
	if err := c.may(readApplications...); err != nil {
		return 0, nil, err
	}
	var objects []map[string]any
	for _, a := range c.world.Apps {
		if a.ObjectID != "" {
			objects = append(objects, c.applicationObject(a))
		}
	}
	return c.list("applications", objects, "displayName", "appId", "id", "uniqueName", "identifierUris")
}

// writableApplication are the properties that a request may set, beside uniqueName,
// which only an upsert sets, in its path.
var writableApplication = []string{
	"description", "displayName", "identifierUris", "isFallbackPublicClient", "keyCredentials", "notes", "publicClient",
	"requiredResourceAccess", "serviceManagementReference", "signInAudience", "tags", "web",
}

// createApplication is POST /applications, and the create of an upsert by uniqueName.
func (c *graphCall) createApplication(cast bool, uniqueName string) (int, any, *graphError) {
	if err := c.options(); err != nil {
		return 0, nil, err
	}
	blueprint, err := c.wantsType("agentIdentityBlueprint", cast)
	if err != nil {
		return 0, nil, err
	}
	app := &App{
		ClientID: guid(), ObjectID: guid(), UniqueName: cmp.Or(uniqueName, c.text("uniqueName")), created: c.now, madeByAPI: true,
		Owners: []string{c.user.ID}, properties: map[string]any{},
	}
	if blueprint {
		app.Kind = Blueprint
		err = firstOf(c.mayAgent("AgentIdentityBlueprint.Create", "AgentIdentityBlueprint.ReadWrite.All"),
			c.hasRole("Agent ID Developer", "Agent ID Administrator"), c.bindPeople(app))
	} else {
		err = c.may(writeApplications...)
	}
	if err == nil {
		err = firstOf(c.uniqueNameTaken(app), c.setApplication(app, "uniqueName"))
	}
	if err == nil && app.DisplayName == "" {
		err = badRequest("A value is required for property 'displayName' of resource 'Application'.")
	}
	if err != nil {
		return 0, nil, err
	}
	c.world.Apps = append(c.world.Apps, app)
	c.createdLocked(app.ObjectID)
	return c.single(http.StatusCreated, "applications", c.applicationObject(app))
}

// uniqueNameTaken checks that no other application has the app's uniqueName.
func (c *graphCall) uniqueNameTaken(app *App) *graphError {
	if app.UniqueName == "" {
		return nil
	}
	taken := slices.ContainsFunc(c.world.Apps, func(a *App) bool { return strings.EqualFold(a.UniqueName, app.UniqueName) })
	if c.world.KeepUniqueNames {
		taken = taken || slices.ContainsFunc(c.world.Deleted, func(d *DeletedObject) bool { return strings.EqualFold(d.UniqueName, app.UniqueName) })
	}
	if taken {
		return &graphError{http.StatusBadRequest, "ObjectConflict", "Another object with the same value for property uniqueName already exists."}
	}
	return nil
}

// wantsType reports whether a request is for the derived type: by the type in its path
// or by @odata.type. Without OData-Version: 4.0 Graph ignores the latter.
func (c *graphCall) wantsType(derived string, cast bool) (bool, *graphError) {
	given, _ := c.body["@odata.type"].(string)
	given = strings.TrimPrefix(strings.ToLower(strings.TrimPrefix(given, "#")), "microsoft.graph.")
	derived = strings.ToLower(derived)
	if given != "" && c.r.Header.Get("OData-Version") != "4.0" {
		given = ""
	}
	if given != "" && strings.HasPrefix(given, "agent") && given != derived {
		return false, badRequest("A type named '" + given + "' could not be resolved here.")
	}
	return cast || given == derived, nil
}

// setApplication sets what the body says.
func (c *graphCall) setApplication(app *App, more ...string) *graphError {
	if err := checkProperties(c.body, "application", append(more, writableApplication...)...); err != nil {
		return err
	}
	if app.Kind == Blueprint {
		for _, name := range []string{"publicClient", "isFallbackPublicClient"} {
			if c.body[name] != nil {
				return badRequest("Property '" + name + "' is not supported for agent identity blueprints.")
			}
		}
	}
	for name, value := range c.body {
		switch {
		case strings.Contains(name, "@"), name == "uniqueName":
		case name == "displayName":
			app.DisplayName = c.text(name)
		case name == "signInAudience":
			switch value {
			case "AzureADMyOrg", "AzureADMultipleOrgs", "AzureADandPersonalMicrosoftAccount":
			default:
				return badRequest("Invalid value specified for property 'signInAudience' of resource 'Application'.")
			}
			app.MultiTenant = value != "AzureADMyOrg"
		case name == "keyCredentials":
			if err := c.setKeyCredentials(app); err != nil {
				return err
			}
		default:
			app.properties[name] = value
		}
	}
	return nil
}

// bindPeople reads sponsors@odata.bind and owners@odata.bind. A sponsor is required, and
// is a person: groups, of which some would do, are not played.
func (c *graphCall) bindPeople(app *App) *graphError {
	for name, to := range map[string]*[]string{"sponsors@odata.bind": &app.Sponsors, "owners@odata.bind": &app.Owners} {
		for _, link := range stringsOf(c.body[name]) {
			_, id, _ := strings.Cut(link, "://graph.microsoft.com/")
			id = id[strings.LastIndexByte(id, '/')+1:]
			if !strings.HasPrefix(link, "https://graph.microsoft.com/v1.0/users/") && !strings.HasPrefix(link, "https://graph.microsoft.com/v1.0/directoryObjects/") {
				return badRequest("Invalid URL format specified in @odata.bind for " + name + ": " + link)
			}
			user := c.world.User(id)
			if user == nil || user.ID != id {
				return notFoundError(id)
			}
			if user.Agent != "" {
				return badRequest("The sponsor " + id + " is not of a supported type.")
			}
			if !slices.Contains(*to, id) {
				*to = append(*to, id)
			}
		}
	}
	if len(app.Sponsors) == 0 {
		return badRequest("No sponsor specified. Please provide at least one sponsor.")
	}
	return nil
}

// setKeyCredentials replaces the certificates: who leaves one out deletes it. One that
// is there already may come without its key.
func (c *graphCall) setKeyCredentials(app *App) *graphError {
	stored, _ := app.properties["keyCredentials"].([]any)
	var next []any
	for _, v := range c.body["keyCredentials"].([]any) {
		k := maps.Clone(v.(map[string]any))
		delete(k, "@odata.type")
		i := slices.IndexFunc(stored, func(s any) bool { return s.(map[string]any)["keyId"] == k["keyId"] })
		switch {
		case i >= 0:
			k = stored[i].(map[string]any)
		case k["key"] == nil:
			return badRequest("New password credentials must be generated with service actions; a new key credential needs its key.")
		default:
			key, err := newKeyCredential(k, c.now)
			if err != nil {
				return err
			}
			k = key
		}
		next = append(next, k)
	}
	app.properties["keyCredentials"] = next
	return nil
}

// patchApplication is PATCH of an application, and with Prefer: create-if-missing the
// upsert by uniqueName: 201 made, 204 changed.
func (c *graphCall) patchApplication(key segment, cast bool) (int, any, *graphError) {
	app, err := c.application(key, cast)
	if err != nil && c.upsert() && key.key == "uniqueName" {
		return c.createApplication(cast, key.value)
	}
	if err == nil {
		err = c.mayWrite(app, "AgentIdentityBlueprint.UpdateAuthProperties.All", "AgentIdentityBlueprint.Create")
	}
	if err != nil {
		return 0, nil, err
	}
	changed := *app
	changed.properties = maps.Clone(app.properties)
	if changed.properties == nil {
		changed.properties = map[string]any{}
	}
	if err := c.setApplication(&changed); err != nil {
		return 0, nil, err
	}
	*app = changed
	return http.StatusNoContent, nil, nil
}

// deleteApplication deletes an application softly, with its service principal and the
// grants of that.
func (c *graphCall) deleteApplication(key segment, cast bool) (int, any, *graphError) {
	app, err := c.application(key, cast)
	if err == nil {
		err = c.mayWrite(app, "AgentIdentityBlueprint.DeleteRestore.All")
	}
	if err != nil {
		return 0, nil, err
	}
	c.recycle("application", app.ObjectID, app.UniqueName, c.applicationObject(app))
	if app.PrincipalID != "" {
		c.recyclePrincipal(app)
	}
	c.world.Apps = slices.DeleteFunc(c.world.Apps, func(a *App) bool { return a == app })
	return http.StatusNoContent, nil, nil
}

// recycle puts an object into the recycle bin.
func (c *graphCall) recycle(kind, id, uniqueName string, object map[string]any) {
	object["deletedDateTime"] = timestamp(c.now)
	object["@odata.type"] = cmp.Or(stringOf(object["@odata.type"]), "#microsoft.graph."+kind)
	c.world.Deleted = append(c.world.Deleted, &DeletedObject{Type: kind, ID: id, UniqueName: uniqueName, Deleted: c.now, object: object})
}

func stringOf(v any) string {
	s, _ := v.(string)
	return s
}
