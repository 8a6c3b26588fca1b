package emulator

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"
)

// t1 is leg 1 of the agent user: the blueprint, vouched for by the CI system,
// gets a token for the agent identity that fmi_path names. Without fmi_path
// the token is for the blueprint itself, which no agent identity can use.
func (x *exchange) t1() (map[string]any, *entraError) {
	if x.client.Kind != Blueprint {
		return nil, refusal(70003, "Application '%s' is no agent identity blueprint.", x.client.ClientID)
	}
	if err := x.federated(); err != nil {
		return nil, err
	}
	if scope := x.form.Get("scope"); scope != exchangeScope {
		return nil, refusal(70011, "The provided value for the input parameter 'scope' is not valid. The scope %s is not valid.", scope)
	}
	subject := x.client.ClientID
	if path := x.form.Get("fmi_path"); path != "" {
		agent := x.world.App(path)
		if agent == nil || agent.Kind != AgentIdentity || agent.Blueprint != x.client.ClientID {
			return nil, refusal(700016, "Application with identifier '%s' was not found among the agent identities of '%s'.", path, x.client.ClientID)
		}
		subject = x.agentSubject(agent)
	}
	return x.exchangeToken(subject), nil
}

// t2 is leg 2: the agent identity, vouched for by T1, gets a token of its own.
func (x *exchange) t2() (map[string]any, *entraError) {
	if err := x.vouchedByBlueprint(); err != nil {
		return nil, err
	}
	return x.exchangeToken(x.client.ClientID), nil
}

// userFIC is leg 3: the agent identity, vouched for by T1, gets a token of
// its user, vouched for by T2.
func (x *exchange) userFIC() (map[string]any, *entraError) {
	if x.client.Kind != AgentIdentity {
		return nil, refusal(82001, "Application '%s' is no agent identity and may not use the grant user_fic.", x.client.ClientID)
	}
	if err := x.vouchedByBlueprint(); err != nil {
		return nil, err
	}
	if !x.form.Has("user_federated_identity_credential") {
		return nil, missing("user_federated_identity_credential")
	}
	t2, err := x.entraToken("user_federated_identity_credential")
	if err != nil {
		return nil, err
	}
	if t2.Subject != x.client.ClientID || t2.text("azp") != x.client.ClientID {
		return nil, refusal(700213, "No matching federated identity record found for presented assertion subject '%s': the user's credential must be the agent identity's own token.", t2.Subject)
	}
	if x.form.Has("username") == x.form.Has("user_id") {
		return nil, refusal(90100, "exactly one of username and user_id must be given.")
	}
	user := x.namedUser()
	if user == nil {
		return nil, x.unknownUser()
	}
	if user.Agent != x.client.ClientID {
		return nil, refusal(50034, "The user account %s is not the agent user of '%s'.", user.UPN, x.client.ClientID)
	}
	return x.userToken(user)
}

// refreshToken is the grant refresh_token.
func (x *exchange) refreshToken() (map[string]any, *entraError) {
	if err := x.federatedForUser(); err != nil {
		return nil, err
	}
	if !x.form.Has("refresh_token") {
		return nil, missing("refresh_token")
	}
	var found *IssuedRefreshToken
	for _, t := range x.world.RefreshTokens {
		if t.Value == x.form.Get("refresh_token") {
			found = t
		}
	}
	switch {
	case found == nil:
		return nil, refusal(70008, "The refresh token is unknown, malformed or has expired.")
	case found.ClientID != x.client.ClientID:
		return nil, refusal(70000, "The refresh token was issued to '%s' and not to '%s'.", found.ClientID, x.client.ClientID)
	case found.Revoked:
		return nil, refusal(50173, "The provided grant has expired due to it being revoked, a fresh auth token is needed.")
	case !x.now.Before(found.Expires):
		return nil, refusal(700082, "The refresh token has expired due to inactivity. The token was inactive for 90.00:00:00.")
	}
	user := x.world.User(found.UserID)
	if user == nil {
		return nil, refusal(50034, "The user account %s does not exist in the %s directory.", found.UserID, x.world.TenantDomain)
	}
	if user.SignInTooOld {
		return nil, refusal(70043, "The refresh token has expired or is invalid due to sign-in frequency checks by conditional access.")
	}
	answer, err := x.userToken(user)
	if err == nil && x.world.RotateRefreshTokens {
		next := &IssuedRefreshToken{Value: newRefreshToken(), ClientID: found.ClientID, UserID: found.UserID, Expires: x.now.Add(refreshTokenLife)}
		x.world.RefreshTokens = append(x.world.RefreshTokens, next)
		answer["refresh_token"] = x.keepLocked(next.Value)
	}
	return answer, err
}

