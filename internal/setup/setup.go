// Package setup writes the scripts that create what an identity needs in Microsoft
// Entra ID and Azure DevOps, and that remove it again. It sends nothing itself.
//
// What an identity needs is a list of steps (table.go): how each is looked up, who may
// create it and with which request. A script is the list in a shell's language; check
// prints the commands of single steps.
package setup

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Identity is whose credentials the jobs will get.
type Identity string

// The identities.
const (
	AgentUser        Identity = "agent-user"
	ServiceAccount   Identity = "service-account"
	ServicePrincipal Identity = "service-principal"
)

// Format is the language of the script.
type Format string

// The formats. PowerShell is version 7.
const (
	Bash       Format = "bash"
	PowerShell Format = "powershell"
)

// Options are the caller's values, validated. Empty: the script finds or makes it.
type Options struct {
	Identity Identity
	Format   Format
	Undo     bool

	Organization string
	// Name is the display name of what is made: any visible text of up to 120 characters.
	Name      string
	Tenant    string // GUID or domain
	Client    string // client id of the application or blueprint
	Agent     string // client id of the agent identity
	AgentUser string // user principal name
	Username  string // user principal name; required for a service account
	Vault     string // name of the Key Vault; a service account's only
	Secret    string // name of the secret in it

	// Repository is OWNER/REPO on github.com: the script finds out the subject of the
	// jobs on its default branch. Empty: Issuer and Subject say it.
	Repository      string
	Issuer, Subject string
	Audience        string
}

// Script is the script.
func Script(o Options) string {
	p := newPlan(&o)
	if o.Format == PowerShell {
		return p.powerShell()
	}
	return p.bash()
}

// plan is what a script does.
type plan struct {
	*Options
	steps []step
}

func newPlan(o *Options) *plan {
	p := &plan{Options: o}
	add := func(steps ...step) { p.steps = append(p.steps, steps...) }
	add(asTenant(o.Tenant))
	blueprint := o.Identity == AgentUser
	if blueprint && !o.Undo {
		add(whoSponsors())
	}
	add(application(o))
	if o.Identity == ServiceAccount && o.Client != "" && !o.Undo {
		add(redirectURI())
	}
	credential := federatedCredential(o.trust(), blueprint)
	credential.each = o.Repository != ""
	add(principal(blueprint), credential)
	switch o.Identity {
	case ServicePrincipal:
		add(principalMember(o.Organization))
		if o.Undo {
			add(principalMemberID(o.Organization))
		}
	case ServiceAccount:
		add(serviceUser(o), azureDevOps(blueprint), consent(client, "Application.Read.All"), userMember(o.Organization, words(o.Username), newUser))
		if o.Vault != "" {
			add(theVault(o.Vault), vaultRole(0, o.Vault, o.Secret), vaultRole(1, o.Vault, o.Secret))
		}
	case AgentUser:
		add(agentIdentity(o))
		if o.AgentUser == "" {
			add(defaultDomain())
		}
		add(agentUser(o), azureDevOps(blueprint), consent(agent, "Application.Read.All"), userMember(o.Organization, o.agentUser(), child))
	}
	return p
}

// trust is what the federated credential says.
func (o *Options) trust() trust {
	if o.Repository != "" {
		return trust{words(credential), words(gitHubIssuer), words(subject), o.Audience}
	}
	return trust{words(CredentialName(o.Subject)), words(o.Issuer), words(o.Subject), o.Audience}
}

const gitHubIssuer = "https://token.actions.githubusercontent.com"

// uniqueName is the alternate key by which an application is found again. Of a name
// with other characters than the plainest it is a part of it and a hash.
func (o *Options) uniqueName() string {
	slug := strings.Trim(notInName.ReplaceAllString(o.Name, "-"), "-")
	if slug == o.Name && len(slug) <= 60 {
		return slug
	}
	sum := sha256.Sum256([]byte(o.Name))
	return strings.Trim(slug[:min(len(slug), 48)]+"-"+hex.EncodeToString(sum[:4]), "-")
}

// nickname is the part of an e-mail address before the "@".
func (o *Options) nickname() string { return strings.ToLower(o.uniqueName()) }

// agentUser is the user principal name of the agent's user.
func (o *Options) agentUser() text {
	if o.AgentUser != "" {
		return words(o.AgentUser)
	}
	return words(o.nickname()+"@", domain)
}
