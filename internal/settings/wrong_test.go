package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/hint"
)

// The allowed values, as in the messages.
const (
	variables    = "names of variables, separated by white space or commas, such as AZURE_DEVOPS_EXT_PAT"
	ages         = "a duration of zero or more, such as 6h, 90m or 2d"
	repositories = "a GitHub repository as OWNER/REPO"

	lifetimes  = "a duration from 5m to 24h, such as 30m, 1h30m or 1d"
	timeouts   = "a duration above zero and up to 365d, such as 90s, 2m or 1d"
	booleans   = "true or false"
	tenants    = "the tenant's GUID or one of its domains, such as contoso.onmicrosoft.com"
	agentUsers = "the agent's user account, as user principal name (agent@contoso.com) or object id (a GUID)"
	audiences  = "the audience of the federated credential, without white space"
	files      = "the path of a file"
	apps       = "the client id of an application, a GUID"
	scopeList  = "PAT scopes separated by white space or commas, such as vso.code vso.packaging_write, which azdo-pat scopes lists"
	scopeForm  = `a scope is "vso." and lower-case letters, digits, "_" and ".", or "app_token"`
)

// commandOf is a command that reads a setting.
func commandOf(name string) Command {
	for _, d := range Descriptions {
		if d.Name == name {
			return d.For[0]
		}
	}
	return Mint
}

