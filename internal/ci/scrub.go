package ci

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

	"azdo-pat/internal/outside"
	"azdo-pat/internal/secret"
)

// scrubber replaces credentials in text: those that it was told of, in the
// encodings in which a server could send them back, and whatever has the form
// of a JWT or of a PAT.
type scrubber struct {
	known    map[string]bool
	forms    []string
	replacer *strings.Replacer
	// spellings match credentials with characters that encodings change.
	spellings []*regexp.Regexp
	// pieces are those of long credentials, and of their encodings but for the
	// later ones.
	pieces pieces
	later  []string
}

// shortest is the length below which an encoded part of a credential says too
// little to be hidden, and would hide too much else.
const shortest = 6

// tokenForm is what an Azure DevOps PAT (both generations) and a JWT look like.
var tokenForm = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(\.[A-Za-z0-9_-]*)?|[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}|\b[a-z2-7]{52}\b`)

// add makes a credential known.
func (s *scrubber) add(v secret.Value) {
	if v.IsZero() || s.known[v.Reveal()] {
		return
	}
	if s.known == nil {
		s.known = map[string]bool{}
	}
	s.known[v.Reveal()] = true
	s.forms = append(s.forms, v.Reveal())
	for _, form := range encodings(v.Reveal()) {
		if len(form) >= shortest && !slices.Contains(s.forms, form) {
			s.forms = append(s.forms, form)
			s.later = append(s.later, form)
		}
	}
	// Where several match, the longest must win.
	slices.SortStableFunc(s.forms, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var pairs []string
	for _, form := range s.forms {
		pairs = append(pairs, form, "***")
	}
	s.replacer = strings.NewReplacer(pairs...)
	if r := spelling(v.Reveal()); r != nil {
		s.spellings = append(s.spellings, r)
	}
	s.pieces.add(v.Reveal())
}

// run is a text in which a piece of an encoded credential could be: longer than
// an id. Only then the pieces of all encodings are worked out.
var run = regexp.MustCompile(`[A-Za-z0-9+/_=-]{40}`)

func (s *scrubber) clean(text string) string {
	if s.replacer != nil {
		text = s.cutOff(s.replacer.Replace(text))
	}
	for _, r := range s.spellings {
		text = r.ReplaceAllLiteralString(text, "***")
	}
	if run.MatchString(text) {
		for _, form := range s.later {
			s.pieces.add(form)
		}
		s.later = nil
	}
	text = s.pieces.hide(text)
	return tokenForm.ReplaceAllString(text, "***")
}

// cutOff replaces what is left of a credential where a long text was cut: most
// of a credential can be enough to guess the rest of it.
func (s *scrubber) cutOff(text string) string {
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
	return !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._~-", r)
	})
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
		outside.Line(text, len(text)),
		// What other libraries than Go's write for the same characters.
		lowerEscapes(url.QueryEscape(text)), lowerEscapes(url.PathEscape(text)),
		strings.NewReplacer("&#34;", "&quot;", "&#39;", "&apos;").Replace(inHTML),
		strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(inJSON),
	}
}

var escape = regexp.MustCompile("%[0-9A-F]{2}")

// lowerEscapes writes %2F as %2f, as .NET does.
func lowerEscapes(text string) string { return escape.ReplaceAllStringFunc(text, strings.ToLower) }
