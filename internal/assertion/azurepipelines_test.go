package assertion

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

const connection = "e1e1e1e1-0000-4000-8000-000000000006"

// pipelines starts Azure Pipelines' OIDC endpoint.
func pipelines(t testing.TB, answer http.HandlerFunc) *AzurePipelines {
	t.Helper()
	g := endpoint(t, answer)
	u, err := url.Parse(g.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &AzurePipelines{HTTP: g.HTTP, URL: "http://" + u.Host + "/contoso/p/_apis/distributedtask/hubs/build/plans/1/jobs/2/oidctoken",
		Token: secret.New(requestToken), ServiceConnection: connection}
}

// The request is what Microsoft documents: POST without a body, the access token
// as bearer, and no redirect to a sign-in page.
func TestPipelinesRequest(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	a := pipelines(t, func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		want := "/contoso/p/_apis/distributedtask/hubs/build/plans/1/jobs/2/oidctoken?api-version=7.1&serviceConnectionId=" + connection
		if r.Method != http.MethodPost || r.RequestURI != want || r.ContentLength != 0 || r.Header.Get("Content-Length") != "0" {
			t.Errorf("%s %s with %d bytes, want POST %s", r.Method, r.RequestURI, r.ContentLength, want)
		}
		for name, want := range map[string]string{"Authorization": "Bearer " + requestToken, "Content-Type": "application/json", "X-Tfs-Fedauthredirect": "Suppress"} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		saying(200, fmt.Sprintf(`{"oidcToken":"eyJ.eyJ.%d"}`, n))(w, r)
	})
	for i := range 2 { // each time anew
		if v, err := a.Assertion(t.Context()); err != nil || v.Reveal() != fmt.Sprintf("eyJ.eyJ.%d", i+1) {
			t.Errorf("%q, %v", v.Reveal(), err)
		}
	}
}

func TestPipelinesRefusals(t *testing.T) {
	t.Parallel()
	const (
		signIn    = "SYSTEM_ACCESSTOKEN is not accepted"
		which     = "service-connection-id must be the id"
		reference = "a task of this stage must name the service connection " + connection
		unnamed   = "There is no explicit reference to service connection " + connection + " from current stage Build.Job.__default."
	)
	html := "Content-Type: text/html; charset=utf-8"
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		err    string // after the host
		hint   string
		passes bool
	}{
		"expired":          {saying(401, `{"message":"TF400813: no"}`), "answered 401 Unauthorized: TF400813: no", signIn, false},
		"sign-in page":     {saying(203, "<html>", html), "answered 203 Non-Authoritative Information: the answer is an HTML page instead of an assertion", signIn, true},
		"sign-in page, OK": {saying(200, "<html>", html), "answered 200 OK: the answer is an HTML page instead of an assertion", signIn, true},
		"forbidden":        {saying(403, `{"message":"no"}`), "answered 403 Forbidden: no", which, false},
		"not there":        {saying(404, `{"message":"no such endpoint"}`), "answered 404 Not Found: no such endpoint", which, false},
		"unreferenced":     {saying(403, `{"count":151,"value":"`+unnamed+`"}`), "answered 403 Forbidden: " + unnamed, reference, false},
		"unreferenced, so": {saying(400, `{"message":"`+unnamed+`"}`), "answered 400 Bad Request: " + unnamed, reference, false},
		"GET":              {saying(405, `{"count":1,"value":{"Message":"no GET"}}`), "answered 405 Method Not Allowed: no GET", "", false},
		"broken":           {saying(500, ""), "answered 500 Internal Server Error", "", true},
		"gateway":          {saying(502, "<html>", html), "answered 502 Bad Gateway: an HTML page", "", true},
		"too many":         {saying(429, `{"message":"TF400733"}`), "answered 429 Too Many Requests: TF400733", "", true},
		"hostile words":    {saying(400, `{"message":"a\r\n##vso[a.b]\u202e"}`), "answered 400 Bad Request: a ##vso[a.b]", "", false},
		"not JSON":         {saying(200, "x"), "answered 200 OK: the answer is text that is not JSON instead of an assertion", "", true},
		"no token":         {saying(200, `{"value":"eyJ.eyJ.x"}`), "answered 200 OK: no assertion in the answer: it is empty", "", true},
		"empty":            {saying(200, ""), "answered 200 OK: the answer is an empty body instead of an assertion", "", true},
		"half":             {saying(200, `{"oidcToken":"eyJ`), "answered 200 OK: the answer is JSON of another form, or cut off, instead of an assertion", "", true},
		"anonymous":        {saying(500, `{"message":"TF400813: Resource not available for anonymous access. Client authentication required."}`), "answered 500 Internal Server Error: TF400813: Resource not available for anonymous access. Client authentication required.", signIn, false},
		"empty user":       {saying(403, "", "X-TFS-ServiceError: TF400813%3A+The+user+%27%27+is+not+authorized"), "answered 403 Forbidden: TF400813: The user '' is not authorized", signIn, false},
		"policy":           {saying(403, "\xef\xbb\xbf"+`{"message":"VS403463: blocked"}`), "answered 403 Forbidden: VS403463: blocked", "a Conditional Access policy", false},
		"policy, a page":   {saying(200, "<html><title>VS403463: blocked</title>", html), `answered 200 OK: the answer is an HTML page titled "VS403463: blocked" instead of an assertion`, "a Conditional Access policy", false},
		"challenge":        {saying(401, "", `Www-Authenticate: Bearer error="insufficient_claims", claims="e30="`), "answered 401 Unauthorized: insufficient_claims", "the token was revoked", false},
		"a support id":     {saying(404, `{"message":"no"}`, "X-VSS-E2EID: 33333333-0000-4000-8000-000000000003"), "answered 404 Not Found: no (X-VSS-E2EID 33333333-0000-4000-8000-000000000003)", which, false},
		"a token as an id": {saying(200, `{"oidcToken":"eyJ\r\nX: 1"}`, "X-VSS-E2EID: "+requestToken[:12], "ActivityId: "+requestToken), "answered 200 OK: no assertion in the answer: " + ErrNotJWT.Error(), "", false},
		"a line inside":    {saying(200, `{"oidcToken":"eyJ\r\nX: 1"}`), "answered 200 OK: no assertion in the answer: " + ErrNotJWT.Error(), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := pipelines(t, tc.answer)
			v, err := a.Assertion(t.Context())
			u, _ := url.Parse(a.URL)
			if want := "ask Azure Pipelines for an assertion: " + u.Host + " " + tc.err; err == nil || err.Error() != want || !v.IsZero() {
				t.Fatalf("%q, %v, want %s", v.Reveal(), err, want)
			}
			if got := hint.Of(err); !strings.HasPrefix(got, tc.hint) || (got == "") != (tc.hint == "") {
				t.Errorf("hint %q, want %q", got, tc.hint)
			}
			if passes, _ := httpclient.Retryable(err); passes != tc.passes {
				t.Errorf("passes %v", passes)
			}
		})
	}
}

