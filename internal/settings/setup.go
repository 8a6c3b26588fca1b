package settings

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"azdo-pat/internal/keyvault"
)

// longestName is the length of the longest display name that setup takes.
const longestName = 120

// setup checks what the script needs.
func (l *loader) setup(s *Settings) {
	if !l.given("identity") {
		l.need("identity", "agent-user, service-account or service-principal")
	}
	l.trust()
	l.setupFormat(s)
	l.otherIdentities(s)
	if s.Name == "" && s.Organization != "" {
		s.Name = "azdo-pat-" + s.Organization
	}
	if l.given("name") && (utf8.RuneCountInString(s.Name) > longestName || !visible(s.Name)) {
		l.wrong("name", s.Name, "a name of up to 120 visible characters")
	}
	if s.ClientID != "" && !IsGUID(s.ClientID) {
		l.wrong("client-id", s.ClientID, "the client id of an application that is there, a GUID")
	}
	if from := l.origins["client-id"]; slices.Contains(Describe("client-id").AlsoRead, from) {
		s.Warnings = append(s.Warnings, "the script uses the application "+s.ClientID+" of the variable "+from+" and creates none; unset it to have one created")
	}
	switch s.SetupIdentity {
	case "service-account":
		if s.RefreshTokenVault != "" {
			l.setupVault(s)
		}
		if !l.given("username") {
			l.need("username", "the user principal name of the service account, which the script creates if there is none")
		} else if s.Username != "" && !upn.matches(s.Username) {
			l.wrong("username", s.Username, "the user principal name of the service account, such as azdo@contoso.com")
		}
	case "agent-user":
		if s.AgentID != "" && !IsGUID(s.AgentID) {
			l.wrong("agent-id", s.AgentID, "the client id of an agent identity that is there, a GUID")
		}
		if s.AgentUser != "" && !upn.matches(s.AgentUser) {
			l.wrong("agent-user", s.AgentUser, "the user principal name of the agent's user account, such as agent@contoso.com")
		}
	}
}

// setupIdentities are the values of identity, by the identity of the jobs.
var setupIdentities = map[Identity]string{
	RefreshToken: "service-account", VaultToken: "service-account", Password: "service-account", AgentUser: "agent-user",
}

// otherIdentities refuses the settings of another identity than the one to set up. setup
// does not read credentials, which may be in the environment for other commands.
func (l *loader) otherIdentities(s *Settings) {
	for _, d := range Descriptions {
		owner := setupIdentities[d.identity]
		switch {
		case d.identity == "" || !l.given(d.Name):
		case d.Secret:
			s.Warnings = append(s.Warnings, l.as(d.Name)+" is not used: setup needs no credential, and the script has none")
		case s.SetupIdentity != "" && s.SetupIdentity != owner:
			l.ignore(d.Name)
			l.problem(d.Name, fmt.Sprintf("%s is set with the identity %s: it belongs to the identity %s; leave it out", l.as(d.Name), s.SetupIdentity, owner))
		}
	}
}

// setupVault checks that the vault is one in Azure.
func (l *loader) setupVault(s *Settings) {
	const name = "refresh-token-vault"
	if vault, _ := keyvault.Names(s.RefreshTokenVault); vault == "" {
		l.wrong(name, s.RefreshTokenVault, "the URL of a Key Vault secret, "+keyvault.Form)
	}
}

// trust checks that it is known which jobs to trust.
func (l *loader) trust() {
	repository, issuer, subject := l.given("repository"), l.given("issuer"), l.given("subject")
	switch {
	case repository && (issuer || subject):
		l.problem("repository", fmt.Sprintf("%s is set beside %s: set repository, or issuer with subject", l.as("repository"), l.either("issuer", "subject")))
	case repository, issuer && subject:
	case issuer:
		l.need("subject", "the subject of the tokens of the jobs to trust, to the last character")
	case subject:
		l.need("issuer", "the issuer of the tokens of the jobs to trust")
	default:
		l.need("repository", "the GitHub repository whose jobs are trusted; or set issuer with subject")
	}
}

// either names the first of the settings that is given.
func (l *loader) either(names ...string) string {
	for _, name := range names {
		if l.given(name) {
			return l.as(name)
		}
	}
	return ""
}

// setupFormat decides the language of the script. Microsoft Graph ignores permissions for
// agent identities in tokens of the Azure CLI.
func (l *loader) setupFormat(s *Settings) {
	agent := s.SetupIdentity == "agent-user"
	switch {
	case agent && s.Format == "bash":
		l.wrong("format", "bash", "powershell for agent-user, since the Azure CLI cannot create agent identities")
	case s.Format == "" && agent:
		s.Format = "powershell"
	case s.Format == "":
		s.Format = "bash"
	}
}
