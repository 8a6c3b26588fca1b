package setup

import (
	"strings"

	"azdo-pat/internal/keyvault"
)

// The steps. Their requests, permissions and roles are those of
// https://learn.microsoft.com/graph/api/overview,
// https://learn.microsoft.com/rest/api/azure/devops/memberentitlementmanagement and
// https://learn.microsoft.com/azure/key-vault/general/rbac-guide.

// What the steps find out.
const (
	tenant       = variable("tenant")
	rightTenant  = variable("rightTenant") // yes, or no
	app          = variable("app")         // client id of the application
	id           = variable("id")          // its object id
	ours         = variable("ours")        // yes: setup made it
	client       = variable("client")      // object id of its service principal
	subject      = variable("subject")     // of the job's tokens
	credential   = variable("credential")  // the name for the federated credential of the subject
	credentialID = variable("credentialID")
	redirect     = variable("redirect")
	redirects    = variable("redirects")
	azdo         = variable("azdo")    // object id of Azure DevOps' service principal
	user         = variable("user")    // object id
	newUser      = variable("newUser") // yes: setup made it
	password     = variable("password")
	sponsor      = variable("sponsor") // object id of who runs the script
	domain       = variable("domain")
	agent        = variable("agent") // object id of the agent identity
	agentID      = variable("agentID")
	child        = variable("child") // yes: the user is the agent identity's
	grant        = variable("grant")
	scope        = variable("scope")
	member       = variable("member")     // Azure DevOps' id of a member
	descriptor   = variable("descriptor") // Azure DevOps' name of a service principal
	vault        = variable("vault")
	byRoles      = variable("byRoles") // yes: the vault's access is by roles
	subscription = variable("subscription")
	assignment   = variable("assignment") // the name of a new role assignment, a GUID
)

// fresh are the variables for which a script makes up a value where it creates
// something.
var fresh = map[variable]struct{ bash, powerShell string }{
	password: {
		"$(head -c 24 /dev/urandom | base64)aA1!",
		"[Convert]::ToBase64String([Security.Cryptography.RandomNumberGenerator]::GetBytes(24)) + 'aA1!'",
	},
	assignment: {
		"$(od -An -N16 -tx1 /dev/urandom | tr -d ' \\n' | sed -E 's/^(.{8})(.{4})(.{4})(.{4})/\\1-\\2-\\3-\\4-/')",
		"[guid]::NewGuid().ToString()",
	},
}

// Who may do what.
const (
	mayRegister  = "Application Developer, or any member where the tenant lets its users register applications"
	mayOwn       = "owner of the application, Cloud Application Administrator or Application Administrator"
	mayConsent   = "Cloud Application Administrator, Application Administrator or Privileged Role Administrator"
	mayAddUsers  = "User Administrator"
	mayAgents    = "Agent ID Administrator"
	mayInvite    = "Project Collection Administrator in Azure DevOps"
	mayGiveRoles = "Owner, User Access Administrator or Role Based Access Control Administrator of the vault"
)

// odataVersion makes Microsoft Graph look at the types of agent identities.
var odataVersion = field{"OData-Version", "4.0"}

var createIfMissing = field{"Prefer", "create-if-missing"}

// asTenant finds out which tenant the caller is signed in to.
func asTenant(given string) step {
	s := step{
		name: "tenant", what: words("the Entra tenant that you are signed in to"),
		permissions: []string{"User.Read"},
		find: lookup{
			command: request{service: graph, method: "GET", path: words("organization?$select=id,verifiedDomains")},
			lists:   []string{"value"},
			take:    []taken{{variable: tenant, property: "id"}},
		},
	}
	if given != "" {
		right := &condition{"id", equals, words(guid(given))}
		if strings.Contains(given, ".") {
			right = &condition{"verifiedDomains[].name", contains, words(strings.ToLower(given))}
		}
		s.find.take = append(s.find.take, taken{variable: rightTenant, condition: right})
		s.must, s.otherwise = rightTenant, words("you are not signed in to the tenant "+given)
	}
	return s
}

