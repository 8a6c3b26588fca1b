package emulator

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"time"
)

// codeLife is how long an authorization code lives.
const codeLife = 10 * time.Minute

// An authorizationCode is what the page gives the client, to be redeemed once:
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
type authorizationCode struct {
	clientID, userID string
	redirect         string // as the client wrote it
	platform         Platform
	challenge        string
	scope            []string // the OpenID scopes that were granted
	nonce            string
	expires          time.Time
	secondFactor     bool
	used             bool
}

// openIDScopes may stand beside the .default of one API.
var openIDScopes = []string{"openid", "profile", "email", "offline_access"}

// splitScope separates the scopes of an API from OpenID's.
func splitScope(scope string) (api string, openID []string) {
	var apis []string
	for _, s := range strings.Split(scope, " ") {
		if slices.Contains(openIDScopes, s) {
			openID = append(openID, s)
		} else {
			apis = append(apis, s)
		}
	}
	return strings.Join(apis, " "), openID
}

// authorizationCode is the grant authorization_code.
func (x *exchange) authorizationCode() (map[string]any, *entraError) {
	code := x.codes[x.form.Get("code")]
	// Which platform the redirect URI is of decides what the client is.
	if code != nil && code.platform == Native {
		return nil, refusal(700025, "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.")
	}
	if err := x.federatedForUser(); err != nil {
		return nil, err
	}
	for _, name := range []string{"code", "redirect_uri"} {
		if !x.form.Has(name) {
			return nil, missing(name)
		}
	}
	x.keepLocked(x.form.Get("code_verifier"))
	sum := sha256.Sum256([]byte(x.form.Get("code_verifier")))
	switch {
	case code == nil:
		return nil, refusal(70000, "The provided value for the 'code' parameter is not valid.")
	case code.used:
		return nil, refusal(54005, "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.")
	case code.platform == SPA:
		return nil, refusal(9002327, "Tokens issued for the 'Single-Page Application' client-type may only be redeemed via cross-origin requests.")
	case !x.now.Before(code.expires):
		return nil, refusal(70008, "The provided authorization code or refresh token has expired due to inactivity.")
	case code.clientID != x.client.ClientID:
		return nil, refusal(70000, "The code was issued to '%s' and not to '%s'.", code.clientID, x.client.ClientID)
	case code.redirect != x.form.Get("redirect_uri"):
		return nil, refusal(70000, "The 'redirect_uri' is not the one that the code was requested with.")
	case len(x.form.Get("code_verifier")) < 43 || len(x.form.Get("code_verifier")) > 128,
		base64.RawURLEncoding.EncodeToString(sum[:]) != code.challenge:
		return nil, refusal(501481, "The Code_Verifier does not match the code_challenge supplied in the authorization request.")
	}
	code.used = true
	x.secondFactor = code.secondFactor
	user := x.world.User(code.userID)
	answer, err := x.userToken(user)
	if err != nil {
		return nil, err
	}
	if slices.Contains(code.scope, "offline_access") && !x.client.NoOfflineAccess {
		answer["refresh_token"] = x.newRefreshToken(user, code.secondFactor)
	}
	if slices.Contains(code.scope, "openid") {
		answer["id_token"] = x.idToken(user, code)
	}
	return answer, nil
}

// idToken is the id_token of a sign-in:
// https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
func (x *exchange) idToken(u *User, code *authorizationCode) string {
	claims := map[string]any{
		"iss": x.entraIssuerLocked(), "aud": x.client.ClientID, "ver": "2.0", "tid": x.world.TenantID,
		"iat": x.now.Unix(), "nbf": x.now.Unix(), "exp": x.now.Add(x.world.AccessTokenLife).Unix(),
		"sub": compactGUID(u.ID), "oid": u.ID, "uti": random(22),
	}
	if slices.Contains(code.scope, "profile") {
		claims["preferred_username"] = u.UPN
		claims["name"] = strings.ToUpper(u.UPN[:1])
	}
	if code.nonce != "" {
		claims["nonce"] = code.nonce
	}
	return x.keepLocked(entraKey.sign(claims))
}
