package setup

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"azdo-pat/internal/quote"
	"azdo-pat/internal/settings"
)

// Advice is one step for a person to take.
type Advice struct {
	// Role is who may take it.
	Role string
	// Commands are for bash with the Azure CLI, or for PowerShell 7 with Microsoft Graph.
	// They look up the ids that are not known.
	Commands   string
	PowerShell bool
}

// Known is what is known of who needs a step. Where it is empty, the commands look the
// value up, or have a word in capitals that a person replaces.
type Known struct {
	Tenant      string // GUID or domain
	Application string // client id of the application or blueprint
	Principal   string // object id of the application's service principal
	Agent       string // client id of the agent identity; empty unless the identity is an agent user
	User        string // user principal name or object id
	Vault       string // name of the Key Vault
}

// errand is the commands of an advice.
type errand struct {
	values           map[variable]string
	bash, powerShell []string
}

// errand begins an advice with what is known.
func (k *Known) errand() *errand {
	e := &errand{values: map[variable]string{app: k.Application}}
	if !settings.IsGUID(k.Application) { // Microsoft Graph does not find an application by its URI
		e.values[app] = "APPLICATION-CLIENT-ID"
	}
	if k.Principal != "" {
		e.values[client] = k.Principal
	}
	if settings.IsGUID(k.User) {
		e.values[user] = k.User
	}
	return e
}

// findUser looks up the user.
func (e *errand) findUser(name string) {
	e.find(step{find: lookup{
		command: request{service: graph, method: "GET", path: words("users/" + escape(cmp.Or(name, "USER-PRINCIPAL-NAME")))},
		take:    []taken{{variable: user, property: "id"}},
	}}, user)
}

// find looks up a variable that the step takes, unless its value is known.
func (e *errand) find(t step, v variable) {
	if _, known := e.values[v]; known {
		return
	}
	property := t.find.take[slices.IndexFunc(t.find.take, func(k taken) bool { return k.variable == v })].property
	ask := t.find.command.bound(e.values)
	e.bash = append(e.bash, string(v)+"=$("+ask.bash()+" --query "+property+" --output tsv)")
	e.powerShell = append(e.powerShell, "$"+string(v)+" = ("+ask.powerShell()+")."+property)
	if b := t.beginning; b != nil {
		e.bash = append(e.bash, b.bash())
	}
}

// run adds a command, and before it the new values that it needs.
func (e *errand) run(c command) {
	c = c.bound(e.values)
	for _, v := range slices.Sorted(maps.Keys(fresh)) {
		if slices.Contains(c.variables(), v) {
			e.bash = append(e.bash, string(v)+"="+fresh[v].bash)
		}
	}
	e.bash = append(e.bash, c.bash())
	e.powerShell = append(e.powerShell, c.powerShell())
}

// azureCLI is the errand in bash.
func (e *errand) azureCLI(t *step) Advice {
	return Advice{Role: t.role, Commands: strings.Join(e.bash, "\n")}
}

// microsoftGraph is the errand in PowerShell.
func (e *errand) microsoftGraph(t *step, tenant string) Advice {
	connect := "Connect-MgGraph"
	if tenant != "" {
		connect += " -TenantId " + quote.PowerShell(tenant)
	}
	connect += " -Scopes " + strings.Join(t.permissions, ",")
	return Advice{Role: t.role, Commands: strings.Join(append([]string{connect}, e.powerShell...), "\n"), PowerShell: true}
}

// advice is the errand in the language that can do it: by Microsoft's documentation the
// APIs of agent identities refuse the Azure CLI's token.
func (e *errand) advice(k *Known, t *step) Advice {
	if k.Agent != "" {
		return e.microsoftGraph(t, k.Tenant)
	}
	return e.azureCLI(t)
}

// AdviseCredential adds a federated credential for tokens of that issuer, subject and
// audience.
func AdviseCredential(k Known, issuer, subject, audience string) Advice {
	t := federatedCredential(trust{words(CredentialName(subject)), words(issuer), words(subject), audience}, k.Agent != "")
	if k.Agent == "" { // takes the URI of an application too
		return Advice{Role: t.role, Commands: t.short.bound(map[variable]string{app: k.Application}).bash()}
	}
	e := k.errand()
	e.find(application(&Options{Identity: AgentUser, Client: k.Application}), id)
	e.run(t.create)
	return e.advice(&k, &t)
}

// AdviseConsent lets the application, or the agent identity, act for the user.
func AdviseConsent(k Known) Advice {
	e, t := k.consent()
	e.run(t.create)
	return e.advice(&k, &t)
}

// consent is the consent with the look-ups before it.
func (k *Known) consent() (*errand, step) {
	e, who := k.errand(), client
	if k.Agent != "" {
		who = agent
		e.find(agentIdentity(&Options{Agent: k.Agent}), agent)
	} else {
		e.find(principal(false), client)
	}
	e.find(azureDevOps(k.Agent != ""), azdo)
	e.findUser(k.User)
	return e, consent(who, "Application.Read.All", "User.Read.All")
}

// AdviseScopes adds missing scopes, of patScopes, to the consent that is there.
func AdviseScopes(k Known, missing ...string) Advice {
	e, t := k.consent()
	more := strings.Join(missing, " ")
	ask := t.find.command.bound(e.values)
	find := ask.bash() + " --output tsv --query "
	e.bash = append(e.bash,
		"grant=$("+find+"'value[0].id')",
		"scope=$("+find+"'value[0].scope')\" "+more+"\"")
	e.powerShell = append(e.powerShell,
		"$found = ("+ask.powerShell()+").value[0]",
		"$grant = $found.id",
		`$scope = "$($found.scope) `+more+`"`)
	e.run(t.widen)
	return e.advice(&k, &t)
}

// AdviseMembership makes a user a member of the organization. Azure DevOps answers 200
// also where it refuses.
func AdviseMembership(k Known, organization string) Advice {
	t := userMember(organization, words(k.User), newUser)
	e := k.errand()
	e.findUser(k.User)
	e.run(t.create)
	return e.azureCLI(&t)
}

// AdvisePrincipalMembership makes the application's service principal a member of the
// organization. Azure DevOps answers 200 also where it refuses.
func AdvisePrincipalMembership(k Known, organization string) Advice {
	t := principalMember(organization)
	e := k.errand()
	e.find(principal(false), client)
	e.run(t.create)
	return e.azureCLI(&t)
}

// AdviseVaultRole gives the application's service principal a role on a secret. role is
// one of vaultRoles.
func AdviseVaultRole(k Known, role, secret string) Advice {
	i := slices.IndexFunc(vaultRoles, func(r vaultAccess) bool { return r.name == role })
	name := cmp.Or(k.Vault, "VAULT-NAME")
	t := vaultRole(max(i, 0), name, secret)
	e := k.errand()
	e.find(principal(false), client)
	e.find(theVault(name), vault)
	e.run(t.create)
	return e.azureCLI(&t)
}
