package assertion

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

const (
	requestToken = "eyJ0eXAi.cmVxdWVzdC10b2tlbg.c2lnbmF0dXJl"
	someJWT      = "eyJ0eXAiOiJKV1QifQ.eyJzdWIiOiJyZXBvOmEvYiJ9.c2lnbmF0dXJlLV8"
	usual        = "api://AzureADTokenExchange"
)

// endpoint starts an OIDC endpoint and returns a source for it with the program's own
// client.
func endpoint(t testing.TB, answer http.HandlerFunc) *GitHub {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	client, err := httpclient.NewClient(httpclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return &GitHub{HTTP: client, URL: server.URL + "/idtoken/run-7?api-version=2.0", Token: secret.New(requestToken), Audience: usual}
}

// saying returns a handler with a fixed status, body and headers ("Name: value").
func saying(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// The request is what GitHub documents: GET, the audience added to the query
// that is there, the request token as bearer.
func TestGitHubRequest(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		audience, url, want string
	}{
		"as GitHub's":      {usual, "/idtoken/run-7?api-version=2.0", "/idtoken/run-7?api-version=2.0&audience=api%3A%2F%2FAzureADTokenExchange"},
		"no query":         {usual, "/idtoken", "/idtoken?audience=api%3A%2F%2FAzureADTokenExchange"},
		"escaped":          {"a&b=c d/ü+", "/idtoken?x=1", "/idtoken?audience=a%26b%3Dc+d%2F%C3%BC%2B&x=1"},
		"replaces another": {usual, "/idtoken?audience=evil&audience=evil", "/idtoken?audience=api%3A%2F%2FAzureADTokenExchange"},
		"keeps the others": {"a", "/id%2Ftoken/?x=1&x=2&y=%26", "/id%2Ftoken/?audience=a&x=1&x=2&y=%26"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			g := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				if r.Method != http.MethodGet || r.RequestURI != tc.want || r.ContentLength != 0 {
					t.Errorf("%s %s with %d bytes, want GET %s", r.Method, r.RequestURI, r.ContentLength, tc.want)
				}
				if got := r.Header["Authorization"]; len(got) != 1 || got[0] != "Bearer "+requestToken {
					t.Errorf("Authorization %q", got)
				}
				if got := r.Header.Get("Accept"); got != "application/json" {
					t.Errorf("Accept %q", got)
				}
				saying(200, `{"count":2,"value":"`+someJWT+`"}`)(w, r)
			})
			base, _ := url.Parse(g.URL)
			g.URL = "http://" + base.Host + tc.url
			g.Audience = tc.audience
			v, err := g.Assertion(t.Context())
			if err != nil || v.Reveal() != someJWT {
				t.Errorf("%q, %v", v.Reveal(), err)
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("%d requests, want one", n)
			}
		})
	}
}

// Each call sends a request, because assertions are valid for minutes.
func TestGitHubIsAskedEachTime(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	g := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		saying(200, fmt.Sprintf(`{"value":"eyJ.eyJ.%d"}`, n.Add(1)))(w, r)
	})
	for i := range 3 {
		if v, err := g.Assertion(t.Context()); err != nil || v.Reveal() != fmt.Sprintf("eyJ.eyJ.%d", i+1) {
			t.Errorf("%q, %v", v.Reveal(), err)
		}
	}
}

