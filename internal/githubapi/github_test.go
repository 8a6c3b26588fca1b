package githubapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/memnet"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

const token = "ghs_0123456789abcdefABCDEF0123456789abcd"

var run = Run{"octo/tools", "17452093817", "2"}

// client returns a client of a server with the program's own HTTP client.
func client(t *testing.T, base string) *Client {
	return clientOn(t, httpclient.Options{}, base)
}

func clientOn(t *testing.T, o httpclient.Options, base string) *Client {
	h, err := httpclient.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.CloseIdleConnections)
	return &Client{HTTP: h, BaseURL: base, Token: secret.New(token), UserAgent: "azdo-pat/test"}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.URL.EscapedPath())
		for name, want := range map[string]string{
			"Authorization": "Bearer " + token, "Accept": "application/vnd.github+json",
			"X-GitHub-Api-Version": "2022-11-28", "User-Agent": "azdo-pat/test",
		} {
			if r.Header.Get(name) != want {
				t.Errorf("%s: %q, want %q", name, r.Header.Get(name), want)
			}
		}
		w.Write([]byte(`{"id":17452093817,"run_attempt":2,"status":"completed","conclusion":"cancelled"}`))
	}))
	defer server.Close()
	c := client(t, server.URL+"/api/v3")
	if over, err := c.Completed(t.Context(), run); !over || err != nil {
		t.Errorf("%v, %v", over, err)
	}
	// A name must not change the path.
	if _, err := c.Completed(t.Context(), Run{"a/../../b?c#d", "1", "1"}); err == nil {
		t.Error("the answer of another run was taken")
	}
	want := "GET /api/v3/repos/octo/tools/actions/runs/17452093817/attempts/2\nGET /api/v3/repos/a/..%2F..%2Fb%3Fc%23d/actions/runs/1/attempts/1"
	if strings.Join(got, "\n") != want {
		t.Errorf("asked\n%s", strings.Join(got, "\n"))
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when a bubble starts
	date := now.Add(time.Hour)                         // GitHub's clock
	limited := func(remaining string, reset time.Time) http.Header {
		return http.Header{"X-Ratelimit-Remaining": {remaining}, "X-Ratelimit-Reset": {itoa(reset.Unix())}, "Date": {date.Format(http.TimeFormat)}}
	}
	for _, tc := range []struct {
		name    string
		status  int
		header  http.Header
		body    string
		over    bool
		is      error
		passing bool
		wait    time.Duration
		text    string
		hint    string
	}{
		{name: "completed", status: 200, body: `{"id":17452093817,"run_attempt":2,"status":"completed"}`, over: true},
		{name: "completed, after a byte order mark", status: 200, body: "\xef\xbb\xbf" + `{"id":17452093817,"run_attempt":2,"status":"completed"}`, over: true},
		{name: "in progress", status: 200, body: `{"id":17452093817,"run_attempt":2,"status":"in_progress","conclusion":null}`},
		{name: "queued", status: 200, body: `{"id":17452093817,"run_attempt":2,"status":"queued"}`},
		{name: "another run", status: 200, body: `{"id":1745209381,"run_attempt":2,"status":"completed"}`, text: "answered 200 OK: the answer describes another run"},
		{name: "another attempt", status: 200, body: `{"id":17452093817,"run_attempt":1,"status":"completed"}`, text: "another run"},
		{name: "no status", status: 200, body: `{"id":17452093817,"run_attempt":2}`, text: "another run"},
		{name: "a page", status: 200, body: `<html>`, text: "the answer is an HTML page instead of a run", passing: true},
		{name: "empty", status: 200, text: "the answer is an empty body instead of a run", passing: true},
		{name: "half", status: 200, body: `{"id":17452093817`, text: "cut off, instead of a run", passing: true},
		{name: "no content", status: 204, text: "answered 204 No Content: the answer is an empty body", passing: true},
		{name: "a list", status: 200, body: `[]`, text: "does not describe a run"},
		{name: "not found, after a byte order mark", status: 404, body: "\xef\xbb\xbf" + `{"message":"Not Found"}`, header: http.Header{"X-Github-Request-Id": {"D3A0:2B6F:1A2B3C"}}, is: ErrNotFound, text: "answered 404 Not Found: Not Found (X-GitHub-Request-Id D3A0:2B6F:1A2B3C)"},
		{name: "not found", status: 404, body: `{"message":"Not Found"}`, is: ErrNotFound, text: "answered 404 Not Found: Not Found"},
		{name: "bad credentials", status: 401, body: `{"message":"Bad credentials"}`, is: ErrCredentials, text: "Bad credentials", hint: "github-token"},
		{name: "forbidden", status: 403, body: `{"message":"Resource not accessible by integration"}`, is: ErrForbidden, text: "Resource not accessible", hint: "actions: read"},
		{name: "forbidden, with questions left", status: 403, header: limited("12", date.Add(time.Minute)), is: ErrForbidden, hint: "actions: read"},
		{name: "moved", status: 301, header: http.Header{"Location": {"https://api.github.com/repositories/1/actions/runs/1"}}, is: ErrMoved, text: "a redirect to api.github.com, which is not followed with a credential", hint: "been renamed"},
		{name: "rate limit", status: 403, header: limited("0", date.Add(25*time.Minute)), is: ErrLimited, passing: true, wait: 25 * time.Minute, hint: "the next run asks again"},
		{name: "rate limit that has ended", status: 403, header: limited("0", date.Add(-time.Minute)), is: ErrLimited, passing: true, wait: time.Second, hint: "the next run asks again"},
		{name: "rate limit without a date", status: 429, header: http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {itoa(now.Add(time.Minute).Unix())}, "Date": nil}, is: ErrLimited, passing: true, wait: time.Minute, hint: "the next run asks again"},
		{name: "secondary rate limit", status: 403, header: http.Header{"Retry-After": {"7"}}, is: ErrLimited, passing: true, wait: 7 * time.Second, hint: "the next run asks again"},
		{name: "secondary rate limit in words", status: 403, body: `{"message":"You have exceeded a secondary rate limit. Please wait"}`, is: ErrLimited, passing: true, wait: time.Minute, hint: "the next run asks again"},
		{name: "too many requests", status: 429, is: ErrLimited, passing: true, wait: time.Minute, hint: "the next run asks again"},
		{name: "out of order", status: 502, body: `{"message":"Server Error"}`, passing: true, text: "answered 502"},
		{name: "unavailable", status: 503, header: http.Header{"Retry-After": {"3"}}, passing: true, wait: 3 * time.Second},
		{name: "repeats the token", status: 401, body: `{"message":"Bad ` + token + `\n::error::x"}`, is: ErrCredentials, text: "Bad *** ::error::x", hint: "github-token"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var n memnet.Network
				base := n.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					for name, values := range tc.header {
						w.Header()[name] = values
					}
					w.WriteHeader(tc.status)
					w.Write([]byte(tc.body))
				}))
				c := clientOn(t, httpclient.Options{Dial: n.DialContext}, base)
				over, err := c.Completed(t.Context(), run)
				if over != tc.over || (err == nil) != (tc.status == 200 && tc.text == "") {
					t.Fatalf("%v, %v", over, err)
				}
				if err == nil {
					return
				}
				passing, wait := httpclient.Retryable(err)
				if tc.is != nil && !errors.Is(err, tc.is) || passing != tc.passing || wait != tc.wait {
					t.Errorf("%v: passing %v after %s", err, passing, wait)
				}
				for _, kind := range []error{ErrCredentials, ErrForbidden, ErrNotFound, ErrMoved, ErrLimited} {
					if kind != tc.is && errors.Is(err, kind) {
						t.Errorf("%v is taken for %v", err, kind)
					}
				}
				text := err.Error()
				if !strings.HasPrefix(text, "ask GitHub about run 17452093817.2 of octo/tools: 127.0.0.1:") || !strings.Contains(text, tc.text) ||
					strings.ContainsAny(text, "\n") || strings.Contains(text+hint.Of(err), token) {
					t.Errorf("%q", text)
				}
				if (tc.hint == "") != (hint.Of(err) == "") || !strings.Contains(hint.Of(err), tc.hint) {
					t.Errorf("hint %q", hint.Of(err))
				}
			})
		})
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half/repos/octo/tools/actions/runs/17452093817/attempts/2" {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("{"))
		}
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	for _, base := range []string{server.URL, server.URL + "/half"} {
		_, err := client(t, base).Completed(t.Context(), run)
		if passing, _ := httpclient.Retryable(err); err == nil || !passing || !strings.Contains(err.Error(), "no answer from 127.0.0.1:") {
			t.Error(err)
		}
	}
	_, err := client(t, "http://[::1").Completed(t.Context(), run)
	if passing, _ := httpclient.Retryable(err); err == nil || passing || !strings.Contains(err.Error(), "cannot be requested") {
		t.Error(err)
	}
}

