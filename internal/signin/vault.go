package signin

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/keyvault"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/timefmt"
)

const keyVault = "Azure Key Vault"

// RenewAfter is the age at which the refresh token in Key Vault is replaced. It lives
// for [keyvault.RefreshTokenLife], so there are many jobs to do it, and each version of
// the secret stays in the vault.
const RenewAfter = 7 * 24 * time.Hour

const (
	// renewTimeout limits how long a job waits for the vault: if the refresh token is
	// not renewed, the next job does it.
	renewTimeout = 30 * time.Second
	// renewGrace is how long a renewal may go on after the job was told to stop or its
	// time is up.
	renewGrace = 3 * time.Second
)

// StoredToken is the refresh token in Key Vault, as a sign-in read it.
type StoredToken struct {
	// Secret is the stored version. Its Value is zero until it was read.
	Secret keyvault.Secret

	vault *keyvault.Client
	log   Log
	// replacement is the refresh token that Entra gave for this one (zero: none), and
	// issued is when.
	replacement secret.Value
	issued      time.Time
	limit       time.Duration // of Renew
}

// storedToken returns the refresh token in Key Vault that the settings name, not yet
// read, or nil.
func (c *Client) storedToken(client *http.Client) *StoredToken {
	if c.Settings.Identity != settings.VaultToken {
		return nil
	}
	return &StoredToken{log: c.Log, limit: min(renewTimeout, c.Settings.Timeout), vault: &keyvault.Client{
		HTTP: client, URL: c.Settings.RefreshTokenVault, Mask: c.Mask, UserAgent: c.UserAgent,
	}}
}

// read reads the refresh token with an access token of the application.
func (t *StoredToken) read(ctx context.Context, access secret.Value) (secret.Value, error) {
	t.vault.Token = access
	stored, err := t.vault.Get(ctx)
	if err == nil {
		t.Secret = stored
	}
	return stored.Value, err
}

// Redeemed records the replacement that Entra gave for the stored token, and when by a
// server's clock. A nil StoredToken ignores it.
func (t *StoredToken) Redeemed(replacement secret.Value, at time.Time) {
	if t != nil {
		t.replacement, t.issued = replacement, at
	}
}

// Replaceable reports whether Entra gave a replacement.
func (t *StoredToken) Replaceable() bool { return t != nil && !t.replacement.IsZero() }

// Due reports whether the stored token should be replaced and can be.
func (t *StoredToken) Due() bool {
	return t.Replaceable() && (t.Secret.Age == 0 || t.Secret.Age > RenewAfter)
}

// Renew stores the replacement, if it is [StoredToken.Due]. Temporary failures are
// retried for at most renewTimeout, or until renewGrace after the end of ctx. Jobs that
// renew at the same time store a token each: all of them are valid, and the last one
// stays.
func (t *StoredToken) Renew(ctx context.Context) error {
	if !t.Due() {
		return nil
	}
	ctx, stopGrace := httpclient.WithGracePeriod(ctx, renewGrace)
	defer stopGrace()
	ctx, cancel := context.WithTimeoutCause(ctx, t.limit, fmt.Errorf("not done within %s", timefmt.Duration(t.limit)))
	defer cancel()
	return httpclient.Retry(ctx, t.log, "renewing the refresh token", func(ctx context.Context) error {
		return t.vault.Set(ctx, t.replacement, t.issued, t.Secret)
	})
}

// ReplacementEnds is when the replacement expires.
func (t *StoredToken) ReplacementEnds() time.Time {
	return t.issued.Add(keyvault.RefreshTokenLife).UTC()
}

// Expiry says when the stored token expires, as in "expires on 2027-02-01 at the
// latest".
func (t *StoredToken) Expiry() string {
	if day := t.Secret.Dies(); !day.IsZero() {
		return "expires on " + day.Format(time.DateOnly) + " at the latest"
	}
	return "expires 90 days after it was issued"
}
