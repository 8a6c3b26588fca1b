package pat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"azdo-pat/internal/fakes/memnet"
	"azdo-pat/internal/secret"
)

const (
	userToken = "eyJ0eXAi.eyJzdWIi.c2lnbmF0dXJl"
	someID    = "4ab5764f-4193-4f1d-b995-64144880b7d7"
	someOrg   = "38aaa865-2c70-4bf7-a308-0c6539c38c1a"
	somePAT   = "dip55dwf4vpitomw63jzvomefmi2jluguprzwwqwuc6xq4fhocwq"
)

// serve returns a client of a server that answers as h does.
func serve(t testing.TB, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return clientOf(s.Client(), s.URL)
}

func clientOf(h *http.Client, base string) *Client {
	return New(Options{
		HTTP: h, BaseURL: base, Organization: "contoso",
		Token: secret.New(userToken), UserAgent: "azdo-pat/test",
	})
}

// inBubble runs a test in a synctest bubble with a client of a server that answers as h
// does. It is noon.
func inBubble(t *testing.T, h http.HandlerFunc, test func(*testing.T, *Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)))
		var n memnet.Network
		test(t, clientOf(&http.Client{Transport: &http.Transport{DialContext: n.DialContext}}, n.Serve(t, h)))
	})
}

// answering returns a client that always gets the same answer. Headers are
// "Name: value".
func answering(t testing.TB, status int, body string, headers ...string) *Client {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, status, body, headers...) })
}

func answer(w http.ResponseWriter, status int, body string, headers ...string) {
	w.Header()["Date"] = nil
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		w.Header().Set(name, value)
	}
	w.WriteHeader(status)
	io.WriteString(w, body)
}

func patJSON(token string) string {
	if token != "null" {
		token = `"` + token + `"`
	}
	return `{"displayName":"nightly","validTo":"2026-11-02T13:00:00.32Z","scope":"vso.code vso.packaging","targetAccounts":["` +
		someOrg + `"],"validFrom":"2026-11-02T12:00:00.1033333Z","authorizationId":"` + someID + `","token":` + token + `}`
}

func created(token string) string {
	return `{"patToken":` + patJSON(token) + `,"patTokenError":"none"}`
}

// sent is a request as the server saw it.
type sent struct{ Method, Path, Query, Body string }

// Every operation sends exactly this request and reads all fields of the answer.
func TestRequests(t *testing.T) {
	want := Token{
		ID: someID, DisplayName: "nightly", Scopes: []string{"vso.code", "vso.packaging"},
		ValidFrom:      time.Date(2026, 11, 2, 12, 0, 0, 103333300, time.UTC),
		ValidTo:        time.Date(2026, 11, 2, 13, 0, 0, 320000000, time.UTC),
		TargetAccounts: []string{someOrg},
	}
	east := time.FixedZone("east", 3*60*60)
	for _, tc := range []struct {
		name   string
		do     func(*Client) (Token, error)
		answer string
		sent   sent
		secret string
	}{
		{
			name: "create",
			do: func(c *Client) (Token, error) {
				return c.Create(t.Context(), Create{
					DisplayName: `a "b" <c>`, Scopes: []string{"vso.code", "vso.packaging"},
					ValidTo: time.Date(2026, 11, 2, 16, 0, 0, 999999999, east),
				})
			},
			answer: created(somePAT),
			sent: sent{"POST", "/contoso/_apis/tokens/pats", "api-version=7.1-preview.1",
				`{"displayName":"a \"b\" \u003cc\u003e","scope":"vso.code vso.packaging","validTo":"2026-11-02T13:00:00Z","allOrgs":false}`},
			secret: somePAT,
		},
		{
			name:   "get, behind a byte order mark",
			do:     func(c *Client) (Token, error) { return c.Get(t.Context(), someID) },
			answer: "\xef\xbb\xbf" + created("null"),
			sent:   sent{"GET", "/contoso/_apis/tokens/pats", "api-version=7.1-preview.1&authorizationId=" + someID, ""},
		},
		{
			name: "update of the end",
			do: func(c *Client) (Token, error) {
				return c.Update(t.Context(), someID, Update{ValidTo: time.Date(2026, 11, 2, 16, 0, 0, 0, east)})
			},
			answer: created("null"),
			sent: sent{"PUT", "/contoso/_apis/tokens/pats", "api-version=7.1-preview.1",
				`{"authorizationId":"` + someID + `","validTo":"2026-11-02T13:00:00Z","allOrgs":false}`},
		},
		{
			name:   "an empty patTokenError",
			do:     func(c *Client) (Token, error) { return c.Get(t.Context(), someID) },
			answer: strings.Replace(created("null"), `"none"`, `""`, 1),
			sent:   sent{"GET", "/contoso/_apis/tokens/pats", "api-version=7.1-preview.1&authorizationId=" + someID, ""},
		},
		{
			name: "update of the rest",
			do: func(c *Client) (Token, error) {
				return c.Update(t.Context(), someID, Update{DisplayName: "b", Scopes: []string{"vso.code"}})
			},
			answer: strings.Replace(created("null"), `"none"`, "null", 1),
			sent: sent{"PUT", "/contoso/_apis/tokens/pats", "api-version=7.1-preview.1",
				`{"authorizationId":"` + someID + `","displayName":"b","scope":"vso.code","allOrgs":false}`},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got sent
			var header http.Header
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got, header = sent{r.Method, r.URL.Path, r.URL.RawQuery, string(body)}, r.Header
				answer(w, 200, tc.answer)
			})
			token, err := tc.do(c)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.sent, got); d != "" {
				t.Errorf("request (-want +got):\n%s", d)
			}
			if got := token.Secret.Reveal(); got != tc.secret {
				t.Errorf("secret %q, want %q", got, tc.secret)
			}
			token.Secret = secret.Value{}
			if d := cmp.Diff(want, token, cmp.Comparer(func(a, b secret.Value) bool { return a == b })); d != "" {
				t.Errorf("token (-want +got):\n%s", d)
			}
			for name, value := range map[string]string{
				"Authorization":         "Bearer " + userToken,
				"Accept":                "application/json",
				"X-Tfs-Fedauthredirect": "Suppress",
			} {
				if header.Get(name) != value {
					t.Errorf("%s: %q, want %q", name, header.Get(name), value)
				}
			}
			if !strings.HasSuffix(header.Get("User-Agent"), " azdo-pat/test") {
				t.Errorf("User-Agent: %q", header.Get("User-Agent"))
			}
			if tc.sent.Body != "" && header.Get("Content-Type") != "application/json;charset=utf-8" {
				t.Errorf("Content-Type: %q", header.Get("Content-Type"))
			}
		})
	}
}