// A wrong value is named as the caller wrote it, wherever it was written,
// together with what was found and what is allowed.
func TestWrongValues(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 200)
	for _, tc := range []struct {
		name, found, allowed string
	}{
		{"organization", "con_toso", forms},
		{"tenant-id", "contoso", tenants},
		{"tenant-id", "common", tenants},
		{"tenant-id", "contoso..com", tenants},
		{"tenant-id", "-contoso.com", tenants},
		{"tenant-id", "contoso.com/../x", tenants},
		{"tenant-id", "contoso.com%2f", tenants},
		{"tenant-id", "contóso.com", tenants},
		{"tenant-id", "{" + someGUID + "}", tenants},
		{"tenant-id", someGUID + "0", tenants},
		{"tenant-id", "https://contoso.com", tenants},
		{"tenant-id", "127.0.0.1", tenants},
		{"client-id", "a b", apps},
		{"client-id", "blueprint", apps},
		{"client-id", someGUID + "\u200b", apps},
		{"client-id", "-a", apps},
		{"client-id", "a?b", apps},
		{"client-id", long + "x", apps},
		{"agent-id", "a&client_id=b", "the client id of the agent identity, a GUID"},
		{"agent-id", "é", "the client id of the agent identity, a GUID"},
		{"agent-user", "agent", agentUsers},
		{"agent-user", "agent@", agentUsers},
		{"agent-user", "@contoso.com", agentUsers},
		{"agent-user", "a b@contoso.com", agentUsers},
		{"agent-user", "a@b@contoso.com", agentUsers},
		{"agent-user", "agent@contoso_com", agentUsers},
		{"agent-user", "a/b", agentUsers},
		{"federated-token-file", "/run/\x7ftoken", files},
		{"scopes", "code", scopeList + ` (not a scope: "code" (vso.code?): ` + scopeForm + ")"},
		{"scopes", "vso.code,VSO.BUILD", scopeList + ` (not a scope: "VSO.BUILD" (vso.build?): ` + scopeForm + ")"},
		{"scopes", ", ,", scopeList + " (no scopes are given)"},
		{"scopes", "app_token", "scopes that start with vso.; app_token grants everything the user may do, and needs allow-full-access: true"},
		{"lifetime", "4m59.999999999s", lifetimes},
		{"lifetime", "24h0m0.000000001s", lifetimes},
		{"lifetime", "0", lifetimes},
		{"lifetime", "-1h", lifetimes},
		{"lifetime", "60", lifetimes},
		{"lifetime", "2d", lifetimes},
		{"lifetime", "0d", lifetimes},
		{"lifetime", "-1d", lifetimes},
		{"lifetime", "+1d", lifetimes},
		{"lifetime", "d", lifetimes},
		{"lifetime", "1 d", lifetimes},
		{"lifetime", "1D", lifetimes},
		{"lifetime", "0.5d", lifetimes},
		{"lifetime", "0d30m", lifetimes},
		{"lifetime", "1d0h", lifetimes},
		{"lifetime", "213504d", lifetimes}, // one more than 2⁶⁴ ns
		{"lifetime", "99999999999999999999d", lifetimes},
		{"lifetime", "1\u200bh", lifetimes},
		{"lifetime", "1 h", lifetimes},
		{"lifetime", "1h30", lifetimes},
		{"lifetime", "9999999999h", lifetimes},
		{"lifetime", "１h", lifetimes},
		{"skip-revoke", "yes", booleans},
		{"skip-revoke", "1", booleans},
		{"skip-revoke", "tRUE", booleans},
		{"on-revoke-failure", "ignore", "warn or fail"},
		{"on-revoke-failure", "Fail", "warn or fail"},
		{"on-revoke-failure", "warn fail", "warn or fail"},
		{"allow-full-access", "on", booleans},
		{"audience", "api://a b", audiences},
		{"audience", "a\u2028b", audiences},
		{"authority-host", "login.microsoftonline.com", notPlain},
		{"authority-host", "http://login.microsoftonline.com", notLoopback},
		{"authority-host", "https://login.microsoftonline.com?x", notPlain},
		{"token-service-url", "http://127.0.0.1.evil.com", notLoopback},
		{"token-service-url", "https://vssps.dev.azure.com#", notPlain},
		{"ca-file", "a\x1bb", files},
		{"timeout", "0s", timeouts},
		{"timeout", "-1s", timeouts},
		{"timeout", "120", timeouts},
		{"timeout", "0d", timeouts},
		{"timeout", "366d", timeouts},
		{"timeout", "8760h0m0.000000001s", timeouts},
		{"output", "yaml", "text or json"},
		{"output", "JSON", "text or json"},
		{"env", "A B=c", variables},
		{"env", "1A", variables},
		{"env", "A-B", variables},
		{"env", ", ,", "at least one name of a variable, such as AZURE_DEVOPS_EXT_PAT"},
		{"older-than", "-1s", ages},
		{"older-than", "6", ages},
		{"older-than", "-1d", ages},
		{"older-than", "106752d", ages}, // more than a duration can hold
		{"repository", "contoso", repositories},
		{"repository", "contoso/a/b", repositories},
		{"repository", "https://github.com/contoso/a", repositories},
		{"dry-run", "maybe", booleans},
		{"authorization-id", "4ab5764f", "the GUID that mint handed over as authorization-id"},
		{"authorization-id", someGUID + "/..", "the GUID that mint handed over as authorization-id"},
	} {
		command := commandOf(tc.name)
		for _, level := range levels(tc.name) {
			t.Run(level+"/"+tc.found, func(t *testing.T) {
				t.Parallel()
				got := problems(t, command, at(byAgent, tc.name, map[string]string{level: tc.found}))
				as := level
				if strings.HasPrefix(level, "INPUT_") {
					as = tc.name
				}
				only(t, got, fmt.Sprintf("%s: found %s; allowed: %s", as, show(tc.name, tc.found), tc.allowed))
			})
		}
	}
}

