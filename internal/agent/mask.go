package agent

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// addMask masks a value and its escapes for JSON and for URLs. Other encodings,
// such as base64, are not masked, and a value of several lines is found nowhere:
// the agent masks a line at a time.
func (j *Job) addMask(value string) {
	if value == "" {
		return
	}
	for _, form := range []string{value, inJSON(value), inURI(value)} {
		j.masks[form] = true
	}
}

func inJSON(s string) string {
	quoted, _ := json.Marshal(s)
	return strings.Trim(string(quoted), `"`)
}

// inURI escapes all that is not unreserved in a URI.
func inURI(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("-_.~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Mask replaces what is masked so far. Masked stretches that overlap or touch
// become one.
func (j *Job) Mask(text string) string {
	type stretch struct{ start, end int }
	var found []stretch
	for mask := range j.masks {
		for from := 0; ; from++ {
			i := strings.Index(text[from:], mask)
			if i < 0 {
				break
			}
			from += i
			found = append(found, stretch{from, from + len(mask)})
		}
	}
	slices.SortFunc(found, func(a, b stretch) int { return cmp.Compare(a.start, b.start) })
	var b strings.Builder
	end := 0
	for i, f := range found {
		if i == 0 || f.start > end {
			b.WriteString(text[end:f.start] + "***")
		}
		end = max(end, f.end)
	}
	return b.String() + text[end:]
}

// Masked reports whether something in text would be masked.
func (j *Job) Masked(text string) bool { return j.Mask(text) != text }
