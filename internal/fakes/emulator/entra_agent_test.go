package emulator_test

import (
	"slices"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

func TestAgentUser(t *testing.T) {
	t.Parallel()
	c := start(t)
	access := c.agentUser()
	a := c.send("GET", c.patsURL(""), "", "Authorization", "Bearer "+access)
	if a.Status != 200 {
		t.Fatalf("Azure DevOps does not take the agent user's token: %d %s", a.Status, a.Text)
	}
	var ops []string
	for _, q := range c.e.Requests() {
		ops = append(ops, q.Op)
	}
	want := []string{emulator.OpGitHubOIDC, emulator.OpT1, emulator.OpT2, emulator.OpUserFIC, emulator.OpList}
	if !slices.Equal(ops, want) {
		t.Errorf("operations %q, want %q", ops, want)
	}
}

func TestAgentUserByObjectID(t *testing.T) {
	t.Parallel()
	c := start(t)
	t1 := c.mustExchange(form(c.leg1()))
	t2 := c.mustExchange(form(leg2(t1)))
	c.mustExchange(form(leg3(t1, t2), map[string]string{"username": "-", "user_id": emulator.AgentUserID}))
}

func TestLeg1Refused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		edit map[string]string
		code string
	}{
		"client is an app registration": {map[string]string{"client_id": emulator.AppID}, "70003"},
		"client unknown":                {map[string]string{"client_id": "00000000-dead-4000-8000-000000000000"}, "700016"},
		"fmi_path of no agent identity": {map[string]string{"fmi_path": emulator.AppID}, "700016"},
		"fmi_path empty":                {map[string]string{"fmi_path": ""}, "90100"},
		"scope of Azure DevOps":         {map[string]string{"scope": azureDevOpsScope}, "70011"},
		"no scope":                      {map[string]string{"scope": "-"}, "900144"},
		"no assertion":                  {map[string]string{"client_assertion": "-"}, "7000218"},
		"no assertion type":             {map[string]string{"client_assertion_type": "-"}, "90100"},
		"a client secret beside it":     {map[string]string{"client_secret": "s3cr3t"}, "90100"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			c.refused(c.exchange(form(c.leg1(), test.edit)), test.code)
		})
	}
}

// Without fmi_path Entra gives the blueprint a token of its own, and it is
// only leg 2 that fails.
func TestLeg1WithoutPathFailsInLeg2(t *testing.T) {
	t.Parallel()
	c := start(t)
	t1 := c.mustExchange(form(c.leg1(), map[string]string{"fmi_path": "-"}))
	c.refused(c.exchange(form(leg2(t1))), "700211")
}

func TestLeg2Refused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		edit func(c *client, t1 string) map[string]string
		code string
	}{
		"the CI system's assertion in T1's place": {func(c *client, _ string) map[string]string {
			return map[string]string{"client_assertion": c.assertion()}
		}, "700211"},
		"a user's token in T1's place": {func(c *client, _ string) map[string]string {
			return map[string]string{"client_assertion": c.e.AccessToken()}
		}, "700211"},
		"T1 tampered with": {func(c *client, t1 string) map[string]string {
			return map[string]string{"client_assertion": flip(t1)}
		}, "50013"},
		"T1 for another resource": {func(c *client, t1 string) map[string]string {
			return map[string]string{"client_assertion": c.e.Assertion(func(forged map[string]any) {
				for name, value := range claims(c.T, t1) {
					forged[name] = value
				}
				forged["aud"] = emulator.AzureDevOpsResource
			})}
		}, "700212"},
		"T1 expired": {func(c *client, t1 string) map[string]string {
			c.e.Advance(time.Hour)
			return nil
		}, "700024"},
		"T1 for another agent identity": {func(c *client, t1 string) map[string]string {
			const other = "a9a9a9a9-0000-4000-8000-000000000009"
			c.e.Change(func(w *emulator.State) {
				w.Apps = append(w.Apps, &emulator.App{ClientID: other, Kind: emulator.AgentIdentity, Blueprint: emulator.BlueprintID})
			})
			return map[string]string{"client_id": other}
		}, "700211"},
		"with an fmi_path": {func(c *client, t1 string) map[string]string {
			return map[string]string{"fmi_path": emulator.AgentID}
		}, "70003"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			t1 := c.mustExchange(form(c.leg1()))
			c.refused(c.exchange(form(leg2(t1), test.edit(c, t1))), test.code)
		})
	}
}

