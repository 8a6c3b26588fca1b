package emulator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers/legacy"

	"azdo-pat/internal/fakes/emulator"
)

// vaultToken is the app registration's own token for the vault.
func (c *client) vaultToken() string {
	c.Helper()
	return c.mustExchange(form(map[string]string{
		"grant_type": "client_credentials", "client_id": emulator.AppID,
		"scope": "https://vault.azure.net/.default", "client_assertion": c.assertion(),
	}))
}

// secret sends a request for the default secret.
func (c *client) secret(method, token, rest, body string) answer {
	c.Helper()
	header := []string{"Authorization", "Bearer " + token}
	if body != "" {
		header = append(header, "Content-Type", "application/json")
	}
	return c.send(method, c.e.SecretURL()+rest, body, header...)
}

// vaultRefuses checks an error of the vault.
func (c *client) vaultRefuses(a answer, status int, code, inner, message string) {
	c.Helper()
	e, _ := a.JSON["error"].(map[string]any)
	in, _ := e["innererror"].(map[string]any)
	text, _ := e["message"].(string)
	got, _ := in["code"].(string)
	if a.Status != status || e["code"] != code || got != inner || !strings.Contains(text, message) {
		c.Errorf("got %d %s, want %d %s %s %q", a.Status, a.Text, status, code, inner, message)
	}
}

const latest = "?api-version=7.4"

func TestVaultVersions(t *testing.T) {
	t.Parallel()
	c := start(t)
	token := c.vaultToken()
	first := c.secret("GET", token, latest, "")
	if first.Status != 200 || first.JSON["value"] != c.e.Settings(emulator.RefreshToken)["refresh-token"] {
		t.Fatalf("%d %s", first.Status, first.Text)
	}
	c.e.Advance(8 * 24 * time.Hour)
	token = c.vaultToken()
	set := c.secret("PUT", token, latest, `{"value":"1.Anew","contentType":"text/plain","tags":{"a":"b"},"attributes":{"exp":1800000000,"nbf":1700000000}}`)
	second := c.secret("GET", token, latest, "")
	if set.Status != 200 || set.Text != second.Text || second.JSON["value"] != "1.Anew" || second.JSON["contentType"] != "text/plain" {
		t.Fatalf("%d %s, then %s", set.Status, set.Text, second.Text)
	}
	before, now := first.JSON["attributes"].(map[string]any), second.JSON["attributes"].(map[string]any)
	if now["created"].(float64)-before["created"].(float64) != 8*24*3600 || now["exp"] != 1.8e9 || now["nbf"] != 1.7e9 || now["enabled"] != true || now["recoveryLevel"] != "Recoverable+Purgeable" {
		t.Errorf("attributes %v, then %v", before, now)
	}
	// The old version stays, by its own URL. A date that has passed changes nothing.
	old := first.JSON["id"].(string)
	if a := c.send("GET", old+latest, "", "Authorization", "Bearer "+token); a.Text != first.Text {
		t.Errorf("the old version: %d %s", a.Status, a.Text)
	}
	if all := strings.Join(c.e.Secrets(), " "); !strings.Contains(all, "1.Anew") {
		t.Error("a stored value is no secret of the emulator's")
	}
	// What a version had, the next one does not have by itself.
	c.secret("PUT", token, latest, `{"value":"1.Anewer"}`)
	if a := c.secret("GET", token, latest, ""); a.JSON["tags"] != nil || a.JSON["contentType"] != nil {
		t.Errorf("taken over: %s", a.Text)
	}
}