// Values at the edge of what is allowed.
func TestRightValues(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, value, want string }{
		{"tenant-id", otherGUID, ""},
		{"tenant-id", "contoso.co.uk", ""},
		{"tenant-id", "xn--bcher-kva.xn--p1ai", ""},
		{"tenant-id", "3m.com", ""},
		{"client-id", "api://contoso.com/app~1_x", ""},
		{"agent-user", "o'neill+x_y.z#EXT#@contoso.onmicrosoft.com", ""},
		{"agent-user", "müller@contoso.com", ""},
		{"lifetime", "5m", "5m0s"},
		{"lifetime", "300s", "5m0s"},
		{"lifetime", "24h", "24h0m0s"},
		{"lifetime", "1d", "24h0m0s"},
		{"lifetime", " 01d\n", "24h0m0s"},
		{"older-than", "30d", "720h0m0s"},
		{"older-than", "0d", "0s"},
		{"older-than", "106751d", "2562024h0m0s"},
		{"timeout", "365d", "8760h0m0s"},
		{"lifetime", "1440m", "24h0m0s"},
		{"lifetime", "0.5h", "30m0s"},
		{"timeout", "1ns", ""},
		{"timeout", "48h", "48h0m0s"},
		{"scopes", "\tvso.code,\n,vso.build vso.code , vso.brand_new ", "vso.code+vso.build+vso.brand_new"},
		{"authorization-id", otherGUID, ""},
		{"name", "::error::[#", ""}, // only shown, never run
	} {
		t.Run(tc.name+"/"+tc.value, func(t *testing.T) {
			t.Parallel()
			for _, row := range everySetting {
				if row.name != tc.name {
					continue
				}
				s := loaded(t, orMint(row.command), at(row.base, tc.name, map[string]string{"--" + tc.name: tc.value}))
				want := tc.want
				if want == "" {
					want = tc.value
				}
				if got := row.get(s); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
}

// Guards against a user principal name with control characters, which was let
// through in the part before the "@".
func TestAgentUserHasNoControlCharacters(t *testing.T) {
	t.Parallel()
	for _, r := range "\x00\x1b\x7f\u0085\u00a0\u200b\u2028\u202e" {
		if found := "a" + string(r) + "b@contoso.com"; upn.matches(found) {
			t.Errorf("%q is taken for a user principal name", found)
		}
	}
}

// app_token, alone or among others, is refused unless allow-full-access is true.
func TestFullAccess(t *testing.T) {
	t.Parallel()
	for _, scopes := range []string{"app_token", "vso.code app_token", "app_token,vso.code"} {
		for _, allow := range []string{"", "false"} {
			e := byAgent.with("AZDO_PAT_SCOPES", scopes, "AZDO_PAT_ALLOW_FULL_ACCESS", allow)
			only(t, problems(t, Mint, Source{LookupEnv: e.lookup}), `AZDO_PAT_SCOPES: found "app_token"; allowed: `+
				"scopes that start with vso.; app_token grants everything the user may do, and needs allow-full-access: true")
		}
		s := loaded(t, Mint, Source{LookupEnv: byAgent.with("AZDO_PAT_SCOPES", scopes, "AZDO_PAT_ALLOW_FULL_ACCESS", "true").lookup})
		if !slices.Contains(s.Scopes, "app_token") {
			t.Errorf("scopes %q from %q", s.Scopes, scopes)
		}
	}
}

// All problems come in one error, each by the setting's own name: first those of
// settings that every command reads, each group in the order of the help.
func TestSeveralWrongSettings(t *testing.T) {
	t.Parallel()
	e := byAgent.with("INPUT_LIFETIME", "1d1h", "AZURE_TENANT_ID", "x", "AZDO_PAT_SCOPES", "", "AZDO_PAT_ORGANIZATION", "",
		"INPUT_AGENT-USER", "nobody", "AZURE_CLIENT_ID", "a b", "AZDO_PAT_CLIENT_ID", "")
	_, err := Load(Mint, Source{LookupEnv: e.lookup, Flags: map[string]string{"timeout": "soon", "authority-host": "x"}})
	want := []string{
		"8 settings are wrong:",
		"--organization (or AZDO_PAT_ORGANIZATION): not set; " + forms,
		`AZURE_TENANT_ID: found "x"; allowed: ` + tenants,
		`AZURE_CLIENT_ID: found "a b"; allowed: ` + apps,
		`agent-user: found "nobody"; allowed: ` + agentUsers,
		`--timeout: found "soon"; allowed: ` + timeouts,
		`--authority-host: found "x"; allowed: ` + notPlain,
		"--scopes (or AZDO_PAT_SCOPES): not set; the scopes that the job needs, such as vso.code vso.packaging_write; azdo-pat scopes lists them",
		`lifetime: found "1d1h"; allowed: ` + lifetimes,
	}
	if got := strings.Join(want, "\n  "); err == nil || err.Error() != got {
		t.Errorf("got\n%v\nwant\n%s", err, got)
	}
}

// A missing setting is named as the caller would write it: as an input in a workflow, as
// a flag or a variable elsewhere, and a secret only as a variable.
func TestMissing(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		command   Command
		base      env
		elsewhere string
		action    string
	}{
		{"organization", Mint, byAgent, "--organization (or AZDO_PAT_ORGANIZATION): not set; " + forms, "organization: not set; " + forms},
		{"client-id", Mint, byAgent,
			"--client-id (or AZDO_PAT_CLIENT_ID): not set; the application that trusts this job's assertion: the agent identity blueprint, or the app registration",
			"client-id: not set; the application that trusts this job's assertion: the agent identity blueprint, or the app registration"},
		{"agent-id", Mint, byAgent,
			`--agent-id (or AZDO_PAT_AGENT_ID): not set; the identity "agent user" needs it`, `agent-id: not set; the identity "agent user" needs it`},
		{"agent-user", Revoke, byAgent,
			`--agent-user (or AZDO_PAT_AGENT_USER): not set; the identity "agent user" needs it`, `agent-user: not set; the identity "agent user" needs it`},
		{"username", Mint, byPassword,
			`--username (or AZDO_PAT_USERNAME): not set; the identity "service account by password" needs it`, `username: not set; the identity "service account by password" needs it`},
		{"password", Mint, byPassword,
			`AZDO_PAT_PASSWORD: not set; the identity "service account by password" needs it`, `password: not set; the identity "service account by password" needs it; ` + secretsWithheld},
		{"scopes", Mint, byAgent,
			"--scopes (or AZDO_PAT_SCOPES): not set; the scopes that the job needs, such as vso.code vso.packaging_write; azdo-pat scopes lists them",
			"scopes: not set; the scopes that the job needs, such as vso.code vso.packaging_write; azdo-pat scopes lists them"},
		{"authorization-id", Revoke, byAgent,
			"--authorization-id (or AZDO_PAT_AUTHORIZATION_ID): not set; the id of the PAT to revoke, which mint handed over as authorization-id",
			"authorization-id: not set; the id of the PAT to revoke, which mint handed over as authorization-id"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			src := at(tc.base, tc.name, nil)
			src.Action, src.CI = false, nil
			only(t, problems(t, tc.command, src), tc.elsewhere)
			src.Action = true
			only(t, problems(t, tc.command, src), tc.action)
		})
	}
}

// A command asks only for what it needs, and ignores settings that it does not
// read.
func TestSettingsOfOtherCommands(t *testing.T) {
	t.Parallel()
	e := byAgent.with("AZDO_PAT_SCOPES", "nonsense", "AZDO_PAT_LIFETIME", "x", "AZDO_PAT_ALLOW_FULL_ACCESS", "x", "AZDO_PAT_OUTPUT", "x")
	loaded(t, Revoke, Source{LookupEnv: e.lookup})
	loaded(t, Post, Source{LookupEnv: e.with("AZDO_PAT_AUTHORIZATION_ID", "").lookup})
	e = byAgent.with("AZDO_PAT_AUTHORIZATION_ID", "nonsense", "AZDO_PAT_ENV", "1", "AZDO_PAT_OLDER_THAN", "x", "AZDO_PAT_REPOSITORY", "x",
		"AZDO_PAT_DRY_RUN", "x", "GITHUB_TOKEN", "a\nb", "AZDO_PAT_SERVICE_CONNECTION_ID", "x")
	loaded(t, Mint, Source{LookupEnv: e.lookup})
	loaded(t, Check, Source{LookupEnv: e.lookup})
	loaded(t, Exec, Source{LookupEnv: e.with("AZDO_PAT_ENV", "A", "AZDO_PAT_OUTPUT", "x").lookup})
	loaded(t, Sweep, Source{LookupEnv: byAgent.with("AZDO_PAT_SCOPES", "nonsense", "AZDO_PAT_ENV", "1").lookup})
}

// check reports wrong scopes, but needs none.
func TestScopesOfCheck(t *testing.T) {
	t.Parallel()
	loaded(t, Check, Source{LookupEnv: byAgent.with("AZDO_PAT_SCOPES", "").lookup})
	got := problems(t, Check, Source{LookupEnv: byAgent.with("AZDO_PAT_SCOPES", "app_token").lookup})
	only(t, got, `AZDO_PAT_SCOPES: found "app_token"; allowed: scopes that start with vso.; app_token grants everything the user may do, and needs allow-full-access: true`)
}

// If the job's lease can be found by its name, revoke needs no id.
func TestLeaseOfTheJob(t *testing.T) {
	t.Parallel()
	e := byAgent.with("AZDO_PAT_AUTHORIZATION_ID", "")
	loaded(t, Revoke, Source{LookupEnv: e.lookup, Lease: true})
	only(t, problems(t, Revoke, Source{LookupEnv: e.with("AZDO_PAT_AUTHORIZATION_ID", "4ab5").lookup, Lease: true}),
		`AZDO_PAT_AUTHORIZATION_ID: found "4ab5"; allowed: the GUID that mint handed over as authorization-id`)
}

// Azure Pipelines issues an assertion for a service connection, which must be set
// unless there is a token file.
func TestServiceConnection(t *testing.T) {
	t.Parallel()
	e := byAgent.with("AZDO_PAT_FEDERATED_TOKEN_FILE", "")
	src := Source{LookupEnv: e.lookup, CI: &CI{ServiceConnection: true}}
	only(t, problems(t, Mint, src), "--service-connection-id (or AZDO_PAT_SERVICE_CONNECTION_ID): not set; "+
		"the id of the service connection with workload identity federation for which Azure Pipelines issues the OIDC token")
	src.LookupEnv = e.with("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "4ab5764f").lookup
	only(t, problems(t, Mint, src), `AZURESUBSCRIPTION_SERVICE_CONNECTION_ID: found "4ab5764f"; allowed: the id (a GUID) of a service connection, which is in the address of its page`)
	src.LookupEnv = e.with("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", someGUID).lookup
	loaded(t, Mint, src)
	src.LookupEnv = byAgent.lookup
	loaded(t, Mint, src)
	src.LookupEnv = byAccess.lookup
	loaded(t, Mint, src)
}

// A value that cannot be a secret is refused without being repeated.
func TestWrongSecrets(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		base env
		text string
	}{
		{"refresh-token", byRefresh, someRefresh}, {"password", byPassword, somePassword}, {"access-token", byAccess, someAccess},
	} {
		for _, wrong := range []string{tc.text + "\n" + tc.text, "\x00" + tc.text, tc.text + "\x1b[0m", tc.text[:5] + "\u0085" + tc.text} {
			for _, level := range levels(tc.name) {
				t.Run(fmt.Sprintf("%s/%q", level, wrong), func(t *testing.T) {
					t.Parallel()
					as := level
					if strings.HasPrefix(level, "INPUT_") {
						as = tc.name
					}
					got := problems(t, Mint, at(tc.base, tc.name, map[string]string{level: wrong}))
					only(t, got, as+": holds a line break or another control character; store it again as it was issued")
				})
			}
		}
	}
	// A line break at the end of a password must not be removed silently: the
	// services would then report a wrong password.
	e := byPassword.with("AZDO_PAT_PASSWORD", somePassword+"\n")
	only(t, problems(t, Mint, Source{LookupEnv: e.lookup}),
		"AZDO_PAT_PASSWORD: holds a line break or another control character; store it again as it was issued")
}

// Guards against values that were sent to the service, which then reported a wrong
// password or missing consent.
func TestSlipsInStoringASecret(t *testing.T) {
	t.Parallel()
	const (
		bom    = "starts with a byte order mark; store it again as it was issued"
		quotes = "is in quotes; store it again as it was issued"
		bearer = `starts with "Bearer "; store it again as it was issued`
		space  = "holds white space; store it again as it was issued"
		utf16  = "is not UTF-8 text (perhaps UTF-16); store it again as it was issued"
		short  = "is too short for a credential (fewer than 4 characters); store it again as it was issued"
		letter = "holds a character that no token has; store it again as it was issued"
	)
	for _, tc := range []struct {
		name string
		base env
		good string
	}{
		{"refresh-token", byRefresh, someRefresh}, {"password", byPassword, somePassword}, {"access-token", byAccess, someAccess},
		{"github-token", byAgent, someRefresh},
	} {
		isPassword := tc.name == "password"
		for text, want := range map[string]string{
			"\ufeff" + tc.good:                bom,
			"\xef\xbb\xbf" + tc.good:          bom,
			"\xff\xfe" + tc.good:              utf16,
			`"` + tc.good + `"`:               quotes,
			"'" + tc.good + "'":               quotes,
			"`" + tc.good + "`":               quotes,
			"Bearer " + tc.good:               bearer,
			"bearer " + tc.good:               bearer,
			"a":                               short,
			"abc":                             short,
			"äöü":                             short,
			tc.good + "\u200b":                `holds the invisible character \u200b; store it again as it was issued`,
			tc.good + "\u2060" + tc.good:      `holds the invisible character \u2060; store it again as it was issued`,
			tc.good + "\u3164x":               `holds the invisible character \u3164; store it again as it was issued`,
			tc.good + "\u00a0x":               `holds the invisible character \u00a0; store it again as it was issued`,
			tc.good + " " + tc.good:           map[bool]string{false: space}[isPassword],
			`"` + tc.good:                     map[bool]string{false: quotes}[isPassword],
			tc.good + "é":                     map[bool]string{false: letter}[isPassword],
			tc.good + "\r\n" + tc.good:        "holds a line break or another control character; store it again as it was issued",
			"-----BEGIN KEY-----\n" + tc.good: "holds a line break or another control character; store it again as it was issued",
		} {
			t.Run(fmt.Sprintf("%s/%q", tc.name, text), func(t *testing.T) {
				t.Parallel()
				src := at(tc.base, tc.name, map[string]string{Describe(tc.name).ownVariable(): text})
				command := commandOf(tc.name)
				if tc.name != "github-token" {
					command = Mint
				}
				if want == "" {
					loaded(t, command, src)
					return
				}
				only(t, problems(t, command, src), Describe(tc.name).ownVariable()+": "+want)
				s, _ := Load(command, src)
				for _, v := range s.Credentials() { // what is masked hides the slip too
					if v.TooShort() || !strings.Contains(text, v.Reveal()) || strings.ContainsAny(v.Reveal(), "\r\n\ufeff") {
						t.Errorf("%q is to be masked", v.Reveal())
					}
				}
				if masked := len(s.Credentials()) > 0; masked == (want == short) {
					t.Errorf("masked: %t", masked)
				}
			})
		}
	}
}

// A value that looks like a credential is not repeated, in any setting.
func TestCredentialsInTheWrongPlace(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"S3cret!", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0." + strings.Repeat("x", 200), strings.Repeat("a2", 26) + "!",
		strings.Repeat("abcdefgh", 16) + "!",
	} {
		for _, name := range settingNames() {
			if name = strings.ToLower(name); IsSecret(name) || slices.Contains([]string{"name", "username", "ca-file", "audience", "service-connection-id", "policy"}, name) {
				continue
			}
			t.Run(name+"/"+text[:4], func(t *testing.T) {
				t.Parallel()
				if strings.HasSuffix(name, "-file") && !isJWT(text) {
					t.Skip("a path can be anything")
				}
				for _, one := range problems(t, commandOf(name), at(byAgent, name, map[string]string{"--" + name: text})) {
					if strings.Contains(one, text[:7]) {
						t.Error(one)
					}
				}
			})
		}
	}
}

