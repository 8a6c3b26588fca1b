package cli

import (
	"strings"
	"testing"
)

// hostileWords is what GitHub makes links, mentions and markup of.
var hostileWords = []string{
	"www.evil.example/login", "http://evil.example", "https://evil.example", "ftp://evil.example", "mailto:a@evil.example",
	"xmpp:a@evil.example", "a@evil.example", "@octocat", "@contoso/team", "#1", "contoso/widgets#1", "GH-1",
	"5f4dcc3b5aa765d61d8327deb882cf99a1b2c3d4", ":x:", "&lt;b&gt;", "&#64;", "<b>", "<!--", "</code>", "[x](http://evil.example)",
	"![x](http://evil.example)", "[^1]", "[x]: http://evil.example", "**x**", "_x_", "~~x~~", "$x$", "\\", "\\`", "`", "``", "`` ` ``",
	"`www.evil.example`", "a`www.evil.example", "www.evil.example`a", "a``b`c```d", "|", "a|b", "\\|", "x` | www.evil.example | `y",
	"# x", "- x", "> x", "---", "a\n\nwww.evil.example", "a\n```\nwww.evil.example", " www.evil.example ", "…", "***",
}

// Whatever a text is, all of it is code and nothing else.
func TestSummaryCode(t *testing.T) {
	t.Parallel()
	for _, word := range hostileWords {
		for _, as := range []func(string) string{code, cell} {
			text := as(word)
			words, left := spans(text)
			if left != "" || len(words) != 1 || strings.Contains(text, "\n") {
				t.Errorf("%q is %q, of which %q is not code", word, text, left)
				continue
			}
			if want := strings.Join(strings.Fields(strings.ReplaceAll(word, "|", "¦")), " "); strings.ReplaceAll(words[0], "|", "¦") != want {
				t.Errorf("%q is shown as %q", word, words[0])
			}
		}
		if strings.Contains(cell(word), "|") {
			t.Errorf("%q ends its cell", word)
		}
	}
	if got := code(" \n"); got != "" {
		t.Errorf("got %q", got)
	}
}

// spans are the code spans of a line of Markdown, as CommonMark 6.1 says, and what
// is left without them.
func spans(line string) (code []string, left string) {
	for line != "" {
		before, rest, found := strings.Cut(line, "`")
		left += before
		if !found {
			return code, left
		}
		n := 1 + len(rest) - len(strings.TrimLeft(rest, "`"))
		rest = rest[n-1:]
		end := -1
		for i := 0; i < len(rest); {
			run := len(rest[i:]) - len(strings.TrimLeft(rest[i:], "`"))
			if run == n {
				end = i
				break
			}
			i += max(run, 1)
		}
		if end < 0 {
			left += strings.Repeat("`", n)
			line = rest
			continue
		}
		text := rest[:end]
		if strings.HasPrefix(text, " ") && strings.HasSuffix(text, " ") && strings.TrimSpace(text) != "" {
			text = text[1 : len(text)-1]
		}
		code = append(code, text)
		line = rest[end+n:]
	}
	return code, left
}
