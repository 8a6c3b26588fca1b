package settings

import (
	"errors"
	"maps"
	"strings"
	"testing"
)

// env is an environment.
type env map[string]string

func (e env) lookup(name string) (string, bool) { v, ok := e[name]; return v, ok }

// with returns a copy with further variables, as name and value in turn. An
// empty value takes the variable away.
func (e env) with(pairs ...string) env {
	c := maps.Clone(e)
	for i := 0; i < len(pairs); i += 2 {
		if c[pairs[i]] = pairs[i+1]; pairs[i+1] == "" {
			delete(c, pairs[i])
		}
	}
	return c
}

const (
	someGUID  = "4ab5764f-4193-4f1d-b995-64144880b7d7"
	otherGUID = "38AAA865-2C70-4BF7-A308-0C6539C38C1A"

	someVault = "https://contoso.vault.azure.net/secrets/azdo-refresh-token"

	// Values that must not appear in any error.
	somePassword = "pa$$-tr0ub4dor&3"
	someRefresh  = "1.AXoA-refresh-correct-horse"
	someAccess   = "eyJ0eXAi.access-battery.staple"
)

// agentUser, service… are environments that are complete for mint and revoke,
// each with another identity.
var (
	common = env{
		"AZDO_PAT_ORGANIZATION": "contoso", "AZDO_PAT_SCOPES": "vso.code",
		"AZDO_PAT_CLIENT_ID": someGUID, "AZDO_PAT_FEDERATED_TOKEN_FILE": "/run/token",
		"AZDO_PAT_AUTHORIZATION_ID": someGUID,
	}
	byAgent    = common.with("AZDO_PAT_AGENT_ID", otherGUID, "AZDO_PAT_AGENT_USER", "agent@contoso.com")
	byRefresh  = common.with("AZDO_PAT_REFRESH_TOKEN", someRefresh)
	byVault    = common.with("AZDO_PAT_REFRESH_TOKEN_VAULT", someVault)
	byPassword = common.with("AZDO_PAT_USERNAME", "svc@contoso.com", "AZDO_PAT_PASSWORD", somePassword)
	bySetup    = env{"AZDO_PAT_ORGANIZATION": "contoso", "AZDO_PAT_IDENTITY": "service-principal", "AZDO_PAT_REPOSITORY": "contoso/widgets"}
	bySubject  = bySetup.with("AZDO_PAT_REPOSITORY", "", "AZDO_PAT_ISSUER", "https://a.example", "AZDO_PAT_SUBJECT", "a")
	byAccess   = env{"AZDO_PAT_ORGANIZATION": "contoso", "AZDO_PAT_SCOPES": "vso.code", "AZDO_PAT_ACCESS_TOKEN": someAccess}
)

// loaded loads settings that must be right.
func loaded(t *testing.T, command Command, src Source) *Settings {
	t.Helper()
	s, err := Load(command, src)
	if err != nil {
		t.Fatalf("Load(%s): %v", command, err)
	}
	return s
}

// problems loads settings that must be wrong, and returns the problems. None may
// contain a secret or be longer than a line.
func problems(t *testing.T, command Command, src Source) []string {
	t.Helper()
	s, err := Load(command, src)
	var p *Problems
	if !errors.As(err, &p) || len(p.List) == 0 {
		t.Fatalf("Load(%s) = %v, want problems", command, err)
	}
	if s == nil {
		t.Error("no settings beside the problems; their credentials could not be masked")
	}
	for _, secret := range []string{somePassword, someRefresh, someAccess} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("a secret is in the error: %v", err)
		}
	}
	for _, one := range p.List {
		if strings.ContainsAny(one, "\r\n") {
			t.Errorf("a problem of several lines: %q", one)
		}
	}
	return p.List
}

// only fails the test unless there is exactly one problem, and that one.
func only(t *testing.T, got []string, want string) {
	t.Helper()
	if len(got) != 1 || got[0] != want {
		t.Errorf("problems\n  %s\nwant\n  %s", strings.Join(got, "\n  "), want)
	}
}

// The list has every variable from which a credential is read.
func TestSecretVariables(t *testing.T) {
	t.Parallel()
	names := strings.Join(SecretVariables(), " ")
	if want := "AZDO_PAT_ACCESS_TOKEN AZDO_PAT_GITHUB_TOKEN AZDO_PAT_PASSWORD AZDO_PAT_REFRESH_TOKEN INPUT_ACCESS-TOKEN INPUT_GITHUB-TOKEN INPUT_PASSWORD INPUT_REFRESH-TOKEN"; names != want {
		t.Errorf("%s, want %s", names, want)
	}
}
