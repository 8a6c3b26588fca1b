package keyvault

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

// rbac is Key Vault's message about a missing role.
const rbac = "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\n" +
	"Caller: appid=c1c1c1c1-0000-4000-8000-000000000004;oid=" + object + ";iss=https://sts.windows.net/11111111-1111-4111-8111-111111111111/\r\nAction: 'Microsoft.KeyVault/vaults/secrets/%s/action'\r\n" +
	"Resource: '/subscriptions/0/resourcegroups/rg/providers/microsoft.keyvault/vaults/contoso/secrets/azdo'\r\nAssignment: (not found)\r\n"

func TestRefusals(t *testing.T) {
	t.Parallel()
	const tenants = "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/11111111-1111-4111-8111-111111111111/, found https://sts.windows.net/22222222-2222-4222-8222-222222222222/."
	for name, tc := range map[string]struct {
		status      int
		body        string
		get, set    string // in the hint
		code        string
		reads, sets string // the roles
	}{
		"RBAC": {403, refusal("Forbidden", "ForbiddenByRbac", fmt.Sprintf(rbac, "getSecret")),
			"assign the role Key Vault Secrets User to the service principal of client-id (object id " + object + "), on the secret azdo or on the whole vault; to renew the stored token, jobs need Key Vault Secrets Officer",
			"assign the role Key Vault Secrets Officer to the service principal of client-id (object id " + object + "), on the secret azdo", "ForbiddenByRbac", RoleRead, RoleWrite},
		"access policy": {403, refusal("Forbidden", "AccessDenied", "The user, group or application does not have secrets get permission on key vault 'contoso;location=westeurope'."),
			"this vault has access policies: give the service principal of client-id (object id " + object + ") the secret permission get (and set",
			"the secret permission set", "AccessDenied", "", ""},
		"firewall": {403, refusal("Forbidden", "ForbiddenByFirewall", "Client address is not authorized and caller is not a trusted service.\r\nClient address: 192.0.2.7"),
			"GitHub-hosted runners have changing addresses", "firewall", "ForbiddenByFirewall", "", ""},
		"private": {403, refusal("Forbidden", "ForbiddenByConnection", "Public network access is disabled and request is not from a trusted service nor via an approved private link."),
			"private endpoint", "self-hosted runner", "ForbiddenByConnection", "", ""},
		"disabled":     {403, refusal("Forbidden", "SecretDisabled", "Operation get is not allowed on a disabled secret."), "enable the newest version of the secret azdo", "enable", "SecretDisabled", "", ""},
		"not found":    {404, refusal("SecretNotFound", "", "A secret with (name/id) azdo was not found in this key vault."), "check the name azdo in refresh-token-vault; if the secret was deleted, recover it", "recover", "SecretNotFound", "", ""},
		"soft-deleted": {409, refusal("Conflict", "ObjectIsDeletedButRecoverable", "Secret azdo is currently in a deleted but recoverable state, and its name cannot be reused."), "recover", "az keyvault secret recover", "ObjectIsDeletedButRecoverable", "", ""},
		"other tenant": {401, refusal("Unauthorized", "", tenants), "the vault belongs to the tenant 11111111-1111-4111-8111-111111111111 and the application to 22222222-2222-4222-8222-222222222222", "belongs to the tenant", "Unauthorized", "", ""},
		"audience":     {401, refusal("Unauthorized", "", "AKV10022: Invalid audience."), "tenant-id", "tenant-id", "Unauthorized", "", ""},
		"a proxy":      {403, "<html><title>Blocked</title></html>", "Key Vault Secrets User", "Key Vault Secrets Officer", "", "", ""},
		"other 404":    {404, "", Form, Form, "", "", ""},
		"strange":      {400, `{"error":{"code":["x"],"innererror":"y"}}`, "", "", "", "", ""},
		"a long code":  {400, refusal(strings.Repeat("x", 61), "a b", "no"), "", "", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, masked := client(t, answer(tc.status, tc.body))
			_, got := c.Get(t.Context())
			set := c.Set(t.Context(), secret.New(fresh), time.Now(), Secret{})
			for _, x := range []struct {
				err              error
				doing, say, role string
			}{{got, "read the refresh token in", tc.get, tc.reads}, {set, "store the new refresh token in", tc.set, tc.sets}} {
				var refused *Refusal
				if !errors.As(x.err, &refused) || refused.Code != tc.code || refused.Role != x.role || refused.Principal != object || refused.Secret != "azdo" {
					t.Fatalf("%v: %+v", x.err, refused)
				}
				if text := x.err.Error(); !strings.HasPrefix(text, x.doing+" 127.0.0.1:") || !strings.Contains(text, fmt.Sprintf("answered %d", tc.status)) || !strings.Contains(text, tc.code) || strings.Contains(text, "\n") {
					t.Errorf("the error is %s", text)
				}
				if h := hint.Of(x.err); !strings.Contains(h, x.say) || x.say == "" && h != "" {
					t.Errorf("the hint is %q, want %q", h, x.say)
				}
				if retry, _ := httpclient.Retryable(x.err); retry {
					t.Error("would be repeated")
				}
			}
			if len(*masked) > 0 {
				t.Errorf("masked %q", *masked)
			}
		})
	}
}

