package emulator

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// A vssError is Azure DevOps' error in JSON.
type vssError struct {
	Message string
	Type    string // the .NET type, full name
}

// typeKey is the type's name without its namespace.
func (v vssError) typeKey() string { return v.Type[strings.LastIndexByte(v.Type, '.')+1:] }

// write answers with the error, and with its text in X-TFS-ServiceError.
func (v vssError) write(w http.ResponseWriter, status int) {
	w.Header().Set("X-TFS-ServiceError", url.QueryEscape(v.Message))
	assembly := v.Type[:max(strings.LastIndexByte(v.Type, '.'), 0)]
	writeJSON(w, status, map[string]any{
		"$id": "1", "innerException": nil, "message": v.Message,
		"typeName": v.Type + ", " + assembly, "typeKey": v.typeKey(),
		"errorCode": 0, "eventId": 3000,
	})
}

// refuse answers with the error and records it: under its TF number if
// it has one, else under its type.
func (v vssError) refuse(w http.ResponseWriter, r *http.Request, status int) {
	code := v.typeKey()
	if number, _, found := strings.Cut(v.Message, ":"); found && strings.HasPrefix(number, "TF") {
		code = number
	}
	recordOf(r).Refusal = code
	v.write(w, status)
}

// versionOf is the api-version of a request, or nothing.
func versionOf(r *http.Request) string {
	given := r.URL.Query()["api-version"]
	if _, parameters, err := mime.ParseMediaType(r.Header.Get("Accept")); err == nil && given == nil {
		given = []string{parameters["api-version"]}
	}
	return strings.Join(given, ",")
}

// badVersion returns the error in the api-version of a request, or nil. The version is
// in the query or in the header Accept
// (https://learn.microsoft.com/azure/devops/integrate/concepts/rest-api-versioning).
func badVersion(r *http.Request, accepted ...string) *vssError {
	given := versionOf(r)
	if given == "" || strings.Contains(given, ",") {
		return &vssError{
			Message: fmt.Sprintf("No api-version was supplied for the %q request. The version must be supplied either as part of the Accept header (e.g. \"application/json; api-version=1.0\") or as a query parameter (e.g. \"?api-version=1.0\").", r.Method),
			Type:    "Microsoft.VisualStudio.Services.WebApi.VssVersionNotSpecifiedException",
		}
	}
	for _, v := range accepted {
		if given == v {
			return nil
		}
	}
	number, _, preview := strings.Cut(given, "-")
	for _, v := range accepted {
		if !preview && strings.HasPrefix(v, number+"-") {
			return &vssError{
				Message: fmt.Sprintf("The requested version %q of the resource is under preview. The -preview flag must be supplied in the api-version for such requests. For example: %q", number, v),
				Type:    "Microsoft.VisualStudio.Services.WebApi.VssInvalidPreviewVersionException",
			}
		}
	}
	return &vssError{
		Message: fmt.Sprintf("The requested REST API version of %s is out of range for this server. The emulator supports %s.", given, strings.Join(accepted, " and ")),
		Type:    "Microsoft.VisualStudio.Services.WebApi.VssVersionOutOfRangeException",
	}
}
