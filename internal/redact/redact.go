// Package redact replaces credentials by "***", in a text ([Redactor]) and in a
// stream ([Writer]).
//
// Both look for a credential as it is and in the encodings in which a server or a
// command is likely to repeat it: its forms. Of a long form, any 24 characters in a row
// are replaced: with most of a credential known, the rest could be guessed.
package redact

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"sync"

	"azdo-pat/internal/secret"
)

// mask replaces a credential.
const mask = "***"

// Redactor replaces the credentials that it knows in a text, and everything that looks
// like a JWT or a PAT. The zero Redactor knows none.
type Redactor struct {
	known     map[string]bool
	index     index
	spellings []*regexp.Regexp
}

// Add adds a credential to redact. It must have at least [secret.MinLength] characters.
func (r *Redactor) Add(v secret.Value) {
	text := v.Reveal()
	if v.IsZero() || r.known[text] {
		return
	}
	if r.known == nil {
		r.known = map[string]bool{}
	}
	r.known[text] = true
	for _, form := range forms(text) {
		r.index.add(form)
	}
	if spelling := spelling(text); spelling != nil {
		r.spellings = append(r.spellings, spelling)
	}
}

// Redact returns text with "***" in place of each credential.
func (r *Redactor) Redact(text string) string {
	found := r.index.find(nil, []byte(text))
	found = r.findCutOff(found, text)
	for _, spelling := range r.spellings {
		found = appendMatches(found, spelling, text)
	}
	if mayHoldToken(text) {
		found = appendMatches(found, tokenForm(), text)
	}
	if len(found) == 0 {
		return text
	}
	var b strings.Builder
	end := 0
	for _, s := range merge(found) {
		b.WriteString(text[end:s.from])
		b.WriteString(mask)
		end = s.to
	}
	b.WriteString(text[end:])
	return b.String()
}

// findCutOff appends the beginning of a form before a "…", where the text was cut.
func (r *Redactor) findCutOff(found []span, text string) []span {
	for end := range text {
		if !strings.HasPrefix(text[end:], "…") {
			continue
		}
		for _, form := range r.index.forms {
			for n := min(len(form), window) - 1; n >= minEncoded; n-- {
				if strings.HasSuffix(text[:end], form[:n]) {
					found = append(found, span{end - n, end})
					break
				}
			}
		}
	}
	return found
}

// span is a part of a text that is to be replaced.
type span struct{ from, to int }

// merge sorts spans and joins those that overlap or touch.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	merged := spans[:0]
	for _, s := range spans {
		if last := len(merged) - 1; last >= 0 && s.from <= merged[last].to {
			merged[last].to = max(merged[last].to, s.to)
		} else {
			merged = append(merged, s)
		}
	}
	return merged
}

func appendMatches(found []span, r *regexp.Regexp, text string) []span {
	for _, match := range r.FindAllStringIndex(text, -1) {
		found = append(found, span{match[0], match[1]})
	}
	return found
}

// tokenForm matches an Azure DevOps PAT (of both generations) and a JWT.
//
// It is compiled when it is first used, which saves each command 60 µs.
var tokenForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(\.[A-Za-z0-9_-]*)?|[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}|\b[a-z2-7]{52}\b`)
})

// mayHoldToken reports whether tokenForm can match at all. On a log line it takes a
// hundredth of the expression's time.
func mayHoldToken(text string) bool {
	if strings.Contains(text, "eyJ") {
		return true
	}
	run := 0
	for i := range len(text) {
		run++
		if !isAlphanumeric(text[i]) {
			run = 0
		}
		if run == 52 {
			return true
		}
	}
	return false
}