func TestLeg3Refused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*emulator.State)
		edit   func(t1, t2 string) map[string]string
		code   string
	}{
		"client is the blueprint":      {nil, func(_, _ string) map[string]string { return map[string]string{"client_id": emulator.BlueprintID} }, "82001"},
		"T2 as the client's assertion": {nil, func(_, t2 string) map[string]string { return map[string]string{"client_assertion": t2} }, "700213"},
		"T1 as the user's credential": {nil, func(t1, _ string) map[string]string {
			return map[string]string{"user_federated_identity_credential": t1}
		}, "700213"},
		"no user's credential": {nil, func(_, _ string) map[string]string {
			return map[string]string{"user_federated_identity_credential": "-"}
		}, "900144"},
		"no user":                        {nil, func(_, _ string) map[string]string { return map[string]string{"username": "-"} }, "90100"},
		"both names of the user":         {nil, func(_, _ string) map[string]string { return map[string]string{"user_id": emulator.AgentUserID} }, "90100"},
		"object id as username":          {nil, func(_, _ string) map[string]string { return map[string]string{"username": emulator.AgentUserID} }, "50034"},
		"unknown user":                   {nil, func(_, _ string) map[string]string { return map[string]string{"username": "nobody@contoso.com"} }, "50034"},
		"a user that is not the agent's": {nil, func(_, _ string) map[string]string { return map[string]string{"username": emulator.ServiceUserUPN} }, "50034"},
		"scope of the exchange":          {nil, func(_, _ string) map[string]string { return map[string]string{"scope": exchangeScope} }, "500011"},
		"single permission as scope": {nil, func(_, _ string) map[string]string {
			return map[string]string{"scope": emulator.AzureDevOpsResource + "/vso.pats"}
		}, "70011"},
		"another use of the token": {nil, func(_, _ string) map[string]string { return map[string]string{"requested_token_use": "x"} }, "90100"},
		"user_fic's fmi_path":      {nil, func(_, _ string) map[string]string { return map[string]string{"fmi_path": emulator.AgentID} }, "90100"},
		"no consent":               {func(w *emulator.State) { w.App(emulator.AgentID).Consented = nil }, nil, "65001"},
		"user disabled":            {func(w *emulator.State) { w.User(emulator.AgentUserID).Disabled = true }, nil, "50057"},
		"conditional access":       {func(w *emulator.State) { w.User(emulator.AgentUserID).BlockedByPolicy = true }, nil, "53003"},
		"no Azure DevOps":          {func(w *emulator.State) { w.NoAzureDevOps = true }, nil, "500011"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			t1 := c.mustExchange(form(c.leg1()))
			t2 := c.mustExchange(form(leg2(t1)))
			if test.change != nil {
				c.e.Change(test.change)
			}
			var edit map[string]string
			if test.edit != nil {
				edit = test.edit(t1, t2)
			}
			c.refused(c.exchange(form(leg3(t1, t2), edit)), test.code)
		})
	}
}

// Microsoft documents the third request both with requested_token_use and without.
func TestUserFICWithItsUse(t *testing.T) {
	t.Parallel()
	for _, edit := range []map[string]string{nil, {"requested_token_use": "on_behalf_of"}} {
		c := start(t)
		t1 := c.mustExchange(form(c.leg1()))
		t2 := c.mustExchange(form(leg2(t1)))
		if token := c.mustExchange(form(leg3(t1, t2), edit)); token == "" {
			t.Errorf("no token with %v", edit)
		}
	}
}

// flip changes one character in the middle of a JWT's signature.
func flip(jwt string) string {
	b := []byte(jwt)
	i := len(b) - 20
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}
