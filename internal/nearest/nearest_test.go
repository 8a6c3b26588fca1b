package nearest

import (
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	t.Parallel()
	names := []string{"organization", "scopes", "tenant-id", "client-id", "token-service-url", "env", "timeout", "username"}
	for misspelt, want := range map[string]string{
		"scope": "scopes", "org": "organization", "organisation": "organization", "tenant": "tenant-id", "clientid": "client-id",
		"CLIENT_ID": "client-id", "time-out": "timeout", "user": "username", "scopes-list": "scopes", "envs": "env", "token-service": "token-service-url",
	} {
		if got, near := Name(misspelt, names); got != want || !near {
			t.Errorf("%s: %s, near %t; want %s", misspelt, got, near, want)
		}
	}
	for _, misspelt := range []string{"frobnicate", "", "p", strings.Repeat("scopes", 20)} {
		if got, near := Name(misspelt, names); near {
			t.Errorf("%s is near %s", misspelt, got)
		}
	}
	if got, near := Name("x", nil); got != "" || near {
		t.Errorf("of no names: %q", got)
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"scope", "scopes", 1}, {"coed", "code", 2}, {"kitten", "sitting", 3}} {
		if got := Distance(tc.a, tc.b); got != tc.want {
			t.Errorf("%q to %q: %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
