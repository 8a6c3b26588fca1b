package emulator_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestREST(t *testing.T) {
	t.Parallel()
	const projects, who = "/contoso/_apis/projects?api-version=7.1", "/contoso/_apis/connectionData?api-version=7.1-preview"
	for name, test := range map[string]struct {
		scope, path string
		status      int
	}{
		"exact scope":            {"vso.project", projects, 200},
		"wider scope":            {"vso.code vso.project_manage", projects, 200},
		"full access":            {"app_token", projects, 200},
		"other scope":            {"vso.code", projects, 401},
		"scope that sounds like": {"vso.projects", projects, 401},
		"any scope":              {"vso.code", who, 200},
		"no version":             {"vso.project", "/contoso/_apis/projects", 200},
		"other version":          {"vso.project", "/contoso/_apis/projects?api-version=9.9", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			p := c.e.Seed(emulator.PAT{Scope: test.scope})
			if a := c.send("GET", c.e.URL(emulator.AzureDevOps)+test.path, "", "Authorization", basic(p.Token)); a.Status != test.status {
				t.Errorf("got %d %s, want %d", a.Status, a.Text, test.status)
			}
		})
	}
}

func TestRESTWithADeadPAT(t *testing.T) {
	t.Parallel()
	c := start(t)
	target := c.e.URL(emulator.AzureDevOps) + "/contoso/_apis/projects?api-version=7.1"
	get := func(token, refusal string) {
		t.Helper()
		a := c.send("GET", target, "", "Authorization", basic(token))
		if (a.Status == 200) != (refusal == "") || refusal != "" && a.Status != 401 || !strings.Contains(a.Text, refusal) {
			t.Errorf("got %d %s, want %q", a.Status, a.Text, refusal)
		}
	}
	created := c.create(map[string]any{"scope": "vso.project"})
	short := c.e.Seed(emulator.PAT{Scope: "vso.project", ValidTo: c.e.Now(emulator.AzureDevOps).Add(time.Minute)})
	token := created["token"].(string)
	get(token, "")
	get(token+"x", "unknown")
	get(short.Token, "")
	c.e.Advance(time.Minute)
	get(short.Token, "expired")
	get(token, "")
	c.pats("DELETE", "&authorizationId="+created["authorizationId"].(string), "")
	get(token, "revoked")
}

// servicePrincipal gets a service principal's own token.
func (c *client) servicePrincipal() string {
	return c.mustExchange(form(map[string]string{
		"grant_type": "client_credentials", "client_id": emulator.AppID, "scope": azureDevOpsScope,
		"client_assertion_type": assertionType, "client_assertion": c.assertion(),
	}))
}

// A service principal's own token is taken by REST and git, as Bearer and as password,
// if the service principal is a member, and never by the PAT API.
func TestServicePrincipal(t *testing.T) {
	t.Parallel()
	c := start(t)
	access := c.servicePrincipal()
	if n := len(access); n < 1500 || n > 2500 {
		t.Errorf("the token has %d bytes, unlike Entra's", n)
	}
	base := c.e.URL(emulator.AzureDevOps)
	paths := []string{"/contoso/_apis/connectionData?api-version=7.1-preview", "/contoso/_apis/projects?api-version=7.1",
		strings.TrimPrefix(c.e.GitURL(), base) + "/info/refs?service=git-receive-pack"}
	all := func(token string, status int) {
		t.Helper()
		for _, path := range paths {
			for _, authorization := range []string{"Bearer " + token, basic(token)} {
				if a := c.send("GET", base+path, "", "Authorization", authorization, "X-TFS-FedAuthRedirect", "Suppress"); a.Status != status {
					t.Errorf("%s, %.6s: got %d %s, want %d", path, authorization, a.Status, a.Text, status)
				}
			}
		}
	}
	all(access, 200)
	all(flip(access), 401)
	if out, err := c.git(t.TempDir(), access, "ls-remote", c.e.GitURL()); err != nil {
		t.Errorf("git: %v\n%s", err, out)
	}
	if a := c.send("GET", c.patsURL(""), "", "Authorization", "Bearer "+access); a.Status != 403 {
		t.Errorf("the PAT API: got %d %s", a.Status, a.Text)
	}
	// A user's token is none, and a PAT is no Bearer token.
	if a := c.send("GET", base+paths[1], "", "Authorization", "Bearer "+c.e.AccessToken()); a.Status == 200 {
		t.Errorf("a user's token without vso.project: %s", a.Text)
	}
	if a := c.send("GET", base+paths[1], "", "Authorization", "Bearer "+c.e.Seed(emulator.PAT{Scope: "app_token"}).Token); a.Status == 200 {
		t.Errorf("a PAT as Bearer: %s", a.Text)
	}
	c.e.Change(func(w *emulator.State) { w.Organization("contoso").Members = []string{emulator.AppID} })
	all(access, 401)
	a := c.send("GET", base+paths[0], "", "Authorization", "Bearer "+access)
	if !strings.Contains(a.Text, "TF401444") || !strings.Contains(a.Text, emulator.AppPrincipalID) {
		t.Errorf("no member: %s", a.Text)
	}
	c.e.Change(func(w *emulator.State) { w.Organization("contoso").Members = []string{emulator.AppPrincipalID} })
	all(access, 200)
	c.e.Advance(time.Hour)
	all(access, 401)
}
