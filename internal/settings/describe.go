package settings

// Description is what a person reads of a setting.
type Description struct {
	Name string
	// Text is one line without a full stop, defaults and units included.
	Text string
	// Bool settings may be given as a flag without a value.
	Bool bool
	// For lists the commands with a flag of that name.
	For []Command
}

var (
	every    = []Command{Mint, Revoke, Exec, Sweep, Check}
	minting  = []Command{Mint, Exec, Check}
	endingIt = []Command{Mint, Revoke, Exec}
	sweeping = []Command{Sweep}
)

// Descriptions lists the settings in the order in which help shows them.
var Descriptions = []Description{
	{"organization", "Azure DevOps organization: contoso, https://dev.azure.com/contoso or https://contoso.visualstudio.com", false, every},
	{"scopes", "PAT scopes, separated by white space or commas, such as \"vso.code vso.packaging_write\" (see azdo-pat scopes)", false, minting},
	{"lifetime", "how long the PAT may live if nobody revokes it, from 5m to 24h (default 1h; exec: 15m, renewed while the command runs)", false, minting},
	{"name", "label of your own for the PAT's display name; in Azure Pipelines revoke needs the same", false, endingIt},
	{"authorization-id", "id of the PAT to revoke, which mint handed over; in Azure Pipelines the lease of the job is found without", false, []Command{Revoke}},
	{"env", "names of the variables that carry the PAT, separated by white space or commas; repeatable (default AZURE_DEVOPS_EXT_PAT)", false, []Command{Exec}},

	{"older-than", "leave leases alone that are younger, such as 90m or 2d (default 6h)", false, sweeping},
	{"repository", "only leases of this GitHub repository, OWNER/REPO (default: all)", false, sweeping},
	{"dry-run", "say what would be revoked, and revoke nothing (default false)", true, sweeping},
	{"github-token", "ask GitHub with this token which runs are over, and revoke their leases whatever their age", false, sweeping},

	{"tenant-id", "Entra tenant, GUID or domain (default: asked of the organization)", false, every},
	{"client-id", "application that trusts the assertion: agent identity blueprint or app registration", false, every},
	{"agent-id", "identity agent user: client id of the agent identity", false, every},
	{"agent-user", "identity agent user: user principal name or object id of the agent's user account", false, every},
	{"refresh-token", "identity service account by refresh token", false, every},
	{"username", "identity service account by password: its user principal name", false, every},
	{"password", "identity service account by password", false, every},
	{"access-token", "identity brought along: a delegated Entra access token for Azure DevOps; needs no assertion", false, every},
	{"federated-token-file", "take the assertion from this file instead of asking the CI system", false, every},
	{"service-connection-id", "Azure Pipelines: the service connection, with workload identity federation, whose OIDC token to ask for", false, every},

	{"skip-revoke", "leave the PAT to its expiry (default false)", true, endingIt},
	{"on-revoke-failure", "what a revocation that did not succeed does: warn or fail (default warn; revoke: fail)", false, endingIt},
	{"allow-full-access", "permit the scope app_token, which is everything the user may do (default false)", true, minting},
	{"output", "text, or json on standard output (default text)", false, []Command{Mint, Sweep, Check}},
	{"timeout", "bound on reaching the goal, retries included (default 2m; exec: on each of acquire, renew, release); cleaning up after a failure has 5s of its own", false, every},

	{"audience", "audience to ask of GitHub (default api://AzureADTokenExchange)", false, every},
	{"authority-host", "Entra host (default https://login.microsoftonline.com)", false, every},
	{"token-service-url", "base of the PAT Lifecycle API (default https://vssps.dev.azure.com)", false, every},
	{"ca-file", "PEM file of further roots to trust, such as a TLS-inspecting proxy's", false, every},
}

// AlsoRead lists the other tools' variables from which a setting is read too.
func AlsoRead(name string) []string { return ecosystem[key(name)] }
