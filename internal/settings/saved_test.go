package settings

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"azdo-pat/internal/secret"
)

// fully is what a caller can set for mint beyond the identity.
var fully = env{
	"AZDO_PAT_TENANT_ID": "contoso.com", "AZDO_PAT_NAME": "a label", "AZDO_PAT_LIFETIME": "30m",
	"AZDO_PAT_SKIP_REVOKE": "true", "AZDO_PAT_ON_REVOKE_FAILURE": "fail", "AZDO_PAT_AUDIENCE": "api://other",
	"AZDO_PAT_AUTHORITY_HOST": "https://login.microsoftonline.us/", "AZDO_PAT_TOKEN_SERVICE_URL": "http://127.0.0.1:8080/base",
	"AZDO_PAT_CA_FILE": "/etc/root.pem", "AZDO_PAT_TIMEOUT": "1m30s",
}

// lies are the inputs and variables of some other step. All of them are wrong
// or lead elsewhere.
var lies = env{
	"INPUT_ORGANIZATION": "evil", "INPUT_TENANT-ID": "x", "INPUT_CLIENT-ID": "a b", "INPUT_AGENT-ID": "a b", "INPUT_AGENT-USER": "x",
	"INPUT_USERNAME": "evil@evil.com", "INPUT_FEDERATED-TOKEN-FILE": "/evil", "INPUT_SCOPES": "x", "INPUT_LIFETIME": "x",
	"INPUT_NAME": "evil", "INPUT_SKIP-REVOKE": "maybe", "INPUT_ON-REVOKE-FAILURE": "x", "INPUT_ALLOW-FULL-ACCESS": "x",
	"INPUT_AUDIENCE": "e v i l", "AZDO_PAT_AUTHORITY_HOST": "http://evil.com", "AZDO_PAT_TOKEN_SERVICE_URL": "http://evil.com",
	"INPUT_TOKEN-TYPE": "entra", "INPUT_CA-FILE": "/evil", "INPUT_TIMEOUT": "x", "INPUT_AUTHORIZATION-ID": "x", "INPUT_OUTPUT": "x",
	"AZURE_TENANT_ID": "x", "AZURE_CLIENT_ID": "a b", "AZURE_FEDERATED_TOKEN_FILE": "/evil", "AZURE_AUTHORITY_HOST": "http://evil.com",
}

// Guards the post step of an action inside a nested composite action, to which
// the runner gives another step's inputs (actions/runner#3514): what mint saved
// decides.
func TestSavedSettingsDecide(t *testing.T) {
	t.Parallel()
	for name, base := range map[string]env{"agent user": byAgent, "refresh token": byRefresh, "refresh token in Key Vault": byVault, "password": byPassword, "access token": byAccess} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := maps.Clone(base)
			maps.Copy(e, fully)
			minted := loaded(t, Mint, Source{LookupEnv: e.lookup})
			state, err := json.Marshal(minted.Save())
			if err != nil {
				t.Fatal(err)
			}
			var saved Saved
			if err := json.Unmarshal(state, &saved); err != nil {
				t.Fatal(err)
			}

			post := maps.Clone(lies)
			for _, name := range []string{"AZDO_PAT_REFRESH_TOKEN", "AZDO_PAT_PASSWORD", "AZDO_PAT_ACCESS_TOKEN"} {
				if v, ok := base[name]; ok {
					post[name] = v
				}
			}
			got := loaded(t, Post, Source{LookupEnv: post.lookup, Action: true, CI: &CI{}, Saved: &saved,
				Flags: map[string]string{"organization": "evil", "timeout": "1ms"}})

			// Settings of mint alone are not saved.
			want := *minted
			want.Scopes, want.Lifetime, want.Name, want.Output = nil, 0, "", ""
			want.Origins = got.Origins
			if diff := cmp.Diff(&want, got, cmp.Comparer(func(a, b secret.Value) bool { return a.Reveal() == b.Reveal() })); diff != "" {
				t.Errorf("post differs from what mint saved (-want +got):\n%s", diff)
			}
		})
	}
}

