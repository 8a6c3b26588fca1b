package secret

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MinLength is the length, in characters, from which on a value can be a
// credential. A mask of a shorter one would hide every such letter of the log.
const MinLength = 4

// TooShort reports whether a value is shorter than [MinLength]. White space
// around it does not count: CI systems trim what they mask.
func (v Value) TooShort() bool {
	return !v.IsZero() && utf8.RuneCountInString(strings.TrimSpace(v.Reveal())) < MinLength
}

// Resembles reports whether a text that is no credential by its place looks like
// one, so that it must not be repeated. It is a guess, and errs on the safe side:
// a long word of letters and digits, or one with letters of both cases and
// digits, that is no GUID.
func Resembles(text string) bool {
	words := strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune(`,;:/?#&@"'()<>{}`, r)
	})
	for _, word := range words {
		if resembles(word) {
			return true
		}
	}
	return false
}

// longWord is the length from which on a word of letters and digits is taken for
// a credential, and longText that from which on any word is.
const (
	longWord = 16
	longText = 40
)

func resembles(word string) bool {
	if strings.Trim(word, "0123456789abcdefABCDEF-") == "" && len(word) < longText && (len(word) < longWord || strings.Contains(word, "-")) {
		return false // a GUID, or part of one
	}
	has := func(kind func(rune) bool) bool { return strings.ContainsFunc(word, kind) }
	letters, digits := has(unicode.IsLetter), has(unicode.IsDigit)
	return letters && digits && (has(unicode.IsUpper) && has(unicode.IsLower) || len(word) >= longWord) ||
		len(word) >= longText
}
