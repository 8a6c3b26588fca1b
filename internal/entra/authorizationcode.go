package entra

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

// signInScope asks for what was consented, for a refresh token (offline_access), and
// for who signed in (openid, profile).
const signInScope = azureDevOpsScope + " offline_access openid profile"

// Authorization is one sign-in of a person in a browser, by the authorization code flow
// with PKCE:
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
type Authorization struct {
	Client string // client id of the application
	// RedirectURI is where Entra sends the browser with the code. The request for the
	// page and the one that redeems the code must have the same.
	RedirectURI string
	// Username is filled in on Entra's page. Empty: nothing is.
	Username string

	// State must come back with the code. A process that knows it can end the sign-in
	// with an answer of its own.
	State    secret.Value
	verifier secret.Value
}

// NewAuthorization makes a sign-in with a fresh state and a fresh PKCE verifier (RFC
// 7636), of 256 random bits each.
func NewAuthorization(client, redirectURI, username string) *Authorization {
	return &Authorization{Client: client, RedirectURI: redirectURI, Username: username, State: random256(), verifier: random256()}
}

func random256() secret.Value {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return secret.New(base64.RawURLEncoding.EncodeToString(b))
}

// URL returns the address of Entra's page for signing in. The answer comes by POST, so
// that the code is not kept in the browser's history. Entra asks which account to use
// even if one is signed in.
func (a *Authorization) URL(authorityHost, tenant string) string {
	challenge := sha256.Sum256([]byte(a.verifier.Reveal()))
	query := url.Values{
		"client_id":             {a.Client},
		"response_type":         {"code"},
		"response_mode":         {"form_post"},
		"redirect_uri":          {a.RedirectURI},
		"scope":                 {signInScope},
		"state":                 {a.State.Reveal()},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
		"prompt":                {"select_account"},
	}
	if a.Username != "" {
		query.Set("login_hint", a.Username)
	}
	return authorityHost + "/" + url.PathEscape(tenant) + "/oauth2/v2.0/authorize?" + query.Encode()
}

// Refused returns the error of an answer without a code, from the parameters error and
// error_description. They came by way of the browser.
func (a *Authorization) Refused(authorityHost, oauth, description string) error {
	refused := &Error{Step: "sign in at Entra's page", Client: a.Client, Host: httpclient.HostOf(authorityHost)}
	body, err := json.Marshal(map[string]string{"error": oauth, "error_description": description})
	if err != nil {
		return err
	}
	refused.parse(body, nil)
	return refused
}

// Code redeems the code that came back.
type Code struct {
	*Authorization
	Code secret.Value
}

func (c *Code) token(ctx context.Context, e *endpoint, assertion secret.Value) (answer, error) {
	return e.ask(ctx, "redeem the code of the sign-in", c.Client, assertion, signInScope, url.Values{
		"grant_type": {"authorization_code"}, "code": {c.Code.Reveal()},
		"redirect_uri": {c.RedirectURI}, "code_verifier": {c.verifier.Reveal()},
	})
}
