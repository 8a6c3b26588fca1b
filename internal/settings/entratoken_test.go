package settings

import (
	"slices"
	"strings"
	"testing"
)

// byServicePrincipal is complete for token-type entra.
var byServicePrincipal = env{
	"AZDO_PAT_ORGANIZATION": "contoso", "AZDO_PAT_TOKEN_TYPE": "entra",
	"AZDO_PAT_CLIENT_ID": someGUID, "AZDO_PAT_FEDERATED_TOKEN_FILE": "/run/token",
}

func TestEntraToken(t *testing.T) {
	t.Parallel()
	for _, command := range []Command{Mint, Exec, Check, Revoke, Post} {
		s := loaded(t, command, Source{LookupEnv: byServicePrincipal.lookup, RevokeStep: true})
		if s.TokenType != EntraToken || s.Identity != ServicePrincipal {
			t.Errorf("%s: token type %q, identity %q", command, s.TokenType, s.Identity)
		}
	}
}

// The program would have to ignore these, so they are refused, whatever their value,
// also one that is wrong by itself or the default.
func TestNothingBesideEntraToken(t *testing.T) {
	t.Parallel()
	const user = "the token is that of the service principal client-id, and of no user"
	for _, tc := range []struct{ name, value, found, why string }{
		{"scopes", "vso.code", `"vso.code"`, "an Entra token has all permissions that its service principal has in Azure DevOps"},
		{"scopes", "nonsense", `"nonsense"`, "an Entra token has all permissions that its service principal has in Azure DevOps"},
		{"scopes", "app_token", `"app_token"`, "an Entra token has all permissions that its service principal has in Azure DevOps"},
		{"allow-full-access", "false", `"false"`, "an Entra token has all permissions that its service principal has in Azure DevOps"},
		{"allow-full-access", "true", `"true"`, "an Entra token has all permissions that its service principal has in Azure DevOps"},
		{"lifetime", "1h", `"1h"`, "Entra decides when its token ends, about an hour after it was issued"},
		{"lifetime", "forever", `"forever"`, "Entra decides when its token ends, about an hour after it was issued"},
		{"skip-revoke", "true", `"true"`, "an Entra token cannot be revoked"},
		{"skip-revoke", "false", `"false"`, "an Entra token cannot be revoked"},
		{"agent-id", otherGUID, `"` + otherGUID + `"`, user},
		{"agent-id", "x", "a value of 1 character, not shown since it may be a credential", user},
		{"agent-user", "agent@contoso.com", `"agent@contoso.com"`, user},
		{"refresh-token", someRefresh, "a credential, which is not shown", user},
		{"refresh-token-vault", "https://contoso.vault.azure.net/secrets/pat", `"https://contoso.vault.azure.net/secrets/pat"`, user},
		{"username", "svc@contoso.com", `"***@contoso.com"`, user},
		{"password", somePassword, "a credential, which is not shown", user},
		{"access-token", someAccess, "a credential, which is not shown", user},
	} {
		t.Run(tc.name+"="+tc.value, func(t *testing.T) {
			t.Parallel()
			variable := Describe(tc.name).ownVariable()
			for _, command := range []Command{Mint, Exec, Check} {
				only(t, problems(t, command, Source{LookupEnv: byServicePrincipal.with(variable, tc.value).lookup}),
					variable+": found "+tc.found+"; allowed: nothing, since AZDO_PAT_TOKEN_TYPE is entra: "+tc.why)
			}
			input := Source{Action: true, LookupEnv: byServicePrincipal.with("AZDO_PAT_TOKEN_TYPE", "", "INPUT_TOKEN-TYPE", "entra", "INPUT_"+strings.ToUpper(tc.name), tc.value).lookup}
			only(t, problems(t, Mint, input), tc.name+": found "+tc.found+"; allowed: nothing, since token-type is entra: "+tc.why)
			flag := Source{LookupEnv: byServicePrincipal.with("AZDO_PAT_TOKEN_TYPE", "").lookup, Flags: map[string]string{"token-type": "entra", tc.name: tc.value}}
			if !IsSecret(tc.name) {
				only(t, problems(t, Mint, flag), "--"+tc.name+": found "+tc.found+"; allowed: nothing, since --token-type is entra: "+tc.why)
			}
			// Empty counts as unset.
			loaded(t, Mint, Source{Action: true, LookupEnv: byServicePrincipal.with("INPUT_"+strings.ToUpper(tc.name), " ").lookup})
		})
	}
}

