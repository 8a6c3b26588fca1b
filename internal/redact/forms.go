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

// minEncoded is the length of the shortest encoded form that is replaced. A shorter
// one tells little, and is likely to stand in other text by chance.
const minEncoded = 6

// forms are a credential and the encodings in which it is likely to be repeated.
func forms(text string) []string {
	all := []string{text}
	for _, form := range encodings(text) {
		if len(form) >= minEncoded && !slices.Contains(all, form) {
			all = append(all, form)
		}
	}
	return all
}

// encodings are the forms in which a text is likely to be repeated.
func encodings(text string) []string {
	hexadecimal := hex.EncodeToString([]byte(text))
	all := []string{hexadecimal, strings.ToUpper(hexadecimal)}
	if !isUnreserved(text) {
		all = append(all, escaped(text)...)
	}
	// In base64 a text looks different at each of three alignments; the
	// characters that its neighbours have a part in are left out.
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

// entities are the names of characters in markup.
var entities = map[rune]string{'&': "amp", '<': "lt", '>': "gt", '"': "quot", '\'': "apos"}

// spelling matches a text whose characters are each written as they are or
// escaped for a URL (once or more often), JSON, markup or a shell, in whatever
// mixture. Nil: nothing in it is ever escaped, or it is too long to be a
// password.
func spelling(text string) *regexp.Regexp {
	if len(text) > 256 || isUnreserved(text) {
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

// escaped are the forms of a text in which some characters are escaped.
func escaped(text string) []string {
	quoted, _ := json.Marshal(text)
	inJSON := strings.TrimSuffix(strings.TrimPrefix(string(quoted), `"`), `"`)
	inHTML := html.EscapeString(text)
	return []string{
		url.QueryEscape(text), url.PathEscape(text), inHTML, inJSON,
		// What is left of it in an answer that was made one line.
		sanitize.Line(text, len(text)),
		// What other libraries than Go's write for the same characters.
		lowerEscapes(url.QueryEscape(text)), lowerEscapes(url.PathEscape(text)),
		strings.NewReplacer("&#34;", "&quot;", "&#39;", "&apos;").Replace(inHTML),
		strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(inJSON),
	}
}

var escape = regexp.MustCompile("%[0-9A-F]{2}")

// lowerEscapes writes %2F as %2f, as .NET does.
func lowerEscapes(text string) string { return escape.ReplaceAllStringFunc(text, strings.ToLower) }

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
