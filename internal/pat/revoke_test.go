package pat

import (
	"context"
	"net/http"
	"strings"
	"testing"
)

// Revoke succeeds only if the server confirms it, or if the PAT is gone.
func TestRevoke(t *testing.T) {
	const vss = `{"$id":"1","message":"VS1: nothing of that id","typeKey":"SomethingNotFoundException"}`
	listed := `{"continuationToken":"","patTokens":[` + patJSON("null") + `]}`
	const unlisted = `{"continuationToken":"","patTokens":[]}`
	for _, tc := range []struct {
		name   string
		status int
		body   string
		list   string // what the list is, if it is asked for; a number is its status
		gone   bool
		err    string // after "revoke PAT ID in contoso at HOST: "
		// repeats: the answer has no content, so the request is retried.
		repeats bool
	}{
		{name: "200", status: 200},
		{name: "204", status: 204},
		{name: "200 with a byte order mark and white space", status: 200, body: "\xef\xbb\xbf \r\n"},
		{name: "200 with a result", status: 200, body: `{"patToken":null,"patTokenError":"none"}`},
		{name: "200 after a byte order mark", status: 200, body: "\xef\xbb\xbf" + `{"patTokenError":null}`},
		{name: "200 with an object", status: 200, body: `{}`},
		{name: "200 with null", status: 200, body: `null`},
		{name: "200 with JSON that is no object", status: 200, body: `[]`},

		{name: "tokenNotFound in a 200", status: 200, body: `{"patTokenError":"tokenNotFound"}`, list: unlisted, gone: true},
		{name: "authorizationNotFound in a 200", status: 200, body: `{"patToken":null,"patTokenError":"authorizationNotFound"}`, list: unlisted, gone: true},
		{name: "authorizationNotFound in a 400", status: 400, body: `{"patTokenError":"AuthorizationNotFound"}`, list: unlisted, gone: true},
		{name: "tokenNotFound in a 404", status: 404, body: "\xef\xbb\xbf" + `{"patTokenError":"tokenNotFound"}`, list: unlisted, gone: true},
		{name: "404", status: 404, list: unlisted, gone: true},
		{name: "404 with white space", status: 404, body: "\xef\xbb\xbf \r\n", list: unlisted, gone: true},
		{name: "404 with JSON", status: 404, body: vss, list: unlisted, gone: true},

		// A proxy can send this too: the list must confirm it.
		{name: "404, still listed", status: 404, list: listed, err: "status 404: the PAT is still active"},
		{name: "tokenNotFound, still listed", status: 200, body: `{"patTokenError":"tokenNotFound"}`, list: listed,
			err: "status 200: tokenNotFound: there is no such PAT: the PAT is still active"},
		{name: "404 for everything", status: 404, list: "404", err: "status 404: whether the PAT is gone is not known, because the list cannot be read: status 404"},
		{name: "404 with JSON for everything", status: 404, body: `{"message":"no route"}`, list: "404",
			err: "status 404: no route; whether the PAT is gone is not known, because the list cannot be read: status 404"},
		{name: "404 with JSON, and a list that is none", status: 404, body: vss, list: `{"message":"no route"}`,
			err: "status 404: SomethingNotFoundException: VS1: nothing of that id; whether the PAT is gone is not known, because the list cannot be read: status 200"},

		{name: "404 with a page, not listed", status: 404, body: "<html>", list: unlisted, gone: true},
		{name: "404 with text, not listed", status: 404, body: "404 page not found", list: unlisted, gone: true},
		{name: "404 with a page, still listed", status: 404, body: "<html>", list: listed, err: "status 404: the PAT is still active: an HTML page"},
		{name: "404 with a page of more than a MiB, still listed", status: 404, body: "<html>" + strings.Repeat(" ", maxBody), list: listed, err: "status 404: the PAT is still active: text that is not JSON"},
		{name: "404 for a project", status: 404, body: `{"message":"VS800075: The project does not exist.","typeKey":"ProjectDoesNotExistException"}`, err: "status 404: VS800075: The project does not exist."},
		{name: "404 for an identity", status: 404, body: `{"message":"TF14045: The identity could not be found.","typeKey":"IdentityNotFoundException"}`, err: "status 404: TF14045: The identity could not be found."},
		{name: "404 with a page for everything", status: 404, body: "<html>", list: "404", err: "status 404: an HTML page; whether the PAT is gone is not known, because the list cannot be read: status 404"},
		{name: "404 with a page, and no list", status: 404, body: "<html>", list: "{}", err: "status 404: an HTML page; whether the PAT is gone is not known, because the list cannot be read: status 200"},

		{name: "another error in a 404", status: 404, body: `{"patTokenError":"hostAuthorizationNotFound"}`,
			err: "status 404: hostAuthorizationNotFound: there is no authorization for this organization"},
		{name: "another error in a 200", status: 200, body: `{"patTokenError":"accessDenied","patTokenErrorMessage":"no\nno"}`,
			err: "status 200: accessDenied: the user may not manage PATs here: no no"},
		{name: "an error that cannot be read", status: 200, body: `{"patTokenError":1}`,
			err: "status 200: the answer is JSON of another form, or cut off, and does not confirm the revocation"},
		{name: "an error of the framework in a 200", status: 200, body: vss, err: "status 200: SomethingNotFoundException: VS1: nothing of that id"},
		{name: "200 with a page", repeats: true, status: 200, body: signInPage,
			err: `status 200: the answer is an HTML page titled "Azure DevOps Services | Sign In" and does not confirm the revocation`},
		{name: "200 with text", repeats: true, status: 200, body: "OK", err: "status 200: the answer is text that is not JSON and does not confirm the revocation"},
		{name: "200 cut off", repeats: true, status: 200, body: `{"patTokenError":`, err: "status 200: the answer is JSON of another form, or cut off, and does not confirm the revocation"},
		{name: "200 too large", status: 200, body: strings.Repeat(" ", maxBody+1), err: "status 200: the answer is larger than 1 MiB"},
		{name: "201", repeats: true, status: 201, err: "status 201: the answer does not say that the PAT is revoked"},
		{name: "202", repeats: true, status: 202, err: "status 202: the answer does not say that the PAT is revoked"},
		{name: "202 with a result", repeats: true, status: 202, body: `{"patToken":null,"patTokenError":"none"}`, err: "status 202: the answer does not say that the PAT is revoked"},
		{name: "206", repeats: true, status: 206, body: `{}`, err: "status 206: the answer does not say that the PAT is revoked"},
		{name: "226", repeats: true, status: 226, err: "status 226: the answer does not say that the PAT is revoked"},
		{name: "203", repeats: true, status: 203, body: "<html>", err: "status 203: not signed in: an HTML page"},
		{name: "302", status: 302, err: "status 302: not signed in"},
		{name: "tokenNotFound in a 302", status: 302, body: `{"patTokenError":"tokenNotFound"}`, err: "status 302: tokenNotFound: there is no such PAT"},
		{name: "401", status: 401, err: "status 401: not signed in"},
		{name: "403", status: 403, body: vss, err: "status 403: SomethingNotFoundException: VS1: nothing of that id"},
		{name: "410", status: 410, err: "status 410"},
		{name: "500", status: 500, body: `{"patTokenError":"tokenNotFound"}`, err: "status 500: tokenNotFound: there is no such PAT"},
		{name: "503", status: 503, err: "status 503"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lists := 0
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == "DELETE" && r.URL.RawQuery == "api-version=7.1-preview.1&authorizationId="+someID:
					answer(w, tc.status, tc.body)
				case r.Method == "GET" && tc.list == "404":
					lists++
					answer(w, 404, "<html>")
				case r.Method == "GET" && r.URL.Query().Get("displayFilterOption") == "active":
					lists++
					answer(w, 200, tc.list)
				default:
					t.Errorf("%s %s", r.Method, r.URL)
				}
			})
			gone, err := c.Revoke(t.Context(), someID)
			if gone != tc.gone {
				t.Errorf("gone %v, want %v", gone, tc.gone)
			}
			if (lists > 0) != (tc.list != "") {
				t.Errorf("the list was asked for %d times", lists)
			}
			if tc.err == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e := asError(t, err)
			if want := "revoke PAT " + someID + " in contoso at " + c.host + ": " + tc.err; e.Error() != want {
				t.Errorf("error\n%s, want\n%s", e.Error(), want)
			}
			if want := tc.status >= 500 || tc.repeats; e.Retryable() != want {
				t.Errorf("passing %v, want %v", e.Retryable(), want)
			}
			if e.NotFound() {
				t.Error("an error that says that the PAT is gone")
			}
		})
	}
}

