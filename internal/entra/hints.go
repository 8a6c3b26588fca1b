package entra

import (
	"fmt"
	"slices"
	"strings"

	"azdo-pat/internal/sanitize"
)

// Hint returns what the user can change, or "". It depends on the first known code,
// otherwise on the suberror or the OAuth error.
func (e *Error) Hint() string {
	for _, c := range e.Codes {
		if say, ok := hints[c]; ok {
			return say(e)
		}
	}
	switch {
	case strings.Contains(e.Description, "AgentIdentity_"):
		return agents(e)
	case e.Retryable(): // nothing to change
		return ""
	case otherHints[e.Suberror] != nil:
		return otherHints[e.Suberror](e)
	case otherHints[e.OAuth] != nil:
		return otherHints[e.OAuth](e)
	}
	return ""
}

// otherHints are the hints for refusals without a known code, by suberror and error:
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
var otherHints = map[string]func(*Error) string{
	"basic_action": factor, "additional_action": factor, "interaction_required": factor, "login_required": factor,
	"message_only": access, "protection_policy_required": access, "device_authentication_failed": device,
	"consent_required": consent, "access_denied": declined, "user_password_expired": signIn, "bad_token": reseed, "token_expired": reseed,
}

var declined = say("the person declined the consent, or canceled: sign in again and accept it, or let an administrator grant it")

func say(text string) func(*Error) string { return func(*Error) string { return text } }

var (
	signIn        = say("check the user account: its name (agent-user or username), that it is enabled and not locked and, where it has one, its password")
	factor        = say("the account needs a second factor, which no job can give: sign in as the service account once with azdo-pat login, which stores a refresh token, or use another identity")
	reseed        = say("the refresh token is revoked or too old: sign in as the service account again with azdo-pat login, which stores a new one")
	access        = say("a Conditional Access policy stops it: let an administrator of the tenant exempt this application and account, or allow the runner's network")
	disabled      = say("the application or its service principal is disabled in the tenant: enable it (Enterprise applications, Properties), and check client-id")
	unknownTenant = say("check tenant-id: there is no such tenant")
	device        = say("a Conditional Access policy demands a managed device, which a job does not have: let an administrator of the tenant exclude this account or application from the policy")
	risk          = say("Entra considers the account or its sign-in at risk: an administrator of the tenant must review and clear the risk")
	consent       = say("consent is missing: an administrator must grant the delegated permissions vso.pats and vso.pats_manage of Azure DevOps to the application or agent identity")
	adminConsent  = say("only an administrator may consent in this tenant: one must grant the delegated permissions vso.pats and vso.pats_manage of Azure DevOps to the application for this user")
	cloud         = say("the application belongs to another cloud: check authority-host, tenant-id and client-id")
	renew         = say("the account's password must be changed: do so and update the setting password, or use another identity, such as the refresh token that azdo-pat login stores")
	public        = say("the application is registered as a public client: make it confidential (Authentication: allow public client flows: no); for azdo-pat login, register http://localhost under the platform Web and not under \"Mobile and desktop applications\"")
	redirect      = say("register the redirect URI http://localhost under the platform Web, without a path (Authentication, Add a platform)")
	again         = say("the code of a sign-in works once and for ten minutes: sign in again")
	ours          = say("this is a fault of azdo-pat: please report it")
	account       = say("the account is not of this tenant: sign in with the service account's user name, and check tenant-id")
	temporary     = say("the certificate has ended or was revoked, or this machine's clock is wrong: run azdo-pat login again")
)

