// Package settings reads what the caller asked for and checks it once. After
// it nobody reads the environment for a setting.
//
// A setting has one name. Its value is looked for, in this order, in
//
//   - the command-line flag --NAME,
//   - the action input NAME: INPUT_NAME, upper-cased, hyphens kept,
//   - AZDO_PAT_NAME, upper-cased, hyphens as underscores,
//   - the ecosystem's own variable, such as AZURE_TENANT_ID,
//   - the default, which can differ from command to command.
//
// An empty value counts as unset. All that is wrong is reported together, each
// setting by the name under which the caller wrote it; see [Problems].
package settings

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"

	"azdo-pat/internal/secret"
)

// Command is the command that the settings are for: each needs others.
type Command string

// The commands that have settings.
const (
	Mint   Command = "mint"
	Revoke Command = "revoke"
	// Post is revoke as the action's post step: no flag, no required id.
	Post  Command = "post"
	Exec  Command = "exec"
	Sweep Command = "sweep"
	Check Command = "check"
)

// Identity is the way to the Entra user in whose name a PAT is minted.
type Identity string

// The identities.
const (
	AgentUser    Identity = "agent user"
	RefreshToken Identity = "service account by refresh token"
	Password     Identity = "service account by password"
	AccessToken  Identity = "access token brought along"
)

// What a revocation that did not succeed does to the exit status.
const (
	Warn = "warn"
	Fail = "fail"
)

// The formats of standard output.
const (
	Text = "text"
	JSON = "json"
)

// raw is the settings as the caller wrote them. The tags are the names with
// underscores for hyphens, since envconfig wants a variable's name.
type raw struct {
	Organization       string       `env:"ORGANIZATION"`
	TenantID           string       `env:"TENANT_ID"`
	ClientID           string       `env:"CLIENT_ID"`
	AgentID            string       `env:"AGENT_ID"`
	AgentUser          string       `env:"AGENT_USER"`
	RefreshToken       secret.Value `env:"REFRESH_TOKEN"`
	Username           string       `env:"USERNAME"`
	Password           secret.Value `env:"PASSWORD"`
	AccessToken        secret.Value `env:"ACCESS_TOKEN"`
	FederatedTokenFile string       `env:"FEDERATED_TOKEN_FILE"`
	ServiceConnection  string       `env:"SERVICE_CONNECTION_ID"`
	Scopes             string       `env:"SCOPES"`
	Lifetime           string       `env:"LIFETIME, default=1h"`
	Name               string       `env:"NAME"`
	SkipRevoke         string       `env:"SKIP_REVOKE, default=false"`
	OnRevokeFailure    string       `env:"ON_REVOKE_FAILURE, default=warn"`
	AllowFullAccess    string       `env:"ALLOW_FULL_ACCESS, default=false"`
	Audience           string       `env:"AUDIENCE, default=api://AzureADTokenExchange"`
	AuthorityHost      string       `env:"AUTHORITY_HOST, default=https://login.microsoftonline.com"`
	TokenServiceURL    string       `env:"TOKEN_SERVICE_URL, default=https://vssps.dev.azure.com"`
	CAFile             string       `env:"CA_FILE"`
	Timeout            string       `env:"TIMEOUT, default=2m"`
	AuthorizationID    string       `env:"AUTHORIZATION_ID"`
	Output             string       `env:"OUTPUT, default=text"`
	Env                string       `env:"ENV, default=AZURE_DEVOPS_EXT_PAT"`
	OlderThan          string       `env:"OLDER_THAN, default=6h"`
	Repository         string       `env:"REPOSITORY"`
	DryRun             string       `env:"DRY_RUN, default=false"`
	GitHubToken        secret.Value `env:"GITHUB_TOKEN"`
}

// ecosystem lists where else a setting is read from.
var ecosystem = map[string][]string{
	"TENANT_ID":             {"AZURE_TENANT_ID", "AZURESUBSCRIPTION_TENANT_ID"},
	"CLIENT_ID":             {"AZURE_CLIENT_ID", "AZURESUBSCRIPTION_CLIENT_ID"},
	"FEDERATED_TOKEN_FILE":  {"AZURE_FEDERATED_TOKEN_FILE"},
	"AUTHORITY_HOST":        {"AZURE_AUTHORITY_HOST"},
	"SERVICE_CONNECTION_ID": {"AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"},
	"GITHUB_TOKEN":          {"GITHUB_TOKEN"},
}

