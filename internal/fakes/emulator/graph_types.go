package emulator

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
)

// graphTypes are the types of Microsoft Graph that the emulator knows, with the
// properties that it reads or writes, by the names and types of Graph's metadata
// (https://graph.microsoft.com/v1.0/$metadata). TestGraphTypes compares them.
var graphTypes = map[string]map[string]string{
	"application": {
		"id": "Edm.String", "deletedDateTime": "Edm.DateTimeOffset", "appId": "Edm.String",
		"createdDateTime": "Edm.DateTimeOffset", "description": "Edm.String", "displayName": "Edm.String",
		"identifierUris": "Collection(Edm.String)", "isFallbackPublicClient": "Edm.Boolean",
		"keyCredentials": "Collection(graph.keyCredential)", "notes": "Edm.String",
		"passwordCredentials": "Collection(graph.passwordCredential)", "publicClient": "graph.publicClientApplication",
		"requiredResourceAccess":     "Collection(graph.requiredResourceAccess)",
		"serviceManagementReference": "Edm.String", "signInAudience": "Edm.String", "tags": "Collection(Edm.String)",
		"uniqueName": "Edm.String", "web": "graph.webApplication",
	},
	"servicePrincipal": {
		"id": "Edm.String", "deletedDateTime": "Edm.DateTimeOffset", "accountEnabled": "Edm.Boolean",
		"appId": "Edm.String", "appRoleAssignmentRequired": "Edm.Boolean", "displayName": "Edm.String",
		"oauth2PermissionScopes": "Collection(graph.permissionScope)", "servicePrincipalType": "Edm.String",
		"tags": "Collection(Edm.String)",
	},
	"agentIdentity": {"agentIdentityBlueprintId": "Edm.String", "createdDateTime": "Edm.DateTimeOffset"},
	"user": {
		"id": "Edm.String", "deletedDateTime": "Edm.DateTimeOffset", "accountEnabled": "Edm.Boolean",
		"createdDateTime": "Edm.DateTimeOffset", "displayName": "Edm.String", "identityParentId": "Edm.String", "jobTitle": "Edm.String",
		"mailNickname": "Edm.String", "passwordPolicies": "Edm.String", "passwordProfile": "graph.passwordProfile",
		"usageLocation": "Edm.String", "userPrincipalName": "Edm.String", "userType": "Edm.String",
	},
	"federatedIdentityCredential": {
		"id": "Edm.String", "audiences": "Collection(Edm.String)", "description": "Edm.String",
		"issuer": "Edm.String", "name": "Edm.String", "subject": "Edm.String",
	},
	"oAuth2PermissionGrant": {
		"id": "Edm.String", "clientId": "Edm.String", "consentType": "Edm.String", "principalId": "Edm.String",
		"resourceId": "Edm.String", "scope": "Edm.String",
	},
	"keyCredential": {
		"customKeyIdentifier": "Edm.Binary", "displayName": "Edm.String", "endDateTime": "Edm.DateTimeOffset",
		"key": "Edm.Binary", "keyId": "Edm.Guid", "startDateTime": "Edm.DateTimeOffset", "type": "Edm.String", "usage": "Edm.String",
	},
	"passwordCredential":      {"displayName": "Edm.String", "endDateTime": "Edm.DateTimeOffset", "startDateTime": "Edm.DateTimeOffset"},
	"passwordProfile":         {"forceChangePasswordNextSignIn": "Edm.Boolean", "forceChangePasswordNextSignInWithMfa": "Edm.Boolean", "password": "Edm.String"},
	"permissionScope":         {"adminConsentDescription": "Edm.String", "adminConsentDisplayName": "Edm.String", "id": "Edm.Guid", "isEnabled": "Edm.Boolean", "type": "Edm.String", "userConsentDescription": "Edm.String", "userConsentDisplayName": "Edm.String", "value": "Edm.String"},
	"publicClientApplication": {"redirectUris": "Collection(Edm.String)"},
	"requiredResourceAccess":  {"resourceAccess": "Collection(graph.resourceAccess)", "resourceAppId": "Edm.String"},
	"resourceAccess":          {"id": "Edm.Guid", "type": "Edm.String"},
	"webApplication":          {"homePageUrl": "Edm.String", "logoutUrl": "Edm.String", "redirectUris": "Collection(Edm.String)"},
	// Beta alone.
	"federatedIdentityExpression": {"languageVersion": "Edm.Int32", "value": "Edm.String"},
}

// checkProperties checks the body's properties: each must be of the type, writable,
// and hold what its own type allows. Annotations (with "@") are for the caller.
func checkProperties(body map[string]any, typeName string, writable ...string) *graphError {
	for name, value := range body {
		if strings.Contains(name, "@") {
			continue
		}
		propertyType, declared := graphTypes[typeName][name]
		if name == "claimsMatchingExpression" { // the caller has looked whether this is beta
			propertyType, declared = "graph.federatedIdentityExpression", true
		}
		switch {
		case !declared:
			return badRequest("One or more properties contains invalid values: Property '" + name + "' does not exist as a declared property or extension property.")
		case !slices.Contains(writable, name):
			return badRequest("Property '" + name + "' is read-only and cannot be set.")
		}
		if err := checkValue(name, value, propertyType); err != nil {
			return err
		}
	}
	return nil
}

// checkValue checks that a value has the type.
func checkValue(name string, value any, of string) *graphError {
	wrong := &graphError{400, "Request_BadRequest", fmt.Sprintf("Cannot convert the literal '%v' to the expected type '%s' for property '%s'.", value, of, name)}
	if element, collection := strings.CutPrefix(of, "Collection("); collection {
		list, ok := value.([]any)
		if !ok {
			return wrong
		}
		for _, v := range list {
			if err := checkValue(name, v, strings.TrimSuffix(element, ")")); err != nil {
				return err
			}
		}
		return nil
	}
	if complexType, ok := strings.CutPrefix(of, "graph."); ok {
		object, ok := value.(map[string]any)
		if !ok {
			return wrong
		}
		all := make([]string, 0, len(object))
		for name := range graphTypes[complexType] {
			all = append(all, name)
		}
		return checkProperties(object, complexType, all...)
	}
	if value == nil || isPrimitive(value, of) {
		return nil
	}
	return wrong
}

// isPrimitive reports whether a value is of a primitive type.
func isPrimitive(value any, of string) bool {
	text, isText := value.(string)
	switch of {
	case "Edm.String":
		return isText
	case "Edm.Guid":
		return isText && isGUID(text)
	case "Edm.Binary":
		_, err := base64.StdEncoding.DecodeString(text)
		return isText && err == nil
	case "Edm.DateTimeOffset":
		_, err := time.Parse(time.RFC3339, text)
		return isText && err == nil
	case "Edm.Boolean":
		_, ok := value.(bool)
		return ok
	case "Edm.Int32":
		n, ok := value.(float64)
		return ok && n == float64(int32(n))
	}
	return false
}

// text is a string of the body, "" if absent.
func (c *graphCall) text(name string) string {
	s, _ := c.body[name].(string)
	return s
}

// timestamp is a moment in Graph's form.
func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// stringsOf are the strings of a JSON array.
func stringsOf(value any) []string {
	list, _ := value.([]any)
	out := make([]string, 0, len(list))
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
