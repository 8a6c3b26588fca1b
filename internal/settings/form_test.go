package settings

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
)

// Each form is what is written out below without regular expressions: for texts
// that are much like those that have it, and for those that a few changes make.
func TestForms(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		form
		looks func(string) bool
		like  []string
	}{
		"guid":         {guid, isGUID, []string{"4ab5764f-4193-4f1d-b995-64144880B7D7", "4ab5764f-4193-4f1d-b995-64144880b7d7-"}},
		"domain":       {domain, isDomain, []string{"contoso.onmicrosoft.com", "a.b.c0", "a.b", "x-y.co"}},
		"organization": {organization, isLabel, []string{"contoso", "c-0", "a"}},
		"client id": {clientID, func(text string) bool {
			scheme, rest, isURI := strings.Cut(text, "://")
			return isGUID(text) || isURI && (scheme == "api" || scheme == "https") && rest != "" && hasOnly(rest[:1], "") && hasOnly(rest, "._:/~-")
		}, []string{"api://x.y/~z_1", "https://x.y/z", "4ab5764f-4193-4f1d-b995-64144880b7d7"}},
		"upn": {upn, func(text string) bool {
			user, host, at := strings.Cut(text, "@")
			return at && user != "" && host != "" && hasOnly(host, ".-") && !strings.ContainsFunc(user, func(r rune) bool {
				return strings.ContainsRune(`:/\"<>`, r) || unicode.In(r, unicode.C, unicode.Z)
			})
		}, []string{"agent@contoso.com", "ä.ö+x_agent#EXT#@contoso.com", "a@b"}},
		"variable": {variable, func(text string) bool {
			return text != "" && !digit(text[0]) && hasOnly(text, "_")
		}, []string{"AZURE_DEVOPS_EXT_PAT", "_", "a1"}},
		"repository": {repository, func(text string) bool {
			owner, name, slash := strings.Cut(text, "/")
			return slash && owner != "" && name != "" && hasOnly(owner, "_.-") && hasOnly(name, "_.-")
		}, []string{"contoso/widgets", "a/.b", "A-1/b_2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(5, 6))
			change := []string{"", "", "-", ".", "/", ":", "@", "_", "~", " ", "\n", "\t", "\v", "\x00", "\x7f", "\xff", "\u00a0", "\u0085", "\u200b", "\u2028", "\ue000", "é", "g", "G", "0", "9", `"`, `\`, "<", "[", "`", "{"}
			have := 0
			for i := range 20_000 {
				text := tc.like[i%len(tc.like)]
				for range i % 4 {
					at := random.IntN(len(text) + 1)
					text = text[:at] + change[random.IntN(len(change))] + text[min(len(text), at+random.IntN(3)):]
				}
				if got := tc.matches(text); got != tc.looks(text) {
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

func isGUID(text string) bool {
	groups := strings.Split(text, "-")
	if len(groups) != 5 {
		return false
	}
	for i, length := range []int{8, 4, 4, 4, 12} {
		if len(groups[i]) != length || strings.Trim(groups[i], "0123456789abcdefABCDEF") != "" {
			return false
		}
	}
	return true
}

// isDomain wants two labels at least; the last one has two characters or more and
// does not begin with a digit.
func isDomain(text string) bool {
	labels := strings.Split(text, ".")
	for _, label := range labels {
		if !isLabel(label) {
			return false
		}
	}
	last := labels[len(labels)-1]
	return len(labels) > 1 && len(last) > 1 && !digit(last[0])
}

// isLabel allows letters, digits, and hyphens within.
func isLabel(text string) bool {
	return text != "" && hasOnly(text, "-") && text[0] != '-' && text[len(text)-1] != '-'
}

// hasOnly reports whether a text has only ASCII letters, digits and the others.
func hasOnly(text, others string) bool {
	for i := range len(text) {
		c := text[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !digit(c) && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return true
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
