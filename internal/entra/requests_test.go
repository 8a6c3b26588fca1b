package entra

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"azdo-pat/internal/httpclient"
)

// The exact requests: these fields and no others, in this order, and nothing else is
// sent.
func TestRequests(t *testing.T) {
	t.Parallel()
	t1, t2 := opaque("access", 1), opaque("access", 2)
	for _, tc := range []struct {
		name        string
		credentials Credentials
		forms       []map[string]string
	}{
		{"agent user by name", identityAgent, []map[string]string{
			{
				"grant_type": "client_credentials", "client_id": blueprint, "scope": exchange, "fmi_path": agent,
				"client_assertion_type": assertionT, "client_assertion": jwt(1),
			},
			{
				"grant_type": "client_credentials", "client_id": agent, "scope": exchange,
				"client_assertion_type": assertionT, "client_assertion": t1,
			},
			{
				"grant_type": "user_fic", "client_id": agent, "scope": devOps, "username": agentUser,
				"client_assertion_type": assertionT, "client_assertion": t1, "user_federated_identity_credential": t2,
			},
		}},
		{"agent user by object id", &AgentUser{Blueprint: blueprint, Agent: agent, User: agentOID}, []map[string]string{
			{
				"grant_type": "client_credentials", "client_id": blueprint, "scope": exchange, "fmi_path": agent,
				"client_assertion_type": assertionT, "client_assertion": jwt(1),
			},
			{
				"grant_type": "client_credentials", "client_id": agent, "scope": exchange,
				"client_assertion_type": assertionT, "client_assertion": t1,
			},
			{
				"grant_type": "user_fic", "client_id": agent, "scope": devOps, "user_id": agentOID,
				"client_assertion_type": assertionT, "client_assertion": t1, "user_federated_identity_credential": t2,
			},
		}},
		{"refresh token", identityRefresh, []map[string]string{{
			"grant_type": "refresh_token", "client_id": blueprint, "scope": devOps, "refresh_token": refresh,
			"client_assertion_type": assertionT, "client_assertion": jwt(1),
		}}},
		{"password", identityPassword, []map[string]string{{
			"grant_type": "password", "client_id": blueprint, "scope": devOps, "username": service, "password": password,
			"client_assertion_type": assertionT, "client_assertion": jwt(1),
		}}},
		{"service principal", identityServicePrincipal, []map[string]string{{
			"grant_type": "client_credentials", "client_id": blueprint, "scope": devOps,
			"client_assertion_type": assertionT, "client_assertion": jwt(1),
		}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			x, server := newExchange(t, tc.credentials, func(n int, _ asked) reply { return token(n) })
			got, err := x.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := opaque("access", len(tc.forms)); got.Access.Reveal() != want {
				t.Errorf("the token of another request: %.20s…", got.Access.Reveal())
			}
			if !got.Refresh.IsZero() {
				t.Error("an unexpected refresh token")
			}
			if len(server.asked) != len(tc.forms) {
				t.Fatalf("%d requests, want %d", len(server.asked), len(tc.forms))
			}
			for i, a := range server.asked {
				if a.method != http.MethodPost || a.url != authority+"/"+tenantID+"/oauth2/v2.0/token" {
					t.Errorf("request %d: %s %s", i+1, a.method, a.url)
				}
				if got := a.header.Get("Content-Type"); got != "application/x-www-form-urlencoded" {
					t.Errorf("request %d: content type %q", i+1, got)
				}
				if got := a.header["Authorization"]; got != nil {
					t.Errorf("request %d has an Authorization header", i+1)
				}
				form := map[string]string{}
				for name, values := range a.form {
					if len(values) != 1 {
						t.Errorf("request %d: %d values of %s", i+1, len(values), name)
					}
					form[name] = values[0]
				}
				if !maps.Equal(form, tc.forms[i]) {
					t.Errorf("request %d: %v\nwant %v", i+1, form, tc.forms[i])
				}
			}
			if n := x.Source.(*source).made; n != 1 {
				t.Errorf("%d assertions", n)
			}
			kept := []string{jwt(1)}
			for i := range tc.forms {
				kept = append(kept, opaque("access", i+1))
			}
			kept = append(kept, "")
			slices.Sort(kept)
			slices.Sort(server.kept)
			if got := slices.Compact(server.kept); !slices.Equal(got, kept) {
				t.Errorf("kept %.100q, want %.100q", got, kept)
			}
		})
	}
}

// A tenant comes from the settings or from a server. It must not change the host.
func TestTenantIsOnePartOfThePath(t *testing.T) {
	t.Parallel()
	for tenant, path := range map[string]string{
		"contoso.onmicrosoft.com": "/contoso.onmicrosoft.com/oauth2/v2.0/token",
		"../evil?x=#y":            "/..%2Fevil%3Fx=%23y/oauth2/v2.0/token",
	} {
		x, server := newExchange(t, identityPassword, func(n int, _ asked) reply { return token(n) })
		x.Tenant = tenant
		if _, err := x.Token(t.Context()); err != nil {
			t.Error(err)
		}
		if got := server.asked[0].url; got != authority+path {
			t.Errorf("%q: %s, want %s", tenant, got, authority+path)
		}
	}
}

