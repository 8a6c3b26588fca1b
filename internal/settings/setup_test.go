package settings

import (
	"strings"
	"testing"
)

// What setup needs, and what contradicts itself.
func TestSetup(t *testing.T) {
	t.Parallel()
	service := bySetup.with("AZDO_PAT_IDENTITY", "service-account", "AZDO_PAT_USERNAME", "azdo@contoso.com")
	agent := bySetup.with("AZDO_PAT_IDENTITY", "agent-user")
	for _, tc := range []struct {
		name string
		env  env
		want []string // the problems, by how each begins; none: it is right
	}{
		{"a service principal", bySetup, nil},
		{"a subject", bySubject, nil},
		{"a service account", service, nil},
		{"an agent user", agent, nil},
		{"an agent user by name", agent.with("AZDO_PAT_FORMAT", "powershell", "AZDO_PAT_AGENT_USER", "a@contoso.com", "AZDO_PAT_AGENT_ID", someGUID), nil},
		{"nothing", env{}, []string{"--organization (or AZDO_PAT_ORGANIZATION): not set", "--identity (or AZDO_PAT_IDENTITY): not set; agent-user, service-account or service-principal", "--repository (or AZDO_PAT_REPOSITORY): not set; the GitHub repository whose jobs are trusted; or set issuer with subject"}},
		{"no subject", bySubject.with("AZDO_PAT_SUBJECT", ""), []string{"--subject (or AZDO_PAT_SUBJECT): not set"}},
		{"no issuer", bySubject.with("AZDO_PAT_ISSUER", ""), []string{"--issuer (or AZDO_PAT_ISSUER): not set"}},
		{"both", bySetup.with("AZDO_PAT_SUBJECT", "a"), []string{"AZDO_PAT_REPOSITORY is set beside AZDO_PAT_SUBJECT: set repository, or issuer with subject"}},
		{"another identity", bySetup.with("AZDO_PAT_IDENTITY", "password"), []string{`AZDO_PAT_IDENTITY: found "password"; allowed: agent-user or service-account or service-principal`}},
		{"bash for an agent user", agent.with("AZDO_PAT_FORMAT", "bash"), []string{`AZDO_PAT_FORMAT: found "bash"; allowed: powershell for agent-user`}},
		{"another format", bySetup.with("AZDO_PAT_FORMAT", "cmd"), []string{`AZDO_PAT_FORMAT: found "cmd"; allowed: bash or powershell`}},
		{"no user name", service.with("AZDO_PAT_USERNAME", ""), []string{"--username (or AZDO_PAT_USERNAME): not set"}},
		{"no user principal name", service.with("AZDO_PAT_USERNAME", "azdo"), []string{`AZDO_PAT_USERNAME: found "azdo"`}},
		{"an agent's user by id", agent.with("AZDO_PAT_AGENT_USER", someGUID), []string{`AZDO_PAT_AGENT_USER: found "` + someGUID}},
		{"the URI of an application", bySetup.with("AZDO_PAT_CLIENT_ID", "api://contoso"), []string{"AZDO_PAT_CLIENT_ID: found "}},
		{"the URI of an agent", agent.with("AZDO_PAT_AGENT_ID", "api://contoso"), []string{"AZDO_PAT_AGENT_ID: found "}},
		{"a name of two lines", bySetup.with("AZDO_PAT_NAME", "a\nb"), []string{"AZDO_PAT_NAME: found "}},
		{"a long name", bySetup.with("AZDO_PAT_NAME", strings.Repeat("a b ", 31)), []string{"AZDO_PAT_NAME: found a value of 123 characters"}},
		{"an invisible name", bySetup.with("AZDO_PAT_NAME", "a\u200bb"), []string{"AZDO_PAT_NAME: found "}},
		{"another repository", bySetup.with("AZDO_PAT_REPOSITORY", "contoso"), []string{`AZDO_PAT_REPOSITORY: found "contoso"`}},
		{"a plain issuer", bySubject.with("AZDO_PAT_ISSUER", "http://a.example"), []string{`AZDO_PAT_ISSUER: found "http://a.example"`}},
		{"a subject of two lines", bySubject.with("AZDO_PAT_SUBJECT", "a\nb"), []string{`AZDO_PAT_SUBJECT: found "a\nb"; allowed: the subject`}},
		{"a long subject", bySubject.with("AZDO_PAT_SUBJECT", strings.Repeat("a b ", 151)), []string{"AZDO_PAT_SUBJECT: found a value of 603 characters"}},
		{"an agent's user for a service account", service.with("AZDO_PAT_AGENT_USER", "a@contoso.com", "AZDO_PAT_AGENT_ID", "no id"), []string{
			"AZDO_PAT_AGENT_ID is set with the identity service-account: it belongs to the identity agent-user; leave it out",
			"AZDO_PAT_AGENT_USER is set with the identity service-account: it belongs to the identity agent-user; leave it out"}},
		{"a user name for a service principal", bySetup.with("AZDO_PAT_USERNAME", "azdo@contoso.com"), []string{"AZDO_PAT_USERNAME is set with the identity service-principal: it belongs to the identity service-account; leave it out"}},
		{"a vault for a service principal", bySetup.with("AZDO_PAT_REFRESH_TOKEN_VAULT", "https://contoso.vault.azure.net/secrets/azdo"), []string{"AZDO_PAT_REFRESH_TOKEN_VAULT is set with the identity service-principal: "}},
		{"a vault and a user name for an agent user", agent.with("AZDO_PAT_REFRESH_TOKEN_VAULT", "http://127.0.0.1/secrets/azdo", "AZDO_PAT_USERNAME", "azdo"), []string{
			"AZDO_PAT_REFRESH_TOKEN_VAULT is set with the identity agent-user: it belongs to the identity service-account", "AZDO_PAT_USERNAME is set with the identity agent-user: "}},
		{"settings of jobs", bySetup.with("AZDO_PAT_TIMEOUT", "soon", "AZDO_PAT_PASSWORD", "x", "HTTPS_PROXY", "::"), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(Setup, Source{LookupEnv: tc.env.lookup})
			var got []string
			if err != nil {
				got = err.(*Problems).List
			}
			if len(got) != len(tc.want) {
				t.Fatalf("got %q, want %q", got, tc.want)
			}
			for i, want := range tc.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("got %q, want %q", got[i], want)
				}
			}
		})
	}
}

