package emulator_test

import (
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

func TestRefreshToken(t *testing.T) {
	t.Parallel()
	c := start(t)
	a := c.exchange(form(c.refreshing()))
	if a.Status != 200 || a.JSON["refresh_token"] != nil {
		t.Fatalf("got %d %s, want a token and no replacement", a.Status, a.Text)
	}
	if a.JSON["expires_in"] != 3600.0 || a.JSON["token_type"] != "Bearer" {
		t.Errorf("got %s", a.Text)
	}
}

func TestRefreshTokenReplaced(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Change(func(w *emulator.State) { w.RotateRefreshTokens = true })
	a := c.exchange(form(c.refreshing()))
	next, _ := a.JSON["refresh_token"].(string)
	if next == "" {
		t.Fatalf("got %s, want a replacement", a.Text)
	}
	c.mustExchange(form(c.refreshing(), map[string]string{"refresh_token": next}))
	c.mustExchange(form(c.refreshing())) // the old one stays valid
	if !strings.Contains(strings.Join(c.e.Secrets(), "\n"), next) {
		t.Error("the replacement is not among the secrets")
	}
}

func TestUserGrantRefused(t *testing.T) {
	t.Parallel()
	user := func(f func(*emulator.User)) func(*emulator.State) {
		return func(w *emulator.State) { f(w.User(emulator.ServiceUserID)) }
	}
	stored := func(f func(*emulator.IssuedRefreshToken)) func(*emulator.State) {
		return func(w *emulator.State) { f(w.RefreshTokens[0]) }
	}
	refresh, password := (*client).refreshing, (*client).withPassword
	for name, test := range map[string]struct {
		request func(*client) map[string]string
		change  func(*emulator.State)
		edit    map[string]string
		code    string
	}{
		"refresh: unknown token":     {refresh, nil, map[string]string{"refresh_token": "1.nobody's"}, "70008"},
		"refresh: no token":          {refresh, nil, map[string]string{"refresh_token": "-"}, "900144"},
		"refresh: revoked":           {refresh, stored(func(r *emulator.IssuedRefreshToken) { r.Revoked = true }), nil, "50173"},
		"refresh: another client's":  {refresh, stored(func(r *emulator.IssuedRefreshToken) { r.ClientID = emulator.AgentID }), nil, "70000"},
		"refresh: sign-in frequency": {refresh, user(func(u *emulator.User) { u.SignInTooOld = true }), nil, "70043"},
		"refresh: MFA":               {refresh, user(func(u *emulator.User) { u.MFARequired = true }), nil, "50076"},
		"refresh: disabled":          {refresh, user(func(u *emulator.User) { u.Disabled = true }), nil, "50057"},
		"refresh: by the blueprint":  {refresh, nil, map[string]string{"client_id": emulator.BlueprintID}, "82001"},
		"refresh: no assertion":      {refresh, nil, map[string]string{"client_assertion": "-"}, "7000218"},
		"password: wrong":            {password, nil, map[string]string{"password": "guess"}, "50126"},
		"password: unknown user":     {password, nil, map[string]string{"username": "nobody@contoso.com"}, "50034"},
		"password: object id":        {password, nil, map[string]string{"username": emulator.ServiceUserID}, "50034"},
		"password: agent user":       {password, nil, map[string]string{"username": emulator.AgentUserUPN}, "50126"},
		"password: expired":          {password, user(func(u *emulator.User) { u.PasswordExpired = true }), nil, "50055"},
		"password: locked":           {password, user(func(u *emulator.User) { u.Locked = true }), nil, "50053"},
		"password: MFA":              {password, user(func(u *emulator.User) { u.MFARequired = true }), nil, "50076"},
		"password: policy":           {password, user(func(u *emulator.User) { u.BlockedByPolicy = true }), nil, "53003"},
		"password: no consent":       {password, func(w *emulator.State) { w.App(emulator.AppID).Consented = nil }, nil, "65001"},
		"password: no assertion":     {password, nil, map[string]string{"client_assertion": "-"}, "7000218"},
		"grant unknown":              {password, nil, map[string]string{"grant_type": "device_code"}, "90100"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			request := test.request(c)
			if test.change != nil {
				c.e.Change(test.change)
			}
			c.refused(c.exchange(form(request, test.edit)), test.code)
		})
	}
}

