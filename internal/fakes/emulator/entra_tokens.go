package emulator

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// exchangeToken makes T1 or T2.
func (x *exchange) exchangeToken(subject string) map[string]any {
	return x.answer(map[string]any{
		"iss": x.entraIssuerLocked(), "aud": exchangeResource, "sub": subject,
		"azp": x.client.ClientID, "azpacr": "2", "idtyp": "app", "tid": x.world.TenantID, "ver": "2.0",
		"uti": random(22), "iat": x.now.Unix(), "nbf": x.now.Unix(),
		"exp": x.now.Add(x.world.AccessTokenLife).Unix(),
	})
}

// agentSubject is the sub of T1: tenant, blueprint and agent identity.
func (x *exchange) agentSubject(agent *App) string {
	return "/eid1/c/pub/t/" + compactGUID(x.world.TenantID) + "/a/" + compactGUID(agent.Blueprint) + "/" + agent.ClientID
}

// compactGUID is a GUID as base64url, as subjects of /eid1/ have it.
func compactGUID(id string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil {
		return id
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// answer is a token endpoint's answer with an access token of the claims.
func (x *exchange) answer(claims map[string]any) map[string]any {
	seconds := int(x.world.AccessTokenLife.Seconds())
	return map[string]any{
		"access_token":   x.keepLocked(entraKey.sign(claims)),
		"expires_in":     seconds,
		"ext_expires_in": seconds,
	}
}

// accessClaimsLocked are the claims that all access tokens for Azure DevOps
// have. As with Entra, they are valid from five minutes before, for clocks
// that differ.
func (e *Emulator) accessClaimsLocked(client *App) map[string]any {
	now := e.Now(Entra)
	return map[string]any{
		"aud": AzureDevOpsResource, "iss": accessTokenIssuer(e.world.TenantID),
		"iat": now.Unix(), "nbf": now.Add(-5 * time.Minute).Unix(), "exp": now.Add(e.world.AccessTokenLife).Unix(),
		"appid": client.ClientID, "appidacr": "2", "tid": e.world.TenantID, "uti": random(22), "ver": "1.0",
	}
}

func (e *Emulator) userClaimsLocked(u *User, client *App) map[string]any {
	claims := e.accessClaimsLocked(client)
	claims["idtyp"] = "user"
	claims["oid"] = u.ID
	claims["sub"] = compactGUID(u.ID)
	claims["upn"] = u.UPN
	claims["unique_name"] = u.UPN
	claims["scp"] = strings.Join(e.consentedLocked(client, u), " ")
	return claims
}

// consentedLocked are the permissions to Azure DevOps that an application has for a
// user: those of the world and those of the grants.
func (e *Emulator) consentedLocked(client *App, u *User) []string {
	scopes := slices.Clone(client.Consented)
	for _, g := range e.world.Grants {
		if g.Client != client.PrincipalID || g.Resource != AzureDevOpsPrincipalID || g.Principal != "" && g.Principal != u.ID {
			continue
		}
		for _, s := range strings.Fields(g.Scope) {
			if !slices.Contains(scopes, s) {
				scopes = append(scopes, s)
			}
		}
	}
	return scopes
}

// AccessToken makes a delegated access token for Azure DevOps without being
// asked over HTTP, for the identity [AccessToken]: the service account's,
// through the app registration, after the edits, which may change and delete
// any claim.
func (e *Emulator) AccessToken(edits ...func(claims map[string]any)) string {
	e.mu.Lock()
	claims := e.userClaimsLocked(e.world.User(ServiceUserID), e.world.App(AppID))
	e.mu.Unlock()
	for _, edit := range edits {
		edit(claims)
	}
	return e.keep(entraKey.sign(claims))
}

// newRefreshToken makes a refresh token in the form of Entra's.
func newRefreshToken() string { return "1.A" + random(60) + "." + random(400) }

// newRefreshToken issues a refresh token to the client of the request.
func (x *exchange) newRefreshToken(u *User, secondFactor bool) string {
	next := &IssuedRefreshToken{
		Value: newRefreshToken(), ClientID: x.client.ClientID, UserID: u.ID,
		Expires: x.now.Add(refreshTokenLife), MFA: secondFactor,
	}
	x.world.RefreshTokens = append(x.world.RefreshTokens, next)
	return x.keepLocked(next.Value)
}
