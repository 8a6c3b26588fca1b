package check

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"strings"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/entra"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/keyvault"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/quote"
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
	var refused *entra.Error
	var denied *pat.Error
	var vault *keyvault.Refusal
	switch {
	case errors.As(err, &refused):
		lines = append(lines, j.entra(refused)...)
	case errors.As(err, &denied) && denied.NoMember():
		lines = append(lines, j.membership()...)
	case errors.As(err, &vault) && vault.Role != "":
		lines = append(lines, j.vaultRole(vault)...)
	}
	return strings.Join(lines, "\n")
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
	case is(65001):
		return j.consent()
	case is(700024) && j.TokenFile != "":
		return []string{"or take a fresh token: " + j.TokenFile + " may hold an old one"}
	}
	return nil
}

// credential returns how to make the application trust the job's assertion. The
// Azure CLI serves an app registration. A blueprint needs Graph itself: by
// Microsoft's documentation its APIs refuse the Azure CLI's own token.
func (j Job) credential(p assertion.Claims) []string {
	a := setup.AdviseCredential(j.Client, j.Agent != "", p.Issuer, p.Subject, p.Audience)
	var lines []string
	if strings.Contains(p.Subject, ":ref:refs/tags/") {
		lines = append(lines, "every tag has a subject of its own: let the job run in an environment, whose subject is one for all,",
			"or use a flexible federated credential (a preview of Microsoft's) instead of this one")
	}
	if j.Agent == "" {
		return append(lines, "in a shell, as "+a.Role+":", "", a.Bash)
	}
	return append(lines,
		"in PowerShell 7 with the module Microsoft.Graph.Authentication, as "+a.Role,
		"(the Azure CLI will not do here: Microsoft says that the APIs of agent identities refuse its token):", "",
		j.connect(a.Permissions),
		"$id = "+get("applications(appId='"+url.PathEscape(j.Client)+"')")+".id",
		a.PowerShell)
}

// consent returns how to let the application or the agent identity act for the user.
func (j Job) consent() []string { return j.grant(setup.AdviseConsent(j.Agent)) }

// grant returns how to change the consent, as an administrator.
func (j Job) grant(a setup.Advice) []string {
	if j.Agent != "" {
		return []string{
			"in PowerShell 7 with the module Microsoft.Graph.Authentication, as " + a.Role + ":", "",
			j.connect(a.Permissions),
			"$azdo = " + get("servicePrincipals(appId='"+setup.AzureDevOps+"')") + ".id",
			"$user = " + get("users/"+url.PathEscape(j.user())) + ".id",
			a.PowerShell,
		}
	}
	return []string{
		"in a shell, as " + a.Role + ":", "",
		"client=$(az ad sp show --id " + quote.Shell(j.Client) + " --query id --output tsv)",
		"azdo=$(az ad sp show --id " + setup.AzureDevOps + " --query id --output tsv)",
		"user=$(az ad user show --id " + quote.Shell(j.user()) + " --query id --output tsv)",
		a.Bash,
	}
}

// Scopes returns how to add missing scopes to an existing consent.
func (j Job) Scopes(missing ...string) string {
	if j.Client == "" {
		// The caller got the token elsewhere, for an application that is not known here.
		return "get the access token with the delegated permissions vso.pats and vso.pats_manage of Azure DevOps (or user_impersonation)"
	}
	lines := []string{"the consent lacks " + strings.Join(missing, " and ") + ": an administrator must add to it"}
	return strings.Join(append(lines, j.grant(setup.AdviseScopes(j.Agent, missing...))...), "\n")
}

// membership is how to add the user or service principal to the organization.
func (j Job) membership() []string {
	if j.ServicePrincipal {
		return j.principalMembership()
	}
	a := setup.AdviseMembership(j.Organization, j.user())
	lines := []string{"as " + a.Role + ":", "", a.Bash}
	if j.Agent != "" {
		lines = append(lines, "", "(no documentation says whether Azure DevOps takes an agent user as a member)")
	}
	return lines
}

// principalMembership is how to add the service principal, by its object id: that of the
// application is another one. A failure is answered with 200 and isSuccess false.
func (j Job) principalMembership() []string {
	a := setup.AdvisePrincipalMembership(j.Organization)
	client := quote.Shell(j.Principal)
	if j.Principal == "" {
		client = "$(az ad sp show --id " + quote.Shell(j.Client) + " --query id --output tsv)"
	}
	return []string{"in a shell, as " + a.Role + " (isSuccess must be true in the answer):", "", "client=" + client, a.Bash}
}

// vaultRole is how to give the application's service principal a role on the secret.
func (j Job) vaultRole(r *keyvault.Refusal) []string {
	a := setup.AdviseVaultRole(r.Role, r.Secret)
	client := quote.Shell(r.Principal)
	if r.Principal == "" {
		client = "$(az ad sp show --id " + quote.Shell(j.Client) + " --query id --output tsv)"
	}
	return []string{
		"in a shell, as " + a.Role + ":", "", "client=" + client,
		"vault=$(az keyvault show --name " + quote.Shell(cmp.Or(r.Vault, "VAULT-NAME")) + " --query id --output tsv)", a.Bash,
	}
}

// user is the user's name for a command; a placeholder if it is unknown.
func (j Job) user() string {
	if j.User == "" {
		return "USER-PRINCIPAL-NAME"
	}
	return j.User
}

func (j Job) connect(permissions []string) string {
	return "Connect-MgGraph -TenantId " + quote.PowerShell(j.Tenant) + " -Scopes " + strings.Join(permissions, ",")
}

// get asks Graph for a path, in PowerShell.
func get(path string) string {
	return "(Invoke-MgGraphRequest -Method GET -Uri " + quote.PowerShell("https://graph.microsoft.com/v1.0/"+path) + ")"
}