// The emulator's GitHub answers as this client expects.
func TestEmulator(t *testing.T) {
	t.Parallel()
	e := emulator.StartWith(t, emulator.Options{World: func(w *emulator.State) {
		w.Runs = []*emulator.Run{
			{Repository: "octo/tools", ID: "17452093817", Attempt: 1, Status: "completed", Conclusion: "failure"},
			{Repository: "octo/tools", ID: "17452093817", Attempt: 2, Status: "in_progress"},
		}
	}})
	c := client(t, e.URL(emulator.GitHub)+"/api/v3")
	if _, err := c.Completed(t.Context(), run); !errors.Is(err, ErrCredentials) {
		t.Error(err)
	}
	c.Token = secret.New(e.GitHubToken())
	for attempt, want := range map[string]bool{"1": true, "2": false} {
		if over, err := c.Completed(t.Context(), Run{"Octo/Tools", "17452093817", attempt}); over != want || err != nil {
			t.Errorf("attempt %s: %v, %v", attempt, over, err)
		}
	}
	if _, err := c.Completed(t.Context(), Run{"octo/tools", "17452093817", "3"}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	e.Intercept(emulator.OpGitHubRun, emulator.GitHubLimit(time.Hour))
	if _, err := c.Completed(t.Context(), run); !errors.Is(err, ErrLimited) {
		t.Error(err)
	} else if _, wait := httpclient.Retryable(err); wait < 59*time.Minute || wait > time.Hour {
		t.Errorf("wait %s", wait)
	}
}

// A wait that GitHub asks for with a success is observed, or is ErrLimited if it is too
// long.
func TestPauseOnSuccess(t *testing.T) {
	t.Parallel()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("Retry-After", "60")
		w.Write([]byte(`{"id":17452093817,"run_attempt":2,"status":"completed"}`))
	}))
	defer server.Close()
	c := client(t, server.URL)
	pacer, host := &httpclient.Pacer{}, strings.TrimPrefix(server.URL, "http://")
	pacer.Name(host, "GitHub", false)
	pacer.Limit(host, 10*time.Second)
	c.HTTP.Transport = &httpclient.Paced{Next: c.HTTP.Transport, Pacer: pacer, Log: quiet{}}
	if over, err := c.Completed(t.Context(), run); !over || err != nil {
		t.Errorf("%v, %v", over, err)
	}
	_, err := c.Completed(t.Context(), run)
	if passing, _ := httpclient.Retryable(err); !errors.Is(err, ErrLimited) || passing || !strings.Contains(err.Error(), "nothing was sent to "+host+": GitHub asks to wait 60 s") || asked != 1 {
		t.Errorf("%v (passing %t) after %d questions", err, passing, asked)
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any) {}
