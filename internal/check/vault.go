package check

import (
	"context"
	"fmt"
	"time"

	"azdo-pat/internal/entra"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/keyvault"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/signin"
)

// observeVault reports on the request that reads the refresh token.
func (k *preflight) observeVault(x *entra.Exchange) {
	c, ok := x.Credentials.(*entra.StoredRefreshToken)
	if !ok {
		return
	}
	read := c.Read
	c.Read = func(ctx context.Context, access secret.Value) (secret.Value, error) {
		row, start := k.nextExchange(), time.Now()
		v, err := read(ctx, access)
		row.Took = time.Since(start)
		if err != nil {
			row.Fail("", "%v", err)
			return v, err
		}
		row.Pass("%s read", keyvault.Name(k.Settings.RefreshTokenVault))
		return v, nil
	}
}

// renewStored replaces the refresh token in Key Vault if it is due, as mint does after
// it has handed over the PAT. A failure is no cross, since the stored token is still
// valid.
func (k *preflight) renewStored(ctx context.Context) {
	row, stored := k.row.stored, k.stored
	switch {
	case row == nil:
		return
	case k.row.list.Mark != Tick:
		row.Skip("not tried: Azure DevOps did not take the user's token")
		return
	case !stored.Due():
		row.Pass("%s; %s", age(stored), whenDue(stored))
		return
	}
	start := time.Now()
	err := stored.Renew(ctx)
	row.Took = time.Since(start)
	if err == nil {
		row.Pass("%s; renewed just now: the new one is valid until %s", age(stored), stored.ReplacementEnds().Format(time.DateOnly))
		return
	}
	text := fmt.Sprintf("%s; not renewed: %v", age(stored), err)
	if h := hint.Of(err); h != "" {
		text += "; " + h
	}
	row.Skip("%s", text)
	k.Platform.Log().Warning("refresh token not renewed", text)
}

// age says how old the stored token is, and when it ends.
func age(stored *signin.StoredToken) string {
	s := stored.Secret
	if s.Age == 0 {
		return "the vault does not say when it was stored; it " + stored.Expiry()
	}
	days := int(s.Age / (24 * time.Hour))
	plural := "s"
	if days == 1 {
		plural = ""
	}
	return fmt.Sprintf("stored on %s, %d day%s old; %s", s.Created.Format(time.DateOnly), days, plural, stored.Expiry())
}

// whenDue says why the stored token is not replaced now.
func whenDue(stored *signin.StoredToken) string {
	if !stored.Replaceable() {
		return "Entra gave no new one"
	}
	return fmt.Sprintf("jobs renew it after %d days; whether the application may write to the vault is known only then", int(signin.RenewAfter/(24*time.Hour)))
}
