package ci

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"azdo-pat/internal/secret"
)

// scrubber replaces credentials in text: those that it was told of, in the
// encodings in which a server could send them back, and whatever has the form
// of a JWT or of a PAT.
type scrubber struct {
	forms    []string
	replacer *strings.Replacer
}

// shortest is the length below which an encoded part of a credential says too
// little to be hidden, and would hide too much else.
const shortest = 6

// tokenForm is what an Azure DevOps PAT (both generations) and a JWT look like.
var tokenForm = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(\.[A-Za-z0-9_-]*)?|[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}|\b[a-z2-7]{52}\b`)

func (s *scrubber) add(v secret.Value) {
	if v.IsZero() || slices.Contains(s.forms, v.Reveal()) {
		return
	}
	s.forms = append(s.forms, v.Reveal())
	for _, form := range encodings(v.Reveal()) {
		if len(form) >= shortest && !slices.Contains(s.forms, form) {
			s.forms = append(s.forms, form)
		}
	}
	// Where several match, the longest must win.
	slices.SortStableFunc(s.forms, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var pairs []string
	for _, form := range s.forms {
		pairs = append(pairs, form, "***")
	}
	s.replacer = strings.NewReplacer(pairs...)
}

func (s *scrubber) clean(text string) string {
	if s.replacer != nil {
		text = s.replacer.Replace(text)
	}
	return tokenForm.ReplaceAllString(text, "***")
}

// encodings are the forms in which a text is likely to be repeated.
func encodings(text string) []string {
	quoted, _ := json.Marshal(text)
	all := []string{
		url.QueryEscape(text), url.PathEscape(text), html.EscapeString(text),
		strings.Trim(string(quoted), `"`),
		hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text))),
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