func TestRefreshTokenExpires(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Advance(90*24*time.Hour - time.Second)
	c.mustExchange(form(c.refreshing()))
	c.e.Advance(time.Second)
	c.refused(c.exchange(form(c.refreshing())), "700082")
}

// An app-only token is to be had, and Azure DevOps refuses it for PATs.
func TestAppOnlyToken(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]func(*client) map[string]string{
		"app registration": func(c *client) map[string]string {
			return map[string]string{"client_id": emulator.AppID, "client_assertion": c.assertion()}
		},
		"agent identity": func(c *client) map[string]string {
			return map[string]string{"client_id": emulator.AgentID, "client_assertion": c.mustExchange(form(c.leg1()))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			access := c.mustExchange(form(request(c), map[string]string{"grant_type": "client_credentials", "scope": azureDevOpsScope}))
			a := c.send("GET", c.patsURL(""), "", "Authorization", "Bearer "+access)
			if a.Status != 403 || a.JSON["typeKey"] != "InvalidAccessException" || a.JSON["message"] != "Service principals are not allowed to perform this action." {
				t.Errorf("got %d %s", a.Status, a.Text)
			}
		})
	}
	t.Run("blueprint", func(t *testing.T) {
		t.Parallel()
		c := start(t)
		c.refused(c.exchange(form(c.leg1(), map[string]string{"fmi_path": "-", "scope": azureDevOpsScope})), "82001")
	})
}

func TestTokenRequestRefused(t *testing.T) {
	t.Parallel()
	const formType = "application/x-www-form-urlencoded"
	for name, test := range map[string]struct {
		method, path, contentType, authorization string
		body                                     func(good string) string
		code                                     string
	}{
		"GET":                     {"GET", "", "", "", nil, "900561"},
		"JSON":                    {"POST", "", "application/json", "", func(string) string { return `{"grant_type":"client_credentials"}` }, "900144"},
		"no content type":         {"POST", "", "", "", nil, "900144"},
		"parameter twice":         {"POST", "", formType, "", func(s string) string { return s + "&scope=x" }, "9000411"},
		"basic authentication":    {"POST", "", formType, "Basic YTpi", nil, "90100"},
		"parameters in the query": {"POST", "/" + emulator.TenantID + "/oauth2/v2.0/token?client_id=x", formType, "", nil, "90100"},
		"unknown tenant":          {"POST", "/22222222-2222-4222-8222-222222222222/oauth2/v2.0/token", formType, "", nil, "90002"},
		"tenant common":           {"POST", "/common/oauth2/v2.0/token", formType, "", nil, "90002"},
		"empty parameter":         {"POST", "", formType, "", func(s string) string { return s + "&client_info=" }, "90100"},
		"grant type of no protocol": {"POST", "", formType, "", func(string) string {
			return "grant_type=x&client_id=" + emulator.AppID + "&scope=x&client_assertion=x&client_assertion_type=" + assertionType
		}, "70003"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			body := form(c.leg1())
			if test.body != nil {
				body = test.body(body)
			}
			target := c.tokenURL()
			if test.path != "" {
				target = c.e.URL(emulator.Entra) + test.path
			}
			header := []string{"Content-Type", test.contentType}
			if test.authorization != "" {
				header = append(header, "Authorization", test.authorization)
			}
			c.refused(c.send(test.method, target, body, header...), test.code)
		})
	}
}

func TestTenantByDomain(t *testing.T) {
	t.Parallel()
	c := start(t)
	a := c.send("POST", c.e.URL(emulator.Entra)+"/"+emulator.TenantDomain+"/oauth2/v2.0/token", form(c.leg1()), "Content-Type", "application/x-www-form-urlencoded")
	if a.Status != 200 {
		t.Errorf("got %d %s", a.Status, a.Text)
	}
}

func TestEntraError(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Intercept(emulator.OpPassword, emulator.EntraError(50079))
	a := c.exchange(form(c.withPassword()))
	if codes, _ := a.JSON["error_codes"].([]any); a.Status != 400 || len(codes) != 1 || codes[0] != 50079.0 {
		t.Errorf("got %d %s", a.Status, a.Text)
	}
}
