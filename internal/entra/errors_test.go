package entra

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

var claims = assertion.Claims{
	Issuer: "https://token.actions.githubusercontent.com", Subject: "repo:contoso/app:ref:refs/heads/main",
	Audience: "api://AzureADTokenExchange", JobWorkflowRef: "contoso/app/.github/workflows/ci.yml@refs/heads/main",
}

// An error has what was being done, for which client, what came back, and the ids for
// Microsoft's support.
func TestError(t *testing.T) {
	t.Parallel()
	html := map[string]string{"Content-Type": "text/html; charset=utf-8"}
	for _, tc := range []struct {
		name  string
		reply reply
		err   string
		hint  string // a part of it
		*Error
	}{
		{
			name:  "as Entra says it",
			reply: refusal(401, "invalid_client", "AADSTS700213: No matching federated identity record found for presented assertion subject 'repo:contoso/app:ref:refs/heads/main'.", 700213),
			err: "login.test answered 401: invalid_client: AADSTS700213: No matching federated identity record found for presented assertion subject 'repo:contoso/app:ref:refs/heads/main'. " +
				"(correlation id 0c0c0c0c-2222-0000-0000-000000000000, trace id 0f0f0f0f-1111-0000-0000-000000000000)",
			hint:  "federated credential",
			Error: &Error{Status: 401, OAuth: "invalid_client", Codes: []int{700213}},
		},
		{
			name:  "in a 200",
			reply: reply{status: 200, body: map[string]any{"error": "interaction_required", "error_codes": []int{50076}}},
			err:   "login.test answered 200: interaction_required", hint: "second factor",
			Error: &Error{Status: 200, OAuth: "interaction_required", Codes: []int{50076}},
		},
		{
			name:  "the code in the description alone",
			reply: reply{status: 400, body: map[string]any{"error_description": "AADSTS65001: No consent."}},
			err:   "login.test answered 400: AADSTS65001: No consent.", hint: "vso.pats_manage",
			Error: &Error{Status: 400, Codes: []int{65001}},
		},
		{
			name:  "codes of which one is a text and others are none",
			reply: reply{status: 400, body: map[string]any{"error_description": "AADSTS: x", "error_codes": []any{"x", "65001", -3, 1e12, nil}}},
			err:   "login.test answered 400: AADSTS: x", hint: "vso.pats_manage", Error: &Error{Status: 400, Codes: []int{65001}},
		},
		{
			// One field of another type must not hide the others.
			name:  "codes that are no list",
			reply: reply{status: 400, body: map[string]any{"error": "invalid_grant", "error_description": "AADSTS50126: Wrong.", "error_codes": "50126"}},
			err:   "login.test answered 400: invalid_grant: AADSTS50126: Wrong.", hint: "password",
			Error: &Error{Status: 400, OAuth: "invalid_grant", Codes: []int{50126}},
		},
		{
			name:  "fields of other types",
			reply: reply{status: 400, body: map[string]any{"error": 7, "error_description": []int{1}, "error_codes": []int{50057}, "trace_id": true, "correlation_id": map[string]int{}}},
			err:   "login.test answered 400", hint: "not locked", Error: &Error{Status: 400, Codes: []int{50057}},
		},
		{
			name:  "control characters",
			reply: refusal(400, "a\n::error::b", "c\r\n::add-mask::d\x1b[31m\u202e"),
			err:   "login.test answered 400: a ::error::b: c ::add-mask::d [31m (correlation id 0c0c0c0c-2222-0000-0000-000000000000, trace id 0f0f0f0f-1111-0000-0000-000000000000)",
			Error: &Error{Status: 400, OAuth: "a ::error::b"},
		},
		{
			name:  "a long description",
			reply: reply{status: 400, body: map[string]any{"error_description": strings.Repeat("x", 1000)}},
			err:   "login.test answered 400: " + strings.Repeat("x", 399) + "…", Error: &Error{Status: 400},
		},
		{name: "invalid code", reply: reply{status: 400, body: map[string]any{"error_description": "AADSTS0: x"}}, err: "login.test answered 400: AADSTS0: x", Error: &Error{Status: 400}},
		{name: "empty", reply: reply{status: 400, body: ""}, err: "login.test answered 400: the answer is not Entra's", Error: &Error{Status: 400}},
		{name: "not JSON", reply: reply{status: 401, body: "go away"}, err: "login.test answered 401: the answer is not Entra's", Error: &Error{Status: 401}},
		{name: "a form", reply: reply{status: 401, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: "error=x&error_description=y"},
			err: "login.test answered 401: the answer is not Entra's", Error: &Error{Status: 401}},
		{name: "invalid form", reply: reply{status: 401, header: map[string]string{"Content-Type": "text/plain"}, body: "%zz;"},
			err: "login.test answered 401: the answer is not Entra's", Error: &Error{Status: 401}},
		{name: "another JSON", reply: reply{status: 400, body: []int{1}}, err: "login.test answered 400: the answer is not Entra's", Error: &Error{Status: 400}},
		{name: "null", reply: reply{status: 400, body: "null"}, err: "login.test answered 400", Error: &Error{Status: 400}},
		{name: "no content type", reply: reply{status: 400, header: map[string]string{"Content-Type": ""}, body: `{"error":"x"}`},
			err: "login.test answered 400: x", Error: &Error{Status: 400, OAuth: "x"}},

		{name: "no token", reply: reply{status: 200, body: map[string]any{"token_type": "Bearer"}}, err: "login.test answered 200: the answer holds no usable token", Error: &Error{Status: 200}},
		{name: "another status of success", reply: reply{status: 201, body: map[string]any{}}, err: "login.test answered 201: the answer holds no usable token", Error: &Error{Status: 201}},
		{name: "a token with a space", reply: reply{status: 200, body: map[string]any{"access_token": "abc def"}}, err: "login.test answered 200: the answer holds no usable token", Error: &Error{Status: 200}},
		{name: "a token with a line break", reply: reply{status: 200, body: map[string]any{"access_token": "abc\ndef"}}, err: "login.test answered 200: the answer holds no usable token", Error: &Error{Status: 200}},
		{name: "a token with a letter of its own", reply: reply{status: 200, body: map[string]any{"access_token": "abcñdef"}}, err: "login.test answered 200: the answer holds no usable token", Error: &Error{Status: 200}},
		{name: "a token of three letters", reply: reply{status: 200, body: map[string]any{"access_token": "abc"}}, err: "login.test answered 200: the answer holds no usable token: it has fewer than 4 characters", Error: &Error{Status: 200}},
		{name: "a refresh token of three letters", reply: reply{status: 200, body: map[string]any{"access_token": "abc.def", "refresh_token": "abc"}}, err: "login.test answered 200: the answer holds no usable token: it has fewer than 4 characters", Error: &Error{Status: 200}},
		{name: "a token that is no string", reply: reply{status: 200, body: map[string]any{"access_token": 7}}, err: "login.test answered 200: the answer holds no usable token", Error: &Error{Status: 200}},
		{name: "more than any token takes", reply: reply{status: 200, body: map[string]any{"access_token": strings.Repeat("x", maxBody)}},
			err: "no answer from login.test: the answer is larger than 256 KiB"},
		{name: "a long refusal", reply: reply{status: 400, body: strings.Repeat(" ", maxBody+1)},
			err: "login.test answered 400: the answer is not Entra's", Error: &Error{Status: 400}},

		{name: "a page", reply: reply{status: 403, header: html, body: "<h1>Blocked</h1>"}, err: "login.test answered 403 Forbidden: an HTML page instead of Entra's answer", hint: "authority-host"},
		// The error must describe the unexpected answer.
		{name: "a page with a good status", reply: reply{status: 200, header: html, body: "<h1>Sign in</h1>"}, err: "login.test answered 200 OK: the answer is an HTML page instead of a token (4 attempts)", hint: "authority-host"},
		{name: "an answer that is empty", reply: reply{status: 200, body: ""}, err: "login.test answered 200 OK: the answer is an empty body instead of a token (4 attempts)", hint: "authority-host"},
		{name: "half an answer", reply: reply{status: 200, body: `{"access_token":"eyJ`}, err: "login.test answered 200 OK: the answer is JSON of another form, or cut off, instead of a token (4 attempts)", hint: "authority-host"},
		{name: "a page with a title", reply: reply{status: 403, header: html, body: "<title>Blocked by\nproxy</title>"}, err: `login.test answered 403 Forbidden: an HTML page titled "Blocked by proxy" instead of Entra's answer`, hint: "authority-host"},
		{name: "after a byte order mark", reply: reply{status: 400, body: "\xef\xbb\xbf" + `{"error":"invalid_grant","error_description":"AADSTS50126: x"}`}, err: "login.test answered 400: invalid_grant: AADSTS50126: x", hint: "password",
			Error: &Error{Status: 400, OAuth: "invalid_grant", Codes: []int{50126}}},
		{name: "the code further on", reply: reply{status: 400, body: map[string]any{"error_description": "Oops: AADSTS65001: x"}}, err: "login.test answered 400: Oops: AADSTS65001: x", hint: "vso.pats_manage",
			Error: &Error{Status: 400, Codes: []int{65001}}},
		{name: "a gateway's refusal", reply: reply{status: 400, body: map[string]any{"error": map[string]any{"code": "BadRequest", "message": "no\n" + password}}}, err: "login.test answered 400: BadRequest: no ***", Error: &Error{Status: 400, OAuth: "BadRequest"}},
		{name: "a refusal in an object", reply: reply{status: 400, body: map[string]any{"error": map[string]any{"code": "invalid_grant", "message": "AADSTS50126: x"}}}, err: "login.test answered 400: invalid_grant: AADSTS50126: x", hint: "password",
			Error: &Error{Status: 400, OAuth: "invalid_grant", Codes: []int{50126}}},
		{name: "a refusal in an object, without a code", reply: reply{status: 400, body: map[string]any{"error": map[string]any{"code": 7, "message": "not here"}}}, err: "login.test answered 400: not here", Error: &Error{Status: 400}},
		{name: "a refusal in an object of a good answer", reply: reply{status: 200, body: map[string]any{"error": map[string]any{"code": "Busy", "message": "later"}}}, err: "login.test answered 200: Busy: later", Error: &Error{Status: 200, OAuth: "Busy"}},
		{name: "ids in the header", reply: reply{status: 400, header: map[string]string{"x-ms-request-id": "0f0f0f0f-1111-0000-0000-000000000000", "client-request-id": "0e0e0e0e-3333-0000-0000-000000000000", "X-Vss-E2eid": password},
			body: map[string]any{"error": "invalid_grant", "trace_id": "0f0f0f0f-1111-0000-0000-000000000000"}},
			err: "login.test answered 400: invalid_grant (trace id 0f0f0f0f-1111-0000-0000-000000000000, client-request-id 0e0e0e0e-3333-0000-0000-000000000000)", Error: &Error{Status: 400, OAuth: "invalid_grant"}},
		{name: "consent, by the suberror", reply: reply{status: 400, body: map[string]any{"error": "invalid_grant", "suberror": "consent_required"}}, err: "login.test answered 400: invalid_grant", hint: "vso.pats_manage",
			Error: &Error{Status: 400, OAuth: "invalid_grant"}},
		{name: "a second factor, by the error", reply: reply{status: 400, body: map[string]any{"error": "interaction_required"}}, err: "login.test answered 400: interaction_required", hint: "second factor",
			Error: &Error{Status: 400, OAuth: "interaction_required"}},
		{name: "an agent identity where it may not be", reply: reply{status: 400, body: map[string]any{"error_description": "AgentIdentity_NotAllowed: x"}}, err: "login.test answered 400: AgentIdentity_NotAllowed: x", hint: "client-id must be the blueprint",
			Error: &Error{Status: 400}},
		{name: "a redirect", reply: reply{status: 302, header: map[string]string{"Location": "https://other.test/?x=y"}}, err: "login.test answered 302 Found: a redirect to other.test, which is not followed with a credential", hint: "check the host"},
		{name: "a redirect with a page", reply: reply{status: 302, header: map[string]string{"Location": "/x?x=y", "Content-Type": "text/html"}}, err: "login.test answered 302 Found: a redirect to login.test, which is not followed with a credential", hint: "check the host"},
		{name: "no redirect", reply: reply{status: 304, body: ""}, err: "login.test answered 304 Not Modified", hint: "authority-host"},
		{name: "too large", reply: reply{err: httpclient.ErrTooLarge}, err: "no answer from login.test: the answer is larger than 4 MiB"},
		{name: "too large in the end", reply: reply{status: 200, body: httpclient.ErrTooLarge}, err: "no answer from login.test: the answer is larger than 4 MiB"},
	} {
		inBubble(t, tc.name, func(t *testing.T) {
			x, _ := newExchange(t, identityPassword, func(int, asked) reply { return tc.reply })
			_, err := x.Token(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			if want := "sign in with the password"; tc.Error == nil {
				if err.Error() != want+": "+tc.err {
					t.Errorf("error %q\nwant  %q", err, want+": "+tc.err)
				}
			} else if want += " for client " + blueprint + ": " + tc.err; err.Error() != want {
				t.Errorf("error %q\nwant  %q", err, want)
			}
			if h := hint.Of(err); !strings.Contains(h, tc.hint) || tc.hint == "" && h != "" {
				t.Errorf("hint %q, want %q in it", h, tc.hint)
			}
			var got *Error
			if errors.As(err, &got) != (tc.Error != nil) {
				t.Fatalf("error of type %T", err)
			}
			if got != nil {
				if got.Client != blueprint || got.Host != "login.test" || got.Status != tc.Status || got.OAuth != tc.OAuth || !slices.Equal(got.Codes, tc.Codes) {
					t.Errorf("error %+v, want %+v", got, tc.Error)
				}
				if got.Presented != claims {
					t.Errorf("presented %+v, want %+v", got.Presented, claims)
				}
			}
		})
	}
}

// inBubble runs a subtest in a synctest bubble, where waiting takes no time.
func inBubble(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, test)
	})
}

