// Package quote writes untrusted text into commands that a person copies: as one word
// of a POSIX shell or of PowerShell, or as JSON.
//
// What it writes can neither end its quotes nor become a logging command of a CI
// system, and a log shows all of its characters.
package quote

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"azdo-pat/internal/sanitize"
)

// plainWord matches a word that needs no quotes in a shell. A leading hyphen would
// make an option of it, and zsh replaces a word with a leading "=".
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+:,./][A-Za-z0-9_@%+=:,./-]*$`)

// plain is a character that stands for itself everywhere.
func plain(c rune) bool {
	return strings.ContainsRune("_@+:,./", c) || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// Shell returns text as one word of a POSIX shell. A word that a log cannot show is
// printed by the command, from the octal numbers of its bytes; there, line feeds at
// the end are lost, as in every command substitution.
func Shell(text string) string {
	switch {
	case plainWord.MatchString(text):
		return text
	case !sanitize.NeedsEscape(text):
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	var b strings.Builder
	for _, c := range []byte(text) {
		if plain(rune(c)) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\%03o`, c)
		}
	}
	return `"$(printf '` + b.String() + `')"`
}

// DoubleQuoted returns text as a part of a word in a shell's double quotes.
func DoubleQuoted(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(text)
}

// PowerShell returns text as one word of PowerShell. There five characters are single
// quotes, each of which stands for itself if there are two. In a word that a log cannot
// show, every character except the plainest is escaped.
func PowerShell(text string) string {
	if sanitize.NeedsEscape(text) {
		return `"` + powerShellEscapes(text) + `"`
	}
	for _, quote := range []string{"'", "‘", "’", "‚", "‛"} {
		text = strings.ReplaceAll(text, quote, quote+quote)
	}
	return "'" + text + "'"
}

// PowerShellDoubleQuoted returns text as a part of a word in PowerShell's double quotes.
func PowerShellDoubleQuoted(text string) string {
	var b strings.Builder
	last := rune(0)
	for _, r := range text {
		switch {
		case r == '`' || r == '$' || r == '"':
			b.WriteByte('`')
			b.WriteRune(r)
		case r < ' ' || r > '~' || r == '#' && last == '#':
			b.WriteString(powerShellEscapes(string(r)))
		default:
			b.WriteRune(r)
		}
		last = r
	}
	return b.String()
}

func powerShellEscapes(text string) string {
	var b strings.Builder
	for _, r := range text {
		if plain(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "`u{%x}", r)
		}
	}
	return b.String()
}

// JSON returns v, a struct or map of strings, as JSON of plain ASCII. It has none of
// the characters that are special between the quotes of a shell, except double quotes
// and backslashes, and none that a log hides.
func JSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // every v is of the program's own types
	}
	var b strings.Builder
	for _, r := range string(text) {
		if r < ' ' || r > '~' || strings.ContainsRune("'#`", r) {
			b.WriteString(sanitize.Escape(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
