package check

import (
	"errors"
	"slices"
	"strings"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/entra"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/keyvault"
	"azdo-pat/internal/login"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/setup"
)

const audience = "api://AzureADTokenExchange"

// Job holds the values for the commands of a remedy. Empty: unknown.
type Job struct {
	Organization string
	Tenant       string
	Client       string // the application that trusts the assertion
	Agent        string // the agent identity; empty: the identity is no agent user
	User         string // user principal name or object id
	// ServicePrincipal: no user but the application itself signs in. Principal is the
	// object id of its service principal.
	ServicePrincipal bool
	Principal        string
	TokenFile        string
}

// Remedy returns what to do about an error on the way to a PAT: its hint and, if
// something must be changed in Entra or Azure DevOps, the commands for it.
func (j Job) Remedy(err error) string {
	lines := []string{}
	if h := hint.Of(err); h != "" {
		lines = append(lines, h)
	}
	return strings.Join(append(lines, j.Commands(err)...), "\n")
}

// Commands returns what [Job.Remedy] has besides the hint: lines that explain, an empty
// line, and commands.
func (j Job) Commands(err error) []string {
	var refused *entra.Error
	var denied *pat.Error
	var vault *keyvault.Refusal
	var lacks *login.MissingScopes
	switch {
	case errors.As(err, &refused):
		return j.entra(refused)
	case errors.As(err, &denied) && denied.NoMember():
		return j.membership()
	case errors.As(err, &vault) && vault.Role != "":
		return j.vaultRole(vault)
	case errors.As(err, &lacks):
		return commands(setup.AdviseScopes(j.known(), lacks.Scopes...))
	}
	return nil
}

func (j Job) entra(e *entra.Error) []string {
	is := func(codes ...int) bool {
		return slices.ContainsFunc(e.Codes, func(c int) bool { return slices.Contains(codes, c) })
	}
	switch {
	case is(700213, 7002138, 70021, 70025, 700211) && e.Client == j.Client && e.Presented.Subject != "":
		return j.credential(e.Presented)
	case is(700212) && e.Client == j.Client && e.Presented.Audience == audience:
		return j.credential(e.Presented)
	case is(65001, 90094, 90095):
		return commands(setup.AdviseConsent(j.known()))
	case is(700024) && j.TokenFile != "":
		return []string{"or take a fresh token: " + j.TokenFile + " may hold an old one"}
	}
	return nil
}

// known are the values that the commands of setup's steps can be filled in with.
func (j Job) known() setup.Known {
	return setup.Known{Tenant: j.Tenant, Application: j.Client, Principal: j.Principal, Agent: j.Agent, User: j.User}
}

// credential returns how to make the application trust the job's assertion. The Azure
// CLI serves for an app registration. For a blueprint it must be Graph itself, whose
// APIs refuse the Azure CLI's own token by Microsoft's documentation.
func (j Job) credential(p assertion.Claims) []string {
	var lines []string
	if strings.Contains(p.Subject, ":ref:refs/tags/") {
		lines = append(lines, "every tag has a subject of its own: let the job run in an environment, whose subject is one for all,",
			"or use a flexible federated credential (a preview of Microsoft's) instead of this one")
	}
	lines = append(lines, commands(setup.AdviseCredential(j.known(), p.Issuer, p.Subject, p.Audience))...)
	if j.Agent != "" {
		lines = append(lines, "", "(the Azure CLI will not do here: Microsoft says that the APIs of agent identities refuse its token)")
	}
	return lines
}

// commands are those of an advice, with who may run them and where.
func commands(a setup.Advice) []string {
	where := "in bash with the Azure CLI"
	if a.PowerShell {
		where = "in PowerShell 7 with the module Microsoft.Graph.Authentication"
	}
	return []string{where + ", as " + a.Role + ":", "", a.Commands}
}

// Scopes returns how to add missing scopes to an existing consent.
func (j Job) Scopes(missing ...string) string {
	if j.Client == "" {
		// The caller got the token elsewhere, for an application that is not known here.
		return "get the access token with the delegated permissions vso.pats and vso.pats_manage of Azure DevOps (or user_impersonation)"
	}
	lines := []string{"the consent lacks " + strings.Join(missing, " and ") + ": an administrator must add to it"}
	return strings.Join(append(lines, commands(setup.AdviseScopes(j.known(), missing...))...), "\n")
}

// membership is how to add the user or service principal to the organization.
func (j Job) membership() []string {
	a := setup.AdviseMembership(j.known(), j.Organization)
	if j.ServicePrincipal {
		a = setup.AdvisePrincipalMembership(j.known(), j.Organization)
	}
	a.Role += " (isSuccess must be true in the answer)"
	lines := commands(a)
	if j.Agent != "" {
		lines = append(lines, "", "(no documentation says whether Azure DevOps takes an agent user as a member)")
	}
	return lines
}

// vaultRole is how to give the application's service principal a role on the secret.
func (j Job) vaultRole(r *keyvault.Refusal) []string {
	known := j.known()
	known.Principal, known.Vault = r.Principal, r.Vault
	return commands(setup.AdviseVaultRole(known, r.Role, r.Secret))
}
