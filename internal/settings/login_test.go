package settings

import (
	"slices"
	"strings"
	"testing"
)

// byLogin is what login needs.
var byLogin = env{"AZDO_PAT_ORGANIZATION": "contoso", "AZDO_PAT_CLIENT_ID": someGUID}

func TestLogin(t *testing.T) {
	t.Parallel()
	e := byLogin.with("AZDO_PAT_USERNAME", "svc@contoso.com", "AZURE_FEDERATED_TOKEN_FILE", "/token", "AZDO_PAT_NO_BROWSER", "true")
	s := loaded(t, Login, Source{LookupEnv: e.lookup, NoOutput: ""})
	if s.Username != "svc@contoso.com" || s.FederatedTokenFile != "/token" || !s.NoBrowser || s.Identity != "" {
		t.Errorf("got %+v", s)
	}
}

func TestLoginNeeds(t *testing.T) {
	t.Parallel()
	got := problems(t, Login, Source{LookupEnv: env{}.lookup, NoOutput: "standard output is a terminal"})
	for i, want := range []string{"--organization (or AZDO_PAT_ORGANIZATION): not set", "--client-id (or AZDO_PAT_CLIENT_ID): not set",
		"--refresh-token-vault (or AZDO_PAT_REFRESH_TOKEN_VAULT): not set; standard output is a terminal; set it, or send"} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	e := byLogin.with("AZDO_PAT_REFRESH_TOKEN_VAULT", "https://contoso.vault.azure.net/secrets/azdo")
	loaded(t, Login, Source{LookupEnv: e.lookup, NoOutput: "standard output is a terminal"})
}

// login takes no identity, whatever it is.
func TestLoginTakesNoIdentity(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"refresh-token": someRefresh, "password": somePassword, "access-token": someAccess, "agent-id": someGUID, "agent-user": "agent@contoso.com",
		"token-type": "entra",
	} {
		variable := "AZDO_PAT_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		only(t, problems(t, Login, Source{LookupEnv: byLogin.with(variable, value).lookup}),
			variable+": not for login, which signs a person in in the browser; unset it")
	}
	// A wrong one is no second problem.
	only(t, problems(t, Login, Source{LookupEnv: byLogin.with("AZDO_PAT_AGENT_USER", "x").lookup}),
		"AZDO_PAT_AGENT_USER: not for login, which signs a person in in the browser; unset it")
}

// The page and the token endpoint must be those of one tenant.
func TestLoginAtNoCommonEndpoint(t *testing.T) {
	t.Parallel()
	for _, tenant := range []string{"common", "organizations", "consumers"} {
		got := problems(t, Login, Source{LookupEnv: byLogin.with("AZDO_PAT_TENANT_ID", tenant).lookup})
		if len(got) != 1 || !strings.Contains(got[0], "the tenant's GUID or one of its domains") {
			t.Errorf("%s: %q", tenant, got)
		}
	}
}

// The help of a command says what a setting means there.
func TestMeaningForACommand(t *testing.T) {
	t.Parallel()
	d := Describe("username")
	if !strings.Contains(d.TextFor(Login), "another user is refused") || strings.Contains(d.TextFor(Mint), "another user is refused") ||
		!strings.Contains(d.Everywhere(), "; login: user principal name of the service account") || !slices.Contains(d.For, Login) {
		t.Errorf("login: %s\nmint: %s\nall: %s", d.TextFor(Login), d.TextFor(Mint), d.Everywhere())
	}
}
