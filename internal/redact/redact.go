// Package redact replaces credentials by "***", in a text and in a stream.
package redact

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"azdo-pat/internal/lazyregexp"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// Redactor replaces credentials in a text: those that it was told of, in the
// encodings in which a server could send them back, and whatever has the form
// of a JWT or of a PAT.
type Redactor struct {
	known map[string]bool
	// unread are tokens of which the forms and pieces are not worked out yet. In
	// most runs nothing that is said looks like one, and the job waits.
	unread   []string
	forms    []string
	replacer *strings.Replacer
	// spellings match credentials with characters that encodings change.
	spellings []*regexp.Regexp
	// pieces are those of long credentials, and of their encodings but for the
	// later ones.
	pieces pieces
	later  []string
}

const (
	// shortest is the length below which an encoded part of a credential says too
	// little to be hidden, and would hide too much else.
	shortest = 6
	// encoded is the length of a text in which a piece of an encoded credential
	// could be: longer than an id. Only then the pieces of all encodings are
	// worked out.
	encoded = 40
)

// tokenForm is what an Azure DevOps PAT (both generations) and a JWT look like.
var tokenForm = lazyregexp.New(`eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(\.[A-Za-z0-9_-]*)?|[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}|\b[a-z2-7]{52}\b`)

// Add makes a credential known.
func (s *Redactor) Add(v secret.Value) {
	if v.IsZero() || s.known[v.Reveal()] {
		return
	}
	if s.known == nil {
		s.known = map[string]bool{}
	}
	s.known[v.Reveal()] = true
	s.unread = append(s.unread, v.Reveal())
	// A piece of what an encoding changes can be short. The padding of base64 has
	// the rest before it.
	if token := strings.TrimRight(v.Reveal(), "="); len(token) < encoded || !invariant(token) {
		s.read()
	}
}

// read works out the forms and pieces of what was added.
func (s *Redactor) read() {
	for _, text := range s.unread {
		s.forms = append(s.forms, text)
		for _, form := range encodings(text) {
			if len(form) >= shortest && !slices.Contains(s.forms, form) {
				s.forms = append(s.forms, form)
				s.later = append(s.later, form)
			}
		}
		if r := spelling(text); r != nil {
			s.spellings = append(s.spellings, r)
		}
		s.pieces.add(text)
	}
	s.unread = nil
	// Where several match, the longest must win.
	slices.SortStableFunc(s.forms, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var pairs []string
	for _, form := range s.forms {
		pairs = append(pairs, form, "***")
	}
	s.replacer = strings.NewReplacer(pairs...)
}

// unreadIn reports whether a text could hold anything of a token that is unread:
// a piece of it, its encoded form (which is longer than an id), or, where a text
// was cut, the beginning of either.
func (s *Redactor) unreadIn(text string) bool {
	if len(s.unread) == 0 {
		return false
	}
	if strings.Contains(text, "…") || hasRun(text, encoded, inEncoding) || hasRun(text, encoded, inToken) {
		return true
	}
	n := 0
	for i := range len(text) {
		if n++; !inToken(text[i]) && text[i] != '=' {
			n = 0
		}
		if n >= piece && slices.ContainsFunc(s.unread, func(token string) bool { return strings.Contains(token, text[i+1-piece:i+1]) }) {
			return true
		}
	}
	return false
}

// Redact returns text with "***" in place of each credential.
func (s *Redactor) Redact(text string) string {
	if s.unreadIn(text) {
		s.read()
	}
	if s.replacer != nil {
		text = s.cutOff(s.replacer.Replace(text))
	}
	for _, r := range s.spellings {
		text = r.ReplaceAllLiteralString(text, "***")
	}
	if len(s.later) > 0 && hasRun(text, encoded, inEncoding) {
		for _, form := range s.later {
			s.pieces.add(form)
		}
		s.later = nil
	}
	text = s.pieces.hide(text)
	// Without one of these there is none.
	if strings.Contains(text, "eyJ") || hasRun(text, 52, alphanumeric) {
		text = tokenForm().ReplaceAllString(text, "***")
	}
	return text
}

// hasRun reports whether so many characters of a kind are somewhere in a row.
func hasRun(text string, length int, kind func(byte) bool) bool {
	n := 0
	for i := range len(text) {
		if n++; !kind(text[i]) {
			n = 0
		}
		if n == length {
			return true
		}
	}
	return false
}

// inToken are the characters that no encoding for URLs, JSON or markup changes.
func inToken(c byte) bool {
	return alphanumeric(c) || c == '.' || c == '_' || c == '~' || c == '-'
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// inEncoding are the characters of hexadecimal and of base64 in its variants.
func inEncoding(c byte) bool {
	return alphanumeric(c) || c == '+' || c == '/' || c == '_' || c == '=' || c == '-'
}

// cutOff replaces what is left of a credential where a long text was cut: most
// of a credential can be enough to guess the rest of it.
func (s *Redactor) cutOff(text string) string {
	parts := strings.Split(text, "…")
	for i, part := range parts[:len(parts)-1] {
		left := 0
		for _, form := range s.forms {
			for n := min(len(form)-1, len(part)); n >= shortest && n > left; n-- {
				if strings.HasSuffix(part, form[:n]) {
					left = n
				}
			}
		}
		if left > 0 {
			parts[i] = part[:len(part)-left] + "***"
		}
	}
	return strings.Join(parts, "…")
}

// invariant reports whether a text has only characters that no encoding for
// URLs, JSON or markup changes.
func invariant(text string) bool {
	for i := range len(text) {
		if !inToken(text[i]) {
			return false
		}
	}
	return true
}

// entities are the names of characters in markup.
var entities = map[rune]string{'&': "amp", '<': "lt", '>': "gt", '"': "quot", '\'': "apos"}

// spelling matches a text whose characters are each written as they are or
// escaped for a URL (once or more often), JSON, markup or a shell, in whatever
// mixture. Nil: nothing in it is ever escaped, or it is too long to be a
// password.
func spelling(text string) *regexp.Regexp {
	if len(text) > 256 || invariant(text) {
		return nil
	}
	var b strings.Builder
	for _, r := range text {
		if invariant(string(r)) {
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

// encodings are the forms in which a text is likely to be repeated.
func encodings(text string) []string {
	hexadecimal := hex.EncodeToString([]byte(text))
	all := []string{hexadecimal, strings.ToUpper(hexadecimal)}
	if !invariant(text) {
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

var escape = lazyregexp.New("%[0-9A-F]{2}")

// lowerEscapes writes %2F as %2f, as .NET does.
func lowerEscapes(text string) string { return escape().ReplaceAllStringFunc(text, strings.ToLower) }
