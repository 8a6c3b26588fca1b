package emulator_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

func TestRequests(t *testing.T) {
	t.Parallel()
	c := start(t)
	t1 := c.mustExchange(form(c.leg1()))
	c.exchange(form(leg2(t1), map[string]string{"scope": "-"}))
	all := c.e.Requests()
	if len(all) != 3 {
		t.Fatalf("%d requests, want 3", len(all))
	}
	leg1 := all[1]
	if leg1.Service != emulator.Entra || leg1.Op != emulator.OpT1 || leg1.Method != "POST" || leg1.Status != 200 ||
		leg1.URL != c.tokenURL() || leg1.Form.Get("fmi_path") != emulator.AgentID || leg1.Refusal != "" ||
		leg1.Header.Get("Content-Type") == "" || !leg1.Time.Equal(c.e.Now(emulator.Entra)) {
		t.Errorf("leg 1 is recorded as %+v", leg1)
	}
	leg1.Form.Set("fmi_path", "changed")
	leg1.Header.Set("Content-Type", "changed")
	if again := c.e.Requests(emulator.OpT1)[0]; again.Form.Get("fmi_path") == "changed" || again.Header.Get("Content-Type") == "changed" {
		t.Error("a record shares its maps with the caller")
	}
	if all[2].Refusal != "AADSTS900144" || all[2].Status != 400 {
		t.Errorf("leg 2 is recorded as %+v", all[2])
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	c := start(t)
	access := c.agentUser()
	pat := c.create(nil)["token"].(string)
	pipelines := c.e.PipelinesEnv(emulator.AgentUser)["SYSTEM_ACCESSTOKEN"]
	brought := c.e.Settings(emulator.AccessToken)["access-token"]
	want := []string{access, pat, pipelines, brought, c.e.Job().RequestToken, c.e.GitHubToken(), c.e.Seed(emulator.PAT{}).Token}
	want = append(want, c.e.Settings(emulator.Password)["password"], c.e.Settings(emulator.RefreshToken)["refresh-token"])
	for _, q := range c.e.Requests() {
		for _, name := range []string{"client_assertion", "user_federated_identity_credential"} {
			if v := q.Form.Get(name); v != "" {
				want = append(want, v)
			}
		}
	}
	c.e.Change(func(w *emulator.State) { w.User(emulator.ServiceUserID).Password = "another one" })
	want = append(want, "another one")
	got := c.e.Secrets()
	for _, s := range want {
		if s == "" || !slices.Contains(got, s) {
			t.Errorf("%q is not among the secrets", s)
		}
	}
	if slices.Contains(got, "") {
		t.Error(`"" is among the secrets`)
	}
}

func TestSecretInAURL(t *testing.T) {
	t.Parallel()
	c := start(t)
	password := c.e.Settings(emulator.Password)["password"]
	c.send("GET", c.e.URL(emulator.AzureDevOps)+"/contoso?p="+url.QueryEscape(password), "")
	if v := c.e.Violations(); len(v) != 1 || v[0].Op != emulator.OpTenant || strings.Contains(v[0].What, password) {
		t.Errorf("violations %v", v)
	}
}