// The credentials of wrong settings are returned, so that they can be masked.
func TestCredentialsBesideProblems(t *testing.T) {
	t.Parallel()
	e := byPassword.with("AZDO_PAT_REFRESH_TOKEN", someRefresh, "INPUT_ACCESS-TOKEN", someAccess, "AZDO_PAT_LIFETIME", "x")
	s, err := Load(Mint, Source{LookupEnv: e.lookup})
	if err == nil {
		t.Fatal("three identities and a wrong lifetime are no problem")
	}
	var got []string
	for _, v := range s.Credentials() {
		got = append(got, v.Reveal())
	}
	if !slices.Equal(got, []string{someRefresh, someAccess, somePassword}) {
		t.Errorf("%d credentials, want three", len(got))
	}
	if got := loaded(t, Mint, Source{LookupEnv: byAgent.lookup}).Credentials(); len(got) != 0 {
		t.Errorf("%d credentials of an agent user, want none", len(got))
	}
}

// A URL's user and password are not repeated, in any setting.
func TestUserinfoIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"organization", "authority-host", "token-service-url", "tenant-id", "client-id", "agent-id", "agent-user", "authorization-id"} {
		for _, found := range []string{
			"https://user:hunter2@contoso.com/", "https://hunter2@contoso.com?", "https:user:hunter2@contoso.com",
			"http://user:hunter2@127.0.0.1 x", "user:hunter2@contoso.com/", `hunter2\@contoso.com`, "https://hunter2@a@contoso.com/",
		} {
			t.Run(name+"/"+found, func(t *testing.T) {
				t.Parallel()
				command := Mint
				if name == "authorization-id" {
					command = Revoke
				}
				for _, one := range problems(t, command, at(byAgent, name, map[string]string{"--" + name: found})) {
					if strings.Contains(one, "hunter2") || !strings.Contains(one, "***@") && !strings.Contains(one, "not shown") {
						t.Error(one)
					}
				}
			})
		}
	}
	// The user part of a user principal name is no secret, and a slip in it is
	// easier to find when it is shown.
	got := problems(t, Mint, at(byAgent, "agent-user", map[string]string{"--agent-user": "agent@contoso com"}))
	only(t, got, `--agent-user: found "agent@contoso com"; allowed: `+agentUsers)
}