// The object id comes from the token, or else from Key Vault's message; a wrong one of
// either is not repeated.
func TestPrincipal(t *testing.T) {
	t.Parallel()
	c, _ := client(t, answer(403, refusal("Forbidden", "ForbiddenByRbac", fmt.Sprintf(rbac, "getSecret"))))
	c.Token = secret.New("opaque-token")
	_, err := c.Get(t.Context())
	if h := hint.Of(err); !strings.Contains(h, "(object id "+object+")") {
		t.Error(h)
	}
	c, _ = client(t, answer(403, refusal("Forbidden", "ForbiddenByRbac", "oid=x;$(rm)")))
	c.Token = secret.New("opaque-token")
	_, err = c.Get(t.Context())
	if h := hint.Of(err); !strings.Contains(h, "to the service principal of client-id, on") {
		t.Error(h)
	}
}

// Answers that can be repeated, and how long the vault asks to wait.
func TestRetryable(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		h    http.HandlerFunc
		wait time.Duration
	}{
		"429": {answer(429, refusal("Throttled", "", "Request was not processed because too many requests were received.")), 0},
		"429 with Retry-After": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			answer(429, "")(w, r)
		}, 7 * time.Second},
		"500":       {answer(500, ""), 0},
		"503":       {answer(503, "<html>"), 0},
		"empty":     {answer(200, ""), 0},
		"a page":    {answer(200, "<html>"), 0},
		"cut off":   {answer(200, `{"value":"`+stored), 0},
		"no answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0},
	} {
		c, _ := client(t, tc.h)
		_, err := c.Get(t.Context())
		if retry, wait := httpclient.Retryable(err); !retry || wait != tc.wait || strings.Contains(err.Error(), "AXoA") {
			t.Errorf("%s: %v, %s", name, err, wait)
		}
		err = c.Set(t.Context(), secret.New(fresh), time.Now(), Secret{})
		if retry, wait := httpclient.Retryable(err); !retry || wait != tc.wait {
			t.Errorf("%s: %v, %s", name, err, wait)
		}
	}
}

// What a hostile vault sends leads to an error of bounded length without credentials.
func TestHostileVault(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	for name, h := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		},
		"challenge": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer authorization="`+other.URL+`", resource="`+other.URL+`"`)
			w.WriteHeader(401)
		},
		"no secret":    answer(200, `{"id":"x"}`),
		"a number":     answer(200, `{"value":7}`),
		"a list":       answer(200, `[]`),
		"null":         answer(200, `null`),
		"huge":         answer(200, `{"value":"`+strings.Repeat("x", maxBody)+`"}`),
		"huge refusal": answer(403, strings.Repeat("x", maxBody+1)),
		"201":          answer(201, bundleOf(stored)),
		"echo": func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			answer(403, refusal("Forbidden", "X", "no: "+r.Header.Get("Authorization")+" "+string(body)))(w, r)
		},
		"several lines": answer(403, refusal("Forbidden", "", "\n::add-mask::x\n")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := client(t, h)
			_, got := c.Get(t.Context())
			set := c.Set(t.Context(), secret.New(fresh), time.Now(), Secret{})
			for _, err := range []error{got, set} {
				if err == nil {
					t.Fatal("no error")
				}
				text := err.Error() + hint.Of(err)
				if strings.Contains(text, "AXoA") || strings.Contains(text, token[:30]) || strings.Contains(text, "\n") || len(text) > 1500 {
					t.Errorf("%d: %s", len(text), text)
				}
			}
		})
	}
	t.Cleanup(func() {
		if n := elsewhere.Load(); n > 0 {
			t.Errorf("%d requests to another host", n)
		}
	})
}
