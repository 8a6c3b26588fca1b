package pat

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/hint"
)

// ids returns the ids of a list up to the error.
func ids(t *testing.T, c *Client, f Filter) (got []string, err error) {
	t.Helper()
	for token, e := range c.List(t.Context(), f) {
		if e != nil {
			return got, e
		}
		got = append(got, token.ID)
	}
	return got, nil
}

// If the loop goes on after an error, the same page is requested again, and not those
// before it.
func TestListGoesOn(t *testing.T) {
	var asked []string
	fails := 2
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		token := r.URL.Query().Get("continuationToken")
		asked = append(asked, token)
		switch {
		case token == "a" && fails > 0:
			fails--
			answer(w, 503, `{"message":"later"}`)
		case token == "a":
			answer(w, 200, `{"patTokens":[{"authorizationId":"2"}]}`)
		default:
			answer(w, 200, `{"continuationToken":"a","patTokens":[{"authorizationId":"1"}]}`)
		}
	})
	var got []string
	failed := 0
	for token, err := range c.List(t.Context(), Filter{}) {
		if err != nil {
			failed++
			continue
		}
		got = append(got, token.ID)
	}
	if strings.Join(got, " ") != "1 2" || strings.Join(asked, ",") != ",a,a,a" || failed != 2 {
		t.Errorf("got %q by asking for %q, %d errors", got, asked, failed)
	}
}

// An unreadable answer ends the iteration.
func TestListThatIsNoneEnds(t *testing.T) {
	c := answering(t, 200, `{"patTokens":7}`)
	n := 0
	for range c.List(t.Context(), Filter{}) {
		n++
	}
	if n != 1 {
		t.Errorf("%d errors", n)
	}
}

func TestListPages(t *testing.T) {
	pages := map[string]string{
		"":     `{"continuationToken":"a+/=","patTokens":[{"authorizationId":"1"},{"authorizationId":"2"}]}`,
		"a+/=": `{"continuationToken":"b","patTokens":[]}`,
		"b":    "\xef\xbb\xbf" + `{"continuationToken":"","patTokens":[{"authorizationId":"3","validTo":"0001-01-01T00:00:00"}]}`,
	}
	for _, tc := range []struct {
		name   string
		filter Filter
		query  string
	}{
		{"the zero filter", Filter{}, "%24top=100&api-version=7.1-preview.1&displayFilterOption=active&isSortAscending=false&sortByOption=displayDate"},
		{"another", Filter{All, ByName, true}, "%24top=100&api-version=7.1-preview.1&displayFilterOption=all&isSortAscending=true&sortByOption=displayName"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var asked []string
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				q := r.URL.Query()
				token := q.Get("continuationToken")
				asked = append(asked, token)
				if q.Del("continuationToken"); r.Method != "GET" || q.Encode() != tc.query {
					t.Errorf("page %q: %s %s, want %s", token, r.Method, q.Encode(), tc.query)
				}
				answer(w, 200, pages[token])
			})
			list := c.List(t.Context(), tc.filter)
			for range 2 { // a sequence may be ranged over again
				asked = nil
				var got []string
				for token, err := range list {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, token.ID)
				}
				if !slices.Equal(got, []string{"1", "2", "3"}) || !slices.Equal(asked, []string{"", "a+/=", "b"}) {
					t.Errorf("got %q from pages %q", got, asked)
				}
			}
			asked = nil
			for range list {
				break
			}
			if len(asked) != 1 {
				t.Errorf("who stops at the first PAT asks for pages %q", asked)
			}
		})
	}
}