func TestVaultRefuses(t *testing.T) {
	t.Parallel()
	c := start(t)
	token := c.vaultToken()
	vault := func(f func(*emulator.Vault)) {
		c.e.Change(func(w *emulator.State) { f(w.Vault) })
	}
	get := func() answer { c.Helper(); return c.secret("GET", token, latest, "") }
	set := func() answer { c.Helper(); return c.secret("PUT", token, latest, `{"value":"1.A"}`) }

	vault(func(v *emulator.Vault) { v.Roles[emulator.AppPrincipalID] = []string{emulator.SecretsUser} })
	if a := get(); a.Status != 200 {
		t.Errorf("the role to read: %s", a.Text)
	}
	c.vaultRefuses(set(), 403, "Forbidden", "ForbiddenByRbac", "Action: 'Microsoft.KeyVault/vaults/secrets/setSecret/action'")
	vault(func(v *emulator.Vault) { v.Roles = nil })
	c.vaultRefuses(get(), 403, "Forbidden", "ForbiddenByRbac", "oid="+emulator.AppPrincipalID)
	c.vaultRefuses(get(), 403, "Forbidden", "ForbiddenByRbac", "Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'")

	vault(func(v *emulator.Vault) { v.AccessPolicies = map[string][]string{} })
	c.vaultRefuses(get(), 403, "Forbidden", "AccessDenied", "does not have secrets get permission on key vault 'contoso-kv;location=")
	vault(func(v *emulator.Vault) { v.AccessPolicies[emulator.AppPrincipalID] = []string{"get"} })
	if a := get(); a.Status != 200 {
		t.Errorf("the access policy to read: %s", a.Text)
	}
	c.vaultRefuses(set(), 403, "Forbidden", "AccessDenied", "does not have secrets set permission")

	vault(func(v *emulator.Vault) {
		v.AccessPolicies, v.Roles = nil, map[string][]string{emulator.AppPrincipalID: {emulator.SecretsOfficer}}
		v.Firewall = true
	})
	c.vaultRefuses(get(), 403, "Forbidden", "ForbiddenByFirewall", "Client address: 127.0.0.1")
	vault(func(v *emulator.Vault) { v.PrivateOnly = true })
	c.vaultRefuses(get(), 403, "Forbidden", "ForbiddenByConnection", "Public network access is disabled")

	vault(func(v *emulator.Vault) {
		v.Firewall, v.PrivateOnly = false, false
		v.Secrets[0].Newest().Disabled = true
	})
	c.vaultRefuses(get(), 403, "Forbidden", "SecretDisabled", "disabled secret")
	vault(func(v *emulator.Vault) { v.Secrets[0].Deleted = true })
	c.vaultRefuses(get(), 404, "SecretNotFound", "", emulator.VaultSecret+" was not found")
	c.vaultRefuses(set(), 409, "Conflict", "ObjectIsDeletedButRecoverable", "deleted but recoverable")
	c.vaultRefuses(c.secret("GET", token, "x"+latest, ""), 404, "SecretNotFound", "", "")
	c.vaultRefuses(c.secret("GET", token, "/0123456789abcdef0123456789abcdef"+latest, ""), 404, "SecretNotFound", "", "")

	c.e.Intercept(emulator.OpGetSecret, emulator.Times(1, emulator.ThrottleVault(3*time.Second)))
	throttled := get()
	c.vaultRefuses(throttled, 429, "Throttled", "", "too many requests")
	if throttled.Header.Get("Retry-After") != "3" {
		t.Errorf("headers %v", throttled.Header)
	}
}

func TestVaultBadRequests(t *testing.T) {
	t.Parallel()
	c := start(t)
	token := c.vaultToken()
	for _, body := range []string{
		`{}`, `[]`, `{"value":1}`, `{"value":"x"} {}`, `{"value":"x","attributes":{"created":1}}`, `{"value":"x","name":"y"}`,
		`{"value":"` + strings.Repeat("x", 25_001) + `"}`,
	} {
		c.vaultRefuses(c.secret("PUT", token, latest, body), 400, "BadParameter", "", "")
	}
	c.vaultRefuses(c.send("PUT", c.e.SecretURL()+latest, `{"value":"x"}`, "Authorization", "Bearer "+token), 415, "BadParameter", "", "")
	c.vaultRefuses(c.secret("PUT", token, "_"+latest, `{"value":"x"}`), 400, "BadParameter", "", "invalid name")
	for _, query := range []string{"", "?api-version=7.0", latest + "&api-version=7.4"} {
		c.vaultRefuses(c.secret("GET", token, query, ""), 400, "BadParameter", "", "api-version")
	}
	for _, method := range []string{"POST", "DELETE", "PATCH"} {
		if a := c.secret(method, token, latest, ""); a.Status != 404 {
			t.Errorf("%s: %d", method, a.Status)
		}
	}
}

