package emulator

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Federated identity credentials, after
// https://learn.microsoft.com/graph/api/resources/federatedidentitycredential.

// credentialOperation finds the operation of applications/…/federatedIdentityCredentials.
func credentialOperation(method string, key segment, cast bool, path []segment) operation {
	credential, rest, isOne := one(path)
	if len(rest) > 0 {
		return nil
	}
	do := func(f func(*graphCall, *App, segment) (int, any, *graphError)) operation {
		return func(c *graphCall) (int, any, *graphError) {
			app, err := c.application(key, cast)
			if err == nil && app.Kind == AgentIdentity {
				err = badRequest("Agent identities have no credentials.")
			}
			if err == nil && method == http.MethodGet {
				err = c.mayRead(app)
			} else if err == nil {
				err = c.mayWrite(app, "AgentIdentityBlueprint.AddRemoveCreds.All")
			}
			if err != nil {
				return 0, nil, err
			}
			return f(c, app, credential)
		}
	}
	switch {
	case !isOne && method == http.MethodGet:
		return do((*graphCall).listCredentials)
	case !isOne && method == http.MethodPost:
		return do((*graphCall).createCredential)
	case isOne && method == http.MethodGet:
		return do((*graphCall).getCredential)
	case isOne && method == http.MethodPatch:
		return do((*graphCall).patchCredential)
	case isOne && method == http.MethodDelete:
		return do((*graphCall).deleteCredential)
	}
	return nil
}

// credentialObject is a credential as Graph shows it. v1.0 has no
// claimsMatchingExpression.
func (c *graphCall) credentialObject(f FederatedCredential) map[string]any {
	o := map[string]any{
		"id": f.ID, "name": f.Name, "issuer": f.Issuer, "subject": nil, "audiences": []string{f.Audience}, "description": nil,
	}
	if f.Subject != "" {
		o["subject"] = f.Subject
	}
	if f.Description != "" {
		o["description"] = f.Description
	}
	if c.beta {
		o["claimsMatchingExpression"] = nil
		if f.Expression != "" {
			o["claimsMatchingExpression"] = map[string]any{"value": f.Expression, "languageVersion": 1}
		}
	}
	return o
}

const credentialsOf = "applications/federatedIdentityCredentials"

// unreadable is the answer of v1.0 with a flexible credential in it, as users of Microsoft
// Graph have reported it: status 200, and the error in the middle of the JSON.
// https://github.com/microsoftgraph/msgraph-sdk-python/issues/1359
func (c *graphCall) unreadable(before string, f FederatedCredential) (int, any, *graphError) {
	return http.StatusOK, brokenJSON(fmt.Sprintf(`{"@odata.context":%q,%s"id":%q,"name":%q,"issuer":%q`+
		`{"error":{"code":"InternalServerError","message":"The property 'subject[Nullable=False]' of type 'Edm.String' has a null value, which is not allowed."}}`,
		c.context(credentialsOf), before, f.ID, f.Name, f.Issuer)), nil
}

// flexible finds a flexible credential, which v1.0 cannot show, -1 if there is none.
func (c *graphCall) flexible(list []FederatedCredential) int {
	if c.beta {
		return -1
	}
	return slices.IndexFunc(list, func(f FederatedCredential) bool { return f.Expression != "" })
}

func (c *graphCall) listCredentials(app *App, _ segment) (int, any, *graphError) {
	if i := c.flexible(app.Credentials); i >= 0 {
		return c.unreadable(`"value":[{`, app.Credentials[i])
	}
	var objects []map[string]any
	for _, f := range app.Credentials {
		objects = append(objects, c.credentialObject(f))
	}
	return c.list(credentialsOf, objects, "name", "issuer", "subject")
}

// credentialIndex finds a credential by id or name, -1 if there is none.
func credentialIndex(app *App, key segment) int {
	return slices.IndexFunc(app.Credentials, func(f FederatedCredential) bool {
		return key.key != "name" && f.ID == key.value || f.Name == key.value
	})
}

func (c *graphCall) getCredential(app *App, key segment) (int, any, *graphError) {
	i := credentialIndex(app, key)
	if i < 0 {
		return 0, nil, notFoundError(key.value)
	}
	if c.flexible(app.Credentials[i:i+1]) == 0 {
		return c.unreadable("", app.Credentials[i])
	}
	return c.single(http.StatusOK, credentialsOf, c.credentialObject(app.Credentials[i]))
}

func (c *graphCall) createCredential(app *App, _ segment) (int, any, *graphError) {
	f, err := c.credentialFromBody(FederatedCredential{ID: guid()}, "name")
	if err == nil {
		err = c.checkCredential(app, f, -1)
	}
	if err != nil {
		return 0, nil, err
	}
	app.Credentials = append(app.Credentials, f)
	return c.single(http.StatusCreated, credentialsOf, c.credentialObject(f))
}

