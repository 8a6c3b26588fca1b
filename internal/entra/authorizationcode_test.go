package entra

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/secret"
)

// query returns the parameters of the page's address.
func query(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if want := authority + "/" + tenantID + "/oauth2/v2.0/authorize"; u.Scheme+"://"+u.Host+u.Path != want {
		t.Errorf("the page is %s, want %s", address, want)
	}
	return u.Query()
}

func TestAuthorizationURL(t *testing.T) {
	t.Parallel()
	a := NewAuthorization(blueprint, "http://localhost:8765", service)
	got := query(t, a.URL(authority, tenantID))
	for name, want := range map[string]string{
		"client_id": blueprint, "response_type": "code", "response_mode": "form_post", "redirect_uri": "http://localhost:8765",
		"scope": devOps + " offline_access openid profile", "state": a.State.Reveal(), "code_challenge_method": "S256",
		"prompt": "select_account", "login_hint": service,
	} {
		if got.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Get(name), want)
		}
	}
	sum := sha256.Sum256([]byte(a.verifier.Reveal()))
	if got.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
		t.Error("the challenge is not the verifier's")
	}
	if len(got) != 10 || len(a.verifier.Reveal()) != 43 {
		t.Errorf("got %v; a verifier of %d characters", got, len(a.verifier.Reveal()))
	}
	b := NewAuthorization(blueprint, "http://localhost:8765", "")
	again := query(t, b.URL(authority, tenantID))
	if again.Get("state") == got.Get("state") || again.Get("code_challenge") == got.Get("code_challenge") || again.Has("login_hint") {
		t.Errorf("the next sign-in has %v", again)
	}
}

func TestRedeemCode(t *testing.T) {
	t.Parallel()
	a := NewAuthorization(blueprint, "http://localhost:8765", "")
	x, server := newExchange(t, &Code{a, secret.New("some-code")}, func(int, asked) reply {
		return reply{status: 200, body: map[string]any{"access_token": "some-access-token", "token_type": "Bearer", "expires_in": 3599,
			"refresh_token": "some-refresh-token", "id_token": "some-id-token", "scope": "openid"}}
	})
	token, err := x.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if token.Access.Reveal() != "some-access-token" || token.Refresh.Reveal() != "some-refresh-token" || token.ID.Reveal() != "some-id-token" || token.Scope != "openid" {
		t.Errorf("got %s %s %s %s", token.Access.Reveal(), token.Refresh.Reveal(), token.ID.Reveal(), token.Scope)
	}
	for name, want := range map[string]string{
		"grant_type": "authorization_code", "client_id": blueprint, "code": "some-code", "redirect_uri": "http://localhost:8765",
		"code_verifier": a.verifier.Reveal(), "scope": devOps + " offline_access openid profile", "client_assertion_type": assertionT,
	} {
		if got := server.asked[0].form.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if server.asked[0].header.Get("Origin") != "" {
		t.Error("an Origin was sent")
	}
	for _, v := range []string{"some-access-token", "some-refresh-token", "some-id-token"} {
		if !strings.Contains(strings.Join(server.kept, " "), v) {
			t.Errorf("%s was not masked", v)
		}
	}
}

// An error does not repeat the code and the verifier.
func TestCodeIsNotRepeated(t *testing.T) {
	t.Parallel()
	a := NewAuthorization(blueprint, "http://localhost:8765", "")
	x, _ := newExchange(t, &Code{a, secret.New("some-code")}, func(_ int, r asked) reply {
		return reply{status: 400, body: map[string]any{"error": "invalid_grant",
			"error_description": "AADSTS70000: not " + r.form.Get("code") + " with " + r.form.Get("code_verifier")}}
	})
	_, err := x.Token(t.Context())
	if err == nil || strings.Contains(err.Error(), "some-code") || strings.Contains(err.Error(), a.verifier.Reveal()) {
		t.Errorf("got %v", err)
	}
}

func TestRefusedAtThePage(t *testing.T) {
	t.Parallel()
	a := NewAuthorization(blueprint, "http://localhost:8765", "")
	err := a.Refused(authority, "access_denied", "AADSTS65004: User declined\nto consent.")
	if want := "sign in at Entra's page for client " + blueprint + ": login.test answered: access_denied: AADSTS65004: User declined to consent."; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if h := hint.Of(err); !strings.Contains(h, "declined the consent") {
		t.Errorf("the hint is %q", h)
	}
	if h := hint.Of(a.Refused(authority, "access_denied", "")); !strings.Contains(h, "canceled") {
		t.Errorf("without a code the hint is %q", h)
	}
}
