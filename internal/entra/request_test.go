package entra

import (
	"fmt"
	"slices"
	"testing"
)

// OnRequest is called after each request, up to the one that was refused.
func TestOnRequest(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"agent user": {
			"get a token of the agent identity blueprint (request 1 of 3) by " + blueprint + " true",
			"get a token of the agent identity (request 2 of 3) by " + agent + " true",
			"get a token of the agent's user (request 3 of 3) by " + agent + " false",
		},
		"refresh token": {"redeem the refresh token by " + blueprint + " false"},
		"password":      {"sign in with the password by " + blueprint + " false"},
	} {
		x, _ := newExchange(t, identities[name].credentials, func(n int, _ asked) reply {
			if n == identities[name].requests {
				return aadsts(65001)
			}
			return token(n)
		})
		var got []string
		x.OnRequest = func(l Request) {
			got = append(got, fmt.Sprintf("%s by %s %t", l.Name, l.Client, l.Err == nil))
			if l.Took < 0 {
				t.Errorf("%s took %s", l.Name, l.Took)
			}
		}
		if _, err := x.Token(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