// secrets are the settings that hold a credential, and the identity that each
// belongs to, if any. They have no flag and are never saved.
var secrets = map[string]Identity{
	"REFRESH_TOKEN": RefreshToken,
	"PASSWORD":      Password,
	"ACCESS_TOKEN":  AccessToken,
	"GITHUB_TOKEN":  "",
}

// hosts are the settings that say where credentials are sent. Given as inputs they
// are the caller's word, which a state that another step planted does not change.
var hosts = []string{"AUTHORITY_HOST", "TOKEN_SERVICE_URL"}

// defaults that differ from the common ones.
var defaults = map[Command]map[string]string{
	Revoke: {"ON_REVOKE_FAILURE": Fail},
	Exec:   {"LIFETIME": "15m"},
}

// IsSecret reports whether the setting of that name holds a credential.
func IsSecret(name string) bool { _, ok := secrets[key(name)]; return ok }

// SecretVariables are the variables that a credential is read from and that are
// for this program alone.
func SecretVariables() (names []string) {
	for key := range secrets {
		names = append(names, "INPUT_"+strings.ToUpper(setting(key)), "AZDO_PAT_"+key)
	}
	slices.Sort(names)
	return names
}

// Settings is what the caller asked for, checked.
type Settings struct {
	Organization       string // the bare name, as in "contoso"
	TenantID           string // GUID or domain; empty: to be asked of the organization
	ClientID           string
	Identity           Identity
	AgentID            string
	AgentUser          string // UPN or object id
	RefreshToken       secret.Value
	Username           string
	Password           secret.Value
	AccessToken        secret.Value
	FederatedTokenFile string
	// UnusedTokenFile is the variable of other tools that names a file with an
	// assertion, where the CI system is asked for one instead.
	UnusedTokenFile   string
	ServiceConnection string // GUID; Azure Pipelines only
	Scopes            []string
	Lifetime          time.Duration
	Name              string
	SkipRevoke        bool
	OnRevokeFailure   string // Warn or Fail
	AllowFullAccess   bool
	Audience          string
	AuthorityHost     string // without a slash at the end
	TokenServiceURL   string // without a slash at the end
	CAFile            string
	Timeout           time.Duration
	AuthorizationID   string // empty: the lease of this job, where it can be found
	Output            string // Text or JSON
	// Env names the variables that carry the PAT, for Exec.
	Env []string
	// OlderThan, Repository (OWNER/REPO; empty: all), DryRun and GitHubToken
	// are Sweep's.
	OlderThan   time.Duration
	Repository  string
	DryRun      bool
	GitHubToken secret.Value
	GitHubAPI   string // base URL of GitHub's REST API, where the token goes
	// Warnings are what is odd and yet allowed, a sentence each.
	Warnings []string
}

// Credentials are the secrets that the caller handed in.
func (s *Settings) Credentials() []secret.Value {
	return slices.DeleteFunc([]secret.Value{s.RefreshToken, s.Password, s.AccessToken, s.GitHubToken}, secret.Value.IsZero)
}

// Saved is what a later process needs to end a lease, without any secret: the
// settings as one can read them again, by name.
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
	v := map[string]string{
		"organization":         s.Organization,
		"tenant-id":            s.TenantID,
		"client-id":            s.ClientID,
		"agent-id":             s.AgentID,
		"agent-user":           s.AgentUser,
		"username":             s.Username,
		"federated-token-file": s.FederatedTokenFile,
		"audience":             s.Audience,
		"authority-host":       s.AuthorityHost,
		"token-service-url":    s.TokenServiceURL,
		"ca-file":              s.CAFile,
		"timeout":              s.Timeout.String(),
		"on-revoke-failure":    s.OnRevokeFailure,
		"skip-revoke":          fmt.Sprint(s.SkipRevoke),
	}
	maps.DeleteFunc(v, func(_, value string) bool { return value == "" })
	return Saved{Identity: s.Identity, Values: v}
}