// Whichever request is refused, Presented has the claims of the job's assertion.
func TestPresentedClaims(t *testing.T) {
	t.Parallel()
	for leg, want := range map[int]string{
		1: "get a token of the agent identity blueprint (request 1 of 3) for client " + blueprint,
		2: "get a token of the agent identity (request 2 of 3) for client " + agent,
		3: "get a token of the agent's user (request 3 of 3) for client " + agent,
	} {
		x, _ := newExchange(t, identityAgent, func(n int, _ asked) reply {
			if n == leg {
				return aadsts(700213)
			}
			return token(n)
		})
		_, err := x.Token(t.Context())
		var got *Error
		if !errors.As(err, &got) || got.Presented != claims || !strings.HasPrefix(err.Error(), want+": ") {
			t.Errorf("request %d: %+v, want %s", leg, got, want)
		}
	}
}

// A server may return the credentials that it received. They must not be in an error,
// because the log cannot recognize and redact a shortened credential.
func TestEchoedCredentials(t *testing.T) {
	t.Parallel()
	form := func(a asked) string {
		var b strings.Builder
		for name, values := range a.form {
			fmt.Fprintf(&b, " %s=%s", name, values[0])
		}
		return b.String()
	}
	encoded := func(a asked) string { return a.form.Encode() }
	html := map[string]string{"Content-Type": "text/html"}
	echoes := map[string]func(a asked) reply{
		"in the description": func(a asked) reply { return refusal(400, "invalid_request", "AADSTS900144: received"+form(a), 900144) },
		"in the description, far in": func(a asked) reply {
			return refusal(400, "invalid_request", "AADSTS900144: "+strings.Repeat("received ", 30)+form(a), 900144)
		},
		"in the description, encoded": func(a asked) reply { return refusal(400, "invalid_request", "AADSTS900144: "+encoded(a), 900144) },
		"in the error":                func(a asked) reply { return refusal(400, form(a), "x") },
		"in the ids": func(a asked) reply {
			return reply{status: 400, body: map[string]any{"trace_id": a.form.Get("client_assertion"), "correlation_id": a.form.Get("client_assertion")}}
		},
		"in other fields": func(a asked) reply {
			return reply{status: 400, body: map[string]any{"error": "x", "error_uri": form(a), "claims": form(a), "suberror": form(a), "error_codes": []string{form(a)}}}
		},
		"as the body":       func(a asked) reply { return reply{status: 400, body: encoded(a)} },
		"as the body, well": func(a asked) reply { return reply{status: 200, body: encoded(a)} },
		"as a form": func(a asked) reply {
			return reply{status: 400, header: map[string]string{"Content-Type": "text/plain"}, body: encoded(a)}
		},
		"as a form, well": func(a asked) reply {
			return reply{status: 200, header: map[string]string{"Content-Type": "text/plain"}, body: encoded(a)}
		},
		"as a page":       func(a asked) reply { return reply{status: 400, header: html, body: "<p>" + form(a)} },
		"as a page, well": func(a asked) reply { return reply{status: 200, header: html, body: "<p>" + form(a)} },
		"in a redirect": func(a asked) reply {
			return reply{status: 302, header: map[string]string{"Location": "https://other.test/?" + encoded(a)}}
		},
		"in a redirect, unreadable": func(a asked) reply {
			return reply{status: 302, header: map[string]string{"Location": "https://[::1/?" + encoded(a)}}
		},
		"in a token": func(a asked) reply { return reply{status: 200, body: map[string]any{"access_token": "x " + form(a)}} },
		"in a type":  func(a asked) reply { return reply{status: 200, body: map[string]any{"expires_in": form(a)}} },
		"in no answer": func(a asked) reply {
			return reply{err: &url.Error{Op: "Post", URL: "https://login.test/?" + encoded(a), Err: httpclient.ErrTooLarge}}
		},
	}
	for identity, who := range identities {
		for leg := 1; leg <= who.requests; leg++ {
			for name, echo := range echoes {
				inBubble(t, fmt.Sprintf("%s, request %d, %s", identity, leg, name), func(t *testing.T) {
					x, server := newExchange(t, who.credentials, func(n int, a asked) reply {
						if n%leg == 0 {
							return echo(a)
						}
						return token(n)
					})
					_, err := x.Token(t.Context())
					if err == nil {
						t.Fatal("no error")
					}
					var sent []string
					for _, a := range server.asked {
						for _, name := range []string{"client_assertion", "user_federated_identity_credential", "refresh_token", "password"} {
							sent = append(sent, a.form.Get(name), url.QueryEscape(a.form.Get(name)))
						}
					}
					for _, text := range []string{err.Error(), hint.Of(err)} {
						if leaked := leaks(text, sent...); leaked != "" {
							t.Errorf("%.20s… in %q", leaked, text)
						}
						if strings.ContainsAny(text, "\n\r") || utf8.RuneCountInString(text) > 1000 {
							t.Errorf("not one bounded line: %q", text)
						}
					}
				})
			}
		}
	}
}

