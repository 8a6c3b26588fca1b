// Package settings reads what the caller asked for and validates it once. No
// other package reads the environment for a setting.
//
// A setting has one name. Its value is looked for, in this order, in
//
//   - the command-line flag --NAME,
//   - the action input NAME: INPUT_NAME, upper-cased, hyphens kept,
//   - AZDO_PAT_NAME, upper-cased, hyphens as underscores,
//   - the variables of other tools that its tag also names, such as AZURE_TENANT_ID,
//   - the default, which can differ from command to command.
//
// An empty value counts as unset. All problems are reported together, each with
// the name that the caller used for the setting; see [Problems].
//
// The fields of [Settings] and their tags are the only description of a setting:
// the flags, the help, the manual page and what is saved for the post step come
// from them, by way of [Descriptions]. To add a setting, add a field.
package settings

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"azdo-pat/internal/secret"
)

// Command is the command that reads the settings: each needs others.
type Command string

// The commands that have settings.
const (
	Mint   Command = "mint"
	Revoke Command = "revoke"
	// Post is revoke as the action's post step: no flags, no required id.
	Post Command = "post"
	Exec Command = "exec"
	// Rotate replaces a PAT that a server keeps.
	Rotate Command = "rotate"
	Sweep  Command = "sweep"
	Check  Command = "check"
	// List lists the user's PATs.
	List Command = "list"
	// Setup prints a script: it has no identity of its own and sends nothing.
	Setup Command = "setup"
	// Login signs a person in. It has no identity either: it makes one.
	Login Command = "login"
)

// Identity is how the program signs in: as the Entra user who gets the PAT, or as the
// service principal whose own token is handed over.
type Identity string

// The identities. The one that is proven best comes first, here and in every list.
const (
	// ServicePrincipal is that of token-type entra; the others are for PATs.
	ServicePrincipal Identity = "service principal"

	RefreshToken Identity = "service account by refresh token"
	// VaultToken is RefreshToken with the refresh token kept in Azure Key Vault.
	VaultToken  Identity = "service account by refresh token in Key Vault"
	AgentUser   Identity = "agent user"
	AccessToken Identity = "given access token"
	Password    Identity = "service account by password"
)

// The values of token-type.
const (
	PATToken   = "pat"
	EntraToken = "entra"
)

// The values of on-revoke-failure.
const (
	Warn = "warn"
	Fail = "fail"
)

// The formats of standard output.
const (
	Text = "text"
	JSON = "json"
)

