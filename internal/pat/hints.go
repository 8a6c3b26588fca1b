package pat

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/sanitize"
)

// Texts that several hints share.
const (
	usersOnly = "Azure DevOps mints PATs for users only, never for a service principal or a managed identity, whatever its permissions: " +
		"configure a service account or an agent user; or, where the consumer takes an Entra token (git, REST and feeds do), " +
		"set `token-type` to entra, and get the service principal's own token instead of a PAT"
	signIn = "the Entra token must be a user's, for Azure DevOps (499b84ac-1321-427f-aa17-267ca6975798), from the tenant that the organization is connected to, " +
		"and its application or agent identity needs consent to both vso.pats and vso.pats_manage"
	notTaken   = "Azure DevOps did not accept the Entra token: it is empty, has ended, was revoked, or was sent to the wrong host; " + signIn
	membership = "add the user to the organization (Organization settings → Users, Basic access); " +
		"if it is a member, a Conditional Access policy may block this sign-in: look at the user's sign-in log in Entra"
	trouble  = "try again later; https://status.dev.azure.com lists known problems"
	notAzure = "something other than Azure DevOps may have answered, such as a proxy: check `token-service-url`"
)

// Hint returns what the user can change, or "".
func (e *Error) Hint() string {
	if e.Op == opCaller && e.callerHint() != "" {
		return e.callerHint()
	}
	switch s := e.Status; {
	case e.Challenge != nil:
		return e.Challenge.Hint()
	case e.throttled() != nil:
		return e.throttled().Hint()
	case e.Code == "InvalidAccessException" && strings.Contains(strings.ToLower(e.Message), "service principal"):
		return usersOnly
	case e.Code == "InvalidAccessException":
		return signIn + "; " + usersOnly
	case patTokenErrors()[e.Code].hint != "":
		return patTokenErrors()[e.Code].hint
	case e.anonymous():
		return notTaken
	case e.Code == codeNoMember:
		return e.addUser()
	case e.Code == codeDenied:
		return membership + "; the consent may also lack one of vso.pats and vso.pats_manage"
	case e.Code == codeCondAccess:
		return httpclient.ConditionalAccess
	case e.Code == codeForbidden:
		return "the user has no permission for this in the organization: " + membership
	case e.Code == codeNoIdentity:
		return "Azure DevOps does not know the identity: " + membership
	case e.Code == codeNoProject:
		return "there is no such project, or the user may not see it: check `organization` and `token-service-url`, and the user's projects"
	case invalidIdentity().MatchString(e.Message):
		return "an Entra id was used where Azure DevOps expects its own: azdo-pat sends no such id, so check `token-service-url`; or " + membership
	case e.Code == codeThrottled || s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable:
		return "Azure DevOps limits the rate of requests, of a user and of an organization: let fewer jobs run at once, or " + trouble
	case e.SignedOut():
		return signIn
	case s == http.StatusForbidden:
		return signIn + "; or " + membership
	case s == http.StatusProxyAuthRequired:
		return "the proxy requires credentials: put them into HTTPS_PROXY, as http://user:password@host:port"
	case s == http.StatusNotFound:
		return "check `organization` and `token-service-url`"
	case s >= 500, s == http.StatusRequestTimeout, s == http.StatusTooEarly:
		return trouble
	case e.Unreadable && e.foreign:
		return signIn + "; or " + notAzure
	case e.Unreadable:
		return notAzure
	case errors.Is(e.Err, errID):
		return "check `authorization-id`"
	case e.untrusted():
		return "if a proxy inspects TLS here, name its root certificate with `ca-file`"
	case e.advice != "":
		return e.advice
	case e.Unsent && !errors.Is(e.Err, context.Canceled):
		return "check `token-service-url`, and HTTPS_PROXY and NO_PROXY if this machine reaches the internet through a proxy"
	}
	return ""
}

// addUser returns the hint for an account that is not in the organization. The server
// proposes to sign in with a browser, which is impossible for an agent user.
func (e *Error) addUser() string {
	who := "the account"
	if m := signInAs.FindStringSubmatch(e.Message); m != nil {
		who += " " + sanitize.Line(m[1], maxName)
	}
	return who + " is not yet a user of this organization: an administrator must add it (Organization settings → Users → Add users, access level Basic); " +
		"signing in with a browser, as the message proposes, is not possible for an agent user"
}

// errorText explains a patTokenError and what to do about it.
type errorText struct{ means, hint string }

// entraPolicy and organizationPolicy describe where a policy is set and by whom
// ("Manage personal access tokens using policies", Microsoft Learn).
func entraPolicy(name string) string {
	return `this is the tenant policy "` + name + `" (Organization settings → Microsoft Entra): an Azure DevOps Administrator (a role of Entra) ` +
		"can change it or put the user on its allowlist"
}

