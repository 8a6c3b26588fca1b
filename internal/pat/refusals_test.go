package pat

import (
	"net/http"
	"strings"
	"testing"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
)

const (
	noMember  = `TF401444: Please sign-in at least once as 11111111-0000-4000-8000-000000000001\11111111-0000-4000-8000-000000000001\22222222-0000-4000-8000-000000000002 in a web browser to enable access to the service.`
	anonymous = `TF400813: Resource not available for anonymous access. Client authentication required.`
	blocked   = `VS403463: The conditional access policy defined by your Microsoft Entra administrator has failed.`
	// {"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}
	claims = "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNjA0MTA2NjUxIn19fQ"
)

// The meaning of Azure DevOps' refusals in all their forms and with any status: whether
// the token was accepted, whether a retry makes sense, and what to change.
func TestRefusalsOfAzureDevOps(t *testing.T) {
	vss := func(text, typeKey string) string {
		return "\xef\xbb\xbf" + `{"$id":"1","message":"` + strings.ReplaceAll(text, `\`, `\\`) + `","typeKey":"` + typeKey + `"}`
	}
	for _, tc := range []struct {
		name      string
		statuses  []int
		headers   []string
		body      string
		says      string
		code      string
		signedOut bool
		passing   bool
		hint, not string // a part of the hint, and what is not in it
	}{
		{name: "not in the organization", statuses: []int{401, 403, 500}, body: vss(noMember, "UnauthorizedRequestException"),
			says: "TF401444", code: "TF401444", hint: "account 22222222-0000-4000-8000-000000000002 is not yet a user of this organization", not: "11111111"},
		{name: "not in the organization, by its name", statuses: []int{401}, body: vss(`TF401444: Please sign-in at least once as contoso\agent@contoso.com in a web browser to enable access to the service.`, "UnauthorizedRequestException"),
			says: "TF401444", code: "TF401444", hint: "account agent@contoso.com is not yet a user"},
		{name: "not in the organization, in the header", statuses: []int{401}, headers: []string{"X-TFS-ServiceError: TF401444%3A+Please+sign-in+at+least+once+as+a%5Ca%5Cb-c+in+a+web+browser"}, body: "<html><title>Sign In</title></html>",
			says: "TF401444", code: "TF401444", hint: "account b-c is not yet a user"},
		{name: "a user without access", statuses: []int{401, 403, 500}, body: vss("TF400813: The user '22222222-0000-4000-8000-000000000002' is not authorized to access this resource.", "UnauthorizedRequestException"),
			says: "TF400813", code: "TF400813", hint: "add the user to the organization"},
		{name: "empty user", statuses: []int{401, 403, 500}, body: vss("TF400813: The user '' is not authorized to access this resource.", "UnauthorizedRequestException"),
			says: "TF400813", code: "TF400813", signedOut: true, hint: "did not accept the Entra token", not: "add the user"},
		{name: "the anonymous principal", statuses: []int{401, 403}, body: vss("TF400813: The user 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa' is not authorized to access this resource.", "UnauthorizedRequestException"),
			says: "TF400813", code: "TF400813", signedOut: true, hint: "did not accept the Entra token", not: "add the user"},
		{name: "anonymous access", statuses: []int{401, 403, 500}, body: vss(anonymous, "UnauthorizedRequestException"),
			says: "TF400813", code: "TF400813", signedOut: true, hint: "did not accept the Entra token", not: "add the user"},
		{name: "anonymous access, on a page", statuses: []int{401, 403, 500}, body: "<html><title>" + anonymous + "</title></html>",
			says: "TF400813", code: "TF400813", signedOut: true, hint: "did not accept the Entra token", not: "add the user"},
		{name: "Conditional Access", statuses: []int{400, 401, 403, 500}, body: vss(blocked, "ConditionalAccessPolicyException"),
			says: "VS403463", code: "VS403463", hint: "a Conditional Access policy", not: "add the user"},
		{name: "Conditional Access, in a title", statuses: []int{200, 203, 401, 403, 500}, body: "\xef\xbb\xbf<!DOCTYPE html><html><head><title>\r\n " + blocked + "\r\n</title></head></html>", headers: []string{"Content-Type: text/html"},
			says: "VS403463", code: "VS403463", hint: "a Conditional Access policy", not: "add the user"},
		{name: "Conditional Access, below another title", statuses: []int{401, 403}, body: "<html><title>Azure DevOps Services | Denied</title><p class=x>" + blocked + "</p></html>",
			says: blocked, code: "VS403463", hint: "a Conditional Access policy"},
		{name: "no permission", statuses: []int{401, 403}, body: vss("TF30063: You are not authorized to access contoso.", "TeamFoundationServerUnauthorizedException"),
			says: "TF30063", code: "TF30063", hint: "no permission"},
		{name: "an unknown identity", statuses: []int{400, 404, 500}, body: vss("TF14045: The identity with type 'x' and identifier 'y' could not be found.", "IdentityNotFoundException"),
			says: "TF14045", code: "TF14045", hint: "does not know the identity"},
		{name: "no such project", statuses: []int{400, 404, 500}, body: vss("VS800075: The project with id 'vstfs:///x' does not exist, or you do not have permission to access it.", "ProjectDoesNotExistException"),
			says: "VS800075", code: "VS800075", hint: "no such project"},
		{name: "an id of Entra", statuses: []int{400}, body: vss("Identity with id 22222222-0000-4000-8000-000000000002 is invalid", "InvalidIdentityException"),
			says: "Identity with id", code: "InvalidIdentityException", hint: "an Entra id was used"},
		{name: "throttled", statuses: []int{400, 403, 429, 500, 503}, body: vss("TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource <Concurrency> in namespace <x>.", "RequestBlockedException"),
			says: "TF400733", code: "TF400733", passing: true, hint: "limits the rate"},
		{name: "another token is demanded", statuses: []int{401}, headers: []string{"WWW-Authenticate: TFS-Federated", `WWW-Authenticate: Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", error="insufficient_claims", claims="` + claims + `=="`},
			says: "insufficient_claims", signedOut: true, hint: `with the claims {"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}`},
		{name: "another token is demanded, with garbage", statuses: []int{401}, headers: []string{`WWW-Authenticate: Bearer error="insufficient_claims", claims="%%%"`},
			says: "insufficient_claims", signedOut: true, hint: "continuous access evaluation", not: "with the claims"},
		{name: "a bad token", statuses: []int{401}, headers: []string{`WWW-Authenticate: Bearer error="invalid_token", error_description="The token is expired"`},
			says: "The token is expired", signedOut: true, hint: "must be a user's"},
	} {
		for _, status := range tc.statuses {
			t.Run(tc.name+", "+http.StatusText(status), func(t *testing.T) {
				c := answering(t, status, tc.body, append(tc.headers, "X-VSS-E2EID: 33333333-0000-4000-8000-000000000003", "ActivityId: not an id")...)
				_, err := c.Next(t.Context(), NewCursor(Filter{}))
				e := asError(t, err)
				if !strings.Contains(e.Message, tc.says) || e.Code != tc.code {
					t.Errorf("code %q, want %q, of %v", e.Code, tc.code, e)
				}
				if e.SignedOut() != (tc.signedOut || tc.code == "" && status == 401) {
					t.Errorf("signed out %t: %v", e.SignedOut(), e)
				}
				if told := strings.Contains(e.Error(), "not signed in"); told != tc.signedOut {
					t.Errorf("reports not signed in: %t, in %v", told, e)
				}
				if passing, _ := httpclient.Retryable(err); passing != tc.passing {
					t.Errorf("passing %t, want %t", passing, tc.passing)
				}
				if h := hint.Of(err); !strings.Contains(h, tc.hint) || tc.not != "" && strings.Contains(h, tc.not) {
					t.Errorf("hint %q, want %q and no %q", h, tc.hint, tc.not)
				}
				if !strings.HasSuffix(e.Error(), " (X-VSS-E2EID 33333333-0000-4000-8000-000000000003)") {
					t.Errorf("no id for the support, or what is none: %v", e)
				}
			})
		}
	}
}

// After an answer without content, requests are retried a few times, except a create.
func TestAnswersWithoutContent(t *testing.T) {
	for name, tc := range map[string]struct {
		status  int
		body    string
		content bool
	}{
		"empty":            {200, "", false},
		"no content":       {204, "", false},
		"white space":      {200, "\xef\xbb\xbf \r\n", false},
		"half":             {200, created(somePAT)[:30], false},
		"a page":           {200, "<html><title>Sign In</title></html>", false},
		"text":             {200, "upstream connect error", false},
		"a page, 203":      {203, signInPage, false},
		"an empty 203":     {203, "", false},
		"JSON":             {200, "[]", true},
		"an error in JSON": {200, `{"message":"TF1: no","typeKey":"X"}`, true},
		"VS403463":         {200, "<html><title>" + blocked + "</title></html>", true},
		"a page, 401":      {401, signInPage, true},
		"a redirect":       {302, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			c := answering(t, tc.status, tc.body)
			ops := map[string]func() error{
				"create": func() error { _, err := c.Create(t.Context(), Create{}); return err },
				"get":    func() error { _, err := c.Get(t.Context(), someID); return err },
				"update": func() error { _, err := c.Update(t.Context(), someID, Update{}); return err },
				"list":   func() error { _, err := c.Next(t.Context(), NewCursor(Filter{})); return err },
			}
			for op, do := range ops {
				e := asError(t, do())
				want := !tc.content && op != "create"
				if _, limit := e.Attempts(); e.Retryable() != want || (limit == httpclient.Repeats) != want {
					t.Errorf("%s: passing %t, %d attempts: %v", op, e.Retryable(), limit, e)
				}
			}
		})
	}
}