// Settings is what the caller asked for, validated. The order of the fields is
// that of the help, where a blank field's tag group heads what follows. The tags of a
// setting:
//
//	env            the name, with underscores; a [secret.Value] is a secret and has no flag
//	also           further variables that it is read from
//	for            the commands that have a flag of that name; all: those that sign in
//	required       the commands that need it, in the same way
//	default        the default; default-COMMAND is that of one command
//	kind           how its text is validated: see checks; kind-COMMAND is that of one command
//	values         the values that it can have
//	identity       the identity that it belongs to
//	saved          yes: the post step reads it from what mint saved; unless-input: an
//	               input is preferred to that
//	input          no: the action has no input of that name
//	flag           repeatable: the flag may be given several times
//	help           one line without a full stop, to which the default is added;
//	               help-COMMAND is that of one command
type Settings struct {
	_            struct{} `group:"Organization"`
	Organization string   `env:"ORGANIZATION" for:"all setup login" required:"all setup login" kind:"organization" saved:"yes" help:"Azure DevOps organization: contoso, https://dev.azure.com/contoso or https://contoso.visualstudio.com"`

	_             struct{} `group:"What to set up"`
	SetupIdentity string   `env:"IDENTITY" for:"setup" required:"setup" values:"agent-user service-account service-principal" input:"no" help:"whose credentials the jobs will get: agent-user, service-account or service-principal"`
	Issuer        string   `env:"ISSUER" for:"setup" kind:"issuer" input:"no" help:"issuer of the OIDC tokens of the jobs to trust, instead of repository"`
	Subject       string   `env:"SUBJECT" for:"setup" kind:"subject" input:"no" help:"subject of the OIDC tokens of the jobs to trust, with issuer"`
	Format        string   `env:"FORMAT" for:"setup" values:"bash powershell" input:"no" help:"language of the script: bash with the Azure CLI, or powershell with Microsoft Graph, the only one for agent-user"`
	Undo          bool     `env:"UNDO" for:"setup" default:"false" input:"no" help:"print the script that removes what the other created"`

	_               struct{}      `group:"What to mint"`
	Scopes          []string      `env:"SCOPES" for:"mint exec rotate check" required:"mint exec rotate" kind:"scopes" help:"PAT scopes, separated by white space or commas, such as \"vso.code vso.packaging_write\" (see azdo-pat scopes); not with token-type entra"`
	Lifetime        time.Duration `env:"LIFETIME" for:"mint exec rotate check" kind:"lifetime" kind-rotate:"rotated-lifetime" default:"1h" default-exec:"15m" default-rotate:"30d" help:"how long the PAT may live if it is not revoked, from 5m to 24h; exec renews it while the command runs; rotate: from 1d to 365d"`
	Name            string        `env:"NAME" for:"mint revoke exec rotate setup" required:"rotate" kind-rotate:"consumer" help:"label of your own for the PAT's display name; in Azure Pipelines revoke needs the same one; rotate: name of the consumer, which all of its PATs share" help-setup:"display name of what the script creates (default: azdo-pat-ORGANIZATION)"`
	AllowFullAccess bool          `env:"ALLOW_FULL_ACCESS" for:"mint exec rotate check" default:"false" help:"permit the scope app_token, which grants everything the user may do"`

	_        struct{}      `group:"When to rotate"`
	WhenLeft time.Duration `env:"WHEN_LEFT" for:"rotate" kind:"age" input:"no" help:"rotate only if the newest PAT has less than this left; a duration such as 36h or 10d (default: a third of lifetime)"`
	Overlap  time.Duration `env:"OVERLAP" for:"rotate" kind:"age" default:"0" input:"no" help:"how long the previous PAT goes on living after the command stored the next one; at most when-left"`

	_          struct{} `group:"What this job may ask for"`
	Policy     string   `env:"POLICY" for:"mint exec rotate" kind:"policy" help:"policy as YAML: what no rule of it allows is refused (see docs/policy.md)"`
	PolicyFile string   `env:"POLICY_FILE" for:"mint exec rotate" kind:"policy-file" help:"file of such a policy, instead of policy"`

	_               struct{} `group:"Which PAT to revoke"`
	AuthorizationID string   `env:"AUTHORIZATION_ID" for:"revoke" kind:"authorization-id" input:"no" help:"id of the PAT to revoke, as mint printed it; not needed in Azure Pipelines, where the job's own PAT is found"`

	_           struct{}      `group:"Which PATs, jobs and findings"`
	OlderThan   time.Duration `env:"OLDER_THAN" for:"sweep" kind:"age" default:"6h" help:"leave younger PATs alone; a duration such as 90m or 2d"`
	Repository  string        `env:"REPOSITORY" for:"sweep setup" kind:"repository" help:"only PATs of this GitHub repository, OWNER/REPO (default: all)" help-setup:"GitHub repository, OWNER/REPO, whose jobs on the default branch are trusted"`
	DryRun      bool          `env:"DRY_RUN" for:"sweep" default:"false" help:"show what would be revoked and revoke nothing"`
	FailOn      []string      `env:"FAIL_ON" for:"list" kind:"rules" help:"rules, separated by white space or commas; if one applies to a PAT, the exit status is 1: full-access, all-organizations, other, run-over, long-lived=DURATION, ends-within=DURATION, scope=NAME"`
	GitHubToken secret.Value  `env:"GITHUB_TOKEN" for:"sweep list" kind:"token" also:"GITHUB_TOKEN" help:"ask GitHub with this token which runs have ended: sweep revokes their PATs whatever their age, list applies the rule run-over"`

	_                 struct{}     `group:"Application and identity"`
	TokenType         string       `env:"TOKEN_TYPE" for:"all" values:"pat entra" default:"pat" saved:"yes" help:"pat, or entra: an Entra access token of the service principal client-id instead of a PAT; it cannot be scoped or revoked, and ends after about an hour"`
	TenantID          string       `env:"TENANT_ID" for:"all setup login" kind:"tenant" also:"AZURE_TENANT_ID AZURESUBSCRIPTION_TENANT_ID" saved:"yes" help:"Entra tenant, GUID or domain (default: looked up from the organization)" help-setup:"Entra tenant, GUID or domain: the script stops in any other (default: the one that you are signed in to)"`
	ClientID          string       `env:"CLIENT_ID" for:"all setup login" kind:"application" also:"AZURE_CLIENT_ID AZURESUBSCRIPTION_CLIENT_ID" saved:"yes" help:"application that trusts the assertion: agent identity blueprint or app registration" help-setup:"client id of an application or blueprint that is there (default: the script creates one)" help-login:"client id of the service account's app registration, a confidential client with the redirect URI http://localhost under the platform Web"`
	RefreshToken      secret.Value `env:"REFRESH_TOKEN" for:"all" kind:"token" identity:"service account by refresh token" help:"identity service account by refresh token"`
	RefreshTokenVault string       `env:"REFRESH_TOKEN_VAULT" for:"all setup login" kind:"vault-secret" identity:"service account by refresh token in Key Vault" saved:"unless-input" help:"identity service account by refresh token in Key Vault: the URL of the secret that holds it, https://NAME.vault.azure.net/secrets/NAME; jobs renew it" help-setup:"identity service-account: the script gives the application the roles for this Key Vault secret, https://NAME.vault.azure.net/secrets/NAME" help-login:"store the refresh token in this Key Vault secret, https://NAME.vault.azure.net/secrets/NAME (default: standard output)"`
	AgentID           string       `env:"AGENT_ID" for:"all setup" kind:"agent" identity:"agent user" saved:"yes" help:"identity agent user: client id of the agent identity" help-setup:"identity agent-user: client id of an agent identity that is there (default: the script creates one)"`
	AgentUser         string       `env:"AGENT_USER" for:"all setup" kind:"user" identity:"agent user" saved:"yes" help:"identity agent user: user principal name or object id of the agent's user account" help-setup:"identity agent-user: user principal name of the agent's user account, created if there is none (default: name and the tenant's domain)"`
	AccessToken       secret.Value `env:"ACCESS_TOKEN" for:"all" kind:"token" identity:"given access token" help:"identity given access token: a delegated Entra access token for Azure DevOps; needs no assertion"`
	Username          string       `env:"USERNAME" for:"all setup login" kind:"username" identity:"service account by password" saved:"yes" help:"identity service account by password: its user principal name" help-setup:"identity service-account: user principal name of the service account, created if there is none" help-login:"user principal name of the service account, who must sign in: another user is refused (default: any user)"`
	Password          secret.Value `env:"PASSWORD" for:"all" kind:"password" identity:"service account by password" help:"identity service account by password"`

	_                  struct{} `group:"The job's own identity (the assertion)"`
	FederatedTokenFile string   `env:"FEDERATED_TOKEN_FILE" for:"all login" kind:"path" also:"AZURE_FEDERATED_TOKEN_FILE" saved:"yes" help:"take the assertion from this file instead of asking the CI system" help-login:"authenticate the application with the assertion in this file, not with a temporary certificate"`
	ServiceConnection  string   `env:"SERVICE_CONNECTION_ID" for:"all" kind:"service-connection" also:"AZURESUBSCRIPTION_SERVICE_CONNECTION_ID" input:"no" help:"Azure Pipelines: the service connection, with workload identity federation, whose OIDC token to ask for"`
	Audience           string   `env:"AUDIENCE" for:"all setup" kind:"audience" default:"api://AzureADTokenExchange" saved:"yes" help:"audience to ask of GitHub" help-setup:"audience of the OIDC tokens of the jobs to trust"`

	_               struct{} `group:"How the PAT is handed over and revoked"`
	Env             []string `env:"ENV" for:"exec rotate" kind:"variables" default:"AZURE_DEVOPS_EXT_PAT" input:"no" flag:"repeatable" help:"names of the variables that carry the PAT, separated by white space or commas; repeatable"`
	Output          string   `env:"OUTPUT" for:"mint sweep check list" values:"text json" default:"text" input:"no" help:"text, or json on standard output"`
	Configure       []string `env:"CONFIGURE" for:"mint exec" kind:"tools" help:"tools to set up for the next steps: TOOLS; exec: for its command"`
	Feed            []string `env:"FEED" for:"mint exec" kind:"feeds" help:"feeds for configure: NAME or PROJECT/NAME"`
	RunnerTemp      string   `env:"RUNNER_TEMP" for:"mint" kind:"temp-folder" help:"for configure: the temp folder as later steps see it, with host: before it or not"`
	SkipRevoke      bool     `env:"SKIP_REVOKE" for:"mint revoke exec" default:"false" saved:"yes" help:"do not revoke the PAT; it stays valid until it expires"`
	OnRevokeFailure string   `env:"ON_REVOKE_FAILURE" for:"mint revoke exec" values:"warn fail" default:"warn" default-revoke:"fail" saved:"yes" help:"what happens when a revocation fails: warn logs a warning, fail makes the exit status 1"`

	_         struct{} `group:"Browser"`
	NoBrowser bool     `env:"NO_BROWSER" for:"login" default:"false" input:"no" help:"do not open a browser: the address to open is only printed"`

	_               struct{}      `group:"Network"`
	Timeout         time.Duration `env:"TIMEOUT" for:"all login" kind:"timeout" default:"2m" saved:"yes" help:"overall time limit, retries included, such as 90s or 5m; for exec and rotate, that of each of acquire, renew and release; cleaning up after a failure may take another 5s" help-login:"time limit of each part on the network, retries included; a person is waited for 5m to sign in, and 30m to add the certificate"`
	AuthorityHost   string        `env:"AUTHORITY_HOST" for:"all login" kind:"url" default:"https://login.microsoftonline.com" also:"AZURE_AUTHORITY_HOST" saved:"unless-input" help:"Entra host"`
	TokenServiceURL string        `env:"TOKEN_SERVICE_URL" for:"all login" kind:"url" default:"https://vssps.dev.azure.com" saved:"unless-input" help:"base of the PAT Lifecycle API"`
	CAFile          string        `env:"CA_FILE" for:"all login" kind:"path" saved:"yes" help:"PEM file of further roots of trust, such as a TLS-inspecting proxy's"`

	// The following fields are computed from the settings above.

	// Identity is the configured identity.
	Identity Identity
	// AsksCI: the CI system is asked for the assertion.
	AsksCI bool
	// UnusedTokenFile is the variable of other tools that names a file with an
	// assertion, where the CI system is asked for one instead.
	UnusedTokenFile string
	// GitHubAPI is the base URL of GitHub's REST API, to which GitHubToken is sent.
	GitHubAPI string
	// Rules are those of FailOn.
	Rules []Rule
	// Origins says where each setting that was given was found: "--NAME" for a flag,
	// the setting's own name for an input, else the variable.
	Origins map[string]string
	// Warnings are about what is unusual but allowed, a sentence each.
	Warnings []string
}

