package entra

import (
	"fmt"

	"azdo-pat/internal/outside"
)

// Hint says what to change, by the first code that is known.
func (e *Error) Hint() string {
	for _, c := range e.Codes {
		if say, ok := hints[c]; ok {
			return say(e)
		}
	}
	return ""
}

func say(text string) func(*Error) string { return func(*Error) string { return text } }

var (
	signIn = say("check the user account: its name (agent-user or username), that it is enabled and not locked and, where it has one, its password")
	factor = say("the account needs a second factor, which no job can give; use another identity, such as an agent user")
	reseed = say("the refresh token is revoked or too old: sign in as the service account once more and store the new one")
	access = say("a Conditional Access policy stops it: let an administrator of the tenant exempt this application and account, or admit the runner's network")
	tenant = say("check client-id and tenant-id: this application must exist in this tenant")
	public = say("the application is registered as a public client: make it confidential (Authentication: allow public client flows: no)")
)

// hints is what to tell the user for an AADSTS code.
var hints = map[int]func(*Error) string{
	700213: (*Error).noMatch, 7002138: (*Error).noMatch, 70021: (*Error).noMatch,
	700211: func(e *Error) string {
		return fmt.Sprintf("no federated credential of client %s has the issuer %s; in the agent flow a wrong tenant-id or agent-id says the same", e.Client, outside.Exact(e.Presented.Issuer))
	},
	700212: func(e *Error) string {
		return fmt.Sprintf("the audience presented was %s; the federated credential and the setting audience must both say api://AzureADTokenExchange", outside.Exact(e.Presented.Audience))
	},
	70025: func(e *Error) string {
		return fmt.Sprintf("client %s has no federated credential: check client-id, then add one with the values presented", e.Client)
	},
	700024:  say("the assertion is expired or not yet valid: check the clock of a self-hosted runner"),
	700027:  say("the assertion's signature could not be verified: the issuer's keys must be reachable from the internet"),
	50013:   say("the assertion's signature could not be verified: the issuer's keys must be reachable from the internet"),
	700229:  say("an assertion that Entra issued must be an application's own"),
	700016:  tenant,
	90002:   say("check tenant-id: there is no such tenant"),
	500011:  say("Azure DevOps is not known in this tenant: connect the organization to Microsoft Entra ID (Organization settings, Microsoft Entra)"),
	65001:   say("consent is missing: an administrator must grant the delegated permissions vso.pats and vso.pats_manage of Azure DevOps to the application or agent identity"),
	7000218: public, 700025: public,
	50034: signIn, 50126: signIn, 50055: signIn, 50053: signIn, 50057: signIn,
	50076: factor, 50079: factor, 50074: factor, 50158: factor,
	53003: access, 530032: access,
	50173: reseed, 700082: reseed, 70008: reseed, 70043: reseed,
	82001: say("an agent identity cannot be used with this grant: client-id must be the blueprint, agent-id the agent identity, agent-user its user account"),
	70003: say("this grant is not supported for the client: client-id must be the blueprint, agent-id the agent identity, agent-user its user account"),
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

func (e *Error) is(code int) bool {
	for _, c := range e.Codes {
		if c == code {
			return true
		}
	}
	return false
}