// application is the app registration, or the agent identity blueprint.
func application(o *Options) step {
	s := step{
		name: "application", what: words("application " + o.Name), role: mayRegister,
		permissions: []string{"Application.ReadWrite.All"},
		find:        lookup{command: request{service: graph, method: "GET", path: words("applications(uniqueName='" + odata(o.uniqueName()) + "')")}},
		remove:      request{service: graph, method: "DELETE", path: words("applications/", id)},
		removeIf:    ours,
	}
	s.find.take = []taken{{variable: app, property: "appId"}, {variable: id, property: "id"},
		{variable: ours, condition: &condition{"uniqueName", equals, words(o.uniqueName())}}}
	if o.Client != "" {
		s.what, s.role = words("application "+o.Client), ""
		s.find.command = request{service: graph, method: "GET", path: words("applications(appId='" + odata(guid(o.Client)) + "')")}
		s.otherwise = words("there is no application " + o.Client + " in this tenant; leave client-id out to have one made")
		return s
	}
	body := object{{"displayName", o.Name}, {"signInAudience", "AzureADMyOrg"}}
	if o.Identity == ServiceAccount {
		body = append(body, field{"web", object{{"redirectUris", list{loopback}}}})
	}
	r := request{service: graph, method: "PATCH", path: words("applications(uniqueName='" + odata(o.uniqueName()) + "')"), headers: []field{createIfMissing}, body: body}
	if o.Identity == AgentUser {
		s.what, s.role = words("agent identity blueprint "+o.Name), mayAgents
		s.permissions = []string{"AgentIdentityBlueprint.Create", "AgentIdentityBlueprint.ReadWrite.All", "Application.Read.All"}
		s.removePermissions = []string{"AgentIdentityBlueprint.DeleteRestore.All"}
		r.path = append(r.path, "/microsoft.graph.agentIdentityBlueprint")
		r.headers = append(r.headers, odataVersion)
		me := list{words("https://graph.microsoft.com/v1.0/users/", sponsor)}
		r.body = object{{"displayName", o.Name}, {"sponsors@odata.bind", me}, {"owners@odata.bind", me}}
	}
	s.create = r
	return s
}

// loopback is where the browser returns to when a person signs in with login.
const loopback = "http://localhost"

// redirectURI adds the address that login needs to an application that setup did not
// make.
func redirectURI() step {
	path := words("applications/", id)
	read := request{service: graph, method: "GET", path: append(path, "?$select=id,web")}
	return step{
		name: "redirect", what: words("redirect URI " + loopback + " under Web, for azdo-pat login"), role: mayOwn,
		permissions: []string{"Application.ReadWrite.All"},
		find: lookup{
			command: read,
			lists:   []string{itself},
			where:   []condition{{"web.redirectUris", contains, words(loopback)}},
			take:    []taken{{variable: redirect, property: "id"}},
		},
		longer: &longer{raw(redirects), read, "web.redirectUris", loopback},
		create: request{service: graph, method: "PATCH", path: path, body: object{{"web", object{{"redirectUris", raw(redirects)}}}}},
	}
}

// principal is the application's service principal.
func principal(blueprint bool) step {
	s := step{
		name: "principal", what: words("its service principal"), role: mayRegister,
		permissions: []string{"Application.ReadWrite.All"},
		find: lookup{
			command: request{service: graph, method: "GET", path: words("servicePrincipals(appId='", app, "')")},
			take:    []taken{{variable: client, property: "id"}},
		},
		create: request{service: graph, method: "POST", path: words("servicePrincipals"), body: object{{"appId", words(app)}}},
	}
	if blueprint {
		s.what, s.role = words("its principal"), mayAgents
		s.permissions = []string{"AgentIdentityBlueprintPrincipal.Create", "Application.Read.All"}
		s.create = request{service: graph, method: "POST", path: words("servicePrincipals/microsoft.graph.agentIdentityBlueprintPrincipal"),
			headers: []field{odataVersion}, body: object{{"appId", words(app)}}}
		s.remove, s.removeIf = request{service: graph, method: "DELETE", path: words("servicePrincipals/", client)}, ours
		s.removePermissions = []string{"AgentIdentityBlueprintPrincipal.DeleteRestore.All"}
	}
	return s
}

// A trust is what a federated credential says of the job's tokens.
type trust struct {
	name, issuer, subject text
	audience              string
}

func (t trust) object() object {
	return object{{"name", t.name}, {"issuer", t.issuer}, {"subject", t.subject}, {"audiences", list{t.audience}}}
}

