package emulator

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

// maxSecret is the longest value, in bytes.
// https://learn.microsoft.com/azure/key-vault/secrets/about-secrets
const maxSecret = 25_000

var secretName = regexp.MustCompile(`^[0-9A-Za-z-]{1,127}$`)

// get answers GET /secrets/{name}[/{version}]. A deleted secret is not found.
func (v *vaultCall) get(name, version string) {
	entry := v.vault.Secret(name)
	if entry == nil || entry.Deleted || entry.version(version) == nil {
		v.refuse(http.StatusNotFound, "SecretNotFound", "",
			"A secret with (name/id) %s was not found in this key vault. If you recently deleted this secret you may be able to recover it using the correct recovery command. "+
				"For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182", name)
		return
	}
	found := entry.version(version)
	if found.Disabled {
		v.refuse(http.StatusForbidden, "Forbidden", "SecretDisabled", "Operation get is not allowed on a disabled secret.")
		return
	}
	v.answer(entry, found)
}

// answer is a SecretBundle.
func (v *vaultCall) answer(entry *VaultEntry, s *SecretVersion) {
	attributes := map[string]any{
		"enabled": !s.Disabled, "created": s.Created.Unix(), "updated": s.Updated.Unix(),
		"recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90,
	}
	if !s.Expires.IsZero() {
		attributes["exp"] = s.Expires.Unix()
	}
	if !s.NotBefore.IsZero() {
		attributes["nbf"] = s.NotBefore.Unix()
	}
	body := map[string]any{
		"value": v.keepLocked(s.Value), "id": v.urls[KeyVault] + "/secrets/" + entry.Name + "/" + s.ID, "attributes": attributes,
	}
	if s.ContentType != "" {
		body["contentType"] = s.ContentType
	}
	if len(s.Tags) > 0 {
		body["tags"] = s.Tags
	}
	writeJSON(v.w, http.StatusOK, body)
}

// setParameters is the body of PUT /secrets/{name}.
type setParameters struct {
	Value       *string           `json:"value"`
	ContentType string            `json:"contentType"`
	Tags        map[string]string `json:"tags"`
	Attributes  struct {
		Enabled *bool `json:"enabled"`
		Expires int64 `json:"exp"`
		From    int64 `json:"nbf"`
	} `json:"attributes"`
}

// set answers PUT /secrets/{name}: a new version, which takes nothing over from the
// one before.
func (v *vaultCall) set(name string, a arrival) {
	var p setParameters
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.DisallowUnknownFields() // what the service computes itself is not accepted here
	err := d.Decode(&p)
	if err == nil && d.More() {
		err = io.ErrUnexpectedEOF
	}
	switch {
	case contentType(a.Request) != "application/json":
		v.refuse(http.StatusUnsupportedMediaType, "BadParameter", "", "The emulator takes application/json alone.")
		return
	case err != nil || p.Value == nil:
		v.refuse(http.StatusBadRequest, "BadParameter", "", "The request body could not be parsed: %v.", err)
		return
	case !secretName.MatchString(name):
		v.refuse(http.StatusBadRequest, "BadParameter", "", "The request URI contains an invalid name: %s", name)
		return
	case len(*p.Value) > maxSecret:
		v.refuse(http.StatusBadRequest, "BadParameter", "", "The secret value is longer than %d bytes.", maxSecret)
		return
	}
	entry := v.vault.Secret(name)
	if entry != nil && entry.Deleted {
		v.refuse(http.StatusConflict, "Conflict", "ObjectIsDeletedButRecoverable",
			"Secret %s is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the secret can only be recovered or purged.", name)
		return
	}
	if entry == nil {
		entry = &VaultEntry{Name: name}
		v.vault.Secrets = append(v.vault.Secrets, entry)
	}
	now := v.Now(KeyVault).Truncate(time.Second)
	s := &SecretVersion{ID: newVersionID(), Value: *p.Value, ContentType: p.ContentType, Tags: maps.Clone(p.Tags), Created: now, Updated: now}
	s.Disabled = p.Attributes.Enabled != nil && !*p.Attributes.Enabled
	if p.Attributes.Expires > 0 {
		s.Expires = time.Unix(p.Attributes.Expires, 0).UTC()
	}
	if p.Attributes.From > 0 {
		s.NotBefore = time.Unix(p.Attributes.From, 0).UTC()
	}
	entry.Versions = append(entry.Versions, s)
	v.answer(entry, s)
}

// ThrottleVault answers 429 as Key Vault does. Without a retryAfter the answer does not
// say how long to wait.
func ThrottleVault(retryAfter time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if retryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
		}
		writeJSON(w, http.StatusTooManyRequests, map[string]any{"error": map[string]any{
			"code": "Throttled", "message": "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached",
		}})
	}
}
