package sanitize

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		limit    int
		want     string
	}{
		{"plain", "TF400813: not authorized", 80, "TF400813: not authorized"},
		{"line breaks", "a\r\n::error::b\n", 80, "a ::error::b"},
		{"unicode separators", "a\u2028b\u2029c\u0085d", 80, "a b c d"},
		{"escape sequences", "\x1b[31mred\x1b[0m", 80, "[31mred [0m"},
		{"direction override", "abc\u202edef", 80, "abc def"},
		{"invalid utf-8", "a\xffb", 80, "a b"},
		{"cut", "abcdefgh", 5, "abcd…"},
		{"cut at a space", "abc defgh", 5, "abc…"},
		{"just fits", "abcde", 5, "abcde"},
		{"runes, not bytes", "äöüß€", 5, "äöüß€"},
		{"nothing", " \n\t ", 5, ""},
		{"no room", "abc", 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Line(tc.in, tc.limit); got != tc.want {
				t.Errorf("Line(%q, %d) = %q, want %q", tc.in, tc.limit, got, tc.want)
			}
		})
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\nb", 3)
	f.Add("::error::\r", 100)
	f.Add("\xff\u202e\x00", 1)
	f.Fuzz(func(t *testing.T, in string, limit int) {
		if limit < 0 || limit > 1000 {
			t.Skip()
		}
		got := Line(in, limit)
		if n := utf8.RuneCountInString(got); n > limit {
			t.Errorf("%d runes, limit %d", n, limit)
		}
		if strings.ContainsFunc(got, unicode.IsControl) || !utf8.ValidString(got) {
			t.Errorf("control characters or invalid UTF-8 in %q", got)
		}
	})
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{ // ASCII alone, or not
		"contoso":             {`"contoso"`, `"contoso"`},
		"con\u200btoso":       {`"con\u200btoso"`, `"con\u200btoso"`},
		"\ufeffx\u2060":       {`"\ufeffx\u2060"`, `"\ufeffx\u2060"`},
		"a\u00a0b c":          {`"a\u00a0b c"`, `"a\u00a0b c"`},
		"a\u3164\u115fb":      {`"a\u3164\u115fb"`, `"a\u3164\u115fb"`},
		"a\ufe0f\u2800":       {`"a\ufe0f\u2800"`, `"a\ufe0f\u2800"`},
		"\u202egpj\U000e0041": {`"\u202egpj\U000e0041"`, `"\u202egpj\U000e0041"`},
		"müller":              {`"m\u00fcller"`, `"müller"`},
		"сontoso":             {`"\u0441ontoso"`, `"сontoso"`},
		"a\x1b\n\"\\":         {`"a\x1b\n\"\\"`, `"a\x1b\n\"\\"`},
		"a\xffb\ufffd":        {`"a\xffb\ufffd"`, `"a\xffb\ufffd"`},
	} {
		for i, ascii := range []bool{true, false} {
			if got := Quote(text, ascii); got != want[i] {
				t.Errorf("Quote(%q, %t) = %s, want %s", text, ascii, got, want[i])
			}
		}
	}
}
