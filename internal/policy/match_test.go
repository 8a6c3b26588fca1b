package policy

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "contoso/app", true},
		{"?", "", false},
		{"?", "a", true},
		{"?", "ab", false},
		{"??", "ab", true},
		{"contoso/app", "contoso/app", true},
		{"contoso/app", "Contoso/app", false},
		{"contoso/app", "contoso/app ", false},
		{"contoso/app", "contoso/app2", false},
		{"contoso/app", "xcontoso/app", false},
		{"contoso/*", "contoso/app", true},
		{"contoso/*", "contoso/", true},
		{"contoso/*", "contoso", false},
		{"contoso/*", "contoso-evil/app", false},
		{"contoso*", "contoso-evil/app", true},
		{"refs/heads/*", "refs/heads/a/b/c", true},
		{"refs/*/main", "refs/heads/x/main", true},
		{"refs/**/main", "refs/heads/main", true},
		{"*/publish.yml@*", "contoso/platform/.github/workflows/publish.yml@refs/heads/main", true},
		{"*a*b*c", "xxaxxbxxc", true},
		{"*a*b*c", "xxaxxcxxb", false},
		{"*ab", "aab", true},
		{"*aab*", "aaaab", true},
		{"a?c", "abc", true},
		{"a?c", "aßc", true},
		{"a?c", "a/c", true},
		{"a?c", "a🙂c", true},
		{"a??c", "aßc", false},
		{"a?", "ae\u0301", false}, // two code points
		{"[a-z]", "b", false},
		{"[a-z]", "[a-z]", true},
		{`a\*`, `a\b`, true},
		{`\*`, `*`, false},
		{".*", "a", false},
		{"a|b", "a", false},
		{"a*", "a\nb", true},
		// Look-alikes.
		{"contoso/app", "c\u043entoso/app", false},
		{"contoso/app", "contoso\uff0fapp", false},
		{"contoso/app", "contoso\u200b/app", false},
		{"caf\u00e9", "cafe\u0301", false},
		{"K", "\u212a", false},
	} {
		if got := matches(test.pattern, test.text); got != test.want {
			t.Errorf("%q matches %q: %t", test.pattern, test.text, got)
		}
	}
}

// A pattern with many stars is compared in far fewer steps than there are ways to
// distribute the text among them: with all of these, the test would not end.
func TestMatchesIsNotExponential(t *testing.T) {
	t.Parallel()
	if matches(strings.Repeat("a*", 200)+"b", strings.Repeat("a", 20000)) {
		t.Error("matches")
	}
}

func FuzzMatches(f *testing.F) {
	for _, seed := range [][2]string{{"a*b?c", "axxbyc"}, {"**", ""}, {"*?*", "ß"}, {"*a*a*a", "aaaa"}, {"?*x", "🙂x"}, {"\u212a", "k"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(text) || len(pattern) > 200 {
			return
		}
		expression := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
		if strings.Contains(pattern, `\`) { // the replacer would take \\* apart wrongly
			expression = ""
			for _, r := range pattern {
				switch r {
				case '*':
					expression += ".*"
				case '?':
					expression += "."
				default:
					expression += regexp.QuoteMeta(string(r))
				}
			}
		}
		want := regexp.MustCompile(`^(?s:` + expression + `)$`).MatchString(text)
		if got := matches(pattern, text); got != want {
			t.Errorf("%q matches %q: %t", pattern, text, got)
		}
	})
}