// What setup works out by itself.
func TestSetupDefaults(t *testing.T) {
	t.Parallel()
	s := loaded(t, Setup, Source{LookupEnv: bySetup.lookup})
	if s.Name != "azdo-pat-contoso" || s.Format != "bash" {
		t.Errorf("name %q, format %q", s.Name, s.Format)
	}
	s = loaded(t, Setup, Source{LookupEnv: bySetup.with("AZDO_PAT_IDENTITY", "agent-user", "AZDO_PAT_NAME", "Ours").lookup})
	if s.Name != "Ours" || s.Format != "powershell" {
		t.Errorf("name %q, format %q", s.Name, s.Format)
	}
	// A variable of Azure's own tools is easily forgotten.
	s = loaded(t, Setup, Source{LookupEnv: bySetup.with("AZURE_CLIENT_ID", someGUID).lookup})
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], someGUID+" of the variable AZURE_CLIENT_ID") {
		t.Errorf("got %q", s.Warnings)
	}
	// setup reads no credential of any identity.
	s = loaded(t, Setup, Source{LookupEnv: bySetup.with("AZDO_PAT_REFRESH_TOKEN", "x", "AZDO_PAT_ACCESS_TOKEN", "secret-of-mine").lookup})
	if len(s.Warnings) != 2 || s.Warnings[0] != "AZDO_PAT_REFRESH_TOKEN is not used: setup needs no credential, and the script has none" || !s.AccessToken.IsZero() {
		t.Errorf("got %q", s.Warnings)
	}
}
