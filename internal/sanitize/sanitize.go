// Package sanitize prepares untrusted text for printing: one line of bounded length
// without control characters.
package sanitize

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Exact returns text for one line of a log, so that a reader can copy it exactly. It
// is unchanged if a log can show every character; otherwise it is a JSON string that
// escapes the others. Neither contains "##", so it cannot become a logging command
// within a line.
func Exact(text string) string {
	if !NeedsEscape(text) {
		return text
	}
	var b strings.Builder
	b.WriteByte('"')
	last := rune(0)
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case !showable(r) || r == '#' && last == '#':
			b.WriteString(Escape(r))
		default:
			b.WriteRune(r)
		}
		last = r
	}
	b.WriteByte('"')
	return b.String()
}

// NeedsEscape reports whether [Exact] writes text as a JSON string.
func NeedsEscape(text string) bool {
	return !utf8.ValidString(text) || strings.TrimSpace(text) != text || strings.HasPrefix(text, `"`) ||
		strings.Contains(text, "##") || strings.ContainsFunc(text, func(r rune) bool { return !showable(r) })
}

// showable reports whether a character is visible and a log does not change it.
func showable(r rune) bool {
	return unicode.IsPrint(r) && r != unicode.ReplacementChar && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// JSON returns equivalent JSON text that cannot become a logging command: it escapes
// characters that a log cannot show, and a "#" after another.
func JSON(text []byte) []byte {
	var b bytes.Buffer
	last := rune(0)
	for _, r := range string(text) {
		if r > '~' && !showable(r) || r == '#' && last == '#' {
			b.WriteString(Escape(r))
		} else {
			b.WriteRune(r)
		}
		last = r
	}
	return b.Bytes()
}

// Escape returns a character as a JSON escape sequence, such as \u200b.
func Escape(r rune) string {
	if r > 0xFFFF {
		r -= 0x10000
		return fmt.Sprintf(`\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// Line returns text as one line of at most limit runes. Control characters, line and
// paragraph separators, invisible format characters (which can reverse the direction
// of text) and invalid UTF-8 become spaces. Runs of white space become one space. A
// shortened text ends with "…".
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

// cut shortens a line to limit runes, the last of which is "…".
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

// Invisible reports whether a character is invisible, or looks like a space without
// being one.
func Invisible(r rune) bool {
	return !showable(r) || r == '\u2800'
}

// Quote returns text as a Go string literal in which every invisible character is
// escaped, as in "\u200b". With ascii, all characters outside ASCII are escaped: they
// may look like ASCII characters.
func Quote(text string, ascii bool) string {
	if ascii {
		return strconv.QuoteToASCII(text)
	}
	var b strings.Builder
	b.WriteByte('"')
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		one := text[:size]
		text = text[size:]
		quoted := strconv.Quote(one)
		if Invisible(r) {
			quoted = strconv.QuoteToASCII(one)
		}
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	b.WriteByte('"')
	return b.String()
}

// LowerASCII is strings.ToLower for ASCII only. Some letters of other scripts have an
// ASCII letter as their lower case, but a name with them is a different name.
func LowerASCII(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, text)
}
