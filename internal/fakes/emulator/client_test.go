package emulator_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

const (
	exchangeScope    = emulator.Audience + "/.default"
	azureDevOpsScope = emulator.AzureDevOpsResource + "/.default"
	assertionType    = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// start is an emulator whose clock stands at noon until it is advanced.
func start(t *testing.T) *client {
	t.Helper()
	return startWith(t, emulator.Options{})
}

// startWith is start with options.
func startWith(t *testing.T, o emulator.Options) *client {
	t.Helper()
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	o.Now = func() time.Time { return noon }
	e := emulator.StartWith(t, o)
	c := &client{t, e, noRedirects}
	if file, err := e.CAFile(); err != nil {
		t.Fatal(err)
	} else if file != "" {
		c.http = trusting(t, file)
	}
	return c
}

// trusting is noRedirects for an emulator with TLS.
func trusting(t *testing.T, file string) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: noRedirects.CheckRedirect}
}

// A client speaks to an emulator by hand, so that a test says exactly what is
// sent.
type client struct {
	*testing.T
	e    *emulator.Emulator
	http *http.Client
}

type answer struct {
	Status int
	Header http.Header
	Text   string
	JSON   map[string]any // nil if it is no JSON object
}

// noRedirects is a client that shows 302 as it comes.
var noRedirects = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// send sends a request; header is a list of names and values.
func (c *client) send(method, target, body string, header ...string) answer {
	c.Helper()
	a, err := c.try(method, target, body, header...)
	if err != nil {
		c.Fatal(err)
	}
	return a
}

