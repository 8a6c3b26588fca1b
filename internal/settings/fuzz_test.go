package settings

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
)

// FuzzLoad checks Load against the rules, which are written here a second time:
// what it accepts keeps them, what it reports contains no secret and no user of a
// URL, and what it accepts can be saved and loaded again.
func FuzzLoad(f *testing.F) {
	// identity has a bit for each of the six settings that make one.
	f.Add("contoso", "contoso.com", someGUID, "agent@contoso.com", "https://login.microsoftonline.com", "http://127.0.0.1:1", "vso.code", "1h", "2m", "true", "warn", "label", "", uint8(0b000011))
	f.Add("https://dev.azure.com/contoso", "", "api://x", someGUID, "https://a/b/", "https://[::1]", "vso.code,vso.build", "24h", "1s", "false", "fail", "", "x", uint8(0b000100))
	f.Add("https://contoso.visualstudio.com", someGUID, "a b", "x", "http://localhost.evil.com", "https://x#", "app_token", "5m", "0", "TRUE", "", "\n", "\n", uint8(0b011000))
	f.Add("contoso", "evil.com/x", someGUID, "agent@contoso.com", "https://login.microsoftonline.com", "http://127.0.0.1:1", "vso.code", "1h", "2m", "true", "warn", "label", "", uint8(0b000011))
	f.Add("con_toso", "x", "", "", "http://0.0.0.0", "https://x?", "", "4m", "-1s", "yes", "x", "::error::", "\x00", uint8(0b111111))
	f.Add("", "", "", "a:b@c", "://", "https://\u2028", "vso.", "1", "1h", "", "", "", "", uint8(0))
	f.Fuzz(func(t *testing.T, organization, tenant, client, user, authority, service, scopes, lifetime, timeout, flag, policy, label, secretEnd string, identity uint8) {
		const pw, rt, at, who = "hunter2-password", "hunter3-refresh", "hunter4-access", "hunter5"
		for _, text := range []string{organization, tenant, client, user, authority, service, scopes, lifetime, timeout, flag, policy, label} {
			if strings.Contains(text, "hunter") {
				t.Skip() // the same elsewhere is no secret
			}
		}
		e := env{
			"INPUT_ORGANIZATION": organization, "AZURE_TENANT_ID": tenant, "INPUT_CLIENT-ID": client, "INPUT_SCOPES": scopes,
			"INPUT_LIFETIME": lifetime, "INPUT_SKIP-REVOKE": flag, "AZDO_PAT_ALLOW_FULL_ACCESS": flag, "INPUT_ON-REVOKE-FAILURE": policy,
			"INPUT_NAME": label, "AZDO_PAT_TIMEOUT": timeout, "AZURE_AUTHORITY_HOST": authority, "INPUT_TOKEN-SERVICE-URL": service,
		}
		for i, v := range []struct{ name, value string }{
			{"AGENT-ID", client}, {"AGENT-USER", user}, {"REFRESH-TOKEN", rt + secretEnd},
			{"USERNAME", user}, {"PASSWORD", pw + secretEnd}, {"ACCESS-TOKEN", at + secretEnd},
		} {
			if identity>>i&1 == 1 {
				e["INPUT_"+v.name] = v.value
			}
		}
		src := Source{LookupEnv: e.lookup, Action: true, CI: &CI{}}
		s, err := Load(Mint, src)
		if s == nil {
			t.Fatalf("no settings beside %v", err)
		}
		if err != nil {
			var p *Problems
			if !errors.As(err, &p) || len(p.List) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			for _, one := range p.List {
				if strings.Contains(one, "hunter") || strings.ContainsFunc(one, unicode.IsControl) {
					t.Errorf("problem %q", one)
				}
			}
		} else {
			accepted(t, s)
			saved := s.Save()
			again, err := Load(Post, Source{LookupEnv: e.lookup, Action: true, CI: &CI{}, Saved: &saved})
			if err != nil {
				t.Fatalf("what was accepted is refused when it was saved: %v", err)
			}
			s.Scopes, s.Lifetime, s.Name, s.Output, s.AllowFullAccess = nil, 0, "", "", false
			if again.Organization != s.Organization || again.Identity != s.Identity || again.AgentUser != s.AgentUser ||
				again.Username != s.Username || again.ClientID != s.ClientID || again.AuthorityHost != s.AuthorityHost ||
				again.TokenServiceURL != s.TokenServiceURL || again.Timeout != s.Timeout || again.SkipRevoke != s.SkipRevoke ||
				again.OnRevokeFailure != s.OnRevokeFailure || again.TenantID != s.TenantID {
				t.Errorf("saved %+v, loaded %+v", s, again)
			}
		}

		// The same with a user and password in front of each host.
		for _, name := range []string{"INPUT_ORGANIZATION", "AZURE_AUTHORITY_HOST", "INPUT_TOKEN-SERVICE-URL"} {
			i := strings.Index(e[name], "://")
			if i < 0 {
				continue
			}
			e[name] = e[name][:i+3] + "user:" + who + "@" + e[name][i+3:]
			if _, err := Load(Mint, src); err == nil || strings.Contains(err.Error(), who) {
				t.Errorf("%s with a password: %v", name, err)
			}
		}
	})
}