func TestGitHubRefusals(t *testing.T) {
	t.Parallel()
	const advice = "the job's request token is not accepted: it is good for about 6 hours from the job's start, and for this job alone"
	big := `{"value":"` + strings.Repeat("a", 5<<20) + `"}`
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		err    string // after the host
		hint   string
		passes bool
		wait   time.Duration
	}{
		"expired":           {saying(401, `{"message":"token expired"}`), "answered 401 Unauthorized: token expired", advice, false, 0},
		"forbidden":         {saying(403, `{"message":"no"}`), "answered 403 Forbidden: no", advice, false, 0},
		"another run":       {saying(404, `{"message":"no such run"}`), "answered 404 Not Found: no such run", "", false, 0},
		"bad audience":      {saying(400, `{"message":"audience"}`), "answered 400 Bad Request: audience", "", false, 0},
		"broken":            {saying(500, ""), "answered 500 Internal Server Error", "", true, 0},
		"gateway":           {saying(502, "<html>bad gateway</html>"), "answered 502 Bad Gateway: an HTML page", "", true, 0},
		"busy":              {saying(503, `{}`, "Retry-After: 7"), "answered 503 Service Unavailable", "", true, 7 * time.Second},
		"too many":          {saying(429, `{"message":"slow down"}`, "Retry-After: 2"), "answered 429 Too Many Requests: slow down", "", true, 2 * time.Second},
		"pending":           {saying(400, `{"message":"the job is in Pending state"}`), "answered 400 Bad Request: the job is in Pending state", "", true, 0},
		"pending, 403":      {saying(403, `{"message":"job in Pending state"}`), "answered 403 Forbidden: job in Pending state", "", true, 0},
		"pending, words":    {saying(400, "Job is in pending state.", "Content-Type: text/plain"), "answered 400 Bad Request: Job is in pending state.", "", true, 0},
		"not pending":       {saying(400, `{"message":"spending is not allowed"}`), "answered 400 Bad Request: spending is not allowed", "", false, 0},
		"hostile words":     {saying(404, `{"message":"a\r\n::error::b\u202e##[x]"}`), "answered 404 Not Found: a ::error::b ##[x]", "", false, 0},
		"endless words":     {saying(404, `{"message":"`+strings.Repeat("x", 5000)+`"}`), "answered 404 Not Found: " + strings.Repeat("x", 299) + "…", "", false, 0},
		"not JSON":          {saying(200, "<html>sign in</html>"), "answered 200 OK: the answer is an HTML page instead of an assertion", "", true, 0},
		"nothing":           {saying(200, ""), "answered 200 OK: the answer is an empty body instead of an assertion", "", true, 0},
		"half":              {saying(200, `{"value":"eyJ`), "answered 200 OK: the answer is JSON of another form, or cut off, instead of an assertion", "", true, 0},
		"a number":          {saying(200, `{"value":7}`), "answered 200 OK: the answer holds no assertion", "", false, 0},
		"a list":            {saying(200, `["eyJ.eyJ.x"]`), "answered 200 OK: the answer holds no assertion", "", false, 0},
		"no value":          {saying(200, `{}`), "answered 200 OK: no assertion in the answer: it is empty", "", true, 0},
		"null":              {saying(200, `{"value":null}`), "answered 200 OK: no assertion in the answer: it is empty", "", true, 0},
		"empty value":       {saying(200, `{"value":""}`), "answered 200 OK: no assertion in the answer: it is empty", "", true, 0},
		"blank value":       {saying(200, `{"value":" \n"}`), "answered 200 OK: no assertion in the answer: it is empty", "", true, 0},
		"a space inside":    {saying(200, `{"value":"eyJ eyJ"}`), "answered 200 OK: no assertion in the answer: " + ErrNotJWT.Error(), "", false, 0},
		"a line inside":     {saying(200, `{"value":"eyJ\r\nX-Evil: 1"}`), "answered 200 OK: no assertion in the answer: " + ErrNotJWT.Error(), "", false, 0},
		"too short":         {saying(200, `{"value":"eyJ"}`), "answered 200 OK: no assertion in the answer: it has fewer than 4 characters", "", false, 0},
		"unicode":           {saying(200, `{"value":"eyJ\u00e9"}`), "answered 200 OK: no assertion in the answer: " + ErrNotJWT.Error(), "", false, 0},
		"a long value":      {saying(200, `{"value":"`+strings.Repeat("a", 64<<10+1)+`"}`), "answered 200 OK: no assertion in the answer: it is longer than 64 KiB", "", false, 0},
		"no content":        {saying(204, ""), "answered 204 No Content: the answer is an empty body instead of an assertion", "", true, 0},
		"a page, 203":       {saying(203, "<html>"), "answered 203 Non-Authoritative Information: the answer is an HTML page instead of an assertion", "", true, 0},
		"a support id":      {saying(404, `{"message":"no"}`, "X-GitHub-Request-Id: D3A0:2B6F:1A2B3C"), "answered 404 Not Found: no (X-GitHub-Request-Id D3A0:2B6F:1A2B3C)", "", false, 0},
		"a byte order mark": {saying(403, "\xef\xbb\xbf"+`{"message":"no"}`), "answered 403 Forbidden: no", advice, false, 0},
		"not there yet":     {saying(202, `{"value":"`+someJWT+`"}`), "answered 202 Accepted", "", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := endpoint(t, tc.answer)
			v, err := g.Assertion(t.Context())
			u, _ := url.Parse(g.URL)
			if want := "ask GitHub for an assertion: " + u.Host + " " + tc.err; err == nil || err.Error() != want || !v.IsZero() {
				t.Fatalf("%q, %v, want %s", v.Reveal(), err, want)
			}
			if got := hint.Of(err); got != tc.hint {
				t.Errorf("hint %q, want %q", got, tc.hint)
			}
			if passes, wait := httpclient.Retryable(err); passes != tc.passes || wait != tc.wait {
				t.Errorf("passes %v after %s, want %v after %s", passes, wait, tc.passes, tc.wait)
			}
		})
	}
	t.Run("too much", func(t *testing.T) {
		t.Parallel()
		if _, err := endpoint(t, saying(200, big)).Assertion(t.Context()); !errors.Is(err, httpclient.ErrTooLarge) {
			t.Errorf("an answer of %d bytes: %v", len(big), err)
		}
	})
}