// try is send for requests that may get no answer.
func (c *client) try(method, target, body string, header ...string) (a answer, err error) {
	c.Helper()
	r, err := http.NewRequestWithContext(c.Context(), method, target, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w, err := c.http.Do(r)
	if err != nil {
		return a, err
	}
	defer w.Body.Close()
	b, err := io.ReadAll(w.Body)
	if err != nil {
		return a, err
	}
	a = answer{Status: w.StatusCode, Header: w.Header, Text: string(b)}
	if json.Unmarshal(b, &a.JSON) != nil {
		a.JSON = nil
	}
	return a, nil
}

// assertion asks GitHub's endpoint for the default job's assertion.
func (c *client) assertion() string {
	c.Helper()
	j := c.e.Job()
	a := c.send("GET", j.RequestURL+"&audience="+url.QueryEscape(emulator.Audience), "", "Authorization", "Bearer "+j.RequestToken)
	if a.Status != 200 {
		c.Fatalf("assertion: %d %s", a.Status, a.Text)
	}
	return a.JSON["value"].(string)
}

func (c *client) tokenURL() string {
	return c.e.URL(emulator.Entra) + "/" + emulator.TenantID + "/oauth2/v2.0/token"
}

// form is the body of a token request; a later map changes an earlier one,
// and a value of "-" takes the parameter away.
func form(parts ...map[string]string) string {
	all := map[string]string{"client_assertion_type": assertionType}
	for _, part := range parts {
		maps.Copy(all, part)
	}
	values := url.Values{}
	for name, value := range all {
		if value != "-" {
			values.Set(name, value)
		}
	}
	return values.Encode()
}

// exchange makes a token request.
func (c *client) exchange(body string) answer {
	c.Helper()
	return c.send("POST", c.tokenURL(), body, "Content-Type", "application/x-www-form-urlencoded")
}

// mustExchange makes a token request that must succeed.
func (c *client) mustExchange(body string) string {
	c.Helper()
	a := c.exchange(body)
	if a.Status != 200 {
		c.Fatalf("token request: %d %s", a.Status, a.Text)
	}
	return a.JSON["access_token"].(string)
}

// The requests of the identities, right in every point.
func (c *client) leg1() map[string]string {
	c.Helper()
	return map[string]string{
		"grant_type": "client_credentials", "client_id": emulator.BlueprintID, "scope": exchangeScope,
		"client_assertion": c.assertion(), "fmi_path": emulator.AgentID,
	}
}

func leg2(t1 string) map[string]string {
	return map[string]string{
		"grant_type": "client_credentials", "client_id": emulator.AgentID, "scope": exchangeScope,
		"client_assertion": t1,
	}
}

func leg3(t1, t2 string) map[string]string {
	return map[string]string{
		"grant_type": "user_fic", "client_id": emulator.AgentID, "scope": azureDevOpsScope,
		"client_assertion": t1, "user_federated_identity_credential": t2, "username": emulator.AgentUserUPN,
	}
}

func (c *client) refreshing() map[string]string {
	c.Helper()
	return map[string]string{
		"grant_type": "refresh_token", "client_id": emulator.AppID, "scope": azureDevOpsScope,
		"client_assertion": c.assertion(), "refresh_token": c.e.Settings(emulator.RefreshToken)["refresh-token"],
	}
}

func (c *client) withPassword() map[string]string {
	c.Helper()
	return map[string]string{
		"grant_type": "password", "client_id": emulator.AppID, "scope": azureDevOpsScope,
		"client_assertion": c.assertion(), "username": emulator.ServiceUserUPN,
		"password": c.e.Settings(emulator.Password)["password"],
	}
}

// agentUser is the agent user's access token, by all three legs.
func (c *client) agentUser() string {
	c.Helper()
	t1 := c.mustExchange(form(c.leg1()))
	t2 := c.mustExchange(form(leg2(t1)))
	return c.mustExchange(form(leg3(t1, t2)))
}

// refused checks that Entra's answer is an error with the code, in the form
// that Entra gives it.
func (c *client) refused(a answer, code string) {
	c.Helper()
	description, _ := a.JSON["error_description"].(string)
	if a.Status < 400 || !strings.HasPrefix(description, "AADSTS"+code+": ") {
		c.Fatalf("got %d %s, want AADSTS%s", a.Status, a.Text, code)
	}
	for _, field := range []string{"error", "error_codes", "trace_id", "correlation_id", "timestamp"} {
		if a.JSON[field] == nil {
			c.Errorf("the error has no %s: %s", field, a.Text)
		}
	}
	if all := c.e.Requests(); all[len(all)-1].Refusal != "AADSTS"+code {
		c.Errorf("the refusal is recorded as %q, want AADSTS%s", all[len(all)-1].Refusal, code)
	}
}

// patsURL is the PAT Lifecycle API with the version and further query.
func (c *client) patsURL(query string) string {
	return c.e.URL(emulator.AzureDevOps) + "/contoso/_apis/tokens/pats?api-version=7.1-preview.1" + query
}

// pats calls the PAT Lifecycle API as the service account.
func (c *client) pats(method, query, body string) answer {
	c.Helper()
	return c.send(method, c.patsURL(query), body,
		"Authorization", "Bearer "+c.e.AccessToken(), "Content-Type", "application/json",
		"X-TFS-FedAuthRedirect", "Suppress")
}

// body is a create or update: a good create, changed by the edits; an edit to
// nil takes the field away.
func body(edits map[string]any) string {
	all := map[string]any{"displayName": "a token", "scope": "vso.code", "validTo": "2026-11-20T13:00:00Z", "allOrgs": false}
	for name, value := range edits {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	b, _ := json.Marshal(all)
	return string(b)
}

// create makes a PAT that must be granted, and returns it as answered.
func (c *client) create(edits map[string]any) map[string]any {
	c.Helper()
	a := c.pats("POST", "", body(edits))
	pat, _ := a.JSON["patToken"].(map[string]any)
	if a.Status != 200 || a.JSON["patTokenError"] != "none" || pat == nil {
		c.Fatalf("create: %d %s", a.Status, a.Text)
	}
	return pat
}

// failed checks that an answer of the PAT API is a business error: 200, no
// PAT, and the reason.
func (c *client) failed(a answer, reason string) {
	c.Helper()
	if a.Status != 200 || a.JSON["patTokenError"] != reason || a.JSON["patToken"] != nil {
		c.Fatalf("got %d %s, want patTokenError %s", a.Status, a.Text, reason)
	}
}
