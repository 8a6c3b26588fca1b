package emulator_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

// startForSDKs is start, for a client that Microsoft's SDKs are part of.
func startForSDKs(t *testing.T) *client {
	t.Helper()
	return startWith(t, emulator.Options{SDKs: true})
}

// msal is what MSAL for Go adds to a token request.
func msal(parameters map[string]string) map[string]string {
	parameters["client_info"] = "1"
	parameters["scope"] += " openid offline_access profile"
	return parameters
}

func (c *client) openIDURL() string {
	return c.e.URL(emulator.Entra) + "/" + emulator.TenantID + "/v2.0/.well-known/openid-configuration"
}

func (c *client) locations() answer {
	c.Helper()
	return c.send("OPTIONS", c.e.URL(emulator.AzureDevOps)+"/contoso/_apis", "", "Authorization", "Bearer "+c.e.AccessToken())
}

// Microsoft's SDKs get a user's token and a PAT, in their own way.
func TestSDKs(t *testing.T) {
	t.Parallel()
	c := startForSDKs(t)
	document := c.send("GET", c.openIDURL()+"?", "").JSON
	if document["token_endpoint"] != c.tokenURL() || document["issuer"] != c.e.URL(emulator.Entra)+"/"+emulator.TenantID+"/v2.0" {
		t.Errorf("the OpenID configuration is %v", document)
	}
	// Required by https://openid.net/specs/openid-connect-discovery-1_0.html.
	for _, name := range []string{
		"authorization_endpoint", "jwks_uri", "response_types_supported", "subject_types_supported",
		"id_token_signing_alg_values_supported",
	} {
		if document[name] == nil {
			t.Errorf("the OpenID configuration has no %s", name)
		}
	}
	t1 := c.mustExchange(form(msal(c.leg1())))
	t2 := c.mustExchange(form(msal(leg2(t1))))
	access := c.mustExchange(form(msal(leg3(t1, t2))))

	base := c.e.URL(emulator.AzureDevOps) + "/contoso/"
	location := c.send("OPTIONS", base+"_apis", "", "Authorization", "Bearer "+access).JSON["value"].([]any)[0].(map[string]any)
	path := strings.NewReplacer("{area}", location["area"].(string), "{resource}", location["resourceName"].(string)).
		Replace(location["routeTemplate"].(string))
	created := c.send("POST", base+path, body(nil), "Authorization", "Bearer "+access,
		"Content-Type", "application/json;charset=utf-8", "Accept", "application/json;api-version=7.1-preview.1")
	if created.Status != 200 || created.JSON["patTokenError"] != "none" {
		t.Errorf("create: %d %s", created.Status, created.Text)
	}

	var ops []string
	for _, q := range c.e.Requests() {
		ops = append(ops, q.Op)
	}
	want := []string{
		emulator.OpOpenID, emulator.OpGitHubOIDC, emulator.OpT1, emulator.OpT2, emulator.OpUserFIC,
		emulator.OpLocations, emulator.OpCreate,
	}
	if !slices.Equal(ops, want) {
		t.Errorf("operations %q, want %q", ops, want)
	}
}

// Without [Options.SDKs] the emulator serves only the requests of azdo-pat.
func TestSDKRequestsAreOffByDefault(t *testing.T) {
	t.Parallel()
	c := start(t)
	if a := c.send("GET", c.openIDURL(), ""); a.Status != 404 {
		t.Errorf("OpenID configuration: %d %s", a.Status, a.Text)
	}
	if a := c.locations(); a.Status != 404 {
		t.Errorf("locations: %d %s", a.Status, a.Text)
	}
	for method, path := range map[string]string{"OPTIONS": "/contoso/_apis/core", "GET": "/contoso/_apis/resourceAreas"} {
		if a := c.send(method, c.e.URL(emulator.AzureDevOps)+path, "", "Authorization", "Bearer "+c.e.AccessToken()); a.Status != 404 {
			t.Errorf("%s %s: %d %s", method, path, a.Status, a.Text)
		}
	}
	c.refused(c.exchange(form(c.leg1(), map[string]string{"client_info": "1"})), "90100")
	c.refused(c.exchange(form(c.leg1(), map[string]string{"scope": exchangeScope + " openid"})), "70011")
}

// Only what the SDKs are known to send is taken.
func TestSDKsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		edit map[string]string
		code string
	}{
		"another client_info": {map[string]string{"client_info": "2"}, "90100"},
		"another parameter":   {map[string]string{"claims": "{}"}, "90100"},
		"another scope":       {map[string]string{"scope": exchangeScope + " openid email"}, "70011"},
		"no scope beside":     {map[string]string{"scope": "openid offline_access profile"}, "90100"},
		"no scope":            {map[string]string{"scope": "-"}, "900144"},
	} {
		t.Run(name, func(t *testing.T) {
			c := startForSDKs(t)
			c.refused(c.exchange(form(c.leg1(), test.edit)), test.code)
		})
	}
	c := startForSDKs(t)
	c.refused(c.send("POST", c.openIDURL(), ""), "900561")
	c.refused(c.send("GET", strings.Replace(c.openIDURL(), emulator.TenantID, "fabrikam.com", 1), ""), "90002")
	if a := c.send("OPTIONS", c.e.URL(emulator.AzureDevOps)+"/contoso/_apis", "", "X-TFS-FedAuthRedirect", "Suppress"); a.Status != 401 {
		t.Errorf("locations without a credential: %d %s", a.Status, a.Text)
	}
	if a := c.send("OPTIONS", c.e.URL(emulator.AzureDevOps)+"/fabrikam/_apis", "", "Authorization", "Bearer "+c.e.AccessToken()); a.Status != 404 {
		t.Errorf("locations of an unknown organization: %d %s", a.Status, a.Text)
	}
}