// Guards promise 7: an endpoint may return the credential that it received.
func TestPipelinesAccessTokenStaysHere(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	t.Cleanup(elsewhere.Close)
	_, err := pipelines(t, saying(302, "", "Location: "+elsewhere.URL)).Assertion(t.Context())
	if err == nil || !strings.Contains(err.Error(), "a redirect to ") {
		t.Error(err)
	}
	for _, status := range []int{400, 401, 403, 500} {
		_, err := pipelines(t, func(w http.ResponseWriter, r *http.Request) {
			saying(status, `{"message":"of `+r.Header.Get("Authorization")+`"}`)(w, r)
		}).Assertion(t.Context())
		if err == nil || strings.Contains(ofAll(err), requestToken) || !strings.HasSuffix(err.Error(), ": of Bearer ***") {
			t.Errorf("%d: %v", status, err)
		}
	}
	for _, u := range []string{"http://127.0.0.1:x/" + requestToken, ":" + requestToken, "http://\x7f/", "http://127.0.0.1:1/" + requestToken} {
		a := pipelines(t, saying(200, "{}"))
		a.URL = u
		if _, err := a.Assertion(t.Context()); err == nil || strings.Contains(ofAll(err), requestToken) || !strings.HasPrefix(err.Error(), "ask Azure Pipelines for an assertion: ") {
			t.Errorf("%q: %v", u, err)
		}
	}
}

// A missing or incomplete answer is retryable.
func TestPipelinesNoAnswer(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"at all": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"but its beginning": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"oidcToken":"eyJ`)
		},
	} {
		_, err := pipelines(t, answer).Assertion(t.Context())
		var e *httpclient.Error
		if passes, _ := httpclient.Retryable(err); !passes || !errors.As(err, &e) || e.Status != 0 {
			t.Errorf("no answer %s: %v, passes %v", name, err, passes)
		}
	}
}

// The error names what is missing, and the line to add to the step.
func TestPipelinesAvailable(t *testing.T) {
	t.Parallel()
	const mapping = "env: { SYSTEM_ACCESSTOKEN: $(System.AccessToken) }"
	for name, tc := range map[string]struct {
		a         AzurePipelines
		err, hint string
	}{
		"both":      {AzurePipelines{URL: "https://x", Token: secret.New("token")}, "", ""},
		"no token":  {AzurePipelines{URL: "https://x"}, "SYSTEM_ACCESSTOKEN is not set", mapping},
		"no URL":    {AzurePipelines{Token: secret.New("token")}, "SYSTEM_OIDCREQUESTURI is not set", "pass it on"},
		"neither":   {AzurePipelines{}, "SYSTEM_OIDCREQUESTURI and SYSTEM_ACCESSTOKEN are not set", mapping},
		"too short": {AzurePipelines{URL: "https://x", Token: secret.New("abc")}, "SYSTEM_ACCESSTOKEN is not a token: it has fewer than 4 characters", ""},
		"two lines": {AzurePipelines{URL: "https://x", Token: secret.New("some\nthing")}, "cannot be sent in a header", ""},
	} {
		err := tc.a.Available()
		if (err == nil) != (tc.err == "") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (!strings.Contains(err.Error(), tc.err) || !strings.Contains(hint.Of(err), tc.hint)) {
			t.Errorf("%s: %v (%s)", name, err, hint.Of(err))
		}
	}
}