// Guards against the AZURE_FEDERATED_TOKEN_FILE of a cluster runner's pod, which
// was used for every job instead of the CI system's assertion.
func TestWhoseAssertion(t *testing.T) {
	t.Parallel()
	bare := byAgent.with("AZDO_PAT_FEDERATED_TOKEN_FILE", "")
	const pod = "AZURE_FEDERATED_TOKEN_FILE"
	wrong := errors.New("ACTIONS_ID_TOKEN_REQUEST_URL: not an https URL")
	for _, tc := range []struct {
		name         string
		env          env
		offered      bool
		assertion    error
		file, unused string
		problem      string
	}{
		{"offered", bare.with(pod, "/pod"), true, nil, "", pod, ""},
		{"not offered", bare.with(pod, "/pod"), false, errors.New("no OIDC token"), "/pod", "", ""},
		{"offered, and wrong", bare.with(pod, "/pod"), true, wrong, "", pod, wrong.Error()},
		{"a path that is none, which is not used", bare.with(pod, "/p\x7fod"), true, nil, "", pod, ""},
		{"by variable", bare.with(pod, "/pod", "AZDO_PAT_FEDERATED_TOKEN_FILE", "/mine"), true, nil, "/mine", "", ""},
		{"by input", bare.with(pod, "/pod", "INPUT_FEDERATED-TOKEN-FILE", "/mine"), true, wrong, "/mine", "", ""},
		{"by an empty input", bare.with(pod, "/pod", "INPUT_FEDERATED-TOKEN-FILE", " "), true, nil, "", pod, ""},
		{"none", bare, true, nil, "", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, command := range []Command{Mint, Exec, Revoke, Post, Sweep, Check} {
				src := Source{LookupEnv: tc.env.lookup, Action: true, CI: &CI{Offered: tc.offered, Unavailable: tc.assertion}}
				if tc.problem != "" {
					only(t, problems(t, command, src), tc.problem)
					continue
				}
				s := loaded(t, command, src)
				if s.FederatedTokenFile != tc.file || s.UnusedTokenFile != tc.unused || s.Save().Values["federated-token-file"] != tc.file {
					t.Errorf("%s: file %q, unused %q", command, s.FederatedTokenFile, s.UnusedTokenFile)
				}
				if _, ok := s.Origins["federated-token-file"]; ok != (tc.file != "") {
					t.Errorf("%s: found %v", command, s.Origins)
				}
			}
		})
	}
	flag := loaded(t, Mint, Source{LookupEnv: bare.with(pod, "/pod").lookup, CI: &CI{Offered: true}, Flags: map[string]string{"federated-token-file": "/mine"}})
	if flag.FederatedTokenFile != "/mine" {
		t.Errorf("by flag: %q", flag.FederatedTokenFile)
	}
	// Azure Pipelines issues assertions for service connections only.
	src := Source{LookupEnv: bare.with(pod, "/pod").lookup, CI: &CI{Offered: true, ServiceConnection: true}}
	if s := loaded(t, Mint, src); s.FederatedTokenFile != "/pod" {
		t.Errorf("without a service connection: %q", s.FederatedTokenFile)
	}
	src.LookupEnv = bare.with(pod, "/pod", "AZDO_PAT_SERVICE_CONNECTION_ID", someGUID).lookup
	if s := loaded(t, Mint, src); s.FederatedTokenFile != "" || s.UnusedTokenFile != pod {
		t.Errorf("with a service connection: %q", s.FederatedTokenFile)
	}
	// In the post step the settings that mint recorded decide.
	saved := Saved{Identity: AgentUser, Values: map[string]string{"organization": "contoso", "client-id": someGUID, "agent-id": someGUID, "agent-user": someGUID, "federated-token-file": "/pod"}}
	if s := loaded(t, Post, Source{LookupEnv: bare.with(pod, "/other").lookup, CI: &CI{Offered: true}, Saved: &saved}); s.FederatedTokenFile != "/pod" {
		t.Errorf("recorded: %q", s.FederatedTokenFile)
	}
	delete(saved.Values, "federated-token-file")
	if s := loaded(t, Post, Source{LookupEnv: bare.with(pod, "/other").lookup, CI: &CI{}, Saved: &saved}); s.FederatedTokenFile != "" {
		t.Errorf("recorded without: %q", s.FederatedTokenFile)
	}
}

