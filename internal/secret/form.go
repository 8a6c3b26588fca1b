package secret

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"azdo-pat/internal/sanitize"
)

// MinLength is the length, in characters, from which on a value can be a
// credential. A mask of a shorter one would hide every such letter of the log.
const MinLength = 4

// TooShort reports whether a value is shorter than [MinLength]. White space
// around it does not count: CI systems trim what they mask.
func (v Value) TooShort() bool {
	return !v.IsZero() && utf8.RuneCountInString(strings.TrimSpace(v.Reveal())) < MinLength
}

// Fault says what is wrong with a token: a slip in copying or storing it, of which
// the service that gets it would only say that it is wrong. Empty: nothing.
func (v Value) Fault() string {
	text := v.Reveal()
	if fault := v.PasswordFault(); fault != "" || text == "" {
		return fault
	}
	for i, r := range text {
		switch {
		case unicode.IsSpace(r):
			return "holds white space"
		case strings.ContainsRune("\"'`", r) && i == 0:
			return "is in quotes"
		case strings.ContainsRune("\"'`", r):
			return "holds a quote"
		case r > '~':
			return "holds a character that no token has"
		}
	}
	return ""
}

// PasswordFault is [Value.Fault] for a password, which may hold spaces, quotes and
// letters of any script.
func (v Value) PasswordFault() string {
	const bearer = "bearer "
	text := v.Reveal()
	switch {
	case v.IsZero():
		return ""
	case strings.HasPrefix(text, "\ufeff"):
		return "starts with a byte order mark"
	case !utf8.ValidString(text):
		return "is no UTF-8 text (UTF-16, perhaps)"
	case strings.ContainsFunc(text, unicode.IsControl):
		return "holds a line break or another control character"
	case v.TooShort():
		return fmt.Sprintf("is too short for a credential (fewer than %d characters)", MinLength)
	case len(text) > 1 && strings.ContainsAny(text[:1], "\"'`") && text[len(text)-1] == text[0]:
		return "is in quotes"
	case len(text) > len(bearer) && strings.EqualFold(text[:len(bearer)], bearer):
		return `starts with "Bearer "`
	}
	if i := strings.IndexFunc(text, sanitize.Invisible); i >= 0 {
		r, _ := utf8.DecodeRuneInString(text[i:])
		return fmt.Sprintf("holds the invisible character %s", strings.Trim(strconv.QuoteToASCII(string(r)), `"`))
	}
	return ""
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
	if mixed(word) && strings.ContainsFunc(word, unicode.IsUpper) && strings.ContainsFunc(word, unicode.IsLower) || len(word) >= longText {
		return true
	}
	for _, run := range strings.FieldsFunc(word, func(r rune) bool { return r == '-' || r == '_' || r == '.' }) {
		if mixed(run) && len(run) >= longWord {
			return true
		}
	}
	return false
}

// mixed reports whether a text has letters and digits.
func mixed(text string) bool {
	return strings.ContainsFunc(text, unicode.IsLetter) && strings.ContainsFunc(text, unicode.IsDigit)
}