func TestVaultTokens(t *testing.T) {
	t.Parallel()
	c := start(t)
	challenge := func(a answer, message string) {
		t.Helper()
		c.vaultRefuses(a, 401, "Unauthorized", "", message)
		want := `Bearer authorization="https://login.microsoftonline.com/` + emulator.TenantID + `", resource="https://vault.azure.net"`
		if got := a.Header.Get("WWW-Authenticate"); got != want {
			t.Errorf("challenge %q", got)
		}
	}
	challenge(c.send("GET", c.e.SecretURL()+latest, ""), "AKV10000")
	challenge(c.secret("GET", c.e.AccessToken(), latest, ""), "AKV10022: Invalid audience")
	challenge(c.secret("GET", c.e.Assertion(emulator.GitLab), latest, ""), "not signed by Entra")
	token := c.vaultToken()
	c.e.Change(func(w *emulator.State) { w.Vault.Tenant = emulator.NoTenant })
	a := c.secret("GET", token, latest, "")
	c.vaultRefuses(a, 401, "Unauthorized", "", "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/"+emulator.NoTenant+"/, found https://sts.windows.net/"+emulator.TenantID+"/")
	c.e.Change(func(w *emulator.State) { w.Vault.Tenant = emulator.TenantID })
	c.e.Advance(2 * time.Hour)
	challenge(c.secret("GET", token, latest, ""), "not in force")

	// The token of the vault is none for Azure DevOps, and Entra may not know the vault.
	if a := c.send("GET", c.e.URL(emulator.AzureDevOps)+"/contoso/_apis/tokens/pats?api-version=7.1-preview.1", "", "Authorization", "Bearer "+c.vaultToken(), "X-TFS-FedAuthRedirect", "Suppress"); a.Status != 401 {
		t.Errorf("Azure DevOps answers %d", a.Status)
	}
	c.e.Change(func(w *emulator.State) { w.NoKeyVault = true })
	c.refused(c.exchange(form(map[string]string{
		"grant_type": "client_credentials", "client_id": emulator.AppID,
		"scope": "https://vault.azure.net/.default", "client_assertion": c.assertion(),
	})), "500011")
}

// One assertion gets a token for the vault and one for Azure DevOps, but not two for
// one of them.
func TestOneAssertionForTwoScopes(t *testing.T) {
	t.Parallel()
	c := start(t)
	refresh := c.refreshing()
	vault := map[string]string{
		"grant_type": "client_credentials", "client_id": emulator.AppID,
		"scope": "https://vault.azure.net/.default", "client_assertion": refresh["client_assertion"],
	}
	c.mustExchange(form(vault))
	c.mustExchange(form(refresh))
	if v := c.e.Violations(); len(v) > 0 {
		t.Errorf("%v", v)
	}
	c.refused(c.exchange(form(vault)), "7009999")
	if v := c.e.Violations(); len(v) != 1 {
		t.Errorf("%v", v)
	}
}

