package keyvault

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

// The roles for the secrets of a vault.
// https://learn.microsoft.com/azure/key-vault/general/rbac-guide#azure-built-in-roles-for-key-vault-data-plane-operations
const (
	RoleRead  = "Key Vault Secrets User"
	RoleWrite = "Key Vault Secrets Officer" // reads too
)

// Refusal is the cause in the error of a request that the vault refused.
type Refusal struct {
	// Code is Key Vault's error.innererror.code, such as ForbiddenByRbac, or else its
	// error.code, such as SecretNotFound. Empty: the answer has none.
	Code string
	// Role is the role that the service principal lacks. Empty: the refusal is not
	// about a role.
	Role string
	// Principal is the object id of the service principal, a GUID. Empty: not known.
	Principal string
	// Vault and Secret are the names of the vault and of the secret. Vault is empty on
	// this machine.
	Vault, Secret string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Code }

// refused returns the error of an answer other than 200.
func (c *Client) refused(doing string, resp *http.Response, body []byte, secrets []secret.Value) error {
	a := httpclient.ReadAnswer(resp.Header, body, secrets...)
	e := named(a.StatusError(doing, resp))
	if resp.StatusCode/100 == 3 {
		return e
	}
	r := &Refusal{Code: codeOf(body), Principal: c.principal(a.Message)}
	r.Vault, r.Secret = Names(c.URL)
	if r.Code != "" && r.Code != http.StatusText(e.Status) && !strings.Contains(e.Detail, r.Code) {
		e.Detail = strings.TrimSuffix(r.Code+": "+e.Detail, ": ")
	}
	e.Err = r
	switch {
	case a.Challenge != nil:
		e.Advice = a.Challenge.Hint()
	case resp.StatusCode == http.StatusUnauthorized:
		e.Advice = otherTenant(a.Message)
	default:
		e.Advice = c.advice(resp, r)
	}
	return e
}

// advice is what to change about a refusal.
// https://learn.microsoft.com/azure/key-vault/general/rest-error-codes
func (c *Client) advice(resp *http.Response, r *Refusal) string {
	write := resp.Request.Method == http.MethodPut
	switch r.Code {
	case "ForbiddenByRbac":
		r.Role = RoleRead
		and := "; to renew the stored token, jobs need " + RoleWrite
		if write {
			r.Role, and = RoleWrite, ""
		}
		return fmt.Sprintf("assign the role %s to %s, on the secret %s or on the whole vault%s; a new assignment takes up to 10 minutes",
			r.Role, r.who(), r.Secret, and)
	case "AccessDenied":
		permissions := "get (and set, so that jobs can renew the stored token)"
		if write {
			permissions = "set"
		}
		return fmt.Sprintf("this vault has access policies: give %s the secret permission %s", r.who(), permissions)
	case "ForbiddenByFirewall":
		return "the vault's firewall does not let this runner's address in: allow the runner's network (Networking, Firewalls and virtual networks). " +
			"GitHub-hosted runners have changing addresses, so a rule for one address does not last; a new rule takes up to 15 minutes"
	case "ForbiddenByConnection":
		return "the vault takes connections by its private endpoint only: run the job on a self-hosted runner in that network, or allow public access"
	case "SecretDisabled":
		return "enable the newest version of the secret " + r.Secret + ", or store the refresh token again"
	case "SecretNotFound":
		return fmt.Sprintf("check the name %s in refresh-token-vault; if the secret was deleted, recover it (az keyvault secret recover), or store the refresh token again", r.Secret)
	case "ObjectIsDeletedButRecoverable":
		return "the secret " + r.Secret + " was deleted: recover it first (az keyvault secret recover), or purge it"
	}
	switch resp.StatusCode {
	case http.StatusForbidden:
		return fmt.Sprintf("%s needs the role %s to read the secret and %s to renew it, and the vault's firewall must let this runner in", r.who(), RoleRead, RoleWrite)
	case http.StatusNotFound:
		return "check refresh-token-vault: " + Form
	}
	return ""
}

// who describes the service principal.
func (r *Refusal) who() string {
	if r.Principal == "" {
		return "the service principal of client-id"
	}
	return "the service principal of client-id (object id " + r.Principal + ")"
}

// principal is the object id in the token, or else in Key Vault's message.
func (c *Client) principal(message string) string {
	var claims struct {
		Object string `json:"oid"`
	}
	_ = assertion.Decode(c.Token, &claims) // it is opaque to clients: not an error
	if guid.FindString(claims.Object) == claims.Object && claims.Object != "" {
		return strings.ToLower(claims.Object)
	}
	if m := callerInMessage.FindStringSubmatch(message); m != nil {
		return strings.ToLower(m[1])
	}
	return ""
}

const guidExpression = `[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`

var (
	guid            = regexp.MustCompile(guidExpression)
	callerInMessage = regexp.MustCompile(`\boid=(` + guidExpression + `)\b`)
	// issuers matches AKV10032: "Invalid issuer. Expected one of https://sts.windows.net/T1/, found https://sts.windows.net/T2/."
	issuers   = regexp.MustCompile(`(?i)\bexpected one of (.+), found (\S+)`)
	notInCode = regexp.MustCompile(`[^A-Za-z0-9]+`)
)

// otherTenant is the advice about a token that the vault does not accept.
func otherTenant(message string) string {
	if m := issuers.FindStringSubmatch(message); m != nil {
		if expected, found := guid.FindString(m[1]), guid.FindString(m[2]); expected != "" && found != "" {
			return fmt.Sprintf("the vault belongs to the tenant %s and the application to %s: use a vault of the tenant in which the application signs in (tenant-id)", expected, found)
		}
	}
	return "the vault does not accept the application's token: it must belong to the tenant in which the application signs in (tenant-id)"
}

// codeOf reads {"error":{"code","innererror":{"code"}}}.
func codeOf(body []byte) string {
	type coded struct {
		Code any `json:"code"`
	}
	var answer struct {
		Error struct {
			coded
			Inner *coded `json:"innererror"`
		} `json:"error"`
	}
	_ = httpclient.Decode(body, &answer) // a proxy's page has none
	text := func(v any) string {
		s, _ := v.(string)
		if len(s) > 60 || notInCode.MatchString(s) {
			return ""
		}
		return s
	}
	inner := ""
	if answer.Error.Inner != nil {
		inner = text(answer.Error.Inner.Code)
	}
	return cmp.Or(inner, text(answer.Error.Code))
}
