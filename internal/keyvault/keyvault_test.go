package keyvault

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

const (
	object    = "c2c2c2c2-0000-4000-8000-000000000008"
	stored    = "1.AXoA-stored-correct-horse"
	fresh     = "1.AXoA-fresh-battery-staple"
	versionID = "4387e9f3d6e14c459867679a90fd0f79"
)

// token is an access token of the service principal object.
var token = "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(`{"oid":"`+object+`"}`)) + ".c2ln"

// client returns a client of a vault that is the handler, with the program's own HTTP
// client, and the values that were masked.
func client(t *testing.T, h http.HandlerFunc) (*Client, *[]string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	hc, err := httpclient.NewClient(httpclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hc.CloseIdleConnections)
	masked := new([]string)
	return &Client{
		HTTP: hc, URL: server.URL + "/secrets/azdo", Token: secret.New(token), UserAgent: "azdo-pat/test",
		Mask: func(v secret.Value) error { *masked = append(*masked, v.Reveal()); return nil },
	}, masked
}

// answer answers with JSON.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Date", "Fri, 05 May 2017 00:00:00 GMT")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// refusal is the body of Key Vault's errors.
func refusal(code, inner, message string) string {
	e := map[string]any{"code": code, "message": message}
	if inner != "" {
		e["innererror"] = map[string]any{"code": inner}
	}
	body, _ := json.Marshal(map[string]any{"error": e})
	return string(body)
}

// bundleOf is Microsoft's example of an answer, with a value.
func bundleOf(value string) string {
	text, _ := json.Marshal(value)
	return `{"value":` + string(text) + `,"id":"https://myvault.vault.azure.net/secrets/mysecretname/` + versionID + `",` +
		`"attributes":{"enabled":true,"created":1493938410,"updated":1493938410,"exp":1501714410,"recoveryLevel":"Recoverable+Purgeable"},"tags":{"owner":"build"}}`
}

func TestGet(t *testing.T) {
	t.Parallel()
	c, masked := client(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Method + " " + r.URL.RequestURI(); got != "GET /secrets/azdo?api-version=7.4" {
			t.Errorf("sent %s", got)
		}
		for name, want := range map[string]string{"Authorization": "Bearer " + token, "Accept": "application/json", "User-Agent": "azdo-pat/test"} {
			if r.Header.Get(name) != want {
				t.Errorf("%s: %q, want %q", name, r.Header.Get(name), want)
			}
		}
		answer(200, bundleOf(stored+"\r\n"))(w, r)
	})
	s, err := c.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	created := time.Unix(1493938410, 0).UTC() // 4 May 2017, 22:53:30
	if s.Value.Reveal() != stored || s.Version != versionID || !s.Created.Equal(created) || s.Age != 66*time.Minute+30*time.Second ||
		!s.Expires.Equal(created.Add(90*24*time.Hour)) || !s.Dies().Equal(created.Add(90*24*time.Hour)) {
		t.Errorf("got %+v", s)
	}
	if !slices.Equal(*masked, []string{stored}) {
		t.Errorf("masked %q", *masked)
	}
}

// What is only about the value may be absent or of another type.
func TestGetBareValue(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"value":"` + stored + `"}`, "\ufeff" + `{"value":"` + stored + `","id":7,"attributes":[],"tags":"none"}`,
		`{"value":"` + stored + `","id":"https://x/secrets/a/b/c","attributes":{"created":"today"},"tags":{"a":1}}`,
	} {
		c, _ := client(t, answer(200, body))
		s, err := c.Get(t.Context())
		if err != nil || s.Value.Reveal() != stored || s.Version != "" || s.Age != 0 || !s.Dies().IsZero() {
			t.Errorf("%s: %+v, %v", body, s, err)
		}
	}
}

// The mask comes first: if it fails, there is no value.
func TestGetThatCannotBeMasked(t *testing.T) {
	t.Parallel()
	c, _ := client(t, answer(200, bundleOf(stored)))
	failed := errors.New("mask")
	c.Mask = func(secret.Value) error { return failed }
	if s, err := c.Get(t.Context()); !errors.Is(err, failed) || !s.Value.IsZero() {
		t.Errorf("%+v, %v", s, err)
	}
}

// A value that is no token is masked as far as it may be one, and not repeated.
func TestGetWrongValue(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]struct{ fault, masked string }{
		"":                           {"is empty", ""},
		" \n":                        {"is empty", ""},
		"abc":                        {"is too short for a credential", ""},
		stored + "\nline two":        {"holds a line break or another control character", stored},
		`"` + stored + `"`:           {"is in quotes", stored},
		"Bearer " + stored:           {`starts with "Bearer "`, stored},
		"two " + stored:              {"holds white space", "two " + stored},
		`{"token":"` + stored + `"}`: {"holds a quote", `{"token":"` + stored + `"}`},
	} {
		c, masked := client(t, answer(200, bundleOf(value)))
		_, err := c.Get(t.Context())
		said := fmt.Sprint(err) + hint.Of(err)
		if err == nil || !strings.Contains(said, "the value "+want.fault) || !strings.Contains(said, "/secrets/azdo") || strings.Contains(said, "AXoA") {
			t.Errorf("%q: %s", value, said)
		}
		if strings.Join(*masked, "+") != want.masked {
			t.Errorf("%q: masked %q", value, *masked)
		}
		if retry, _ := httpclient.Retryable(err); retry {
			t.Errorf("%q: would be asked for again", value)
		}
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	c, _ := client(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			answer(200, bundleOf(stored))(w, r)
			return
		}
		if got := r.Method + " " + r.URL.RequestURI() + " " + r.Header.Get("Content-Type"); got != "PUT /secrets/azdo?api-version=7.4 application/json" {
			t.Errorf("sent %s", got)
		}
		body, _ := io.ReadAll(r.Body)
		want := `{"attributes":{"exp":1501714410},"contentType":"Microsoft Entra refresh token","tags":{"owner":"build"},"value":"` + fresh + `"}`
		if string(body) != want {
			t.Errorf("sent %s\nwant %s", body, want)
		}
		answer(200, bundleOf(fresh))(w, r)
	})
	before, err := c.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Set(t.Context(), secret.New(fresh), time.Unix(1493938410, 0), before); err != nil {
		t.Error(err)
	}
}

// A value that Get would refuse is not stored.
func TestSetWhatCannotBeAToken(t *testing.T) {
	t.Parallel()
	c, _ := client(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	err := c.Set(t.Context(), secret.New("0.AXoA two words"), time.Now(), Secret{})
	if err == nil || !strings.Contains(err.Error(), "nothing was sent, because the token from Entra holds white space") || strings.Contains(err.Error(), "AXoA") {
		t.Errorf("%v", err)
	}
	if retryable, _ := httpclient.Retryable(err); retryable {
		t.Error("it would be tried again")
	}
}

// Set does not take an answer for a success that shows another value.
func TestSetAnotherValue(t *testing.T) {
	t.Parallel()
	c, _ := client(t, answer(200, bundleOf(stored)))
	if err := c.Set(t.Context(), secret.New(fresh), time.Now(), Secret{}); err == nil || strings.Contains(err.Error(), "AXoA") {
		t.Errorf("%v", err)
	}
}