// federatedCredential lets Entra accept the job's tokens for the application.
func federatedCredential(t trust, blueprint bool) step {
	of := words("applications/", id)
	s := step{
		name: "credential", what: append(words("federated credential for the subject "), t.subject...), role: mayOwn,
		permissions: []string{"Application.ReadWrite.All"},
		short: azCommand{words("ad"), words("app"), words("federated-credential"), words("create"),
			words("--id"), words(app), words("--parameters"), jsonText(t.object())},
	}
	if blueprint {
		of = append(of, "/microsoft.graph.agentIdentityBlueprint")
		s.role, s.short = "owner of the blueprint, or "+mayAgents, nil
		s.permissions = []string{"AgentIdentityBlueprint.AddRemoveCreds.All", "Application.Read.All"}
	}
	of = append(of, "/federatedIdentityCredentials")
	s.find = lookup{
		// v1.0 breaks off its answer where one of them is a flexible credential.
		command: request{service: graphBeta, method: "GET", path: of},
		lists:   []string{"value"},
		where:   []condition{{"issuer", equals, t.issuer}, {"subject", equals, t.subject}},
		take:    []taken{{variable: credentialID, property: "id"}},
	}
	s.create = request{service: graph, method: "POST", path: of, body: t.object()}
	s.remove = request{service: graph, method: "DELETE", path: concat(of, words("/", credentialID))}
	return s
}

// azureDevOps is the service principal of Azure DevOps in the tenant, for consent.
func azureDevOps(blueprint bool) step {
	s := step{
		name: "azdo", what: words("service principal of Azure DevOps in this tenant"), role: mayConsent,
		permissions: []string{"Application.ReadWrite.All"},
		find: lookup{
			command: request{service: graph, method: "GET", path: words("servicePrincipals(appId='" + AzureDevOps + "')")},
			take:    []taken{{variable: azdo, property: "id"}},
		},
		create: request{service: graph, method: "POST", path: words("servicePrincipals"), body: object{{"appId", AzureDevOps}}},
	}
	if blueprint { // without a permission for all applications, for what is nearly always there
		s.role, s.create, s.permissions = "", nil, []string{"Application.Read.All"}
		s.otherwise = words("this tenant has not used Azure DevOps yet: az ad sp create --id " + AzureDevOps)
	}
	return s
}

// serviceUser is the service account.
func serviceUser(o *Options) step {
	path := words("users/" + escape(o.Username))
	mark := "azdo-pat setup " + o.uniqueName()
	return step{
		name: "user", what: words("user " + o.Username), role: mayAddUsers,
		permissions: []string{"User.ReadWrite.All"},
		find: lookup{
			command: request{service: graph, method: "GET", path: append(path, "?$select=id,jobTitle")},
			take:    []taken{{variable: user, property: "id"}, {variable: newUser, condition: &condition{"jobTitle", equals, words(mark)}}},
		},
		create: request{service: graph, method: "POST", path: words("users"), body: object{
			{"accountEnabled", true}, {"displayName", o.Name}, {"mailNickname", o.nickname()},
			{"userPrincipalName", o.Username}, {"jobTitle", mark},
			{"passwordProfile", object{{"password", words(password)}, {"forceChangePasswordNextSignIn", true}}},
		}},
		remove: request{service: graph, method: "DELETE", path: words("users/", user)}, removeIf: newUser,
	}
}

// consent lets the client act in the user's name in Azure DevOps, for PATs only.
func consent(who variable, permissions ...string) step {
	one := words("oauth2PermissionGrants/", grant)
	return step{
		name: "grant", what: words("consent to " + patScopes + " for this user alone"), role: mayConsent,
		permissions: append(permissions, "DelegatedPermissionGrant.ReadWrite.All"),
		find: lookup{
			command: request{service: graph, method: "GET", path: concat(words("oauth2PermissionGrants"),
				filter("clientId eq '", who, "' and consentType eq 'Principal' and principalId eq '", user, "' and resourceId eq '", azdo, "'"))},
			lists: []string{"value"},
			take:  []taken{{variable: grant, property: "id"}, {variable: scope, property: "scope"}},
		},
		create: request{service: graph, method: "POST", path: words("oauth2PermissionGrants"), body: object{
			{"clientId", words(who)}, {"consentType", "Principal"}, {"principalId", words(user)}, {"resourceId", words(azdo)}, {"scope", patScopes},
		}},
		widen:  request{service: graph, method: "PATCH", path: one, body: object{{"scope", words(scope)}}},
		remove: request{service: graph, method: "DELETE", path: one},
	}
}

// basic is the access level Basic, which the first five users of an organization have
// for free. Stakeholder cannot read private repositories.
var basic = object{{"licensingSource", "account"}, {"accountLicenseType", "express"}}

