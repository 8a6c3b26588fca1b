package dotnet

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// An Encoder gives another form of a secret that is masked too, or nothing.
type Encoder func(secret []uint16) []uint16

// TextEncoder makes an encoder of a function on strings.
func TextEncoder(encode func(string) string) Encoder {
	return func(secret []uint16) []uint16 { return Units(encode(String(secret))) }
}

// Masker is the class SecretMasker, which the runner and the agent have in common.
type Masker struct {
	Encoders []Encoder
	Regexp   *regexp.Regexp // what its first group matches is masked; nil: none
	added    map[string]bool
	masks    map[string]bool // in two bytes a unit
}

// Add masks a secret and its encodings.
func (m *Masker) Add(secret string) {
	if secret == "" || m.added[secret] {
		return
	}
	if m.masks == nil {
		m.added, m.masks = map[string]bool{}, map[string]bool{}
	}
	m.added[secret] = true
	units := Units(secret)
	m.masks[wide(units)] = true
	for _, encode := range m.Encoders {
		if encoded := encode(units); len(encoded) > 0 {
			m.masks[wide(encoded)] = true
		}
	}
}

// wide makes a string of two bytes a unit, in which half of a surrogate pair can
// be found.
func wide(units []uint16) string {
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		b = append(b, byte(u>>8), byte(u))
	}
	return string(b)
}

// Mask replaces what is masked so far. Masked stretches that overlap or touch
// become one.
func (m *Masker) Mask(text string) string {
	type stretch struct{ start, end int }
	var found []stretch
	units := Units(text)
	in := wide(units)
	for mask := range m.masks {
		for from := 0; ; {
			i := strings.Index(in[from:], mask)
			if i < 0 {
				break
			}
			from += i
			if from%2 == 0 {
				found = append(found, stretch{from / 2, (from + len(mask)) / 2})
			}
			from++
		}
	}
	if m.Regexp != nil {
		for _, match := range m.Regexp.FindAllStringSubmatchIndex(text, -1) {
			found = append(found, stretch{Len(text[:match[2]]), Len(text[:match[3]])})
		}
	}
	if len(found) == 0 {
		return text
	}
	slices.SortFunc(found, func(a, b stretch) int { return cmp.Compare(a.start, b.start) })
	var b strings.Builder
	end := 0
	for i, f := range found {
		if i == 0 || f.start > end {
			b.WriteString(String(units[end:f.start]) + "***")
		}
		end = max(end, f.end)
	}
	return b.String() + String(units[end:])
}

// EscapeJSON is the inside of a JSON string as Newtonsoft's JsonConvert.ToString
// writes it: unlike encoding/json it leaves <, > and & alone.
func EscapeJSON(s string) string {
	var b strings.Builder
	for _, r := range s {
		if short := strings.IndexRune("\"\\\b\f\n\r\t", r); short >= 0 {
			b.WriteString(`\` + `"\bfnrt`[short:short+1])
		} else if r < 0x20 || r == 0x85 || r == 0x2028 || r == 0x2029 {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// EscapeURI is Uri.EscapeDataString: it escapes all that is not unreserved in a
// URI.
func EscapeURI(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < utf8.RuneSelf && (c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("-_.~", c) >= 0) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
