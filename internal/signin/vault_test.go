package signin

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
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

// neverAnswers is a service that accepts a request and does not answer.
type neverAnswers struct{}

func (neverAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

// A vault that does not answer holds up a job that was told to stop for 3 seconds.
func TestRenewEndsSoonAfterTheJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stored := &StoredToken{Secret: keyvault.Secret{Age: 2 * RenewAfter}, limit: renewTimeout, vault: &keyvault.Client{
			HTTP: &http.Client{Transport: neverAnswers{}}, URL: "https://contoso.vault.azure.net/secrets/token",
			Mask: func(secret.Value) error { return nil },
		}}
		stored.Redeemed(secret.New("1.A-fresh"), time.Now())
		told := errors.New("told to stop")
		ctx, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { stop(told) })
		begin := time.Now()
		if err := stored.Renew(ctx); !errors.Is(err, told) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(begin); took != time.Second+3*time.Second {
			t.Errorf("it took %s", took)
		}
	})
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