// hints are the hints by AADSTS code.
var hints = map[int]func(*Error) string{
	700213: (*Error).noMatch, 7002138: (*Error).noMatch, 70021: (*Error).noMatch,
	// Client has a flexible federated credential. In an organization that enforces a policy
	// by it, another credential would let the job around the policy: none is proposed.
	7002131: func(e *Error) string {
		return fmt.Sprintf("no federated credential of client %s has the subject presented, and the expression of none matches the claims presented (case matters); "+
			"if your organization mints in a reusable workflow, call that workflow at the ref that its administrators name, instead of using azdo-pat in a workflow of your own; "+
			"a credential that was just created takes some minutes", e.Client)
	},
	700211: func(e *Error) string {
		return fmt.Sprintf("no federated credential of client %s has the issuer %s; in the agent flow a wrong tenant-id or agent-id says the same", e.Client, sanitize.Exact(e.Presented.Issuer))
	},
	700212: func(e *Error) string {
		return fmt.Sprintf("the audience presented was %s; the federated credential and the setting audience must both say api://AzureADTokenExchange", sanitize.Exact(e.Presented.Audience))
	},
	70025: func(e *Error) string {
		return fmt.Sprintf("client %s has no federated credential: check client-id, then add one with the values presented", e.Client)
	},
	700024: say("the assertion is expired or not yet valid: check the clock of a self-hosted runner"),
	700027: say("the assertion's signature could not be verified: the issuer's keys must be reachable from the internet"),
	50013:  say("the assertion's signature could not be verified: the issuer's keys must be reachable from the internet"),
	700229: say("an assertion that Entra issued must be an application's own"),
	700016: func(e *Error) string {
		ids := "client-id"
		if strings.Contains(e.Step, "agent") {
			ids += ", agent-id" // of an agent identity that is not the blueprint's Entra says the same
		}
		return "check " + ids + " and tenant-id: this application must exist in this tenant"
	},
	90002: unknownTenant, 900023: unknownTenant,
	50049:   say("check authority-host: Entra does not know it"),
	70000:   say("the grant is not valid; where it is a refresh token, it must be one of this application: check client-id and refresh-token"),
	500011:  say("Azure DevOps is not known in this tenant: connect the organization to Microsoft Entra ID (Organization settings, Microsoft Entra)"),
	65001:   consent,
	7000218: public, 700025: public,
	50034: signIn, 50126: signIn, 50055: signIn, 50053: signIn, 50057: signIn,
	50076: factor, 50079: factor, 50074: factor, 50158: factor,
	53003: access, 530032: access,
	50173: reseed, 700082: reseed, 70008: reseed, 70043: reseed,
	82001: agents, 82004: agents,
	700223: func(e *Error) string {
		return fmt.Sprintf("workload identity federation is switched off or limited in the tenant, or no federated credential of client %s matches: "+
			"ask the tenant's administrator whether the issuer %s is allowed, and compare the values presented", e.Client, sanitize.Exact(e.Presented.Issuer))
	},
	700238: func(e *Error) string {
		return fmt.Sprintf("the tenant does not allow workload identity federation with the issuer %s, or not for this kind of identity: its administrator must allow it", sanitize.Exact(e.Presented.Issuer))
	},
	7002381: say("the tenant accepts only repositories of certain enterprises (the claim enterprise of GitHub's assertion, which is empty for a personal repository): the repository must belong to one of them, or the tenant's administrator must change the policy"),
	70052:   say("an assertion that Entra issued works only with an application of a single tenant: set the application's signInAudience to AzureADMyOrg"),
	900382:  cloud, 900432: cloud,
	7000112: disabled, 70001: disabled,
	50020: say("the account belongs to another tenant or identity provider: check the account and tenant-id"),
	90072: say("the account is not in this tenant, or is not synchronized with it: check the account and tenant-id"),
	50105: say("the application requires that users are assigned, and this account is not: assign it (Enterprise applications, Users and groups), or switch the requirement off"),
	53000: device, 53001: device,
	53004: risk, 53010: risk, 53011: risk,
	530034: say("the account is a delegated administrator whose home tenant considers it at risk: use an account of this tenant"),
	530035: say("the tenant's security defaults block the sign-in with a password: use another identity, such as the refresh token that azdo-pat login stores"),
	65004:  declined,
	50011:  redirect, 70004: redirect, 900971: redirect, 500113: redirect,
	9002327: say("http://localhost is registered as a single-page application: move it to the platform Web (Authentication)"),
	90094:   adminConsent, 90095: adminConsent,
	16000:  account,
	700005: say("the code was given by another tenant: set tenant-id, and sign in again"),
	54005:  again,
	501481: ours, 50147: ours, 501491: ours,
	50058:   say("no user is signed in: sign in in the browser"),
	1000502: temporary, 7000214: temporary,
	50135: renew, 50144: renew,
	50194: say("the application is registered for a single tenant: set tenant-id to that tenant"),
	50196: say("Entra stopped a client that asked too often in a short time: let fewer jobs run at once, and try again later"),
	70003: agents,
}

// agents is the hint for an agent identity, or its blueprint, that may not use a grant.
func agents(e *Error) string {
	if e.Step == servicePrincipalStep {
		return "an agent identity or its blueprint gets no token of its own for Azure DevOps: for token-type entra, client-id must be an app registration"
	}
	return "an agent identity cannot be used with this grant: client-id must be the blueprint, agent-id the agent identity, agent-user its user account"
}

func (e *Error) noMatch() string {
	text := fmt.Sprintf("add a federated credential to client %s with exactly the issuer, subject and audience presented (case matters)", e.Client)
	if e.is(7002138) {
		text = fmt.Sprintf("a federated credential of client %s differs in upper and lower case alone: make its subject exactly the one presented", e.Client)
	}
	if e.is(70021) {
		text += "; one that was just created takes some minutes"
	}
	return text
}

func (e *Error) is(codes ...int) bool {
	return slices.ContainsFunc(e.Codes, func(c int) bool { return slices.Contains(codes, c) })
}