// A client asks for the locations of one area, and for the host of an area, with
// whatever credential it has.
func TestLocationsOfAnArea(t *testing.T) {
	t.Parallel()
	c := startForSDKs(t)
	base := c.e.URL(emulator.AzureDevOps) + "/contoso/_apis"
	for name, credential := range map[string]string{
		"PAT": basic(c.e.Seed(emulator.PAT{Scope: "vso.code"}).Token), "Entra": "Bearer " + c.e.AccessToken(),
	} {
		for path, count := range map[string]float64{"": 4, "/tokens": 1, "/location": 2, "/Core": 1, "/git": 0} {
			if a := c.send("OPTIONS", base+path, "", "Authorization", credential); a.Status != 200 || a.JSON["count"] != count {
				t.Errorf("%s, %q: %d %s", name, path, a.Status, a.Text)
			}
		}
		for query, status := range map[string]int{"": 200, "?api-version=7.2-preview.1": 200, "?api-version=7.2": 400, "?api-version=7.2-preview.1&api-version=7.2-preview.1": 400} {
			if a := c.send("GET", base+"/ResourceAreas"+query, "", "Authorization", credential); a.Status != status {
				t.Errorf("%s, %q: %d %s", name, query, a.Status, a.Text)
			}
		}
	}
	for method, path := range map[string]string{"OPTIONS": "/core", "GET": "/resourceAreas"} {
		if a := c.send(method, base+path, "", "Authorization", basic("wr0ng")); a.Status != 401 {
			t.Errorf("%s %s: %d %s", method, path, a.Status, a.Text)
		}
	}
	if a := c.send("OPTIONS", base+"/core/projects", "", "Authorization", "Bearer "+c.e.AccessToken()); a.Status == 200 {
		t.Errorf("the locations of what is no area: %s", a.Text)
	}
}

// A version in the header Accept is held to the same rules as one in the query,
// which it does not replace.
func TestVersionInAccept(t *testing.T) {
	t.Parallel()
	c := start(t)
	for _, test := range []struct {
		query, accept string
		status        int
	}{
		{"", "application/json;api-version=7.1-preview.1", 200},
		{"", "application/json; api-version=7.2-preview.1", 200},
		{"", "application/json;api-version=7.1", 400},
		{"", "application/json;api-version=9.0", 400},
		{"", "application/json", 400},
		{"", "application/json;=", 400},
		{"", "", 400},
		{"?api-version=9.0", "application/json;api-version=7.1-preview.1", 400},
		{"?api-version=7.1-preview.1", "application/json;api-version=9.0", 200},
	} {
		target, _, _ := strings.Cut(c.patsURL(""), "?")
		a := c.send("GET", target+test.query, "", "Authorization", "Bearer "+c.e.AccessToken(), "Accept", test.accept)
		if a.Status != test.status {
			t.Errorf("%q with Accept %q: %d %s", test.query, test.accept, a.Status, a.Text)
		}
	}
}

// With a front, clients use its address, in the certificate and in the issuer.
func TestFrontAddress(t *testing.T) {
	t.Parallel()
	var behind []string
	e := emulator.StartWith(t, emulator.Options{
		TLS: true, ErrorLog: log.New(io.Discard, "", 0),
		Front: func(s emulator.Service, address string) (string, error) {
			behind = append(behind, address)
			return string(s) + ".example:443", nil
		},
	})
	if len(behind) != 6 || e.URL(emulator.Entra) != "https://entra.example:443" || e.GitHubIssuer() != "https://github.example:443" {
		t.Errorf("behind %q: Entra is %s, GitHub's issuer %s", behind, e.URL(emulator.Entra), e.GitHubIssuer())
	}
	for name, value := range e.Env(emulator.AgentUser) {
		if u, err := url.Parse(value); err == nil && u.Hostname() == "127.0.0.1" {
			t.Errorf("%s is %s, which is behind", name, value)
		}
	}
	file, err := e.CAFile()
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for i, host := range []string{"github.example", "entra.example", "azdo.example", "keyvault.example", "127.0.0.1"} {
		conn, err := tls.Dial("tcp", behind[i%len(behind)], &tls.Config{RootCAs: roots, ServerName: host})
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		conn.Close()
	}
}

func TestFrontFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		front string
		err   error
	}{
		"no network": {"", errors.New("no network")},
		"no port":    {"entra.example", nil},
		"no address": {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := emulator.New(emulator.Options{Front: func(s emulator.Service, address string) (string, error) {
				if s == emulator.GitHub {
					return address, nil
				}
				return test.front, test.err
			}})
			if err == nil || !strings.Contains(err.Error(), "front of entra") || test.err != nil && !errors.Is(err, test.err) {
				t.Errorf("error %v", err)
			}
		})
	}
}
