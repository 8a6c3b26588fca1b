package setup

import (
	"slices"
	"strings"
)

// Advice is one step for a person to take.
type Advice struct {
	// Role is who may take it.
	Role string
	// Permissions are the delegated ones of Microsoft Graph that PowerShell asks for.
	Permissions []string
	// Bash and PowerShell are the commands. Some have variables, which commands before
	// them set: $client, $azdo and $user are object ids of the application's service
	// principal, of Azure DevOps' and of the user, $id is the application's.
	Bash, PowerShell string
}

// advice is a step with the values that are known.
func (t *step) advice(known map[variable]string) Advice {
	a := Advice{Role: t.role, Permissions: t.permissions}
	create := t.create.bound(known)
	a.Bash, a.PowerShell = create.bash(), create.powerShell()
	if t.short != nil {
		a.Bash = t.short.bound(known).bash()
	}
	return a
}

// AdviseCredential is a federated credential of an application, or of an agent identity
// blueprint, for an assertion of that issuer, subject and audience.
func AdviseCredential(application string, blueprint bool, issuer, subject, audience string) Advice {
	t := federatedCredential(trust{words(CredentialName(subject)), words(issuer), words(subject), audience}, blueprint)
	return t.advice(map[variable]string{app: application})
}

// AdviseConsent is the consent for the user. agent is the agent identity; empty: the
// application itself acts for the user.
func AdviseConsent(agentIdentity string) Advice {
	t := consentOf(agentIdentity)
	return t.advice(nil)
}

// consentOf is the consent to an agent identity, or to the application.
func consentOf(agentIdentity string) step {
	if agentIdentity == "" {
		return consent(client, "Application.Read.All", "User.Read.All")
	}
	t := consent(agent, "Application.Read.All", "User.Read.All")
	known := map[variable]string{agent: agentIdentity}
	t.find.command, t.create = t.find.command.bound(known), t.create.bound(known)
	return t
}

// AdviseScopes adds missing scopes, of patScopes, to the consent that is there.
func AdviseScopes(agentIdentity string, missing ...string) Advice {
	t := consentOf(agentIdentity)
	find := t.find.command.bash() + " --output tsv --query "
	more := strings.Join(missing, " ")
	return Advice{
		Role: t.role, Permissions: t.permissions,
		Bash: strings.Join([]string{
			"grant=$(" + find + "'value[0].id')",
			"scope=$(" + find + "'value[0].scope')\" " + more + "\"",
			t.widen.bash(),
		}, "\n"),
		PowerShell: strings.Join([]string{
			"$found = (" + t.find.command.powerShell() + ").value[0]",
			"$grant = $found.id",
			`$scope = "$($found.scope) ` + more + `"`,
			t.widen.powerShell(),
		}, "\n"),
	}
}

// AdviseMembership makes a user a member of the organization.
func AdviseMembership(organization, name string) Advice {
	t := userMember(organization, words(name), newUser)
	return t.advice(nil)
}

// AdviseVaultRole gives the service principal with the object id $client a role on a
// secret of the Key Vault with the resource id $vault. role is one of vaultRoles.
func AdviseVaultRole(role, secret string) Advice {
	i := slices.IndexFunc(vaultRoles, func(r vaultAccess) bool { return r.name == role })
	t := vaultRole(max(i, 0), "", secret)
	return t.advice(nil)
}

// AdvisePrincipalMembership makes the service principal with the object id $client a
// member of the organization.
func AdvisePrincipalMembership(organization string) Advice {
	t := principalMember(organization)
	return t.advice(nil)
}