// Ids are GUIDs: the server may write them in another case than the request.
func TestRevokeComparesIDs(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "DELETE" {
			answer(w, 404, "<html>")
			return
		}
		answer(w, 200, `{"patTokens":[{"authorizationId":"`+strings.ToUpper(someID)+`"}]}`)
	})
	if gone, err := c.Revoke(t.Context(), someID); gone || err == nil {
		t.Errorf("gone %v, %v: but it is listed", gone, err)
	}
}

// If the list cannot be read because of a temporary fault, the error is retryable.
func TestRevokeWithoutAListIsPassing(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "DELETE" {
			answer(w, 404, "<html>")
			return
		}
		answer(w, 503, "")
	})
	gone, err := c.Revoke(t.Context(), someID)
	if e := asError(t, err); gone || !e.Retryable() || e.Status != 404 {
		t.Errorf("gone %v, passing %v: %v", gone, e.Retryable(), e)
	}
}

// For a PAT that was just listed, Azure DevOps' own answer that it is gone is enough. A
// 404 that may come from a proxy is still checked.
func TestRevokeListed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		lists  int
	}{
		"its own 404":              {404, `{"message":"nothing of that id","typeKey":"SomethingNotFoundException"}`, 0},
		"tokenNotFound":            {200, `{"patTokenError":"tokenNotFound"}`, 0},
		"an empty 404":             {404, "", 1},
		"a 404 with other JSON":    {404, `{"message":"no route"}`, 1},
		"a 404 with a page":        {404, "<html>", 1},
		"a 204, which confirms it": {204, "", 0},
	} {
		lists := 0
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "DELETE" {
				answer(w, tc.status, tc.body)
				return
			}
			lists++
			answer(w, 200, `{"patTokens":[]}`)
		})
		gone, err := c.RevokeListed(t.Context(), someID)
		if err != nil || gone != (tc.status != 204) || lists != tc.lists {
			t.Errorf("%s: gone %t, %v, after %d lists", name, gone, err, lists)
		}
	}
}

