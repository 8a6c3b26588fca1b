// Package outside makes text that a server or a caller wrote harmless before
// it is shown: one line, no control characters, bounded in length.
package outside

import (
	"strings"
	"unicode"
)

// Line returns text as one line of at most limit runes. Control characters,
// line and paragraph separators, invisible format characters (which can turn
// the direction of what follows) and invalid UTF-8 become spaces, runs of
// white space become one. What is cut off is marked with "…".
func Line(text string, limit int) string {
	var b strings.Builder
	count, space := 0, false
	for _, r := range text {
		if r == unicode.ReplacementChar || unicode.IsSpace(r) || unicode.IsControl(r) ||
			unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			space = true
			continue
		}
		width := 1
		if space && count > 0 {
			width = 2
		}
		if count+width > limit {
			return cut(b.String(), limit)
		}
		if width == 2 {
			b.WriteByte(' ')
		}
		space = false
		b.WriteRune(r)
		count += width
	}
	return b.String()
}

// cut makes room for the mark that says something is missing.
func cut(line string, limit int) string {
	if limit <= 0 {
		return ""
	}
	runes := []rune(line)
	if len(runes) >= limit {
		runes = runes[:limit-1]
	}
	return strings.TrimRight(string(runes), " ") + "…"
}
