package settings

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// identitySettings are the settings of each identity.
var identitySettings = []struct {
	identity Identity
	names    []string
	values   []string
}{
	{RefreshToken, []string{"refresh-token"}, []string{someRefresh}},
	{VaultToken, []string{"refresh-token-vault"}, []string{someVault}},
	{AgentUser, []string{"agent-id", "agent-user"}, []string{someGUID, "agent@contoso.com"}},
	{AccessToken, []string{"access-token"}, []string{someAccess}},
	{Password, []string{"username", "password"}, []string{"svc@contoso.com", somePassword}},
}

// identityChoices are the identities as an error offers them in a workflow.
const identityChoices = "token-type: entra (service principal), refresh-token (service account by refresh token), refresh-token-vault (service account by refresh token in Key Vault), agent-id with agent-user (agent user), " +
	"access-token (given access token), username with password (service account by password)"

func inputs(base env, names, values []string) Source {
	for i, name := range names {
		base = base.with("INPUT_"+strings.ToUpper(name), values[i])
	}
	return Source{LookupEnv: base.lookup, Action: true}
}

func TestOneIdentity(t *testing.T) {
	t.Parallel()
	for _, given := range identitySettings {
		for _, command := range []Command{Mint, Revoke, Post} {
			t.Run(fmt.Sprint(given.identity, "/", command), func(t *testing.T) {
				t.Parallel()
				if s := loaded(t, command, inputs(common, given.names, given.values)); s.Identity != given.identity {
					t.Errorf("identity %q, want %q", s.Identity, given.identity)
				}
			})
		}
	}
}

func TestNoIdentity(t *testing.T) {
	t.Parallel()
	for _, command := range []Command{Mint, Revoke, Post} {
		only(t, problems(t, command, Source{LookupEnv: common.lookup, Action: true, RevokeStep: true}), "no identity is set; set one of "+identityChoices+"; "+secretsWithheld)
		// Elsewhere the same are flags, and variables for what is secret.
		only(t, problems(t, command, Source{LookupEnv: common.lookup, RevokeStep: true}), "no identity is set; set one of "+
			"--token-type entra (service principal), AZDO_PAT_REFRESH_TOKEN (service account by refresh token), --refresh-token-vault (service account by refresh token in Key Vault), --agent-id with --agent-user (agent user), "+
			"AZDO_PAT_ACCESS_TOKEN (given access token), --username with AZDO_PAT_PASSWORD (service account by password)")
	}
}

// Without an identity it is unknown whether a client id or an assertion is
// needed, so their absence is not reported as well.
func TestNoIdentityIsOneProblem(t *testing.T) {
	t.Parallel()
	e := env{"AZDO_PAT_ORGANIZATION": "contoso", "AZDO_PAT_SCOPES": "vso.code"}
	only(t, problems(t, Mint, Source{LookupEnv: e.lookup, Action: true}), "no identity is set; set one of "+identityChoices+"; "+secretsWithheld)
}

func TestTwoIdentities(t *testing.T) {
	t.Parallel()
	for i, a := range identitySettings {
		for _, b := range identitySettings[i+1:] {
			// All of both, and the first half of each.
			for n := range 2 {
				names := append(append([]string{}, a.names[:max(1, n*len(a.names))]...), b.names[:max(1, n*len(b.names))]...)
				values := append(append([]string{}, a.values[:max(1, n*len(a.values))]...), b.values[:max(1, n*len(b.values))]...)
				t.Run(strings.Join(names, "+"), func(t *testing.T) {
					t.Parallel()
					src := inputs(common, names, values)
					by := strings.Join(names[:max(1, n*len(a.names))], " with ") + " and by " + strings.Join(names[max(1, n*len(a.names)):], " with ")
					got := problems(t, Mint, src)
					// If only half of an identity is set, the other half is asked for as well.
					only(t, got[len(got)-1:], "2 identities are set, by "+by+"; set exactly one of "+identityChoices)
					for _, names := range [][]string{a.names, b.names} {
						asked := slices.ContainsFunc(got, func(p string) bool {
							return strings.HasPrefix(p, names[len(names)-1]+": not set; the identity")
						})
						if asked != (n == 0 && len(names) == 2) {
							t.Errorf("%v: the other half is asked for: %v, in %q", names, asked, got)
						}
					}
					if s, _ := Load(Mint, src); s.Identity != "" {
						t.Errorf("identity %q was chosen anyway", s.Identity)
					}
				})
			}
		}
	}
}

func TestFiveIdentities(t *testing.T) {
	t.Parallel()
	e := byPassword.with("INPUT_AGENT-USER", "agent@contoso.com", "AZDO_PAT_REFRESH_TOKEN", someRefresh, "AZDO_PAT_REFRESH_TOKEN_VAULT", someVault)
	got := problems(t, Mint, Source{LookupEnv: e.with("INPUT_ACCESS-TOKEN", someAccess).lookup, Flags: map[string]string{"agent-id": someGUID}})
	only(t, got, "5 identities are set, by AZDO_PAT_REFRESH_TOKEN and by AZDO_PAT_REFRESH_TOKEN_VAULT and by --agent-id with agent-user and by "+
		"access-token and by AZDO_PAT_USERNAME with AZDO_PAT_PASSWORD; set exactly one of "+
		"--token-type entra (service principal), AZDO_PAT_REFRESH_TOKEN (service account by refresh token), AZDO_PAT_REFRESH_TOKEN_VAULT (service account by refresh token in Key Vault), --agent-id with agent-user (agent user), "+
		"access-token (given access token), AZDO_PAT_USERNAME with AZDO_PAT_PASSWORD (service account by password)")
}

// An access token needs neither an application nor an assertion, so it does not
// matter what other tools' variables say about them.
func TestAccessTokenNeedsNothingElse(t *testing.T) {
	t.Parallel()
	s := loaded(t, Mint, Source{LookupEnv: byAccess.with("AZURE_CLIENT_ID", "not an id at all").lookup})
	if s.Identity != AccessToken || s.AccessToken.Reveal() != someAccess {
		t.Errorf("identity %q", s.Identity)
	}
}

// A username with control characters would change the terminal.
func TestUsernameWithControlCharacters(t *testing.T) {
	t.Parallel()
	e := byPassword.with("AZDO_PAT_USERNAME", "svc\x1b]0;x\a@contoso.com")
	only(t, problems(t, Mint, Source{LookupEnv: e.lookup}),
		`AZDO_PAT_USERNAME: found "***@contoso.com"; allowed: the user principal name of the service account`)
}
