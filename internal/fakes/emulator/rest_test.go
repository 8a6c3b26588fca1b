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