func organizationPolicy(name string) string {
	return `this is the organization policy "` + name + `" (Organization settings → Policies): a Project Collection Administrator ` +
		"can change it or put the user on its allowlist"
}

// patTokenErrors explains every patTokenError of the specification (7.2,
// SessionTokenError) except "none". The specification has names without
// descriptions. Where Microsoft's documentation has none either, the explanation
// repeats the name. The map is made when the first error needs it.
var patTokenErrors = sync.OnceValue(func() map[string]errorText {
	return map[string]errorText{
		// Wrong parameters of the request.
		"displayNameRequired": {"a PAT needs a display name", "set `name`"},
		"invalidDisplayName":  {"the display name is not accepted", "change `name`"},
		"invalidValidTo": {"the end of the PAT is not accepted",
			"change `lifetime` (a PAT lives at most one year), and check this machine's clock: the end must be in the future"},
		"invalidScope":           {"a scope is not accepted", "compare `scopes` with the list that `azdo-pat scopes` prints"},
		"invalidTargetAccounts":  {"the organization of the PAT is not accepted", "check `organization`"},
		"invalidAuthorizationId": {"the id of the PAT is not accepted", "check `authorization-id`"},
		"authorizationNotFound":  {"there is no PAT with that id", "check `authorization-id`; the PAT may already be revoked, or belong to another user"},
		"tokenNotFound":          {"there is no such PAT", "check `authorization-id`; the PAT may already be revoked, or belong to another user"},
		"expiredPatCannotBeExtended": {"the PAT has expired and cannot be extended",
			"mint a new one, with a longer `lifetime`"},

		// Policies.
		"disablePatCreationPolicyViolation": {"the organization restricts who may create PATs",
			organizationPolicy("Restrict personal access token (PAT) creation") +
				`; if "Allow creation of PAT with packaging scope only" is ticked there, a PAT with nothing but vso.packaging scopes may be made`},
		"fullScopePatPolicyViolation": {"the tenant forbids PATs with full access",
			"ask for single `scopes` instead of app_token: " + entraPolicy("Restrict full-scoped personal access token creation")},
		"patLifespanPolicyViolation": {"the PAT would live longer than the tenant allows",
			"shorten `lifetime`: " + entraPolicy("Enforce maximum personal access token lifespan")},
		"globalPatPolicyViolation": {"the tenant forbids PATs for all organizations",
			entraPolicy("Restrict global personal access token creation") + "; azdo-pat asks for one organization only, so please report this"},
		"globalPATCreationBlocked": {"Azure DevOps no longer makes PATs for all organizations",
			"azdo-pat asks for one organization only, so please report this"},
		"sshPolicyDisabled": {"SSH authentication is switched off in the organization",
			"a Project Collection Administrator can change it (Organization settings → Policies, \"SSH authentication\")"},
		"failedToReadTenantPolicy": {"Azure DevOps could not read the tenant's policies", trouble},
		"failedToReadOrgPolicy":    {"Azure DevOps could not read the organization's policies", trouble},

		// The user and the application.
		"accessDenied":   {"the user may not manage PATs here", signIn + "; or " + membership},
		"userIdRequired": {"the Entra token names no user", signIn},
		"invalidUserId":  {"the user is not known here", membership},
		"invalidUserType": {"an account of this kind cannot have PATs",
			usersOnly},
		"invalidClient":             {"the application that requested the Entra token is not accepted", "check `client-id`; " + signIn},
		"invalidClientType":         {"an application of this kind is not accepted", "check `client-id`; " + signIn},
		"invalidClientId":           {"the application that requested the Entra token is not known", "check `client-id`; " + signIn},
		"hostAuthorizationNotFound": {"there is no authorization for this organization", "check `organization` and `tenant-id`; " + signIn},
		"invalidToken":              {"a token is not accepted", signIn},
		"invalidTokenType":          {"a token of this kind is not accepted", signIn},
		"invalidAudience":           {"the token is for another audience", signIn},
		"invalidSubject":            {"the subject of the token is not accepted", signIn},
		"invalidSource":             {"the request's source is not accepted", sourceHint},
		"invalidSourceIP":           {"the request's source address is not accepted", sourceHint},
		"sourceNotSupported":        {"the request's source is not supported", sourceHint},

		// The server.
		"deploymentHostNotSupported": {"the URL is not that of an organization", "check `organization` and `token-service-url`"},
		"failedToIssueAccessToken":   {"Azure DevOps could not issue the token", trouble},
		"failedToUpdateAccessToken":  {"Azure DevOps could not update the token", trouble},
		"duplicateHash":              {"Azure DevOps already has a token of the same hash", trouble},
	}
})

const sourceHint = "if the tenant allows sign-ins from some addresses only (Conditional Access), add this machine's"