// With the real client: one connection for all requests, over HTTP/1.1 and HTTP/2,
// with successes and errors.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %t", http2), func(t *testing.T) {
			t.Parallel()
			var opened, requests atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				// The first exchange fails at its last request.
				if n := requests.Add(1); n == 3 {
					w.WriteHeader(400)
					fmt.Fprint(w, `{"error":"invalid_grant"}`)
					return
				}
				fmt.Fprint(w, `{"token_type":"Bearer","expires_in":3599,"access_token":"the-access-token"}`)
			}))
			server.EnableHTTP2 = http2
			server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					opened.Add(1)
				}
			}
			server.StartTLS()
			defer server.Close()
			ca := t.TempDir() + "/ca.pem"
			if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			client, err := httpclient.NewClient(httpclient.Options{CAFile: ca})
			if err != nil {
				t.Fatal(err)
			}
			defer client.CloseIdleConnections()
			x, _ := newExchange(t, identityAgent, nil)
			x.HTTP, x.AuthorityHost = client, server.URL
			if _, err := x.Token(t.Context()); err == nil {
				t.Error("the first exchange succeeded")
			}
			got, err := x.Token(t.Context())
			if err != nil || got.Access.Reveal() != "the-access-token" {
				t.Fatalf("token %v, %v", got, err)
			}
			if opened.Load() != 1 || requests.Load() != 6 {
				t.Errorf("%d connections for %d requests; want 1 for 6", opened.Load(), requests.Load())
			}
		})
	}
}

// With the real client: no redirect is followed.
func TestCredentialsFollowNoRedirect(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	client, err := httpclient.NewClient(httpclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for name, location := range map[string]string{
			"elsewhere": elsewhere.URL + "/?q=1", "nowhere": "", "gibberish": "http://[::1/%zz?client_assertion=x",
		} {
			requests := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests++
				w.Header().Set("Location", location)
				w.WriteHeader(status)
			}))
			x, _ := newExchange(t, identityPassword, nil)
			x.HTTP, x.AuthorityHost = client, server.URL
			_, err := x.Token(t.Context())
			server.Close()
			if err == nil || !strings.Contains(err.Error(), "a redirect") || !strings.Contains(err.Error(), "not followed") || strings.Contains(err.Error(), "?") {
				t.Errorf("%d %s: error %v", status, name, err)
			}
			if requests != 1 {
				t.Errorf("%d %s: %d requests", status, name, requests)
			}
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("%d requests went where a redirect led", n)
	}
}

func TestRefreshTokenReplaced(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answered any
		want     string
	}{
		"not":                   {nil, ""},
		"by itself":             {refresh, ""},
		"by an empty one":       {"", ""},
		"by another":            {"0.AXoA-another", "0.AXoA-another"},
		"by one with its start": {refresh + "x", refresh + "x"},
	} {
		x, server := newExchange(t, identityRefresh, func(n int, _ asked) reply {
			r := token(n)
			if tc.answered != nil {
				r.body.(map[string]any)["refresh_token"] = tc.answered
			}
			return r
		})
		got, err := x.Token(t.Context())
		if err != nil || got.Refresh.Reveal() != tc.want {
			t.Errorf("%s: %q, %v; want %q", name, got.Refresh.Reveal(), err, tc.want)
		}
		if tc.want != "" && !slices.Contains(server.kept, tc.want) {
			t.Errorf("%s: it was not kept", name)
		}
	}
}

// An answer may have a valid credential in addition to an invalid one.
func TestEveryCredentialOfAnAnswerIsKept(t *testing.T) {
	t.Parallel()
	x, server := newExchange(t, identityRefresh, func(int, asked) reply {
		return reply{status: 200, body: map[string]any{"access_token": "not one\ntoken", "refresh_token": "0.AXoA-another"}}
	})
	if _, err := x.Token(t.Context()); err == nil {
		t.Error("a token with a line break was taken")
	}
	for _, v := range []string{"not one\ntoken", "0.AXoA-another"} {
		if !slices.Contains(server.kept, v) {
			t.Errorf("%q was not kept", v)
		}
	}
}

// The lifetime of the token is what the answer says, in whole seconds.
func TestLifetime(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answered any
		want     time.Duration
	}{
		"not said": {nil, 0}, "a number": {3599, 3599 * time.Second}, "a text": {"3599", 3599 * time.Second},
		"with a fraction": {json.RawMessage("3599.0"), 3599 * time.Second}, "negative": {-1, 0}, "zero": {0, 0},
	} {
		x, _ := newExchange(t, identityServicePrincipal, func(n int, _ asked) reply {
			r := token(n)
			if r.body.(map[string]any)["expires_in"] = tc.answered; tc.answered == nil {
				delete(r.body.(map[string]any), "expires_in")
			}
			return r
		})
		if got, err := x.Token(t.Context()); err != nil || got.Lifetime != tc.want {
			t.Errorf("%s: %s, %v; want %s", name, got.Lifetime, err, tc.want)
		}
	}
}
