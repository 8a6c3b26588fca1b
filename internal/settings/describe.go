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

var mintAndRevoke = []Command{Mint, Revoke}

// Descriptions lists the settings in the order in which help shows them.
var Descriptions = []Description{
	{"organization", "Azure DevOps organization: contoso, https://dev.azure.com/contoso or https://contoso.visualstudio.com", false, mintAndRevoke},
	{"scopes", "PAT scopes, separated by white space or commas, such as \"vso.code vso.packaging_write\" (see azdo-pat scopes)", false, []Command{Mint}},
	{"lifetime", "how long the PAT may live if nobody revokes it, from 5m to 24h (default 1h)", false, []Command{Mint}},
	{"name", "label of your own for the PAT's display name", false, []Command{Mint}},
	{"authorization-id", "id of the PAT to revoke, which mint handed over", false, []Command{Revoke}},

	{"tenant-id", "Entra tenant, GUID or domain (default: asked of the organization)", false, mintAndRevoke},
	{"client-id", "application that trusts the assertion: agent identity blueprint or app registration", false, mintAndRevoke},
	{"agent-id", "identity agent user: client id of the agent identity", false, mintAndRevoke},
	{"agent-user", "identity agent user: user principal name or object id of the agent's user account", false, mintAndRevoke},
	{"refresh-token", "identity service account by refresh token", false, mintAndRevoke},
	{"username", "identity service account by password: its user principal name", false, mintAndRevoke},
	{"password", "identity service account by password", false, mintAndRevoke},
	{"access-token", "identity brought along: a delegated Entra access token for Azure DevOps; needs no assertion", false, mintAndRevoke},
	{"federated-token-file", "take the assertion from this file instead of asking the CI system", false, mintAndRevoke},

	{"skip-revoke", "leave the PAT to its expiry (default false)", true, mintAndRevoke},
	{"on-revoke-failure", "what a revocation that did not succeed does: warn or fail (default warn; revoke: fail)", false, mintAndRevoke},
	{"allow-full-access", "permit the scope app_token, which is everything the user may do (default false)", true, []Command{Mint}},
	{"output", "text, or json on standard output (default text)", false, []Command{Mint}},
	{"timeout", "bound on reaching the goal, retries included (default 2m); cleaning up after a failure has 5s of its own", false, mintAndRevoke},

	{"audience", "audience to ask of GitHub (default api://AzureADTokenExchange)", false, mintAndRevoke},
	{"authority-host", "Entra host (default https://login.microsoftonline.com)", false, mintAndRevoke},
	{"token-service-url", "base of the PAT Lifecycle API (default https://vssps.dev.azure.com)", false, mintAndRevoke},
	{"ca-file", "PEM file of further roots to trust, such as a TLS-inspecting proxy's", false, mintAndRevoke},
}

// AlsoRead lists the other tools' variables from which a setting is read too.
func AlsoRead(name string) []string { return ecosystem[key(name)] }
