package settings

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// everySetting has two valid values of each setting, its default, and what each is
// understood as.
var everySetting = []struct {
	name    string
	a, b    string // as written
	base    env    // complete except for this setting
	get     func(*Settings) string
	inA     string // a, b and the default as understood; empty: as written
	inB     string
	normal  string
	command Command
}{
	{name: "organization", a: "https://dev.azure.com/org-a", b: "org-b", base: byAgent, get: func(s *Settings) string { return s.Organization }, inA: "org-a"},
	{name: "token-type", a: "entra", b: "pat", base: byServicePrincipal, get: func(s *Settings) string { return s.TokenType }, normal: "pat"},
	{name: "tenant-id", a: someGUID, b: "contoso.onmicrosoft.com", base: byAgent, get: func(s *Settings) string { return s.TenantID }},
	{name: "client-id", a: someGUID, b: otherGUID, base: byAgent, get: func(s *Settings) string { return s.ClientID }},
	{name: "agent-id", a: someGUID, b: otherGUID, base: byAgent, get: func(s *Settings) string { return s.AgentID }},
	{name: "agent-user", a: "a@contoso.com", b: someGUID, base: byAgent, get: func(s *Settings) string { return s.AgentUser }},
	{name: "refresh-token", a: "1.A-1", b: "1.A-2", base: byRefresh, get: func(s *Settings) string { return s.RefreshToken.Reveal() }},
	{name: "refresh-token-vault", a: "https://Contoso.vault.azure.net:443/secrets/azdo/", b: "http://127.0.0.1:8080/secrets/a", base: byVault, get: func(s *Settings) string { return s.RefreshTokenVault }, inA: "https://contoso.vault.azure.net/secrets/azdo"},
	{name: "username", a: "a@contoso.com", b: "b@contoso.com", base: byPassword, get: func(s *Settings) string { return s.Username }},
	{name: "password", a: "one two", b: "three", base: byPassword, get: func(s *Settings) string { return s.Password.Reveal() }},
	{name: "access-token", a: "eyJ.1", b: "eyJ.2", base: byAccess, get: func(s *Settings) string { return s.AccessToken.Reveal() }},
	{name: "federated-token-file", a: "/run/a", b: "b c", base: byAgent, get: func(s *Settings) string { return s.FederatedTokenFile }},
	{name: "scopes", a: "vso.code,vso.build", b: "vso.work", base: byAgent, get: func(s *Settings) string { return strings.Join(s.Scopes, "+") }, inA: "vso.code+vso.build"},
	{name: "lifetime", a: "30m", b: "1h30m", base: byAgent, get: func(s *Settings) string { return s.Lifetime.String() }, inA: "30m0s", inB: "1h30m0s", normal: "1h0m0s"},
	{name: "name", a: "label a", b: "label-b", base: byAgent, get: func(s *Settings) string { return s.Name }},
	{name: "skip-revoke", a: "true", b: "False", base: byAgent, get: func(s *Settings) string { return fmt.Sprint(s.SkipRevoke) }, inB: "false", normal: "false"},
	{name: "on-revoke-failure", a: "fail", b: "warn", base: byAgent, get: func(s *Settings) string { return s.OnRevokeFailure }, normal: "warn"},
	{name: "allow-full-access", a: "TRUE", b: "false", base: byAgent, get: func(s *Settings) string { return fmt.Sprint(s.AllowFullAccess) }, inA: "true", normal: "false"},
	{name: "audience", a: "api://other", b: "https://contoso.com/x", base: byAgent, get: func(s *Settings) string { return s.Audience }, normal: "api://AzureADTokenExchange"},
	{name: "authority-host", a: "https://login.microsoftonline.us/", b: "http://127.0.0.1:8080", base: byAgent, get: func(s *Settings) string { return s.AuthorityHost }, inA: "https://login.microsoftonline.us", normal: "https://login.microsoftonline.com"},
	{name: "token-service-url", a: "https://a.example/base//", b: "http://[::1]:1", base: byAgent, get: func(s *Settings) string { return s.TokenServiceURL }, inA: "https://a.example/base", normal: "https://vssps.dev.azure.com"},
	{name: "ca-file", a: "/etc/a.pem", b: "b.pem", base: byAgent, get: func(s *Settings) string { return s.CAFile }},
	{name: "timeout", a: "90s", b: "1h", base: byAgent, get: func(s *Settings) string { return s.Timeout.String() }, inA: "1m30s", inB: "1h0m0s", normal: "2m0s"},
	{name: "authorization-id", a: someGUID, b: otherGUID, base: byAgent, get: func(s *Settings) string { return s.AuthorizationID }, command: Revoke},
	{name: "service-connection-id", a: someGUID, b: otherGUID, base: byAgent, get: func(s *Settings) string { return s.ServiceConnection }},
	{name: "policy", a: "version: 1\nrules: []\n", b: " # x", base: byAgent, get: func(s *Settings) string { return s.Policy }},
	{name: "policy-file", a: "/etc/policy.yml", b: "b c.yml", base: byAgent, get: func(s *Settings) string { return s.PolicyFile }},
	{name: "env", a: "A,B_2", b: "_C", base: byAgent, get: func(s *Settings) string { return strings.Join(s.Env, "+") }, inA: "A+B_2", normal: "AZURE_DEVOPS_EXT_PAT", command: Exec},
	{name: "when-left", a: "5d", b: "36h", base: byRotate, get: func(s *Settings) string { return s.WhenLeft.String() }, inA: "120h0m0s", inB: "36h0m0s", normal: "240h0m0s", command: Rotate},
	{name: "overlap", a: "2d", b: "90m", base: byRotate, get: func(s *Settings) string { return s.Overlap.String() }, inA: "48h0m0s", inB: "1h30m0s", normal: "0s", command: Rotate},
	{name: "configure", a: "git", b: "az, git az", base: byAgent, get: func(s *Settings) string { return strings.Join(s.Configure, "+") }, inB: "az+git", command: Exec},
	{name: "feed", a: "a,b/c", b: "My%20Project/d@Local", base: byAgent, get: func(s *Settings) string { return strings.Join(s.Feed, "+") }, inA: "a+b/c", command: Exec},
	{name: "runner-temp", a: "host:/home/a b/_temp", b: "/b", base: byAgent, get: func(s *Settings) string { return s.RunnerTemp }, inA: "/home/a b/_temp"},
	{name: "older-than", a: "0s", b: "90m", base: byAgent, get: func(s *Settings) string { return s.OlderThan.String() }, inB: "1h30m0s", normal: "6h0m0s", command: Sweep},
	{name: "repository", a: "contoso/widgets", b: "a-b/c.d_e", base: byAgent, get: func(s *Settings) string { return s.Repository }, command: Sweep},
	{name: "dry-run", a: "true", b: "false", base: byAgent, get: func(s *Settings) string { return fmt.Sprint(s.DryRun) }, normal: "false", command: Sweep},
	{name: "fail-on", a: "other, full-access", b: "long-lived=30d scope=vso.code", base: byAgent, get: func(s *Settings) string { return strings.Join(s.FailOn, " ") }, inA: "other full-access", inB: "long-lived=30d scope=vso.code", command: List},
	{name: "github-token", a: "ghs_1", b: "ghs_2", base: byAgent, get: func(s *Settings) string { return s.GitHubToken.Reveal() }, command: Sweep},
	{name: "identity", a: "service-principal", b: "agent-user", base: bySetup, get: func(s *Settings) string { return s.SetupIdentity }, command: Setup},
	{name: "issuer", a: "https://a.example/x/", b: "https://b.example", base: bySubject, get: func(s *Settings) string { return s.Issuer }, command: Setup},
	{name: "subject", a: "repo:o/r:ref:refs/heads/'$(id)'", b: "b c", base: bySubject, get: func(s *Settings) string { return s.Subject }, command: Setup},
	{name: "format", a: "powershell", b: "bash", base: bySetup, get: func(s *Settings) string { return s.Format }, normal: "bash", command: Setup},
	{name: "undo", a: "true", b: "false", base: bySetup, get: func(s *Settings) string { return fmt.Sprint(s.Undo) }, normal: "false", command: Setup},
	{name: "no-browser", a: "true", b: "false", base: byLogin, get: func(s *Settings) string { return fmt.Sprint(s.NoBrowser) }, normal: "false", command: Login},
	{name: "output", a: "json", b: "text", base: byAgent, get: func(s *Settings) string { return s.Output }, normal: "text"},
}