// patchCredential changes a credential, and with Prefer: create-if-missing creates it
// under the name in the path.
func (c *graphCall) patchCredential(app *App, key segment) (int, any, *graphError) {
	i := credentialIndex(app, key)
	switch {
	case i >= 0 && c.flexible(app.Credentials[i:i+1]) == 0:
		return 0, nil, badRequest("The emulator changes a flexible credential in beta alone.")
	case i < 0 && c.upsert() && key.key == "name":
		if name, given := c.body["name"]; given && name != key.value {
			return 0, nil, badRequest("The name in the body is not the one in the URL.")
		}
		c.body["name"] = key.value
		return c.createCredential(app, key)
	case i < 0:
		return 0, nil, notFoundError(key.value)
	}
	if name, given := c.body["name"]; given && name != app.Credentials[i].Name {
		return 0, nil, badRequest("Property 'name' is read-only and cannot be set.")
	}
	f, err := c.credentialFromBody(app.Credentials[i], "name")
	if err == nil {
		err = c.checkCredential(app, f, i)
	}
	if err != nil {
		return 0, nil, err
	}
	app.Credentials[i] = f
	return http.StatusNoContent, nil, nil
}

func (c *graphCall) deleteCredential(app *App, key segment) (int, any, *graphError) {
	i := credentialIndex(app, key)
	if i < 0 {
		return 0, nil, notFoundError(key.value)
	}
	app.Credentials = slices.Delete(app.Credentials, i, i+1)
	return http.StatusNoContent, nil, nil
}

// credentialFromBody is a credential with what the body says.
func (c *graphCall) credentialFromBody(f FederatedCredential, more ...string) (FederatedCredential, *graphError) {
	writable := append(more, "audiences", "description", "issuer", "subject")
	if c.beta {
		writable = append(writable, "claimsMatchingExpression")
	}
	if err := checkProperties(c.body, "federatedIdentityCredential", writable...); err != nil {
		return f, err
	}
	for name, field := range map[string]*string{"name": &f.Name, "issuer": &f.Issuer, "subject": &f.Subject, "description": &f.Description} {
		if _, given := c.body[name]; given {
			*field = c.text(name)
		}
	}
	if audiences, given := c.body["audiences"]; given {
		list := stringsOf(audiences)
		if len(list) != 1 {
			return f, badRequest("The number of audiences must be exactly 1.")
		}
		f.Audience = list[0]
	}
	if expression, ok := c.body["claimsMatchingExpression"].(map[string]any); ok {
		if expression["languageVersion"] != float64(1) {
			return f, badRequest("The languageVersion of claimsMatchingExpression must be 1.")
		}
		f.Expression = stringOf(expression["value"])
	}
	return f, nil
}

var credentialName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{2,119}$`)

// checkCredential checks the rules of a credential that is to be the one at the index, or
// a new one.
func (c *graphCall) checkCredential(app *App, f FederatedCredential, index int) *graphError {
	issuer, err := url.Parse(f.Issuer)
	switch {
	case index < 0 && len(app.Credentials) >= 20:
		return &graphError{http.StatusBadRequest, "Request_BadRequest", "The maximum number of federated identity credentials on the object, 20, has been reached."}
	case !credentialName.MatchString(f.Name):
		return badRequest("The name of a federated identity credential must have 3 to 120 characters, alphanumeric, dash or underscore, the first one alphanumeric.")
	case f.Issuer == "" || len(f.Issuer) > 600 || err != nil || issuer.Scheme != "https":
		return badRequest("The issuer must be an https URL of at most 600 characters.")
	case f.Audience == "":
		return badRequest("The number of audiences must be exactly 1.")
	case len(f.Description) > 600:
		return badRequest("The description must have at most 600 characters.")
	case (f.Subject == "") == (f.Expression == ""):
		return badRequest("Exactly one of subject and claimsMatchingExpression must be given.")
	case len(f.Subject) > 600:
		return badRequest("The subject must have at most 600 characters.")
	}
	for i, other := range app.Credentials {
		switch {
		case i == index:
		case strings.EqualFold(other.Name, f.Name):
			return &graphError{http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue", "FederatedIdentityCredential with name " + f.Name + " already exists."}
		case other.Issuer == f.Issuer && other.Subject == f.Subject && other.Expression == f.Expression:
			return &graphError{http.StatusConflict, "Request_MultipleObjectsWithSameKeyValue", "FederatedIdentityCredential with issuer and subject already exists."}
		}
	}
	if f.Expression != "" {
		return checkFlexible(f)
	}
	return nil
}
