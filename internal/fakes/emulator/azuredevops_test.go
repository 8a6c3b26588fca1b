package emulator_test

import (
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// Everybody but a signed-in member with both scopes is turned away, on every
// operation alike.
func TestCallerRefused(t *testing.T) {
	t.Parallel()
	claim := func(name string, value any) func(*client) string {
		return func(c *client) string {
			return "Bearer " + c.e.AccessToken(func(claims map[string]any) {
				if claims[name] = value; value == nil {
					delete(claims, name)
				}
			})
		}
	}
	const signIn, tf400813 = "Sign In", "TF400813"
	for name, test := range map[string]struct {
		authorization func(*client) string
		text          string
	}{
		"no credential":          {func(*client) string { return "" }, signIn},
		"garbage":                {func(*client) string { return "Bearer garbage" }, signIn},
		"a PAT as bearer":        {func(c *client) string { return "Bearer " + c.e.Seed(emulator.PAT{Scope: "app_token"}).Token }, signIn},
		"the CI's assertion":     {func(c *client) string { return "Bearer " + c.e.Assertion() }, signIn},
		"T1":                     {func(c *client) string { return "Bearer " + c.mustExchange(form(c.leg1())) }, signIn},
		"tampered with":          {func(c *client) string { return "Bearer " + flip(c.e.AccessToken()) }, signIn},
		"another resource":       {claim("aud", "https://management.azure.com/"), signIn},
		"another resource too":   {claim("aud", []string{emulator.AzureDevOpsResource, "x"}), signIn},
		"another tenant":         {claim("tid", emulator.AppID), signIn},
		"another issuer":         {claim("iss", "https://sts.windows.net/"+emulator.AppID+"/"), signIn},
		"no kind of identity":    {claim("idtyp", nil), signIn},
		"a device":               {claim("idtyp", "device"), signIn},
		"no member":              {claim("oid", emulator.AppID), "TF401444: Please sign-in at least once as " + emulator.TenantID + `\\` + emulator.TenantID + `\\` + emulator.AppID + " in a web browser"},
		"one scope":              {claim("scp", "vso.pats_manage"), tf400813},
		"the other scope":        {claim("scp", "vso.pats"), tf400813},
		"the scope of old times": {claim("scp", "user_impersonation"), tf400813},
		"expired": {func(c *client) string {
			access := c.e.AccessToken()
			c.e.Advance(time.Hour)
			return "Bearer " + access
		}, signIn},
		"a PAT by Basic": {func(c *client) string {
			p := c.e.Seed(emulator.PAT{Owner: emulator.ServiceUserID, Scope: "app_token"})
			return basic(p.Token)
		}, signIn},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			pat := c.e.Seed(emulator.PAT{Owner: emulator.ServiceUserID})
			before := len(c.e.Active())
			header := []string{"Content-Type", "application/json", "X-TFS-FedAuthRedirect", "Suppress"}
			if a := test.authorization(c); a != "" {
				header = append(header, "Authorization", a)
			}
			before = max(before, len(c.e.PATs()))
			for method, request := range map[string]struct{ query, body string }{
				"POST":   {"", body(nil)},
				"PUT":    {"", `{"authorizationId":"` + pat.ID + `","displayName":"x"}`},
				"GET":    {"", ""},
				"DELETE": {"&authorizationId=" + pat.ID, ""},
			} {
				a := c.send(method, c.patsURL(request.query), request.body, header...)
				if a.Status != 401 || !strings.Contains(a.Text, test.text) {
					t.Errorf("%s: got %d %s, want 401 with %s", method, a.Status, a.Text, test.text)
				}
			}
			if all := c.e.PATs(); len(all) != before || all[0].Revoked || all[0].Name == "x" {
				t.Errorf("something has changed: %v", all)
			}
		})
	}
}

func basic(password string) string { return "Basic " + encode(":"+password) }

func TestSignIn(t *testing.T) {
	t.Parallel()
	c := start(t)
	for _, target := range []string{c.patsURL(""), c.e.URL(emulator.AzureDevOps) + "/contoso/_apis/projects?api-version=7.1"} {
		if a := c.send("GET", target, ""); a.Status != 203 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
			t.Errorf("got %d %s, want 203 with the sign-in page", a.Status, a.Text)
		}
	}
	c.e.Change(func(w *emulator.State) { w.Organization("contoso").SignIn = emulator.SignInRedirect })
	if a := c.send("GET", c.patsURL(""), ""); a.Status != 302 || !strings.Contains(a.Header.Get("Location"), "/_signin") {
		t.Errorf("got %d to %q, want 302", a.Status, a.Header.Get("Location"))
	}
	if a := c.send("GET", c.patsURL(""), "", "X-TFS-FedAuthRedirect", "Suppress"); a.Status != 401 {
		t.Errorf("got %d, want 401", a.Status)
	}
}

func TestTenant(t *testing.T) {
	t.Parallel()
	c := start(t)
	base := c.e.URL(emulator.AzureDevOps)
	check := func(a answer, status int, tenant string) {
		t.Helper()
		want := "Bearer authorization_uri=https://login.microsoftonline.com/" + tenant
		if a.Status != status || a.Header.Get("WWW-Authenticate") != want || a.Header.Get("X-VSS-ResourceTenant") != tenant {
			t.Errorf("got %d %v", a.Status, a.Header)
		}
	}
	check(c.send("GET", base+"/contoso", "", "X-TFS-FedAuthRedirect", "Suppress"), 401, emulator.TenantID)
	check(c.send("GET", base+"/Contoso/", "", "X-TFS-FedAuthRedirect", "Suppress"), 401, emulator.TenantID)
	check(c.send("GET", base+"/contoso", ""), 203, emulator.TenantID)
	c.e.Change(func(w *emulator.State) { w.Organization("contoso").Tenant = emulator.NoTenant })
	check(c.send("GET", base+"/contoso", "", "X-TFS-FedAuthRedirect", "Suppress"), 401, emulator.NoTenant)

	for _, target := range []string{base + "/fabrikam", strings.Replace(c.patsURL(""), "contoso", "fabrikam", 1)} {
		if a := c.send("GET", target, "", "Authorization", "Bearer "+c.e.AccessToken()); a.Status != 404 {
			t.Errorf("%s: got %d, want 404", target, a.Status)
		}
	}
}