// password is the grant password.
func (x *exchange) password() (map[string]any, *entraError) {
	if err := x.federatedForUser(); err != nil {
		return nil, err
	}
	for _, name := range []string{"username", "password"} {
		if !x.form.Has(name) {
			return nil, missing(name)
		}
	}
	user := x.namedUser()
	switch {
	case user == nil:
		return nil, x.unknownUser()
	case user.Locked:
		return nil, refusal(50053, "The account is locked, you've tried to sign in too many times with an incorrect user ID or password.")
	case user.Password == "" || user.Password != x.form.Get("password"):
		return nil, refusal(50126, "Error validating credentials due to invalid username or password.")
	case user.PasswordExpired:
		return nil, refusal(50055, "The password is expired.")
	}
	return x.userToken(user)
}

// appOnly is client_credentials for a resource: a token without a user.
func (x *exchange) appOnly() (map[string]any, *entraError) {
	var err *entraError
	switch x.client.Kind {
	case Blueprint:
		return nil, refusal(82001, "Agentic application '%s' is not permitted to request app-only tokens for resource '%s'.", x.client.ClientID, x.form.Get("scope"))
	case AgentIdentity:
		err = x.vouchedByBlueprint()
	default:
		err = x.federated()
	}
	if err == nil {
		err = x.azureDevOps()
	}
	if err != nil {
		return nil, err
	}
	claims := x.accessClaimsLocked(x.client)
	claims["idtyp"] = "app"
	claims["oid"] = x.client.ClientID // the service principal's, which the world does not tell apart
	claims["sub"] = x.client.ClientID
	return x.answer(claims), nil
}

func (x *exchange) unsupported() (map[string]any, *entraError) {
	return nil, refusal(70003, "The app requested an unsupported grant type '%s'.", x.form.Get("grant_type"))
}

// federatedForUser is federated for the grants in a user's name, which are
// not for agents.
func (x *exchange) federatedForUser() *entraError {
	if x.client.Kind != AppRegistration {
		return refusal(82001, "Agentic application '%s' is not permitted to use the grant %s.", x.client.ClientID, x.form.Get("grant_type"))
	}
	return x.federated()
}

// federated verifies the CI system's assertion against the client's federated
// credentials. The order is Entra's: which record, then the signature, then
// the lifetime.
func (x *exchange) federated() *entraError {
	assertion, parseErr := parse(x.form.Get("client_assertion"))
	if parseErr != nil {
		return refusal(50027, "JWT token is invalid or malformed: %v.", parseErr)
	}
	if len(x.client.Credentials) == 0 {
		return refusal(70025, "The client '%s' has no configured federated identity credentials.", x.client.ClientID)
	}
	// How far the best credential matches: 1 issuer, 2 subject but for case,
	// 3 subject, 4 audience too.
	best := 0
	for _, c := range x.client.Credentials {
		match := 0
		switch {
		case c.Issuer != assertion.Issuer:
		case !strings.EqualFold(c.Subject, assertion.Subject):
			match = 1
		case c.Subject != assertion.Subject:
			match = 2
		case !assertion.Audience.Contains(c.Audience):
			match = 3
		default:
			match = 4
		}
		best = max(best, match)
	}
	const look = "Please check your federated identity credential Subject, Audience and Issuer against the presented assertion."
	switch best {
	case 0:
		return refusal(700211, "No matching federated identity record found for presented assertion issuer '%s'. %s", assertion.Issuer, look)
	case 1:
		return refusal(700213, "No matching federated identity record found for presented assertion subject '%s'. %s", assertion.Subject, look)
	case 2:
		return refusal(7002138, "No matching federated identity record found for presented assertion subject '%s'. The subject matches with different casing. %s", assertion.Subject, look)
	case 3:
		return refusal(700212, "No matching federated identity record found for presented assertion audience '%s'. %s", strings.Join(assertion.Audience, ", "), look)
	}
	if !assertion.signedBy(x.issuerKeyLocked(assertion.Issuer)) {
		return refusal(700027, "The certificate with identifier used to sign the client assertion is not registered on application, or the signature is invalid.")
	}
	if !assertion.inForce(x.now) {
		return refusal(700024, "Client assertion is not within its valid time range. Current time: %s.", x.now.Format(time.RFC3339))
	}
	if x.reused {
		return refusal(codeReused, "The emulator takes each assertion of the CI system once: jti '%s' has been presented before.", assertion.ID)
	}
	return nil
}

