package pat

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

const signInPage = "<!DOCTYPE html>\r\n<html><head><title>\r\n Azure DevOps Services | Sign In</title></head>" +
	"<body>token=abc</body></html>"

// The results of the answers to a create. Three things decide what happens next: can
// it be retried, is it certain that no PAT was made, and which parts of a PAT are
// known.
func TestAnswersToCreate(t *testing.T) {
	for _, tc := range []struct {
		name    string
		status  int
		headers []string
		body    string

		err     string // after "create PAT in contoso at HOST: "
		code    string
		passing bool
		settled bool
		wait    time.Duration
		hint    string // a part of it; "-": none
		id, pat string // of the Token beside the error
	}{
		// Business errors: the status is 200.
		{
			name: "a policy", status: 200, settled: true,
			body: `{"patToken":null,"patTokenError":"disablePatCreationPolicyViolation"}`,
			err:  "status 200: disablePatCreationPolicyViolation: the organization restricts who may create PATs",
			code: "disablePatCreationPolicyViolation",
			hint: "Project Collection Administrator",
		},
		{
			name: "a policy, spelled as the library does, with a message", status: 200, settled: true,
			body: `{"patTokenError":"FullScopePatPolicyViolation","patTokenErrorMessage":"No\r\nfull\tscope."}`,
			err:  "status 200: fullScopePatPolicyViolation: the tenant forbids PATs with full access: No full scope.",
			code: "fullScopePatPolicyViolation",
			hint: `"Restrict full-scoped personal access token creation"`,
		},
		{
			name: "an error that is not in the specification", status: 200, settled: true,
			body: `{"patToken":null,"patTokenError":"newPolicy\n::error::Violation"}`,
			err:  "status 200: newPolicyerrorViolation",
			code: "newPolicyerrorViolation",
			hint: "-",
		},
		{
			name: "an error without a name", status: 200, settled: true,
			body: `{"patToken":null,"patTokenError":"!"}`,
			err:  "status 200: unknown",
			code: "unknown",
			hint: "-",
		},
		{
			name: "a business error with a 4xx", status: 400, settled: true,
			body: `{"patToken":null,"patTokenError":"invalidScope","message":"vso.nonsense"}`,
			err:  "status 400: invalidScope: a scope is not accepted: vso.nonsense",
			code: "invalidScope",
			hint: "`azdo-pat scopes`",
		},

		// Errors of the service's framework.
		{
			name: "a service principal, after a byte order mark", status: 403, settled: true,
			body: "\xef\xbb\xbf" + `{"$id":"1","innerException":null,"message":"Service principals are not allowed to perform this action.","typeName":"Microsoft.TeamFoundation.Framework.Server.InvalidAccessException, Microsoft.TeamFoundation.Framework.Server","typeKey":"InvalidAccessException","errorCode":0,"eventId":3000}`,
			err:  "status 403: InvalidAccessException: Service principals are not allowed to perform this action.",
			code: "InvalidAccessException",
			hint: "Azure DevOps mints PATs for users only, never for a service principal",
		},
		{
			name: "another kind of caller", status: 403, settled: true,
			body: `{"$id":"1","message":"The requested operation is not allowed.","typeKey":"InvalidAccessException"}`,
			err:  "status 403: InvalidAccessException: The requested operation is not allowed.",
			code: "InvalidAccessException",
			hint: "consent to both vso.pats and vso.pats_manage",
		},
		{
			name: "not a member", status: 401, settled: true,
			body: `{"$id":"1","message":"TF400813: The user 'a@contoso' is not authorized to access this resource.","typeKey":"UnauthorizedRequestException"}`,
			err:  "status 401: TF400813: The user 'a@contoso' is not authorized to access this resource.",
			code: "TF400813",
			hint: "Conditional Access",
		},
		{
			name: "not a member, in the header alone", status: 403, settled: true,
			headers: []string{"X-TFS-ServiceError: TF400813%3a+The+user+%27a%27+is+not%0aauthorized."},
			err:     "status 403: TF400813: The user 'a' is not authorized.",
			code:    "TF400813",
			hint:    "add the user to the organization",
		},
		{
			name: "a header that is not encoded", status: 400, settled: true,
			headers: []string{"X-TFS-ServiceError: 100% wrong"},
			err:     "status 400: 100% wrong",
			hint:    "-",
		},
		{
			name: "the header of a page", status: 401, settled: true, body: signInPage,
			headers: []string{"X-TFS-ServiceError: VS403403%3A%20no.", "Content-Type: text/html"},
			err:     "status 401: not signed in: VS403403: no.",
			code:    "VS403403",
			hint:    "both vso.pats and vso.pats_manage",
		},
		{
			name: "a message in another place", status: 400, settled: true,
			body: `{"count":1,"value":{"Message":"The request is invalid."}}`,
			err:  "status 400: The request is invalid.",
			hint: "-",
		},
		{
			name: "a field of the wrong type does not hide the others", status: 400, settled: true,
			body: `{"message":"TF400898: An Internal Error Occurred.","typeKey":7,"value":[]}`,
			err:  "status 400: TF400898: An Internal Error Occurred.",
			code: "TF400898",
			hint: "-",
		},

		// Not signed in.
		{
			name: "the sign-in page", status: 203, settled: true, body: signInPage, headers: []string{"Content-Type: text/html"},
			err:  `status 203: not signed in: an HTML page titled "Azure DevOps Services | Sign In"`,
			hint: "both vso.pats and vso.pats_manage",
		},
		{
			name: "on the way to the sign-in page", status: 302, settled: true,
			headers: []string{"Location: https://spsprodeus.vssps.visualstudio.com/_signin?realm=dev.azure.com&token=abc"},
			err:     "status 302: not signed in: a redirect to spsprodeus.vssps.visualstudio.com",
			hint:    "from the tenant that the organization is connected to",
		},
		{
			name: "nothing but a status", status: 401, settled: true,
			err: "status 401: not signed in", hint: "must be a user's",
		},
		{
			name: "forbidden", status: 403, settled: true, body: "<html></html>",
			err: "status 403: an HTML page", hint: "add the user to the organization",
		},

		// Other failures.
		{
			name: "no such organization", status: 404, settled: true, body: "404 page not found\n",
			headers: []string{"Content-Type: text/plain; charset=utf-8"},
			err:     "status 404: 404 page not found", hint: "`organization`",
		},
		{
			name: "a page that says it is text", status: 403, settled: true, body: signInPage, headers: []string{"Content-Type: text/plain"},
			err: `status 403: an HTML page titled "Azure DevOps Services | Sign In"`, hint: "vso.pats_manage",
		},
		{
			name: "binary", status: 404, settled: true, body: "\x00\x01",
			headers: []string{"Content-Type: application/octet-stream"},
			err:     "status 404: text that is not JSON", hint: "`organization`",
		},
		{name: "a proxy wants credentials", status: 407, settled: true, err: "status 407", hint: "HTTPS_PROXY"},
		{name: "timeout", status: 408, passing: true, err: "status 408", hint: "later"},
		{name: "too early", status: 425, passing: true, err: "status 425", hint: "later"},
		{
			name: "throttled, in seconds", status: 429, settled: true, passing: true, wait: 30 * time.Second,
			headers: []string{"Retry-After: 30"},
			body:    `{"message":"TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource 'Concurrency'.","typeKey":"RequestBlockedException"}`,
			err:     "status 429: TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource 'Concurrency'.",
			code:    "TF400733", hint: "limits the rate",
		},
		{
			name: "throttled, with another status", status: 403, settled: true, passing: true,
			body: `{"message":"TF400733: blocked"}`, err: "status 403: TF400733: blocked", code: "TF400733", hint: "limits the rate",
		},
		{
			name: "throttled, by the server's clock", status: 503, passing: true, wait: 2 * time.Minute,
			headers: []string{"Date: Mon, 02 Nov 2026 08:00:00 GMT", "Retry-After: Mon, 02 Nov 2026 08:02:00 GMT"},
			err:     "status 503", hint: "limits the rate",
		},
		{
			name: "throttled, by our clock", status: 503, passing: true, wait: time.Minute,
			headers: []string{"Retry-After: Mon, 02 Nov 2026 12:01:00 GMT"},
			err:     "status 503", hint: "limits the rate",
		},
		{name: "a wait that has passed", status: 503, passing: true, headers: []string{"Retry-After: Mon, 02 Nov 2026 11:00:00 GMT"}, err: "status 503"},
		{name: "invalid wait", status: 503, passing: true, headers: []string{"Retry-After: -5"}, err: "status 503"},
		{name: "an error of the server", status: 500, passing: true, err: "status 500", hint: "https://status.dev.azure.com"},
		{name: "a bad gateway", status: 502, passing: true, err: `status 502: an HTML page titled "Bad & gone"`, body: "<title>Bad &amp; gone</title>", hint: "later"},
		{name: "a slow gateway", status: 504, passing: true, err: "status 504", hint: "later"},
		{name: "not implemented", status: 501, err: "status 501", hint: "later"},
		{name: "an error of the server that names a PAT", status: 500, passing: true,
			body: `{"token":"correct-horse-battery","message":"made correct-horse-battery"}`, err: "status 500: made ***"},

		// Answers that are neither a success nor an error.
		{
			name: "no body", status: 200,
			err: "status 200: the answer is an empty body instead of a PAT", hint: "`token-service-url`",
		},
		{
			name: "no content", status: 204,
			err: "status 204: the answer is an empty body instead of a PAT", hint: "`token-service-url`",
		},
		{
			name: "a page", status: 200, body: signInPage, headers: []string{"Content-Type: text/html"},
			err:  `status 200: the answer is an HTML page titled "Azure DevOps Services | Sign In" instead of a PAT`,
			hint: "vso.pats_manage",
		},
		{
			name: "plain text", status: 200, body: "OK",
			err: "status 200: the answer is text that is not JSON instead of a PAT", hint: "`token-service-url`",
		},
		{name: "null", status: 200, body: "null", err: "status 200: the answer carries neither a PAT nor an error"},
		{name: "a list", status: 200, body: "[]", err: "status 200: the answer is JSON of another form, or cut off, instead of a PAT"},
		{name: "no PAT and no error", status: 200, body: `{"patToken":null,"patTokenError":"none"}`, err: "status 200: the answer carries neither a PAT nor an error"},
		{
			name: "an error of the framework with a 200", status: 200, body: `{"message":"TF1: no","typeKey":"SomeException"}`,
			err: "status 200: SomeException: TF1: no", code: "SomeException",
		},
		{
			name: "without an id", status: 200, body: strings.Replace(created(somePAT), "authorizationId", "x", 1),
			err: "status 200: the answer carries a PAT without a valid authorizationId", pat: somePAT,
		},
		{
			name: "with an id of zeros", status: 200, body: strings.Replace(created(somePAT), someID, "00000000-0000-0000-0000-000000000000", 1),
			err: "status 200: the answer carries a PAT without a valid authorizationId", pat: somePAT,
		},
		{
			name: "without a token", status: 200, body: created("null"),
			err: "status 200: the answer carries a PAT without its token", id: someID,
		},
		{
			name: "a token that could end a line", status: 200, body: created(`two\nlines`),
			err: "status 200: the answer carries a PAT whose token has characters that no token has", id: someID, pat: "two\nlines",
		},
		{
			name: "a token that is no ASCII", status: 200, body: created("tökén"),
			err: "status 200: the answer carries a PAT whose token has characters that no token has", id: someID, pat: "tökén",
		},
		{
			name: "a PAT, an error and another id", status: 200,
			body: `{"more":{"authorizationId":"` + someOrg + `","token":"another"},"patToken":` + patJSON(somePAT) + `,"patTokenError":"invalidScope"}`,
			err:  "status 200: invalidScope: a scope is not accepted: the answer carries both a PAT and an error",
			code: "invalidScope", id: someID, pat: somePAT,
		},
		{
			name: "without an end", status: 200, body: strings.Replace(created(somePAT), "2026-11-02T13:00:00.32Z", "soon", 1),
			err: "status 200: the answer carries a PAT whose validTo cannot be read", id: someID, pat: somePAT,
		},
		{
			name: "a PAT and an error", status: 200,
			body: `{"patToken":` + patJSON("secret-1") + `,"patTokenError":"invalidScope","patTokenErrorMessage":"secret-1"}`,
			err:  "status 200: invalidScope: a scope is not accepted: the answer carries both a PAT and an error",
			code: "invalidScope", id: someID, pat: "secret-1",
		},
		{
			name: "a PAT and an error named like it", status: 200,
			body: `{"patToken":` + patJSON("secret1") + `,"patTokenError":"secret1"}`,
			err:  "status 200: unknown: the answer carries both a PAT and an error",
			code: "unknown", id: someID, pat: "secret1",
		},
		{
			name: "an error of the wrong type beside a PAT", status: 200,
			body: `{"patTokenError":7,"patToken":` + patJSON(somePAT) + `}`,
			err:  "status 200: the answer is JSON of another form, or cut off, instead of a PAT", id: someID, pat: somePAT,
		},
		{
			name: "cut off behind the token", status: 200, body: strings.TrimSuffix(created(somePAT), `},"patTokenError":"none"}`),
			err: "status 200: the answer is JSON of another form, or cut off, instead of a PAT", id: someID, pat: somePAT,
		},
		{
			name: "a word that is no PAT", status: 200, body: `{"token":"csrf",`,
			err: "status 200: the answer is JSON of another form, or cut off, instead of a PAT",
		},
		{
			name: "cut off behind the id", status: 200, body: created(somePAT)[:strings.Index(created(somePAT), `"token"`)+10],
			err: "status 200: the answer is JSON of another form, or cut off, instead of a PAT", id: someID,
		},
		{
			name: "too large", status: 200, body: created(somePAT) + strings.Repeat(" ", maxBody),
			err: "status 200: the answer is larger than 1 MiB", id: someID, pat: somePAT,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			reply := func(w http.ResponseWriter, _ *http.Request) { answer(w, tc.status, tc.body, tc.headers...) }
			inBubble(t, reply, func(t *testing.T, c *Client) {
				token, err := c.Create(t.Context(), Create{DisplayName: "nightly"})
				e := asError(t, err)
				if want := "create PAT in contoso at " + c.host + ": " + tc.err; e.Error() != want {
					t.Errorf("error\n%s, want\n%s", e.Error(), want)
				}
				if e.Op != "create" || e.Host != c.host || e.Organization != "contoso" || e.Status != tc.status || e.ID != "" {
					t.Errorf("error %+v", *e)
				}
				if e.Code != tc.code {
					t.Errorf("code %q, want %q", e.Code, tc.code)
				}
				if e.Retryable() != tc.passing || e.Settled() != tc.settled {
					t.Errorf("passing %v, settled %v, want %v, %v", e.Retryable(), e.Settled(), tc.passing, tc.settled)
				}
				if passing, wait := httpclient.Retryable(err); passing != tc.passing || wait != tc.wait {
					t.Errorf("to be tried again %v, in %s, want %v, %s", passing, wait, tc.passing, tc.wait)
				}
				if got := hint.Of(err); tc.hint == "-" && got != "" || tc.hint != "-" && !strings.Contains(got, tc.hint) {
					t.Errorf("hint %q, want %q", got, tc.hint)
				}
				if token.ID != tc.id || token.Secret.Reveal() != tc.pat {
					t.Errorf("token %q %q, want %q %q", token.ID, token.Secret.Reveal(), tc.id, tc.pat)
				}
			})
		})
	}
}

