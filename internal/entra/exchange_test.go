package entra

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"azdo-pat/internal/secret"
)

// The values that all tests here use.
const (
	authority  = "https://login.test"
	tenantID   = "11111111-2222-3333-4444-555555555555"
	blueprint  = "b1b1b1b1-0000-0000-0000-000000000000"
	agent      = "a2a2a2a2-0000-0000-0000-000000000000"
	agentUser  = "agent@contoso.com"
	agentOID   = "c3c3c3c3-0000-0000-0000-000000000000"
	service    = "service@contoso.com"
	password   = `pass word+&=ü"<1234567890>`
	refresh    = "0.AXoA-refresh-token_" + "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr"
	exchange   = "api://AzureADTokenExchange/.default"
	devOps     = "499b84ac-1321-427f-aa17-267ca6975798/.default"
	assertionT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

var (
	identityAgent    = &AgentUser{Blueprint: blueprint, Agent: agent, User: agentUser}
	identityRefresh  = &RefreshToken{Client: blueprint, Token: secret.New(refresh)}
	identityPassword = &Password{Client: blueprint, Username: service, Password: secret.New(password)}

	identityServicePrincipal = &ServicePrincipal{Client: blueprint}

	identities = map[string]struct {
		credentials Credentials
		requests    int
	}{
		"agent user": {identityAgent, 3}, "refresh token": {identityRefresh, 1}, "password": {identityPassword, 1},
		"service principal": {identityServicePrincipal, 1},
	}
)

// asked is one request that the server received.
type asked struct {
	method, url string
	header      http.Header
	form        url.Values
	at          time.Time
}

// reply is the server's answer to it.
type reply struct {
	status int
	header map[string]string
	body   any // a string as it is, anything else as JSON
	err    error
}

// entra is the token endpoint, without a network so that a bubble's time can pass. It
// checks of every request that Mask was called with each credential before, and that
// it has the right URL.
type entra struct {
	t      *testing.T
	answer func(n int, r asked) reply // n counts from 1

	mu     sync.Mutex
	asked  []asked
	kept   []string
	log    []string
	unread int // answers that were not closed
}

// body is the body of an answer and records when it is closed.
type body struct {
	io.Reader
	*entra
}

func (b body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unread--
	return nil
}

func (e *entra) body(r io.Reader) io.ReadCloser {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unread++
	return body{r, e}
}

func (e *entra) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		e.t.Errorf("no form: %q", body)
	}
	a := asked{r.Method, r.URL.String(), r.Header.Clone(), form, time.Now()}
	e.mu.Lock()
	e.asked = append(e.asked, a)
	n := len(e.asked)
	for _, name := range []string{"client_assertion", "user_federated_identity_credential"} {
		if v := form.Get(name); v != "" && !slices.Contains(e.kept, v) {
			e.t.Errorf("request %d carries a %s that was not kept before", n, name)
		}
	}
	e.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, context.Cause(r.Context())
	}
	say := e.answer(n, a)
	if say.err != nil {
		return nil, say.err
	}
	text, ok := say.body.(string)
	if broken, is := say.body.(error); is {
		resp := &http.Response{StatusCode: say.status, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
			Body: e.body(io.MultiReader(strings.NewReader(`{"access_token":"abc`), iotest.ErrReader(broken)))}
		return resp, nil
	}
	if !ok && say.body != nil {
		b, err := json.Marshal(say.body)
		if err != nil {
			e.t.Error(err)
		}
		text = string(b)
	}
	resp := &http.Response{StatusCode: say.status, Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}},
		Body: e.body(strings.NewReader(text)), Request: r}
	for name, value := range say.header {
		resp.Header.Set(name, value)
	}
	return resp, nil
}

func (e *entra) keep(v secret.Value) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kept = append(e.kept, v.Reveal())
	return nil
}

func (e *entra) Infof(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.log = append(e.log, fmt.Sprintf(format, args...))
}

// source returns a new assertion with every call.
type source struct {
	mu    sync.Mutex
	made  int
	fails []error // of the first calls
}

func (s *source) Assertion(context.Context) (secret.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	if s.made <= len(s.fails) && s.fails[s.made-1] != nil {
		return secret.Value{}, s.fails[s.made-1]
	}
	return secret.New(jwt(s.made)), nil
}

// jwt is the nth assertion of the job.
func jwt(n int) string {
	part := func(v any) string { b, _ := json.Marshal(v); return base64.RawURLEncoding.EncodeToString(b) }
	return part(map[string]string{"alg": "RS256", "typ": "JWT"}) + "." + part(map[string]any{
		"iss": "https://token.actions.githubusercontent.com", "sub": "repo:contoso/app:ref:refs/heads/main",
		"aud": "api://AzureADTokenExchange", "job_workflow_ref": "contoso/app/.github/workflows/ci.yml@refs/heads/main",
		"jti": fmt.Sprint(n), "padding": strings.Repeat("p", 900),
	}) + "." + strings.Repeat("s", 300)
}

// opaque is a token without the form of a JWT, too long for any error.
func opaque(name string, n int) string {
	return fmt.Sprintf("%s-%d.", name, n) + strings.Repeat(name+"_", 500)
}

// token is the successful answer to request n.
func token(n int) reply {
	return reply{status: 200, body: map[string]any{"token_type": "Bearer", "expires_in": 3599, "access_token": opaque("access", n)}}
}

// refusal is an error as Entra writes it.
func refusal(status int, oauth, description string, codes ...int) reply {
	return reply{status: status, body: map[string]any{
		"error": oauth, "error_codes": codes, "timestamp": "2026-11-05 12:00:00Z",
		"error_description": description + "\r\nTrace ID: 0f0f0f0f-1111-0000-0000-000000000000\r\nCorrelation ID: 0c0c0c0c-2222-0000-0000-000000000000\r\nTimestamp: 2026-11-05 12:00:00Z",
		"trace_id":          "0f0f0f0f-1111-0000-0000-000000000000", "correlation_id": "0c0c0c0c-2222-0000-0000-000000000000",
	}}
}

func aadsts(code int) reply {
	return refusal(400, "invalid_grant", fmt.Sprintf("AADSTS%d: It is so.", code), code)
}

// newExchange returns an exchange with that server.
func newExchange(t *testing.T, credentials Credentials, answer func(int, asked) reply) (*Exchange, *entra) {
	e := &entra{t: t, answer: answer}
	t.Cleanup(func() {
		if e.unread != 0 {
			t.Errorf("%d answers were not closed", e.unread)
		}
	})
	return &Exchange{
		HTTP:          &http.Client{Transport: e, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		AuthorityHost: authority, Tenant: tenantID,
		Discover:    func(context.Context) (string, error) { t.Error("the tenant was asked for"); return "", errors.New("x") },
		Source:      &source{},
		Credentials: credentials, Mask: e.keep, Log: e,
	}, e
}

// Errors that the body of an answer can end with.
var (
	brokenOff = io.ErrUnexpectedEOF
	tooSlow   = context.DeadlineExceeded
)

// leaks returns a credential of which a part is in text, or "".
func leaks(text string, credentials ...string) string {
	const part = 12
	for _, c := range credentials {
		for i := 0; i+part <= len(c); i++ {
			if strings.Contains(text, c[i:i+part]) {
				return c
			}
		}
	}
	return ""
}