// The pages of a list change while PATs end elsewhere: one reading may miss a PAT that
// moved to an earlier page.
func TestListed(t *testing.T) {
	t.Parallel()
	page := func(next string, ids ...string) string {
		var list []string
		for _, id := range ids {
			list = append(list, `{"authorizationId":"`+id+`"}`)
		}
		return `{"continuationToken":"` + next + `","patTokens":[` + strings.Join(list, ",") + `]}`
	}
	for _, tc := range []struct {
		name  string
		pages []string // in the order in which they are asked for
		want  bool
	}{
		{"on the first page", []string{page("a", "1", strings.ToUpper(someID))}, true},
		{"on the second page", []string{page("a", "1"), page("", someID)}, true},
		{"on no page", []string{page("", "1")}, false},
		{"on no page of two readings", []string{page("a", "1"), page("", "2"), page("a", "1"), page("", "2")}, false},
		{"in the second reading", []string{page("a", "1"), page("", "3"), page("a", "2", someID)}, true},
		{"in the third reading", []string{page("a", "1"), page("", "4"), page("a", "2"), page("", "4"), page("a", "3"), page("", someID)}, true},
	} {
		n := 0
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("displayFilterOption") != "all" || n == len(tc.pages) {
				t.Errorf("%s: request %d: %s", tc.name, n+1, r.URL)
				answer(w, 500, "")
				return
			}
			answer(w, 200, tc.pages[n])
			n++
		})
		got, err := c.Listed(t.Context(), someID, All)
		if err != nil || got != tc.want || n != len(tc.pages) {
			t.Errorf("%s: %t, %v after %d of %d pages", tc.name, got, err, n, len(tc.pages))
		}
	}
}

func TestUnanswered(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		err  Error
		want bool
	}{
		{"no answer", Error{Err: context.DeadlineExceeded}, true},
		{"half an answer", Error{Status: 200, Err: context.DeadlineExceeded}, true},
		{"an answer without content", Error{Status: 200, Unreadable: true, noContent: true}, false},
		{"an answer that does not confirm it", Error{Op: "revoke", Status: 202, noContent: true, undecided: true}, true},
		{"408", Error{Status: 408}, true},
		{"502", Error{Status: 502}, true},
		{"504", Error{Status: 504}, true},
		{"nothing was sent", Error{Unsent: true, Err: context.DeadlineExceeded}, false},
		{"a refusal", Error{Status: 403}, false},
		{"a failure", Error{Status: 500}, false},
		{"too busy", Error{Status: 503}, false},
		{"a 404 that the list does not bear out", Error{Status: 404, Err: &Error{Op: "list", Err: context.DeadlineExceeded}}, false},
	} {
		if got := tc.err.Unanswered(); got != tc.want {
			t.Errorf("%s: %t", tc.name, got)
		}
	}
}