// Credentials are the secrets that the caller handed in.
func (s *Settings) Credentials() []secret.Value {
	var all []secret.Value
	for _, d := range Descriptions {
		if v, ok := d.of(s).Interface().(secret.Value); ok && !v.IsZero() {
			all = append(all, v)
		}
	}
	return all
}

// Saved is what a later process needs to revoke a PAT, without any secret: the
// settings as [Load] reads them again, by name.
type Saved struct {
	Identity Identity          `json:"identity"`
	Values   map[string]string `json:"values"`
	// Roots are further roots of trust, in place of the file that held them.
	Roots string `json:"roots,omitempty"`
	// Asked is the host that was asked for the assertion, if it was not read from
	// a file, as in https://dev.azure.com.
	Asked string `json:"asked,omitempty"`
}

// Save returns the settings that [Load] reads again as Source.Saved.
func (s *Settings) Save() Saved {
	saved := Saved{Identity: s.Identity, Values: map[string]string{}}
	for _, d := range Descriptions {
		if !d.Saved {
			continue
		}
		if text := fmt.Sprint(d.of(s)); text != "" {
			saved.Values[d.Name] = text
		}
	}
	return saved
}

// of is the field that holds the setting.
func (d *Description) of(s *Settings) reflect.Value { return reflect.ValueOf(s).Elem().Field(d.field) }

// IsSecret reports whether the setting of that name holds a credential.
func IsSecret(name string) bool {
	d := Describe(name)
	return d != nil && d.Secret
}

// SecretVariables are the variables that hold a credential for this program alone.
func SecretVariables() (names []string) {
	for _, d := range Descriptions {
		if d.Secret {
			names = append(names, d.inputVariable(), d.ownVariable())
		}
	}
	slices.Sort(names)
	return names
}
