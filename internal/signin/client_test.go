package signin_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
)

// log keeps the lines of the log.
type log struct{ lines []string }

func (l *log) Infof(format string, args ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}
func (l *log) Debugf(string, ...any)      {}
func (l *log) Warning(title, text string) { l.Infof("%s: %s", title, text) }
func (l *log) Redact(text string) string  { return text }
func (l *log) has(text string) bool {
	return slices.ContainsFunc(l.lines, func(line string) bool { return strings.Contains(line, text) })
}

// newClient makes the client of a GitHub job.
func newClient(t *testing.T, e *emulator.Emulator, id emulator.Identity, with func(*signin.Options), extra map[string]string) (*signin.Client, *log) {
	t.Helper()
	env := e.Env(id)
	maps.Copy(env, extra)
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	provider := ci.Detect(ci.Options{LookupEnv: lookup, Stdout: t.Output(), Stderr: t.Output()}).Provider()
	s, err := settings.Load(settings.Check, settings.Source{LookupEnv: lookup, CI: &settings.CI{Offered: provider.Offered()}})
	if err != nil {
		t.Fatal(err)
	}
	client, err := httpclient.NewClient(httpclient.Options{CAFile: s.CAFile})
	if err != nil {
		t.Fatal(err)
	}
	l := &log{}
	o := signin.Options{
		Settings: s, HTTP: client, Provider: provider, Log: l,
		Mask: func(secret.Value) error { return nil },
	}
	if with != nil {
		with(&o)
	}
	return signin.New(o), l
}

func firstPage(t *testing.T, c *signin.Client) error {
	_, err := c.Next(t.Context(), pat.NewCursor(pat.Filter{}))
	return err
}

func TestSignsInAgain(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	c, l := newClient(t, e, emulator.Password, nil, nil)
	first, err := c.SignIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := firstPage(t, c); err != nil {
		t.Fatal(err)
	}
	e.Intercept(emulator.OpList, emulator.Times(1, emulator.Answer(http.StatusUnauthorized, nil, "")))
	if err := firstPage(t, c); err != nil {
		t.Fatalf("after the token ended: %v", err)
	}
	if c.Session() == first || !l.has("signing in again") {
		t.Errorf("the session is the same, or the log does not say why: %q", l.lines)
	}
}

func TestTokenThatNeverWorked(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	c, _ := newClient(t, e, emulator.Password, nil, nil)
	first, err := c.SignIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e.Intercept(emulator.OpList, emulator.Answer(http.StatusUnauthorized, nil, ""))
	if err := firstPage(t, c); !signin.TokenExpired(err) {
		t.Errorf("got %v", err)
	}
	if c.Session() != first {
		t.Error("signed in again, although that cannot help")
	}
}

func TestProviderFallback(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	missing := map[string]string{"AZDO_PAT_FEDERATED_TOKEN_FILE": filepath.Join(t.TempDir(), "gone")}
	c, _ := newClient(t, e, emulator.Password, nil, missing)
	if _, err := c.SignIn(t.Context()); err == nil {
		t.Error("signed in without the token file")
	}
	c, l := newClient(t, e, emulator.Password, func(o *signin.Options) { o.ProviderFallback = true }, missing)
	if _, err := c.SignIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if from, _ := c.AssertionFrom(); from != "GitHub Actions" || !l.has("asking GitHub for an assertion instead") {
		t.Errorf("from %s; log %q", from, l.lines)
	}
}

// No answer sends the requests of a sign-in to another address.
func TestSignInFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	for _, op := range []string{emulator.OpGitHubOIDC, emulator.OpTenant, emulator.OpT1} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			var others atomic.Int32
			elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { others.Add(1) }))
			defer elsewhere.Close()
			e := emulator.Start(t)
			e.Intercept(op, emulator.Answer(http.StatusTemporaryRedirect, http.Header{"Location": {elsewhere.URL}}, ""))
			c, _ := newClient(t, e, emulator.AgentUser, nil, map[string]string{"INPUT_TENANT-ID": ""})
			if _, err := c.SignIn(t.Context()); err == nil || others.Load() > 0 {
				t.Errorf("%v, %d requests went elsewhere", err, others.Load())
			}
		})
	}
}