// accepted fails the test unless settings for mint keep the rules.
func accepted(t *testing.T, s *Settings) {
	t.Helper()
	if !isOrganization(s.Organization) {
		t.Errorf("organization %q", s.Organization)
	}
	for _, text := range []string{s.AuthorityHost, s.TokenServiceURL} {
		u, err := url.Parse(text + "/contoso/_apis/tokens/pats")
		if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(text, "/") ||
			!strings.HasSuffix(u.Path, "/contoso/_apis/tokens/pats") {
			t.Fatalf("URL %q: %v", text, err)
		}
		ip := net.ParseIP(u.Hostname())
		local := strings.ToLower(u.Hostname()) == "localhost" || ip != nil && (ip.To4() != nil && ip.To4()[0] == 127 || ip.String() == "::1")
		if u.Hostname() == "" || u.Scheme != "https" && (u.Scheme != "http" || !local) {
			t.Errorf("URL %q", text)
		}
	}
	if strings.Trim(s.TenantID, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") != "" || strings.Contains(s.TenantID, "..") {
		t.Errorf("tenant %q", s.TenantID)
	}
	if s.Lifetime < 5*time.Minute || s.Lifetime > 24*time.Hour || s.Timeout <= 0 {
		t.Errorf("lifetime %s, timeout %s", s.Lifetime, s.Timeout)
	}
	if len(s.Scopes) == 0 || slices.Contains(s.Scopes, "app_token") && !s.AllowFullAccess {
		t.Errorf("scopes %q", s.Scopes)
	}
	for _, scope := range s.Scopes {
		if !strings.HasPrefix(scope, "vso.") && scope != "app_token" {
			t.Errorf("scope %q", scope)
		}
	}
	if s.OnRevokeFailure != "warn" && s.OnRevokeFailure != "fail" {
		t.Errorf("on-revoke-failure %q", s.OnRevokeFailure)
	}
	ways := 0
	for identity, is := range map[Identity]bool{
		AgentUser:    s.AgentID != "" && s.AgentUser != "",
		RefreshToken: !s.RefreshToken.IsZero(),
		Password:     s.Username != "" && !s.Password.IsZero(),
		AccessToken:  !s.AccessToken.IsZero(),
	} {
		if is {
			ways++
			if s.Identity != identity {
				t.Errorf("identity %q, but the settings are those of %q", s.Identity, identity)
			}
		}
	}
	if ways != 1 || s.Identity != AccessToken && s.ClientID == "" {
		t.Errorf("%d identities, client id %q", ways, s.ClientID)
	}
	for _, v := range s.Credentials() {
		if strings.ContainsFunc(v.Reveal(), unicode.IsControl) {
			t.Error("a credential with control characters")
		}
	}
	for _, text := range []string{s.AgentUser, s.Username, s.ClientID, s.AgentID, s.Audience} {
		if strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("control characters in %q", text)
		}
	}
}
