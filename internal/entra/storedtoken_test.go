package entra

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

const storeScope = "https://vault.azure.net/.default"

// stored returns the identity of a refresh token in a store.
func stored(read func(access secret.Value) (secret.Value, error)) *StoredRefreshToken {
	return &StoredRefreshToken{
		Client: blueprint, Store: "Azure Key Vault", Scope: storeScope,
		Read: func(_ context.Context, access secret.Value) (secret.Value, error) { return read(access) },
	}
}

// steps are the requests to Entra by their grant and assertion.
func steps(server *entra) (all []string) {
	for _, a := range server.asked {
		all = append(all, strings.Join([]string{a.form.Get("grant_type"), a.form.Get("scope"), a.form.Get("client_assertion"), a.form.Get("refresh_token")}, " "))
	}
	return all
}

// One assertion gets the application's token for the store, and the user's.
func TestStoredRefreshToken(t *testing.T) {
	t.Parallel()
	x, server := newExchange(t, stored(func(access secret.Value) (secret.Value, error) {
		if access.Reveal() != opaque("access", 1) {
			t.Errorf("read with %.20s", access.Reveal())
		}
		return secret.New(refresh), nil
	}), func(n int, _ asked) reply { return token(n) })
	got, err := x.Token(t.Context())
	if err != nil || got.Access.Reveal() != opaque("access", 2) || !got.Refresh.IsZero() {
		t.Errorf("%.20s, %v", got.Access.Reveal(), err)
	}
	want := []string{"client_credentials " + storeScope + " " + jwt(1) + " ", "refresh_token " + devOps + " " + jwt(1) + " " + refresh}
	if got := steps(server); !slices.Equal(got, want) {
		t.Errorf("sent %q", got)
	}
}

// What one attempt has got, the next one does not ask for again; it uses a new
// assertion.
func TestStoredRefreshTokenIsReadOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		x, server := newExchange(t, stored(func(secret.Value) (secret.Value, error) {
			if reads++; reads == 1 {
				return secret.Value{}, &httpclient.Error{Status: 429}
			}
			return secret.New(refresh), nil
		}), func(n int, _ asked) reply {
			if n == 2 {
				return aadsts(90033)
			}
			return token(n)
		})
		if _, err := x.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		if reads != 2 {
			t.Errorf("read %d times", reads)
		}
		want := []string{
			"client_credentials " + storeScope + " " + jwt(1) + " ",
			"refresh_token " + devOps + " " + jwt(2) + " " + refresh, "refresh_token " + devOps + " " + jwt(3) + " " + refresh,
		}
		if got := steps(server); !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}

func TestStoreThatCannotBeRead(t *testing.T) {
	t.Parallel()
	refused := errors.New("no role")
	x, server := newExchange(t, stored(func(secret.Value) (secret.Value, error) { return secret.Value{}, refused }),
		func(n int, _ asked) reply { return token(n) })
	if _, err := x.Token(t.Context()); !errors.Is(err, refused) || len(server.asked) != 1 {
		t.Errorf("%v after %d requests", err, len(server.asked))
	}
}

// A tenant that does not know Azure Key Vault is told apart from one that does not
// know Azure DevOps.
func TestUnknownStore(t *testing.T) {
	t.Parallel()
	for at, want := range map[int]string{1: "an Azure subscription of the tenant", 2: "connect the organization"} {
		x, _ := newExchange(t, stored(func(secret.Value) (secret.Value, error) { return secret.New(refresh), nil }), func(n int, _ asked) reply {
			if n == at {
				return aadsts(500011)
			}
			return token(n)
		})
		_, err := x.Token(t.Context())
		if h := hint.Of(err); !strings.Contains(h, want) {
			t.Errorf("request %d: %v, hint %q", at, err, h)
		}
	}
}