// Surrounding white space is removed, and the largest allowed value is accepted.
func TestGitHubAnswers(t *testing.T) {
	t.Parallel()
	largest := strings.Repeat("a", 64<<10)
	for body, want := range map[string]string{
		`{"value":"` + someJWT + `"}`:                  someJWT,
		` {"x":[{}],"value":" ` + someJWT + `\n"} `:    someJWT,
		`{"value":"` + largest + `"}`:                  largest,
		"\xef\xbb\xbf" + `{"value":"` + someJWT + `"}`: someJWT,
	} {
		v, err := endpoint(t, saying(200, body)).Assertion(t.Context())
		if err != nil || v.Reveal() != want {
			t.Errorf("%.60s: %d bytes, %v", body, len(v.Reveal()), err)
		}
	}
}

// Guards promise 7: the request token is sent only to the endpoint.
func TestGitHubRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		_, err := endpoint(t, saying(status, "", "Location: "+elsewhere.URL+"/?x="+requestToken)).Assertion(t.Context())
		if err == nil || !strings.Contains(err.Error(), "a redirect to "+strings.TrimPrefix(elsewhere.URL, "http://")+", which is not followed") {
			t.Errorf("%d: %v", status, err)
		}
		if err != nil && strings.Contains(err.Error(), requestToken) {
			t.Errorf("%d: the token is in %v", status, err)
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the other host was asked %d times", n)
	}
}

// The request token is in no error, even if the endpoint or a proxy returns it.
func TestGitHubErrorsHoldNoToken(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 403, 404, 500, 503} {
		g := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
			saying(status, `{"message":"not accepted: `+r.Header.Get("Authorization")+` of `+requestToken+`"}`)(w, r)
		})
		_, err := g.Assertion(t.Context())
		if err == nil || strings.Contains(ofAll(err), requestToken) || !strings.HasSuffix(err.Error(), ": not accepted: Bearer *** of ***") {
			t.Errorf("%d: %v", status, err)
		}
	}
	// No token: nothing to replace.
	g := endpoint(t, saying(404, `{"message":"none"}`))
	g.Token = secret.Value{}
	if _, err := g.Assertion(t.Context()); err == nil || !strings.HasSuffix(err.Error(), ": none") {
		t.Error(err)
	}
	// The runner's URL may contain secrets, too.
	for _, u := range []string{"http://127.0.0.1:1/" + requestToken + "?t=" + requestToken, "http://u:" + requestToken + "@127.0.0.1:1/", "http://127.0.0.1:x/" + requestToken, ":" + requestToken, "http://\x00" + requestToken} {
		g := endpoint(t, saying(200, "{}"))
		g.URL = u
		if _, err := g.Assertion(t.Context()); err == nil || strings.Contains(ofAll(err), requestToken) {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// ofAll returns everything that a log would show of an error.
func ofAll(err error) string { return err.Error() + "\n" + hint.Of(err) }

func TestGitHubURL(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"http://127.0.0.1:x/", ":", "http://[::1/", "http://\x7f/"} {
		g := endpoint(t, saying(200, "{}"))
		g.URL = u
		if _, err := g.Assertion(t.Context()); err == nil || err.Error() != "ask GitHub for an assertion: ACTIONS_ID_TOKEN_REQUEST_URL is not a URL" {
			t.Errorf("%q: %v", u, err)
		}
	}
}

// A missing or incomplete answer is retryable.
func TestGitHubNoAnswer(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"at all": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"but its beginning": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"value":"eyJ`)
		},
	} {
		g := endpoint(t, answer)
		_, err := g.Assertion(t.Context())
		if passes, _ := httpclient.Retryable(err); err == nil || !passes || !strings.HasPrefix(err.Error(), "ask GitHub for an assertion: no answer from 127.0.0.1:") {
			t.Errorf("no answer %s: %v, passes %v", name, err, passes)
		}
	}
}

// Cancelling ends the wait for an answer.
func TestGitHubIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	released := make(chan struct{})
	g := endpoint(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-released
	})
	_, err := g.Assertion(ctx)
	close(released)
	if passes, _ := httpclient.Retryable(err); !errors.Is(err, context.Canceled) || passes {
		t.Errorf("%v, passes %v", err, passes)
	}
}

func TestAvailable(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		g    GitHub
		want bool
	}{
		"both":     {GitHub{URL: "https://x", Token: secret.New("token")}, true},
		"neither":  {GitHub{}, false},
		"no URL":   {GitHub{Token: secret.New("token")}, false},
		"no token": {GitHub{URL: "https://x"}, false},
	} {
		err := tc.g.Available()
		if (err == nil) != tc.want {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "ACTIONS_ID_TOKEN_REQUEST_URL") || !strings.Contains(hint.Of(err), "id-token: write")) {
			t.Errorf("%s: %v (%s)", name, err, hint.Of(err))
		}
	}
}
