package redact

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"azdo-pat/internal/sanitize"
)

// minEncoded is the length of the shortest encoded form that is replaced. Shorter ones
// reveal little and are common in ordinary text.
const minEncoded = 6

// forms returns a credential and the encodings in which it is likely to be repeated.
func forms(text string) []string {
	all := []string{text}
	for _, form := range encodings(text) {
		if len(form) >= minEncoded && !slices.Contains(all, form) {
			all = append(all, form)
		}
	}
	return all
}

// encodings returns a text in hexadecimal, in base64 and, where that changes it, escaped
// for URLs, JSON and markup.
func encodings(text string) []string {
	hexadecimal := hex.EncodeToString([]byte(text))
	all := []string{hexadecimal, strings.ToUpper(hexadecimal)}
	if !isUnreserved(text) {
		all = append(all, escaped(text)...)
	}
	// The base64 of a text inside another one depends on its offset modulo 3. Characters
	// that also encode a neighbouring byte are left out.
	for before := range 3 {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			padded := encoding.EncodeToString([]byte(strings.Repeat("\x00", before) + text))
			from := (before*8 + 5) / 6
			to := len(padded)
			if (before+len(text))%3 != 0 {
				to--
			}
			if from < to {
				all = append(all, padded[from:to])
			}
		}
	}
	return all
}

// entities are the characters that have a name in every kind of markup.
var entities = map[rune]string{'&': "amp", '<': "lt", '>': "gt", '"': "quot", '\'': "apos"}

// maxPassword is longer than any password, in bytes.
const maxPassword = 256

// spelling returns an expression for a password in which each character is either
// written as it is or escaped: for a URL (once or more often), JSON, markup or a shell.
// It returns nil if no encoding changes the text, or it is too long for a password.
func spelling(text string) *regexp.Regexp {
	if len(text) > maxPassword || isUnreserved(text) {
		return nil
	}
	var b strings.Builder
	for _, r := range text {
		if isUnreserved(string(r)) {
			b.WriteString(regexp.QuoteMeta(string(r)))
			continue
		}
		var percent strings.Builder
		for _, octet := range []byte(string(r)) {
			fmt.Fprintf(&percent, "%%(?:25)*(?i:%02x)", octet)
		}
		fmt.Fprintf(&b, `(?:\\*%s|%s|\\+u(?i:%04x)|&(?:amp;)*#0*%d;|&(?:amp;)*#(?i:x0*%x);`, regexp.QuoteMeta(string(r)), percent.String(), r, r, r)
		if name := entities[r]; name != "" {
			fmt.Fprintf(&b, "|&(?:amp;)*%s;", name)
		}
		if r == ' ' {
			b.WriteString(`|\+|%(?:25)*(?i:2b)`)
		}
		b.WriteString(")")
	}
	r, err := regexp.Compile(b.String())
	if err != nil {
		return nil
	}
	return r
}

// escaped returns a text escaped for URLs, JSON and markup.
func escaped(text string) []string {
	quoted, _ := json.Marshal(text)
	inJSON := strings.TrimSuffix(strings.TrimPrefix(string(quoted), `"`), `"`)
	inHTML := html.EscapeString(text)
	return []string{
		url.QueryEscape(text), url.PathEscape(text), inHTML, inJSON,
		// As an error repeats it from an answer.
		sanitize.Line(text, len(text)),
		// As other libraries than Go's escape the same characters.
		lowerEscapes(url.QueryEscape(text)), lowerEscapes(url.PathEscape(text)),
		strings.NewReplacer("&#34;", "&quot;", "&#39;", "&apos;").Replace(inHTML),
		strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(inJSON),
	}
}

var percentEscape = regexp.MustCompile("%[0-9A-F]{2}")

// lowerEscapes writes %2F as %2f, as .NET does.
func lowerEscapes(text string) string {
	return percentEscape.ReplaceAllStringFunc(text, strings.ToLower)
}

// isUnreserved reports whether a text has only characters that no encoding for URLs,
// JSON or markup changes.
func isUnreserved(text string) bool {
	for i := range len(text) {
		if !isAlphanumeric(text[i]) && !strings.ContainsRune("._~-", rune(text[i])) {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