// vouchedByBlueprint verifies that the client assertion is T1 for this agent
// identity.
func (x *exchange) vouchedByBlueprint() *entraError {
	t1, err := x.entraToken("client_assertion")
	if err != nil {
		return err
	}
	if t1.text("azp") != x.client.Blueprint {
		return refusal(700213, "No matching federated identity record found for presented assertion subject '%s': its client is '%s', not the blueprint.", t1.Subject, t1.text("azp"))
	}
	if t1.Subject != x.agentSubject(x.client) {
		return refusal(700211, "No matching federated identity record found for presented assertion: its subject '%s' is not the agent identity's (fmi_path).", t1.Subject)
	}
	return nil
}

// entraToken verifies that a parameter is a T1 or T2: an exchange token that
// Entra itself has signed.
func (x *exchange) entraToken(parameter string) (*token, *entraError) {
	t, err := parse(x.form.Get(parameter))
	switch {
	case err != nil:
		return nil, refusal(50027, "JWT token in %s is invalid or malformed: %v.", parameter, err)
	case t.Issuer != x.entraIssuerLocked():
		return nil, refusal(700211, "No matching federated identity record found for presented assertion issuer '%s' in %s.", t.Issuer, parameter)
	case !t.signedBy(entraKey):
		return nil, refusal(50013, "Assertion failed signature validation: %s.", parameter)
	case false:
		return nil, refusal(700212, "No matching federated identity record found for presented assertion audience '%s' in %s.", strings.Join(t.Audience, ", "), parameter)
	case !t.inForce(x.now):
		return nil, refusal(700024, "Client assertion is not within its valid time range: %s.", parameter)
	}
	return t, nil
}

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

// azureDevOps checks that the scope is Azure DevOps' .default.
func (x *exchange) azureDevOps() *entraError {
	scope := x.form.Get("scope")
	switch {
	case scope == azureDevOpsScope && !x.world.NoAzureDevOps:
		return nil
	case strings.HasPrefix(scope, AzureDevOpsResource+"/") && !x.world.NoAzureDevOps:
		return refusal(70011, "The provided value for the input parameter 'scope' is not valid. The emulator takes %s alone.", azureDevOpsScope)
	}
	resource, _, _ := strings.Cut(scope, "/.default")
	return refusal(500011, "The resource principal named %s was not found in the tenant named %s.", resource, x.world.TenantDomain)
}

// userToken makes an access token in the user's name, if the user may have
// one.
func (x *exchange) userToken(u *User) (map[string]any, *entraError) {
	if err := x.azureDevOps(); err != nil {
		return nil, err
	}
	interactive := x.form.Get("grant_type") != "user_fic"
	switch {
	case u.Disabled:
		return nil, refusal(50057, "The user account is disabled.")
	case u.MFARequired && interactive:
		return nil, refusal(50076, "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '%s'.", AzureDevOpsResource)
	case u.BlockedByPolicy:
		return nil, refusal(53003, "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.")
	case len(x.client.Consented) == 0:
		return nil, refusal(65001, "The user or administrator has not consented to use the application with ID '%s'. Send an interactive authorization request for this user and resource.", x.client.ClientID)
	}
	answer := x.answer(x.userClaimsLocked(u, x.client))
	scopes := make([]string, 0, len(x.client.Consented)+1)
	for _, s := range append([]string{".default"}, x.client.Consented...) {
		scopes = append(scopes, AzureDevOpsResource+"/"+s)
	}
	answer["scope"] = strings.Join(scopes, " ")
	return answer, nil
}

// namedUser is the user whose principal name is username or whose object id is
// user_id, or nil.
func (x *exchange) namedUser() *User {
	for _, u := range x.world.Users {
		if strings.EqualFold(u.UPN, x.form.Get("username")) || strings.EqualFold(u.ID, x.form.Get("user_id")) {
			return u
		}
	}
	return nil
}

func (x *exchange) unknownUser() *entraError {
	return refusal(50034, "The user account %s does not exist in the %s directory.", x.form.Get("username")+x.form.Get("user_id"), x.world.TenantDomain)
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
	claims["scp"] = strings.Join(client.Consented, " ")
	return claims
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