// FuzzError checks that an error is one line of bounded length without the credentials
// that were sent.
func FuzzError(f *testing.F) {
	f.Add([]byte(`{"error":"invalid_grant","error_description":"AADSTS50126: x\r\nTrace ID: y","error_codes":[50126],"trace_id":"a","correlation_id":"b"}`))
	f.Add([]byte(`{"error_description":"AADSTS99999999999999999999: x"}`))
	f.Add([]byte(`{"error_description":"AADSTS700213 the-secret-that-was-sent"}`))
	f.Add([]byte(`{"error_codes":[1e300,-1,0.5,"7",null,[]]}`))
	f.Add([]byte(`null`))
	f.Add([]byte("\xff\xfe<html>"))
	const sent = "the-secret-that-was-sent"
	f.Fuzz(func(t *testing.T, body []byte) {
		e := &Error{Step: "ask", Client: "client", Host: "host", Status: 400, Presented: claims}
		e.parse(body, []secret.Value{secret.New(sent)})
		text := e.Error() + e.Hint()
		if strings.ContainsAny(text, "\n\r\x1b\u2028\u202e") || !utf8.ValidString(text) || utf8.RuneCountInString(e.Error()) > 700 {
			t.Errorf("not one bounded line: %q", text)
		}
		if strings.Contains(text, sent) {
			t.Errorf("what was sent is in %q", text)
		}
		for _, c := range e.Codes {
			if c <= 0 {
				t.Errorf("code %d", c)
			}
		}
	})
}
