package settings

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// longestShown is the length, in characters, up to which a wrong value is
// repeated. A longer one would have to be cut, and a mask does not find a
// credential of which a part is missing.
const longestShown = 120

// beyondASCII are the kinds of settings whose right values can have other
// characters than those of ASCII.
var beyondASCII = []string{"user", "username", "path", "policy-file", "audience"}

// ids are the kinds of settings that a credential is easily mistaken for, since they
// look alike.
var ids = []string{"application", "agent", "authorization-id"}

// show repeats what the caller wrote, with what is invisible in it escaped. It
// keeps back what may be a credential in the wrong place.
func show(name, found string) string {
	kind := ""
	if d := Describe(name); d != nil {
		kind = d.kind
	}
	isFile := kind == "path" || kind == "policy-file"
	n := utf8.RuneCountInString(found)
	seen := strings.Map(func(r rune) rune { // what a reader sees of it
		if sanitize.Invisible(r) {
			return -1
		}
		return r
	}, found)
	switch {
	case n > longestShown && !isFile, isFile && isJWT(found),
		slices.Contains(ids, kind) && strings.Trim(seen, `0123456789abcdefABCDEF-{}"' `) != "",
		!isFile && secret.Resembles(seen):
		with := ""
		if i := strings.IndexFunc(found, sanitize.Invisible); i >= 0 {
			r, size := utf8.DecodeRuneInString(found[i:])
			with = fmt.Sprintf(" with %s (%s) in it", strings.Trim(strconv.QuoteToASCII(found[i:i+size]), `"`), kindOf(r))
		}
		unit := "characters"
		if n == 1 {
			unit = "character"
		}
		return fmt.Sprintf("a value of %d %s%s, not shown since it may be a credential", n, unit, with)
	}
	return sanitize.Quote(withoutUser(name, found), !slices.Contains(beyondASCII, kind))
}

// isJWT reports whether a text is a JWT, which is given by mistake instead of the
// path of its file.
func isJWT(text string) bool {
	return strings.HasPrefix(text, "eyJ") && strings.Count(text, ".") == 2
}

// kindOf names the kind of an invisible character.
func kindOf(r rune) string {
	switch {
	case r == utf8.RuneError:
		return "no UTF-8"
	case unicode.IsSpace(r):
		return "white space"
	case unicode.IsControl(r):
		return "a control character"
	}
	return "invisible"
}

// withoutUser takes away what stands before an "@" and may be the user or the
// password of a URL, however the URL was misspelt, and a query. Only a user
// principal name has an "@" of its own.
func withoutUser(name, found string) string {
	if i := strings.LastIndex(found, "@"); i >= 0 && (name != "agent-user" || strings.ContainsAny(found, `:/\`)) {
		found = "***" + found[i:]
	}
	if i := strings.IndexAny(found, "?#"); i >= 0 && i+1 < len(found) && strings.Contains(found, "/") {
		found = found[:i+1] + "***"
	}
	return found
}