// Untrusted text becomes one line of at most 300 runes without credentials, known ones
// and those that are recognized by their form.
func TestMessages(t *testing.T) {
	const today = "5XcDpQ7tVb2nMkL8sWzR4yHgJ6fC1aEo9uTiB3vNqPxK0dSlGmZrYwQhUjIkOpAsDfGhJkLzXcVbAZDO4aB9"
	for _, tc := range []struct{ name, in, want string }{
		{"controls and separators", "a\x00\x1b[31mb\r\n\u2028c\u0085d\u202ee", "a [31mb c d e"},
		{"invalid UTF-8", "a\xff\xfeb", "a b"},
		{"long", strings.Repeat("ä", 400), strings.Repeat("ä", 299) + "…"},
		{"our own credential", "bad header Bearer " + userToken + "!", "bad header Bearer ***!"},
		{"a credential over two lines", "bad " + strings.Replace(userToken, ".", "\x00.", 1), "bad " + strings.Replace(userToken, ".", " .", 1)},
		{"a credential that would be cut", strings.Repeat("a ", 149) + userToken, strings.Repeat("a ", 149) + "*…"},
		{"the PAT", "PAT p4t made", "PAT *** made"},
		{"another user's PAT", "PAT " + today + ",", "PAT ***,"},
		{"another user's old PAT", "PAT " + strings.Repeat("a", 52) + ",", "PAT ***,"},
		{"another user's JWT", "t=eyJhbGci.eyJzdWIi.sig-_A;", "t=***;"},
		{"words stay", "The user 'a@b' (ID 38aaa865-2c70-4bf7-a308-0c6539c38c1a) is not authorized.", "The user 'a@b' (ID 38aaa865-2c70-4bf7-a308-0c6539c38c1a) is not authorized."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := New(Options{Token: secret.New(userToken)})
			if got := c.redact(tc.in, "p4t"); got != tc.want {
				t.Errorf("got\n%q, want\n%q", got, tc.want)
			}
		})
	}
	// A credential with control characters is removed in its form as a line.
	c := New(Options{Token: secret.New("a\tb\tc")})
	for _, text := range []string{"the token is a b c", "the token is a\tb\tc"} {
		if got := c.redact(text, ""); got != "the token is ***" {
			t.Errorf("got %q", got)
		}
	}
}

