package emulator

import "strings"

// t1 is leg 1 of the agent user: with the CI system's assertion, the blueprint
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

// t2 is leg 2: with T1 as its assertion, the agent identity gets a token of its own.
func (x *exchange) t2() (map[string]any, *entraError) {
	if err := x.assertedByBlueprint(); err != nil {
		return nil, err
	}
	return x.exchangeToken(x.client.ClientID), nil
}

// userFIC is leg 3: with T1 as its assertion, the agent identity exchanges T2 for a
// token of its user.
func (x *exchange) userFIC() (map[string]any, *entraError) {
	if x.client.Kind != AgentIdentity {
		return nil, refusal(82001, "Application '%s' is no agent identity and may not use the grant user_fic.", x.client.ClientID)
	}
	// Microsoft's protocol page sends it, its how-to page does not.
	if use := x.form.Get("requested_token_use"); use != "" && use != "on_behalf_of" {
		return nil, refusal(90100, "requested_token_use parameter is empty or not valid.")
	}
	if err := x.assertedByBlueprint(); err != nil {
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
	x.secondFactor = found.MFA
	answer, err := x.userToken(user)
	if err == nil && x.world.RotateRefreshTokens {
		answer["refresh_token"] = x.newRefreshToken(user, found.MFA)
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
		err = x.assertedByBlueprint()
	default:
		err = x.federated()
	}
	claims := x.accessClaimsLocked(x.client)
	switch {
	case err != nil:
	case x.form.Get("scope") == vaultScope && !x.world.NoKeyVault:
		claims["aud"] = VaultResource
	default:
		err = x.azureDevOps()
	}
	if err != nil {
		return nil, err
	}
	claims["idtyp"] = "app"
	claims["oid"] = x.client.PrincipalID
	claims["sub"] = x.client.PrincipalID
	claims["xms_ftd"] = random(900) // real ones have 1.5 to 2.5 kB
	answer := x.answer(claims)
	x.appTokens = append(x.appTokens, answer["access_token"].(string))
	return answer, nil
}

func (x *exchange) unsupported() (map[string]any, *entraError) {
	return nil, refusal(70003, "The app requested an unsupported grant type '%s'.", x.form.Get("grant_type"))
}

// azureDevOps checks that the scope is Azure DevOps' .default.
func (x *exchange) azureDevOps() *entraError {
	scope := x.form.Get("scope")
	if x.form.Get("grant_type") == "authorization_code" { // the only grant for which the client asks for more
		scope, _ = splitScope(scope)
	}
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
	case u.MFARequired && interactive && !x.secondFactor:
		return nil, refusal(50076, "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '%s'.", AzureDevOpsResource)
	case u.BlockedByPolicy:
		return nil, refusal(53003, "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.")
	case len(x.consentedLocked(x.client, u)) == 0:
		return nil, refusal(65001, "The user or administrator has not consented to use the application with ID '%s'. Send an interactive authorization request for this user and resource.", x.client.ClientID)
	}
	claims := x.userClaimsLocked(u, x.client)
	if demanded := x.form.Get("claims"); demanded != "" {
		claims[claimsMet] = demanded
	}
	answer := x.answer(claims)
	var scopes []string
	for _, s := range append([]string{".default"}, x.consentedLocked(x.client, u)...) {
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