// loadVault reads Microsoft's description of Key Vault's secrets, with the path without
// a version, which the service takes too.
func loadVault(t *testing.T, file, base string) api {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(specDir, file))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no copy of Microsoft's OpenAPI here")
	}
	if err != nil {
		t.Fatal(err)
	}
	var v2 openapi2.T
	if err := json.Unmarshal(raw, &v2); err != nil {
		t.Fatal(err)
	}
	v2.Host, v2.BasePath, v2.Schemes = strings.TrimPrefix(base, "http://"), "/", []string{"http"}
	latestOf := *v2.Paths["/secrets/{secret-name}/{secret-version}"].Get
	latestOf.OperationID, latestOf.Parameters = "GetSecretLatest", nil
	for _, p := range v2.Paths["/secrets/{secret-name}/{secret-version}"].Get.Parameters {
		if p.Name != "secret-version" {
			latestOf.Parameters = append(latestOf.Parameters, p)
		}
	}
	v2.Paths["/secrets/{secret-name}"].Get = &latestOf
	v3, err := openapi2conv.ToV3(&v2)
	if err != nil {
		t.Fatal(err)
	}
	v3.Security = nil
	for _, name := range []string{"SecretBundle", "SecretAttributes", "SecretSetParameters", "KeyVaultError", "Error"} {
		// Nothing that is not described.
		v3.Components.Schemas[name].Value.AdditionalProperties = openapi3.AdditionalProperties{Has: new(bool)}
	}
	for _, item := range v3.Paths.Map() {
		for _, operation := range item.Operations() {
			operation.Security = &openapi3.SecurityRequirements{}
		}
	}
	router, err := legacy.NewRouter(v3)
	if err != nil {
		t.Fatal(err)
	}
	return api{router}
}

func TestVaultOpenAPI(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"7.4", "2025-07-01"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			described := loadVault(t, "keyvault-secrets-"+version+".json", c.e.URL(emulator.KeyVault))
			call := func(method, rest, body string) answer {
				t.Helper()
				target := c.e.SecretURL() + rest + "?api-version=" + version
				r, err := http.NewRequest(method, target, nil)
				if err != nil {
					t.Fatal(err)
				}
				header := []string{"Authorization", "Bearer " + c.vaultToken()}
				if body != "" {
					r.Header.Set("Content-Type", "application/json")
					header = append(header, "Content-Type", "application/json")
				}
				got := c.send(method, target, body, header...)
				described.vault(t, r, body, got)
				return got
			}
			set := call("PUT", "", `{"value":"1.A","contentType":"text/plain","tags":{"a":"b"},"attributes":{"exp":1800000000}}`)
			id := set.JSON["id"].(string)
			call("GET", "", "")
			call("GET", id[strings.LastIndexByte(id, '/'):], "")
			call("GET", "/00000000000000000000000000000000", "")
			c.e.Change(func(w *emulator.State) { w.Vault.Roles = nil })
			call("GET", "", "")
			c.e.Change(func(w *emulator.State) { w.Vault.Firewall = true })
			call("PUT", "", `{"value":"1.A"}`)
		})
	}
}

// vault holds a request and its answer against the description.
func (a api) vault(t *testing.T, r *http.Request, body string, got answer) {
	t.Helper()
	a.validate(t, r.Clone(context.Background()), r, body, got)
}

// TestVaultOpenAPIExamples: what Microsoft recorded passes the description as it is
// read here.
func TestVaultOpenAPIExamples(t *testing.T) {
	t.Parallel()
	described := loadVault(t, "keyvault-secrets-7.4.json", "http://myvault.vault.azure.net")
	for file, method := range map[string]string{"GetSecret": "GET", "SetSecret": "PUT"} {
		raw, err := os.ReadFile(filepath.Join(specDir, "examples-additions", "KeyVault-"+file+"-7.4.json"))
		if err != nil {
			t.Fatal(err)
		}
		var example struct {
			Parameters struct {
				Name       string `json:"secret-name"`
				Version    string `json:"secret-version"`
				Parameters json.RawMessage
			}
			Responses map[string]struct{ Body json.RawMessage }
		}
		if err := json.Unmarshal(raw, &example); err != nil {
			t.Fatal(err)
		}
		target := "http://myvault.vault.azure.net/secrets/" + url.PathEscape(example.Parameters.Name)
		if v := example.Parameters.Version; v != "" {
			target += "/" + v
		}
		r, err := http.NewRequest(method, target+"?api-version=7.4", io.NopCloser(bytes.NewReader(nil)))
		if err != nil {
			t.Fatal(err)
		}
		if method == "PUT" {
			r.Header.Set("Content-Type", "application/json")
		}
		described.vault(t, r, string(example.Parameters.Parameters), answer{
			Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Text: string(example.Responses["200"].Body),
		})
	}
}