// The identity of a PAT and what only a PAT can honor are reported together.
func TestSeveralBesideEntraToken(t *testing.T) {
	t.Parallel()
	e := byServicePrincipal.with("AZDO_PAT_AGENT_ID", someGUID, "AZDO_PAT_SCOPES", "vso.code", "AZDO_PAT_LIFETIME", "1h", "AZDO_PAT_CLIENT_ID", "")
	got := problems(t, Mint, Source{LookupEnv: e.lookup})
	var names []string
	for _, p := range got {
		name, _, _ := strings.Cut(p, ":")
		names = append(names, name)
	}
	if want := []string{"--client-id (or AZDO_PAT_CLIENT_ID)", "AZDO_PAT_AGENT_ID", "AZDO_PAT_SCOPES", "AZDO_PAT_LIFETIME"}; !slices.Equal(names, want) {
		t.Errorf("problems of %q, want %q", names, want)
	}
}

// These commands are about PATs.
func TestCommandsWithoutEntraToken(t *testing.T) {
	t.Parallel()
	for command, src := range map[Command]Source{Sweep: {}, Revoke: {Lease: true}} {
		src.LookupEnv = byServicePrincipal.lookup
		only(t, problems(t, command, src), `AZDO_PAT_TOKEN_TYPE: found "entra"; allowed: pat, since `+string(command)+` works with PATs only; an Entra token cannot be revoked`)
	}
	e := common.with("AZDO_PAT_TOKEN_TYPE", "pat")
	for _, p := range problems(t, Sweep, Source{LookupEnv: e.lookup}) {
		if strings.Contains(p, "entra") {
			t.Errorf("sweep offers what it refuses: %s", p)
		}
	}
}

// The revoke step and the post step send nothing, so they need neither an application
// nor an assertion.
func TestNothingToRevokeNeedsNothing(t *testing.T) {
	t.Parallel()
	e := env{"AZDO_PAT_ORGANIZATION": "contoso", "INPUT_TOKEN-TYPE": "entra"}
	for _, command := range []Command{Revoke, Post} {
		loaded(t, command, Source{LookupEnv: e.lookup, RevokeStep: true, CI: &CI{ServiceConnection: true}})
	}
	// main has refused it, and nothing was sent.
	loaded(t, Post, Source{LookupEnv: e.with("INPUT_AGENT-ID", someGUID, "INPUT_SKIP-REVOKE", "true").lookup, Action: true})
}

// A variable that another step has set does not keep the post step from revoking a PAT of
// which there is no record. An input is the caller's own.
func TestPlantedTokenType(t *testing.T) {
	t.Parallel()
	e := byAgent.with("AZDO_PAT_TOKEN_TYPE", "entra")
	if s := loaded(t, Post, Source{LookupEnv: e.lookup, Action: true}); s.TokenType != PATToken || s.Identity != AgentUser {
		t.Errorf("variable: token type %q, identity %q", s.TokenType, s.Identity)
	}
	e = byAgent.with("INPUT_TOKEN-TYPE", "entra")
	if s := loaded(t, Post, Source{LookupEnv: e.lookup, Action: true}); s.TokenType != EntraToken {
		t.Errorf("input: token type %q", s.TokenType)
	}
}

// A wrong token-type may stand for entra, which needs neither scopes nor an identity.
func TestWrongTokenTypeIsOneProblem(t *testing.T) {
	t.Parallel()
	e := byServicePrincipal.with("AZDO_PAT_TOKEN_TYPE", "Entra")
	only(t, problems(t, Mint, Source{LookupEnv: e.lookup}), `AZDO_PAT_TOKEN_TYPE: found "Entra"; allowed: pat or entra`)
}

// A record of a PAT decides over a later input, and one that names no identity of a
// user is refused.
func TestSavedTokenTypeDecides(t *testing.T) {
	t.Parallel()
	saved := loaded(t, Mint, Source{LookupEnv: byAgent.lookup}).Save()
	e := env{"INPUT_TOKEN-TYPE": "entra"}
	if s := loaded(t, Post, Source{LookupEnv: e.lookup, Action: true, CI: &CI{}, Saved: &saved}); s.TokenType != PATToken || s.Identity != AgentUser {
		t.Errorf("token type %q, identity %q", s.TokenType, s.Identity)
	}
	saved = loaded(t, Mint, Source{LookupEnv: byServicePrincipal.lookup}).Save()
	only(t, problems(t, Post, Source{LookupEnv: e.lookup, Action: true, CI: &CI{}, Saved: &saved}),
		`saved identity: found "service principal"; allowed: one that mint recorded`)
}