// levels lists where a setting is read from, the first wins.
func levels(name string) []string {
	all := []string{"INPUT_" + strings.ToUpper(name), "AZDO_PAT_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))}
	if !IsSecret(name) {
		all = append([]string{"--" + name}, all...)
	}
	return append(all, azures[name]...)
}

// azures are the variables of Azure's own tools.
var azures = map[string][]string{
	"tenant-id":            {"AZURE_TENANT_ID", "AZURESUBSCRIPTION_TENANT_ID"},
	"client-id":            {"AZURE_CLIENT_ID", "AZURESUBSCRIPTION_CLIENT_ID"},
	"federated-token-file": {"AZURE_FEDERATED_TOKEN_FILE"},
	"authority-host":       {"AZURE_AUTHORITY_HOST"},

	"service-connection-id": {"AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"},
	"github-token":          {"GITHUB_TOKEN"},
}

// at makes a source in which a setting has a value at each of some levels.
func at(base env, name string, values map[string]string) Source {
	src := Source{Action: true, CI: &CI{}, Flags: map[string]string{}}
	e := base.with(Describe(name).ownVariable(), "")
	for level, value := range values {
		if flag, ok := strings.CutPrefix(level, "--"); ok {
			src.Flags[flag] = value
		} else {
			e[level] = value
		}
	}
	src.LookupEnv = e.lookup
	return src
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	for _, tc := range everySetting {
		for _, written := range [][2]string{{tc.a, tc.b}, {tc.b, tc.a}} {
			want := written[0]
			if written[0] == tc.a && tc.inA != "" {
				want = tc.inA
			}
			if written[0] == tc.b && tc.inB != "" {
				want = tc.inB
			}
			for i, winner := range levels(tc.name) {
				for _, blank := range []string{"", " ", "\t\r\n "} {
					if strings.HasPrefix(tc.name, "policy") && blank != "" {
						continue // see TestPolicyOfWhiteSpace
					}
					t.Run(fmt.Sprintf("%s/%s over %q/%q", winner, written[0], written[1], blank), func(t *testing.T) {
						t.Parallel()
						values := map[string]string{}
						for j, level := range levels(tc.name) {
							values[level] = []string{blank, written[0], written[1]}[1+compare(j, i)]
						}
						s, err := Load(orMint(tc.command), at(tc.base, tc.name, values))
						if err != nil && tc.name != "token-type" { // each of whose values needs another identity
							t.Fatal(err)
						}
						if got := tc.get(s); got != want {
							t.Errorf("%s = %q, want %q", tc.name, got, want)
						}
					})
				}
			}
		}
	}
}

func compare(a, b int) int { return min(1, max(-1, a-b)) }

func orMint(c Command) Command {
	if c == "" {
		return Mint
	}
	return c
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	for _, tc := range everySetting {
		for _, blank := range []string{"", " ", "\t\r\n\u00a0"} {
			if strings.HasPrefix(tc.name, "policy") && blank != "" {
				continue // see TestPolicyOfWhiteSpace
			}
			t.Run(fmt.Sprintf("%s/%q", tc.name, blank), func(t *testing.T) {
				t.Parallel()
				values := map[string]string{}
				for _, level := range levels(tc.name) {
					values[level] = blank
				}
				// Required settings are then missing, which this test does not check.
				s, _ := Load(orMint(tc.command), at(tc.base, tc.name, values))
				if got := tc.get(s); got != tc.normal {
					t.Errorf("%s = %q, want %q", tc.name, got, tc.normal)
				}
			})
		}
	}
}

// Only on-revoke-failure has a default that depends on the command: a failed revoke is
// the failure of what the user asked for.
func TestDefaultOfOnRevokeFailure(t *testing.T) {
	t.Parallel()
	for command, want := range map[Command]string{Mint: "warn", Post: "warn", Revoke: "fail"} {
		if got := loaded(t, command, Source{LookupEnv: byAgent.lookup}).OnRevokeFailure; got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	for _, said := range []string{"warn", "fail"} {
		e := byAgent.with("AZDO_PAT_ON_REVOKE_FAILURE", said)
		if got := loaded(t, Revoke, Source{LookupEnv: e.lookup}).OnRevokeFailure; got != said {
			t.Errorf("revoke: %q, want %q", got, said)
		}
	}
}

// A setting that is missing from the tables of these tests would not be tested.
func TestEverySettingIsInTheTables(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{}
	for _, tc := range everySetting {
		tested[tc.name] = true
		if got, want := Describe(tc.name).AlsoRead, azures[tc.name]; !slices.Equal(got, want) {
			t.Errorf("AlsoRead of %q = %q, want %q", tc.name, got, want)
		}
	}
	for _, name := range settingNames() {
		if !tested[name] {
			t.Errorf("%s is not in everySetting", name)
		}
	}
}

// settingNames lists the settings.
func settingNames() []string {
	var names []string
	for _, d := range Descriptions {
		names = append(names, d.Name)
	}
	return names
}

// Only a name's own variables are read: upper-cased with hyphens for an input,
// with underscores otherwise.
func TestOtherVariablesAreNotRead(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ variable, setting string }{
		{"INPUT_CLIENT_ID", "client-id"},
		{"INPUT_client-id", "client-id"},
		{"AZDO_PAT_CLIENT-ID", "client-id"},
		{"azdo_pat_client_id", "client-id"},
		{"CLIENT_ID", "client-id"},
		{"AZURE_AGENT_ID", "agent-id"},
		{"AZURE_PASSWORD", "password"},
		{"ORGANIZATION", "organization"},
		{"NAME", "name"},
		{"AZURE_CLIENT_SECRET", "password"},
		{"AZURE_USERNAME", "username"},
	} {
		t.Run(tc.variable, func(t *testing.T) {
			t.Parallel()
			l := &loader{command: Mint, src: Source{LookupEnv: env{tc.variable: "found"}.lookup}, origins: map[string]string{}}
			l.lookuper().Lookup(Describe(tc.setting).key)
			if l.given(tc.setting) {
				t.Errorf("%s was read from %s", tc.setting, l.origins[tc.setting])
			}
		})
	}
}

// White space around a value is a slip, but in a password it may be intended.
func TestWhiteSpaceAround(t *testing.T) {
	t.Parallel()
	s := loaded(t, Mint, Source{LookupEnv: byPassword.with("AZDO_PAT_ORGANIZATION", "\n contoso\t\n", "AZDO_PAT_PASSWORD", " a  b ").lookup})
	if s.Organization != "contoso" || s.Password.Reveal() != " a  b " {
		t.Errorf("organization %q, password of %d bytes", s.Organization, len(s.Password.Reveal()))
	}
	s = loaded(t, Mint, Source{LookupEnv: byRefresh.with("AZDO_PAT_REFRESH_TOKEN", someRefresh+"\n").lookup})
	if s.RefreshToken.Reveal() != someRefresh {
		t.Error("the line break after a refresh token was taken for a part of it")
	}
}

// Values are taken as they are: no variable in them is expanded.
func TestValuesAreNotExpanded(t *testing.T) {
	t.Parallel()
	s := loaded(t, Mint, Source{LookupEnv: byPassword.with("AZDO_PAT_PASSWORD", "a$HOME${AZDO_PAT_USERNAME}%41", "AZDO_PAT_NAME", "$HOME, default=x").lookup})
	if s.Password.Reveal() != "a$HOME${AZDO_PAT_USERNAME}%41" || s.Name != "$HOME, default=x" {
		t.Errorf("name %q, password %q", s.Name, s.Password.Reveal())
	}
}

// A policy keeps its white space, which has a meaning in YAML, and white space alone is a
// policy, which is wrong: a policy must not disappear by a slip. Only an empty one is none.
func TestPolicyOfWhiteSpace(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{"": "", " \n\t": " \n\t", "  version: 1\n": "  version: 1\n"} {
		s := loaded(t, Mint, Source{LookupEnv: byAgent.with("AZDO_PAT_POLICY", value).lookup})
		if s.Policy != want || (s.Origins["policy"] != "") != (want != "") {
			t.Errorf("policy %q is %q, from %q", value, s.Policy, s.Origins["policy"])
		}
	}
	for value, want := range map[string]string{"": "", " ": " ", " a/b.yml ": "a/b.yml"} {
		s := loaded(t, Exec, Source{LookupEnv: byAgent.with("AZDO_PAT_POLICY_FILE", value).lookup})
		if s.PolicyFile != want || (s.Origins["policy-file"] != "") != (want != "") {
			t.Errorf("policy-file %q is %q, from %q", value, s.PolicyFile, s.Origins["policy-file"])
		}
	}
	only(t, problems(t, Mint, Source{LookupEnv: byAgent.with("AZDO_PAT_POLICY", "x", "INPUT_POLICY-FILE", "y").lookup}),
		"AZDO_PAT_POLICY and policy-file: both are set; allowed: one of them")
	loaded(t, Sweep, Source{LookupEnv: byAgent.with("AZDO_PAT_POLICY", "x", "AZDO_PAT_POLICY_FILE", "y").lookup}) // which reads none
}