// Source is where settings come from.
type Source struct {
	// Flags holds the values of the flags that were given, by name.
	Flags map[string]string
	// LookupEnv reads the environment, as [os.LookupEnv] does.
	LookupEnv func(string) (string, bool)
	// Environ lists the environment, as [os.Environ] does, for names that are
	// misspelt. Nil: they are not looked for.
	Environ func() []string
	// Action says that the caller wrote a GitHub workflow, so that a missing
	// setting is named as an input.
	Action bool
	// Saved is what a mint left for its post step. Where it is there, every
	// setting that is no secret comes from it alone: in the post step of a
	// nested composite action the inputs can be another step's. Of the secrets
	// only those of the identity that minted are looked at. Hosts that are given
	// as inputs win all the same.
	Saved *Saved
	// Assertion reports whether the CI system can vouch for the job, and if
	// not, why, and what to change. Nil: it cannot, and a token file is needed.
	Assertion func() error
	// Offered says that the CI system gives the job what to ask it for an assertion
	// with, right or wrong.
	Offered bool
	// ServiceConnection says that the CI system vouches in the name of a service
	// connection, which must be set.
	ServiceConnection bool
	// Lease says that the lease of this job can be found without its id.
	Lease bool
	// Roots tries the file of further roots of trust; its name is empty where
	// there is none. Nil: it is not tried.
	Roots func(file string) error
	// Found, if not nil, is told of every setting that was given where: "--NAME"
	// for a flag, the setting's own name for an input, else a variable's.
	Found func(name, where string)
}

// Load reads the settings of command and checks those that concern it. What is
// wrong comes back as [*Problems], with the settings that could be read.
func Load(command Command, src Source) (*Settings, error) {
	l := &lookup{src: src, command: command, found: map[string]string{}}
	var r raw
	if err := envconfig.ProcessWith(context.Background(), &envconfig.Config{Target: &r, Lookuper: l.chain()}); err != nil {
		return nil, err // a mistake in the tags above
	}
	c := &validator{lookup: l}
	s := c.settings(&r)
	if src.Found != nil {
		for key, where := range l.found {
			src.Found(setting(key), where)
		}
	}
	if len(c.problems) > 0 {
		return s, &Problems{c.problems}
	}
	return s, nil
}

// lookup finds values and remembers under which name each was found.
type lookup struct {
	src     Source
	command Command
	found   map[string]string
}

func (l *lookup) chain() envconfig.Lookuper {
	from := func(get func(key string) (name, value string)) envconfig.Lookuper {
		return envconfig.LookuperFunc(func(key string) (string, bool) {
			name, value := get(key)
			// White space around a value is a slip of the editor or of a
			// multi-line YAML string; in a password it may be meant.
			if key != "PASSWORD" || strings.TrimSpace(value) == "" {
				value = strings.TrimSpace(value)
			}
			if value == "" {
				return "", false
			}
			l.found[key] = name
			return value, true
		})
	}
	env := func(name string) (string, string) {
		value, _ := l.src.LookupEnv(name)
		return name, value
	}
	input := from(func(key string) (string, string) {
		_, value := env("INPUT_" + strings.ToUpper(setting(key)))
		return setting(key), value
	})
	outside := envconfig.MultiLookuper(
		from(func(key string) (string, string) { return "--" + setting(key), l.src.Flags[setting(key)] }),
		input,
		from(func(key string) (string, string) { return env("AZDO_PAT_" + key) }),
		envconfig.LookuperFunc(func(key string) (string, bool) {
			for _, name := range ecosystem[key] {
				if value, ok := from(func(string) (string, string) { return env(name) }).Lookup(key); ok {
					return value, true
				}
			}
			return "", false
		}),
		envconfig.MapLookuper(defaults[l.command]),
	)
	if l.src.Saved == nil {
		return outside
	}
	saved := from(func(key string) (string, string) {
		return "saved " + setting(key), l.src.Saved.Values[setting(key)]
	})
	return envconfig.LookuperFunc(func(key string) (string, bool) {
		if identity, ok := secrets[key]; ok {
			if identity != l.src.Saved.Identity {
				return "", false
			}
			return outside.Lookup(key)
		}
		if slices.Contains(hosts, key) {
			// A word that is no URL is another step's input: with it mint would have failed.
			if value, ok := input.Lookup(key); ok && strings.Contains(value, "://") {
				return value, true
			}
		}
		return saved.Lookup(key)
	})
}

// as names a setting as the caller wrote it, or would write it.
func (l *lookup) as(name string) string {
	return cmp.Or(l.found[key(name)], l.missing(name))
}

// missing names a setting that was not given.
func (l *lookup) missing(name string) string {
	switch {
	case l.src.Action:
		return name
	case IsSecret(name):
		return "AZDO_PAT_" + key(name)
	}
	return "--" + name
}

// key is a setting's name as envconfig knows it, setting the way back.
func key(name string) string    { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }
func setting(key string) string { return strings.ToLower(strings.ReplaceAll(key, "_", "-")) }
