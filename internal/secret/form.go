package secret

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"azdo-pat/internal/sanitize"
)

// MinLength is the shortest length of a credential, in characters. Masking a shorter
// value would replace common parts of words in the log.
const MinLength = 4

// TooShort reports whether a value is shorter than [MinLength]. Surrounding white space
// does not count, because CI systems trim what they mask.
func (v Value) TooShort() bool {
	return !v.IsZero() && utf8.RuneCountInString(strings.TrimSpace(v.Reveal())) < MinLength
}

// FitsHeader reports whether the credential can be sent in a header: it is not empty, and
// has only printable characters of ASCII without spaces.
func (v Value) FitsHeader() bool {
	return !v.IsZero() && !strings.ContainsFunc(v.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' })
}

// Fault describes a mistake in copying or storing a token, as in "holds white space",
// or returns "". The service would only answer that the token is invalid.
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
		return "is not UTF-8 text (perhaps UTF-16)"
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

// Bare returns the part of a wrong value that may be a credential, or zero. A mask of it
// hides the whole value too. Of several lines it is the longest.
func (v Value) Bare() Value {
	longest := ""
	for _, line := range strings.FieldsFunc(strings.ToValidUTF8(v.Reveal(), "\n"), unicode.IsControl) {
		line = strings.TrimFunc(line, func(r rune) bool { return sanitize.Invisible(r) || strings.ContainsRune(" \"'`", r) })
		if len(line) > len("bearer ") && strings.EqualFold(line[:len("bearer ")], "bearer ") {
			line = strings.TrimSpace(line[len("bearer "):])
		}
		if len(line) > len(longest) {
			longest = line
		}
	}
	if part := New(longest); !part.TooShort() {
		return part
	}
	return Value{}
}

// Resembles reports whether a text that is not meant to be a credential looks like one
// and so must not be repeated. It is a guess on the safe side: a word that is not a
// GUID and is long, or has digits and letters of both cases.
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

// A word of letters and digits of longWord characters or more looks like a credential,
// and so does any word of longText characters or more.
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