// An Error of another package, such as a fake, is interpreted in the same way.
func TestErrorsOfOthers(t *testing.T) {
	for _, tc := range []struct {
		err      Error
		passing  bool
		settled  bool
		notFound bool
	}{
		{Error{Code: "x"}, false, false, false},
		{Error{Status: 101, Code: "x"}, false, false, false},
		{Error{Status: 200}, false, false, false},
		{Error{Status: 200, Code: "tokenNotFound"}, false, true, true},
		{Error{Status: 200, Code: "authorizationNotFound", Unreadable: true}, false, false, false},
		{Error{Status: 404}, false, true, true},
		{Error{Status: 404, Code: "accessDenied"}, false, true, false},
		{Error{Status: 404, foreign: true}, false, true, false},
		{Error{Status: 400, Code: "tokenNotFound"}, false, true, true},
		{Error{Status: 500, Code: "tokenNotFound"}, true, false, false},
		{Error{Status: 302, Code: "tokenNotFound"}, false, true, false},
		{Error{Status: 203, Code: "tokenNotFound"}, false, true, false},
		{Error{Status: 404, foreign: true, Err: &Error{Status: 503}}, true, true, false},
		{Error{Unsent: true, Err: http.ErrHandlerTimeout}, true, true, false},
	} {
		e := &tc.err
		if e.Retryable() != tc.passing || e.Settled() != tc.settled || e.NotFound() != tc.notFound {
			t.Errorf("%+v: passing %v, settled %v, not found %v", tc.err, e.Retryable(), e.Settled(), e.NotFound())
		}
	}
}