// userMember makes the user a member of the organization.
func userMember(organization string, name text, made variable) step {
	api := entitlements(organization)
	const version = "api-version=7.1"
	return step{
		name: "member", what: words("membership in the organization " + organization + ", with access level Basic"), role: mayInvite,
		find: lookup{
			command: request{service: api, method: "GET", path: concat(words("userentitlements?$filter=name%20eq%20%27"), encoded(name), words("%27&"+version))},
			lists:   []string{"members", "items"},
			where:   []condition{{"user.originId", equals, words(user)}},
			take:    []taken{{variable: member, property: "id"}},
		},
		create: request{service: api, method: "POST", path: words("userentitlements?" + version), body: object{
			{"accessLevel", basic}, {"user", object{{"origin", "aad"}, {"originId", words(user)}, {"subjectKind", "user"}}},
		}},
		remove: request{service: api, method: "DELETE", path: words("userentitlements/", member, "?"+version)}, removeIf: made,
	}
}

// encoded encodes a text for a path or a query.
func encoded(t text) text {
	out := make(text, len(t))
	for i, part := range t {
		if s, ok := part.(string); ok {
			part = odata(s)
		}
		out[i] = part
	}
	return out
}

// previewVersion is that of the parts of Azure DevOps' API about service principals.
const previewVersion = "api-version=7.1-preview.1"

// principalMember makes the service principal a member of the organization. The API of
// entitlements has no list of service principals; the one of identities has.
func principalMember(organization string) step {
	api := entitlements(organization)
	return step{
		name: "member", what: words("membership in the organization " + organization + ", with access level Basic"), role: mayInvite,
		find: lookup{
			command: request{service: identities(organization), method: "GET", path: words("serviceprincipals?" + previewVersion)},
			lists:   []string{"value"},
			where:   []condition{{"originId", equals, words(client)}},
			take:    []taken{{variable: descriptor, property: "descriptor"}},
		},
		create: request{service: api, method: "POST", path: words("serviceprincipalentitlements?" + previewVersion), body: object{
			{"accessLevel", basic}, {"servicePrincipal", object{{"origin", "aad"}, {"originId", words(client)}, {"subjectKind", "servicePrincipal"}}},
		}},
	}
}

// principalMemberID finds the id by which the membership is ended.
func principalMemberID(organization string) step {
	return step{
		name: "memberID", what: words("membership in the organization " + organization),
		find: lookup{
			command: request{service: identities(organization), method: "GET", path: words("storagekeys/", descriptor, "?"+previewVersion)},
			take:    []taken{{variable: member, property: "value"}},
		},
		remove:   request{service: entitlements(organization), method: "DELETE", path: words("serviceprincipalentitlements/", member, "?"+previewVersion)},
		removeIf: ours,
	}
}

// whoSponsors is who runs the script: an agent identity needs a sponsor.
func whoSponsors() step {
	return step{
		name: "sponsor", what: words("you, as sponsor and owner of what follows"), permissions: []string{"User.Read"},
		find: lookup{
			command: request{service: graph, method: "GET", path: words("me?$select=id")},
			take:    []taken{{variable: sponsor, property: "id"}},
		},
	}
}

// defaultDomain is where the agent's user gets its name from.
func defaultDomain() step {
	return step{
		name: "domain", what: words("the default domain of the tenant"), permissions: []string{"User.Read"},
		find: lookup{
			command: request{service: graph, method: "GET", path: words("organization?$select=id,verifiedDomains")},
			lists:   []string{"value[0].verifiedDomains"},
			where:   []condition{{"isDefault", isTrue, nil}},
			take:    []taken{{variable: domain, property: "name"}},
		},
	}
}

// agentIdentity is the child of the blueprint in whose name the user acts.
func agentIdentity(o *Options) step {
	s := step{
		name: "agent", what: words("agent identity " + o.Name), role: mayAgents,
		permissions: []string{"AgentIdentity.Create.All", "Application.Read.All"},
		find: lookup{
			command: request{service: graph, method: "GET", path: concat(words("servicePrincipals/microsoft.graph.agentIdentity"), filter("displayName eq '"+strings.ReplaceAll(o.Name, "'", "''")+"'"))},
			lists:   []string{"value"},
			where:   []condition{{"agentIdentityBlueprintId", equals, words(app)}},
			take:    []taken{{variable: agent, property: "id"}, {variable: agentID, property: "appId"}},
		},
		create: request{service: graph, method: "POST", path: words("servicePrincipals/microsoft.graph.agentIdentity"), headers: []field{odataVersion}, body: object{
			{"displayName", o.Name}, {"agentIdentityBlueprintId", words(app)},
			{"sponsors@odata.bind", list{words("https://graph.microsoft.com/v1.0/users/", sponsor)}},
		}},
		remove: request{service: graph, method: "DELETE", path: words("servicePrincipals/", agent)}, removeIf: ours,
		removePermissions: []string{"AgentIdentity.DeleteRestore.All"},
	}
	if o.Agent != "" {
		s.what, s.role, s.create, s.remove = words("agent identity "+o.Agent), "", nil, nil
		s.find = lookup{
			command: request{service: graph, method: "GET", path: words("servicePrincipals(appId='" + odata(guid(o.Agent)) + "')/microsoft.graph.agentIdentity")},
			take: []taken{{variable: agent, property: "id"}, {variable: agentID, property: "appId"},
				{variable: child, condition: &condition{"agentIdentityBlueprintId", equals, words(app)}}},
		}
		s.must = child
		s.otherwise = words("the blueprint has no agent identity " + o.Agent + "; leave agent-id out to have one made")
	}
	return s
}