// The SDK stores the bearer token as a plain string, which printing must not reveal.
func TestClientPrintsNoCredential(t *testing.T) {
	c := New(Options{BaseURL: "https://vssps.dev.azure.com", Organization: "contoso", Token: secret.New(userToken)})
	for _, v := range []any{c, *c, struct{ C *Client }{c}} {
		if out := fmt.Sprintf("%v %+v %#v", v, v, v); strings.Contains(out, userToken) {
			t.Errorf("the token is printed: %s", out)
		}
	}
}

func TestBaseURLs(t *testing.T) {
	var path string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.EscapedPath()
		answer(w, 200, created("null"))
	}))
	defer s.Close()
	for base, want := range map[string]string{
		s.URL + "/":     "/a%2Fb%3Fc/_apis/tokens/pats",
		s.URL + "/deep": "/deep/a%2Fb%3Fc/_apis/tokens/pats",
	} {
		// A nil http.Client is net/http's default.
		c := New(Options{BaseURL: base, Organization: "a/b?c"})
		if _, err := c.Get(t.Context(), someID); err != nil || path != want {
			t.Errorf("%s: asked %s, %v; want %s", base, path, err, want)
		}
	}
}

// A call with invalid arguments sends nothing and is not retried.
func TestCallsThatCannotBeSent(t *testing.T) {
	c := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s %s was sent", r.Method, r.URL) })
	// Without an id, GET would be a list, and the effect of DELETE is undocumented.
	for _, id := range []string{"", "all", someID + "&x=y", "00000000-0000-0000-0000-000000000000", "a\nb"} {
		_, get := c.Get(t.Context(), id)
		_, update := c.Update(t.Context(), id, Update{})
		_, revoke := c.Revoke(t.Context(), id)
		for _, err := range []error{get, update, revoke} {
			e := asError(t, err)
			if !strings.HasSuffix(e.Error(), ": the authorization id is not a GUID") || strings.Contains(e.Error(), "\n") {
				t.Errorf("%q: %v", id, e)
			}
			if e.Retryable() || !e.Settled() || e.NotFound() || e.Hint() != "check `authorization-id`" {
				t.Errorf("%q: passing %v, settled %v, not found %v, hint %q", id, e.Retryable(), e.Settled(), e.NotFound(), e.Hint())
			}
		}
	}
	_, err := New(Options{BaseURL: "https://host\x7f/?secret=1", Organization: "contoso"}).Create(t.Context(), Create{})
	if e := asError(t, err); e.Retryable() || !e.Settled() || strings.Contains(e.Error(), "secret") {
		t.Errorf("passing %v, settled %v: %v", e.Retryable(), e.Settled(), e)
	}
}

// The service's dates have up to seven decimals, and sometimes no time zone.
func TestReadTime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2026-11-02T13:00:00.3233333Z": time.Date(2026, 11, 2, 13, 0, 0, 323333300, time.UTC),
		"2026-11-02T13:00:00+02:00":    time.Date(2026, 11, 2, 11, 0, 0, 0, time.UTC),
		"2026-11-02T13:00:00.5":        time.Date(2026, 11, 2, 13, 0, 0, 500000000, time.UTC),
		"0001-01-01T00:00:00":          {},
		"02/11/2026":                   {},
		"":                             {},
	} {
		if got := readTime(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func asError(t testing.TB, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %T %v, want an *Error", err, err)
	}
	if !errors.Is(err, e) || e == nil {
		t.Fatalf("a nil *Error")
	}
	return e
}

// A redirect is never followed, whatever the http.Client allows.
func TestNoRedirectIsFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		asked := 0
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked++
			http.Redirect(w, r, "/elsewhere", status)
		})
		_, err := c.Create(context.Background(), Create{})
		if e := asError(t, err); asked != 1 || e.Status != status || !e.Settled() || e.Retryable() {
			t.Errorf("%d: asked %d times; settled %v, passing %v: %v", status, asked, e.Settled(), e.Retryable(), err)
		}
	}
}

func TestFormOfAnID(t *testing.T) {
	for text, want := range map[string]bool{
		someID: true, strings.ToUpper(someID): true, "00000000-0000-0000-0000-000000000001": true,
		"": false, uuid.Nil.String(): false, someID[1:]: false, someID + "0": false, "{" + someID[2:] + "}": false,
		"0" + someID[:8] + someID[9:]: false, "00000000-0000-0000-0000_000000000001": false, "-0000000-0000-0000-0000-000000000001": false,
		"g0000000-0000-0000-0000-000000000001": false, "00000000-0000-0000-0000-00000000000\n": false,
	} {
		if got := isID(text); got != want {
			t.Errorf("isID(%q) = %t", text, got)
		}
	}
}