// The caller decides where credentials are sent: a state that another step planted
// cannot send them elsewhere.
func TestHostsGivenAsInputsWin(t *testing.T) {
	t.Parallel()
	saved := loaded(t, Mint, Source{LookupEnv: byRefresh.with("AZDO_PAT_AUTHORITY_HOST", "https://evil.com", "AZDO_PAT_TOKEN_SERVICE_URL", "https://evil.com").lookup}).Save()
	post := env{"INPUT_AUTHORITY-HOST": "https://login.microsoftonline.us/", "INPUT_TOKEN-SERVICE-URL": "https://vssps.dev.azure.us", "INPUT_REFRESH-TOKEN": someRefresh}
	s := loaded(t, Post, Source{LookupEnv: post.lookup, Action: true, CI: &CI{}, Saved: &saved})
	if s.AuthorityHost != "https://login.microsoftonline.us" || s.TokenServiceURL != "https://vssps.dev.azure.us" {
		t.Errorf("credentials go to %s and %s", s.AuthorityHost, s.TokenServiceURL)
	}
	saved = loaded(t, Mint, Source{LookupEnv: byVault.with("AZDO_PAT_REFRESH_TOKEN_VAULT", "http://127.0.0.1:8080/secrets/evil").lookup}).Save()
	s = loaded(t, Post, Source{LookupEnv: env{"INPUT_REFRESH-TOKEN-VAULT": someVault}.lookup, Action: true, CI: &CI{}, Saved: &saved})
	if s.RefreshTokenVault != someVault {
		t.Errorf("a credential goes to %s", s.RefreshTokenVault)
	}
	saved = loaded(t, Mint, Source{LookupEnv: byRefresh.with("AZDO_PAT_AUTHORITY_HOST", "https://evil.com", "AZDO_PAT_TOKEN_SERVICE_URL", "https://evil.com").lookup}).Save()
	// An unsafe host in an input is an error; it is not ignored.
	if _, err := Load(Post, Source{LookupEnv: post.with("INPUT_AUTHORITY-HOST", "http://evil.com").lookup, Action: true, CI: &CI{}, Saved: &saved}); err == nil || !strings.Contains(err.Error(), "authority-host: ") {
		t.Errorf("%v", err)
	}
	// In a nested composite action the inputs can be another action's.
	s = loaded(t, Post, Source{LookupEnv: post.with("INPUT_AUTHORITY-HOST", "another").lookup, Action: true, CI: &CI{}, Saved: &saved})
	if s.AuthorityHost != "https://evil.com" || s.TokenServiceURL != "https://vssps.dev.azure.us" {
		t.Errorf("credentials go to %s and %s", s.AuthorityHost, s.TokenServiceURL)
	}
}

// A setting that mint did not have stays unset: another step's value is not used.
func TestUnsavedIsUnset(t *testing.T) {
	t.Parallel()
	saved := loaded(t, Mint, Source{LookupEnv: byAgent.with("AZDO_PAT_FEDERATED_TOKEN_FILE", "").lookup, CI: &CI{}}).Save()
	s := loaded(t, Post, Source{LookupEnv: lies.lookup, CI: &CI{}, Saved: &saved})
	if s.TenantID != "" || s.CAFile != "" || s.FederatedTokenFile != "" || s.Username != "" || s.Name != "" {
		t.Errorf("settings of another step: %+v", s)
	}
	if s.OnRevokeFailure != Warn || s.Audience != "api://AzureADTokenExchange" || s.SkipRevoke {
		t.Errorf("not the defaults: %+v", s)
	}
}

