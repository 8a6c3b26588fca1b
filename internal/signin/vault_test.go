package signin

import (
	"testing"
	"time"

	"azdo-pat/internal/keyvault"
	"azdo-pat/internal/secret"
)

// A stored refresh token is replaced after 7 days, or if its age is not known, and only
// if there is a replacement.
func TestDue(t *testing.T) {
	t.Parallel()
	fresh := secret.New("1.A-fresh")
	for _, tc := range []struct {
		name        string
		age         time.Duration
		replacement secret.Value
		due         bool
	}{
		{"young", time.Hour, fresh, false},
		{"7 days", RenewAfter, fresh, false},
		{"more", RenewAfter + time.Second, fresh, true},
		{"not known", 0, fresh, true},
		{"no replacement", 30 * RenewAfter, secret.Value{}, false},
	} {
		stored := &StoredToken{Secret: keyvault.Secret{Age: tc.age}}
		stored.Redeemed(tc.replacement, time.Now())
		if stored.Due() != tc.due {
			t.Errorf("%s: %t", tc.name, !tc.due)
		}
	}
	var none *StoredToken
	if none.Redeemed(fresh, time.Now()); none.Due() || none.Renew(t.Context()) != nil {
		t.Error("a token that is not in a vault is due")
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	stored := &StoredToken{Secret: keyvault.Secret{Created: time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)}}
	if got := stored.Expiry(); got != "expires on 2027-02-01 at the latest" {
		t.Error(got)
	}
	if got := new(StoredToken).Expiry(); got != "expires 90 days after it was issued" {
		t.Error(got)
	}
}