// Without a token file the CI system must give the assertion.
func TestAssertion(t *testing.T) {
	t.Parallel()
	no := errors.New("GitHub gives this job no OIDC token")
	bare := byAgent.with("AZDO_PAT_FEDERATED_TOKEN_FILE", "")
	for _, tc := range []struct {
		name   string
		env    env
		action bool
		ci     *CI
		want   string
	}{
		{"elsewhere", bare, false, nil,
			"--federated-token-file (or AZDO_PAT_FEDERATED_TOKEN_FILE): not set; outside GitHub Actions and Azure Pipelines the assertion (an OIDC token of the CI system) is read from a file"},
		{"refused", bare, true, &CI{Unavailable: no}, "GitHub gives this job no OIDC token"},
		{"refused with advice", bare, true, &CI{Unavailable: hint.Add(no, "add permissions")}, "GitHub gives this job no OIDC token; add permissions"},
		{"there", bare, true, &CI{}, ""},
		{"a file instead", byAgent, true, &CI{Unavailable: no}, ""},
		{"Azure's file instead", bare.with("AZURE_FEDERATED_TOKEN_FILE", "/run/token"), true, &CI{Unavailable: no}, ""},
		{"not needed", byAccess, true, &CI{Unavailable: no}, ""},
		{"not needed elsewhere", byAccess, false, nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			src := Source{LookupEnv: tc.env.lookup, Action: tc.action, CI: tc.ci}
			if tc.want == "" {
				loaded(t, Mint, src)
				return
			}
			only(t, problems(t, Mint, src), tc.want)
		})
	}
}