// agentUser is the user account of the agent identity.
func agentUser(o *Options) step {
	upn := o.agentUser()
	return step{
		name: "user", what: append(words("user account of the agent identity, "), upn...), role: mayAgents,
		permissions: []string{"AgentIdUser.ReadWrite.All"},
		find: lookup{
			command: request{service: graph, method: "GET", path: concat(words("users/"), encodedPath(upn), words("?$select=id,identityParentId"))},
			take:    []taken{{variable: user, property: "id"}, {variable: child, condition: &condition{"identityParentId", equals, words(agent)}}},
		},
		create: request{service: graph, method: "POST", path: words("users/microsoft.graph.agentUser"), headers: []field{odataVersion}, body: object{
			{"accountEnabled", true}, {"displayName", o.Name}, {"mailNickname", o.nickname()},
			{"userPrincipalName", upn}, {"identityParentId", words(agent)},
		}},
		must: child, otherwise: words("a user of that name is there, and is not this agent identity's; give another with agent-user"),
		remove: request{service: graph, method: "DELETE", path: words("users/", user)}, removeIf: child,
	}
}

func encodedPath(t text) text {
	out := make(text, len(t))
	for i, part := range t {
		if s, ok := part.(string); ok {
			part = escape(s)
		}
		out[i] = part
	}
	return out
}

// The built-in roles for the secrets of a vault.
// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/security
var vaultRoles = []vaultAccess{
	{keyvault.RoleRead, "4633458b-17de-408a-b874-0445c86b69e6", "read the refresh token"},
	{keyvault.RoleWrite, "b86a8fe4-44ce-4948-aee5-eccb2c155cd7", "write the one that Entra gives in its place"},
}

// vaultAccess is a role and what the application needs it for.
type vaultAccess struct{ name, id, to string }

// theVault finds the vault.
func theVault(name string) step {
	return step{
		name: "vault", what: words("Key Vault " + name),
		find: lookup{
			command: azCommand{words("keyvault"), words("show"), words("--name"), words(name)},
			take:    []taken{{variable: vault, property: "id"}, {variable: byRoles, condition: &condition{"properties.enableRbacAuthorization", isTrue, nil}}},
		},
		must: byRoles,
		otherwise: words("it is not in the subscription that az uses, or its access is not by roles. Choose the subscription with az account set, or create the vault with " +
			"az keyvault create --name " + name + " --resource-group GROUP --location LOCATION --enable-rbac-authorization true"),
		beginning: &beginning{subscription, vault, "/resourceGroups/"},
	}
}

// vaultRole gives the application's service principal one of the roles, on the secret.
func vaultRole(i int, name, secret string) step {
	const version = "api-version=2022-04-01"
	role := vaultRoles[i]
	at := words(vault, "/secrets/"+secret+"/providers/Microsoft.Authorization/roleAssignments")
	found := variable([]string{"reader", "writer"}[i])
	return step{
		name: string(found), what: words("role " + role.name + " on the secret " + secret + ", to " + role.to), role: mayGiveRoles,
		find: lookup{
			command: request{service: arm, method: "GET", path: concat(at, filter("principalId eq '", client, "'"), words("&"+version))},
			lists:   []string{"value"},
			where: []condition{
				{"properties.scope", endsWith, words("/vaults/" + name + "/secrets/" + secret)},
				{"properties.roleDefinitionId", endsWith, words("/" + role.id)},
			},
			take: []taken{{variable: found, property: "id"}},
		},
		create: request{service: arm, method: "PUT", path: concat(at, words("/", assignment, "?"+version)), body: object{{"properties", object{
			{"roleDefinitionId", words(subscription, "/providers/Microsoft.Authorization/roleDefinitions/"+role.id)},
			{"principalId", words(client)}, {"principalType", "ServicePrincipal"},
		}}}},
		remove: request{service: arm, method: "DELETE", path: words(found, "?"+version)},
	}
}
