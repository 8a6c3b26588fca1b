package emulator_test

import (
	"strings"
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

func TestPipelinesAssertion(t *testing.T) {
	t.Parallel()
	c := start(t)
	j := c.e.PipelinesJob()
	ask := func() string {
		a := c.send("POST", j.OIDCRequestURI+"?api-version=7.1&serviceConnectionId="+emulator.ServiceConnectionID, "",
			"Authorization", "Bearer "+j.AccessToken, "X-TFS-FedAuthRedirect", "Suppress")
		assertion, _ := a.JSON["oidcToken"].(string)
		if a.Status != 200 || assertion == "" {
			t.Fatalf("got %d %s", a.Status, a.Text)
		}
		return assertion
	}
	got := claims(t, ask())
	if got["iss"] != emulator.PipelinesIssuer || got["sub"] != "sc://contoso/demo/azdo-pat" || got["aud"] != emulator.Audience {
		t.Errorf("claims %v", got)
	}
	request := c.leg1()
	request["client_assertion"] = ask()
	c.mustExchange(form(request))
}

func TestPipelinesAssertionRefused(t *testing.T) {
	t.Parallel()
	c := start(t)
	j, other := c.e.PipelinesJob(), c.e.StartPipelinesJob(emulator.PipelinesJob{})
	const good = "?api-version=7.1&serviceConnectionId=" + emulator.ServiceConnectionID
	for name, test := range map[string]struct {
		method, query, body, token string
		status                     int
	}{
		"no token":                   {"POST", good, "", "", 401},
		"unknown token":              {"POST", good, "", flip(j.AccessToken), 401},
		"another job's token":        {"POST", good, "", other.AccessToken, 403},
		"GET":                        {"GET", good, "", j.AccessToken, 405},
		"a body":                     {"POST", good, "{}", j.AccessToken, 400},
		"no version":                 {"POST", "?serviceConnectionId=" + emulator.ServiceConnectionID, "", j.AccessToken, 400},
		"another version":            {"POST", "?api-version=5.0&serviceConnectionId=" + emulator.ServiceConnectionID, "", j.AccessToken, 400},
		"no service connection":      {"POST", "?api-version=7.1", "", j.AccessToken, 404},
		"unknown service connection": {"POST", "?api-version=7.1&serviceConnectionId=" + emulator.AppID, "", j.AccessToken, 404},
	} {
		a := c.send(test.method, j.OIDCRequestURI+test.query, test.body,
			"Authorization", "Bearer "+test.token, "X-TFS-FedAuthRedirect", "Suppress")
		if a.Status != test.status || a.JSON["oidcToken"] != nil {
			t.Errorf("%s: got %d %s, want %d", name, a.Status, a.Text, test.status)
		}
	}
	c.e.Change(func(w *emulator.State) { w.ServiceConnections[0].Unreferenced = true })
	a := c.send("POST", j.OIDCRequestURI+good, "", "Authorization", "Bearer "+j.AccessToken, "X-TFS-FedAuthRedirect", "Suppress")
	if text, _ := a.JSON["value"].(string); a.Status == 200 || !strings.HasPrefix(text, "There is no explicit reference to service connection "+emulator.ServiceConnectionID) {
		t.Errorf("unreferenced: got %d %s", a.Status, a.Text)
	}
	if a := c.send("POST", j.OIDCRequestURI+good, ""); a.Status != 203 {
		t.Errorf("without Suppress: got %d, want the sign-in page", a.Status)
	}
}
