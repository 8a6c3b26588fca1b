package settings

import (
	"math/rand/v2"
	"regexp"
	"testing"
)

// Each form is that of its regular expression: of texts that are much like those
// that have it, and of those that are made by a few changes.
func TestForms(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		form
		expression string
		like       []string
	}{
		"guid":         {guid, `^[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$`, []string{"4ab5764f-4193-4f1d-b995-64144880B7D7", "4ab5764f-4193-4f1d-b995-64144880b7d7-"}},
		"domain":       {domain, `^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])$`, []string{"contoso.onmicrosoft.com", "a.b.c0", "a.b", "x-y.co"}},
		"organization": {organization, `^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`, []string{"contoso", "c-0", "a"}},
		"client id":    {clientID, `^([0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}|(api|https)://[A-Za-z0-9][A-Za-z0-9._:/~-]*)$`, []string{"api://x.y/~z_1", "https://x.y/z", "4ab5764f-4193-4f1d-b995-64144880b7d7"}},
		"upn":          {upn, `^[^\s\pC\pZ@:/\\"<>]+@[A-Za-z0-9.-]+$`, []string{"agent@contoso.com", "ä.ö+x_agent#EXT#@contoso.com", "a@b"}},
		"variable":     {variable, `^[A-Za-z_][A-Za-z0-9_]*$`, []string{"AZURE_DEVOPS_EXT_PAT", "_", "a1"}},
		"repository":   {repository, `^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$`, []string{"contoso/widgets", "a/.b", "A-1/b_2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := regexp.MustCompile(tc.expression)
			random := rand.New(rand.NewPCG(5, 6))
			change := []string{"", "", "-", ".", "/", ":", "@", "_", "~", " ", "\n", "\t", "\v", "\x00", "\x7f", "\xff", "\u00a0", "\u0085", "\u200b", "\u2028", "\ue000", "é", "g", "G", "0", "9", `"`, `\`, "<", "[", "`", "{"}
			have := 0
			for i := range 20_000 {
				text := tc.like[i%len(tc.like)]
				for range i % 4 {
					at := random.IntN(len(text) + 1)
					text = text[:at] + change[random.IntN(len(change))] + text[min(len(text), at+random.IntN(3)):]
				}
				if got := tc.matches(text); got != want.MatchString(text) {
					t.Fatalf("%q: %t, want %t", text, got, !got)
				} else if got {
					have++
				}
			}
			if have < 2_000 || have > 18_000 {
				t.Errorf("%d of the texts have the form", have)
			}
		})
	}
}