// No secret is saved, and no name that Load does not know.
func TestSaveHoldsNoSecret(t *testing.T) {
	t.Parallel()
	known := settingNames()
	for _, base := range []env{byAgent, byRefresh, byVault, byPassword, byAccess} {
		saved := loaded(t, Mint, Source{LookupEnv: base.lookup}).Save()
		state, err := json.Marshal(saved)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{somePassword, someRefresh, someAccess, "***"} {
			if strings.Contains(string(state), secret) {
				t.Errorf("a secret is saved: %s", state)
			}
		}
		for name, value := range saved.Values {
			if IsSecret(name) || !slices.Contains(known, name) || value == "" {
				t.Errorf("saved %q: %q", name, value)
			}
		}
	}
}

// The only secret that is read is that of the identity that minted.
func TestSavedIdentityNeedsItsSecretAlone(t *testing.T) {
	t.Parallel()
	all := lies.with("INPUT_REFRESH-TOKEN", someRefresh, "AZDO_PAT_PASSWORD", somePassword, "INPUT_ACCESS-TOKEN", someAccess+"\n\n")
	for name, tc := range map[string]struct {
		base env
		want []string
	}{
		"agent user":    {byAgent, nil},
		"refresh token": {byRefresh, []string{someRefresh}},
		"password":      {byPassword, []string{somePassword}},
		"access token":  {byAccess, []string{someAccess}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			minted := loaded(t, Mint, Source{LookupEnv: tc.base.lookup})
			saved := minted.Save()
			s := loaded(t, Post, Source{LookupEnv: all.lookup, Action: true, CI: &CI{}, Saved: &saved})
			var got []string
			for _, v := range s.Credentials() {
				got = append(got, v.Reveal())
			}
			if s.Identity != minted.Identity || !slices.Equal(got, tc.want) {
				t.Errorf("identity %q with %d credentials, want %q with %d", s.Identity, len(got), minted.Identity, len(tc.want))
			}
		})
	}
}

// Guards against an error that offered all four identities when only a secret of
// the recorded one was missing.
func TestSavedIdentityWithoutItsSecret(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		base env
		want string
	}{
		{byRefresh, `refresh-token: not set; the identity "service account by refresh token" needs it`},
		{byPassword, `password: not set; the identity "service account by password" needs it`},
		{byAccess, `access-token: not set; the identity "given access token" needs it`},
	} {
		saved := loaded(t, Mint, Source{LookupEnv: tc.base.lookup}).Save()
		only(t, problems(t, Post, Source{LookupEnv: lies.lookup, Action: true, CI: &CI{}, Saved: &saved}), tc.want)
	}
}

// A damaged state is reported as wrong settings; no other identity is used.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	whole := loaded(t, Mint, Source{LookupEnv: byAgent.lookup}).Save()
	for name, tc := range map[string]struct {
		identity Identity
		change   map[string]string
		want     string
	}{
		"no identity":        {"", nil, `saved identity: found ""; allowed: one that mint recorded`},
		"unknown identity":   {"root", nil, `saved identity: found "root"; allowed: one that mint recorded`},
		"wrong organization": {AgentUser, map[string]string{"organization": "a/b"}, `saved organization: found "a/b"; allowed: ` + forms},
		"other host":         {AgentUser, map[string]string{"authority-host": "http://evil.com"}, `saved authority-host: found "http://evil.com"; allowed: ` + notLoopback},
		"no agent":           {AgentUser, map[string]string{"agent-id": ""}, `agent-id: not set; the identity "agent user" needs it`},
		"no organization":    {AgentUser, map[string]string{"organization": " "}, "organization: not set; " + forms},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			values := maps.Clone(whole.Values)
			maps.Copy(values, tc.change)
			src := Source{LookupEnv: byPassword.lookup, Action: true, CI: &CI{}, Saved: &Saved{Identity: tc.identity, Values: values}}
			only(t, problems(t, Post, src), tc.want)
			if s, _ := Load(Post, src); s.Identity != "" && s.Identity != AgentUser {
				t.Errorf("identity %q", s.Identity)
			}
		})
	}
}