// An answer that is not a list must not be read as an empty list: an active PAT would
// look gone.
func TestListErrors(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		body   string
		got    string
		err    string
		hint   string
	}{
		{"nothing is there", 200, `{"patTokens":null}`, "", "", ""},
		{"no list", 200, `{}`, "", "status 200: the answer is JSON of another form, or cut off, instead of a list of PATs", "proxy"},
		{"a patTokenError", 200, `{"patTokens":[],"patTokenError":"accessDenied","patTokenErrorMessage":"No."}`, "", "status 200: accessDenied: the user may not manage PATs here: No.", "vso.pats"},
		{"null", 200, `null`, "", "status 200: the answer is text that is not JSON instead of a list of PATs", "proxy"},
		{"a list of something else", 200, `{"patTokens":[1]}`, "", "status 200: the answer is JSON of another form, or cut off, instead of a list of PATs", "proxy"},
		{"an object", 200, `{"patTokens":{}}`, "", "status 200: the answer is JSON of another form, or cut off, instead of a list of PATs", "proxy"},
		{"a page", 200, "<html><title>Sign In</title>", "", `status 200: the answer is an HTML page titled "Sign In" instead of a list of PATs`, "vso.pats"},
		{"empty", 204, ``, "", "status 204: the answer is an empty body instead of a list of PATs", "proxy"},
		{"not signed in", 203, "<html>", "", "status 203: not signed in: an HTML page", "vso.pats"},
		{"a cycle", 200, `{"continuationToken":"a","patTokens":[{"authorizationId":"1"}]}`, "1 1",
			"status 200: the list of PATs repeats: a continuation token came twice", "proxy"},
		{"too many", 200, `{"patTokens":[` + strings.Repeat(`{},`, maxEntries) + `{}]}`, "",
			"status 200: the answer is JSON of another form, or cut off, instead of a list of PATs", "proxy"},
		{"a large page", 200, `{"patTokens":[]}` + strings.Repeat(" ", 2*maxBody), "", "", ""},
		{"too large a page", 200, `{"patTokens":[]}` + strings.Repeat(" ", maxPage), "", "status 200: the answer is larger than 4 MiB", "proxy"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := answering(t, tc.status, tc.body)
			got, err := ids(t, c, Filter{})
			if strings.Join(got, " ") != tc.got {
				t.Errorf("got %q, want %q", got, tc.got)
			}
			if tc.err == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if want := "list PATs in contoso at " + c.host + ": " + tc.err; err == nil || err.Error() != want {
				t.Errorf("error\n%v, want\n%s", err, want)
			}
			if !strings.Contains(hint.Of(err), tc.hint) {
				t.Errorf("hint %q, want %q", hint.Of(err), tc.hint)
			}
		})
	}
}

// A longer cycle of continuation tokens is detected, and an endless list is not read
// without limit.
func TestListEnds(t *testing.T) {
	for _, tc := range []struct {
		name  string
		next  func(page int) string
		pages int
		err   string
	}{
		{"a cycle of three", func(page int) string { return fmt.Sprint(page % 3) }, 4, "list of PATs repeats"},
		{"no end", func(page int) string { return fmt.Sprint(page) }, maxPages, "more than 10000 pages"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pages := 0
			c := New(Options{BaseURL: "http://localhost", HTTP: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
				pages++
				return response(200, `{"continuationToken":"`+tc.next(pages)+`","patTokens":[]}`), nil
			})}})
			_, err := ids(t, c, Filter{})
			if err == nil || !strings.Contains(err.Error(), tc.err) || pages != tc.pages {
				t.Errorf("%d pages, want %d; %v, want %q", pages, tc.pages, err, tc.err)
			}
		})
	}
}

// A page that failed is requested again, and not those before it, also by a client with
// a newer token.
func TestCursorStays(t *testing.T) {
	var asked []string
	fails := 2
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		token := r.URL.Query().Get("continuationToken")
		asked = append(asked, token)
		switch {
		case token == "a" && fails > 0:
			fails--
			answer(w, 503, `{"message":"later"}`)
		case token == "b":
			answer(w, 200, `{"patTokens":[{"authorizationId":"3"}]}`)
		case token == "a":
			answer(w, 200, `{"continuationToken":"b","patTokens":[{"authorizationId":"2"}]}`)
		default:
			answer(w, 200, `{"continuationToken":"a","patTokens":[{"authorizationId":"1"}]}`)
		}
	})
	other := *c
	at := NewCursor(Filter{})
	var got []string
	failed := 0
	for turn := 0; !at.Done(); turn++ {
		if begun := len(got) > 0; at.Begun() != begun {
			t.Errorf("begun %v after %q", at.Begun(), got)
		}
		tokens, err := []*Client{c, &other}[turn%2].Next(t.Context(), at)
		if err != nil {
			failed++
		}
		for _, token := range tokens {
			got = append(got, token.ID)
		}
	}
	if strings.Join(got, " ") != "1 2 3" || strings.Join(asked, ",") != ",a,a,a,b" || failed != 2 {
		t.Errorf("got %q by asking for %q", got, asked)
	}
}
