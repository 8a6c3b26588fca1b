package runner

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// encoders are the forms of a value that the runner masks beside the value
// itself. One that gives "" has none for this value.
var encoders = []func(string) string{
	func(s string) string { return shifted(s, 0) },
	func(s string) string { return shifted(s, 1) },
	func(s string) string { return shifted(s, 2) },
	strings.NewReplacer(`"`, `\"`).Replace, // as an argument on a command line
	strings.NewReplacer(`'`, `''`).Replace, // in an expression of a workflow
	jsonEscape,
	uriEscape,
	strings.NewReplacer("<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;", "&", "&amp;").Replace, // in XML
	unquoted,
	beforeAmpersand,
	afterAmpersand,
}

// shifted is the base64 of a value that stands n bytes into a group of three:
// what can be seen of it in the base64 of USER:VALUE.
func shifted(s string, n int) string {
	if len(s) > n {
		s = s[n:]
	}
	return base64.StdEncoding.EncodeToString([]byte(s))
}

// jsonEscape is the inside of a JSON string. Unlike encoding/json it leaves <, >
// and & alone.
func jsonEscape(s string) string {
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

// uriEscape escapes all that is not unreserved in a URI.
func uriEscape(s string) string {
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

// unquoted is a longer value without the quotation marks around it.
func unquoted(s string) string {
	if len(s) > 8 && strings.HasPrefix(s, `"`) && strings.HasSuffix(s, `"`) {
		return s[1 : len(s)-1]
	}
	return ""
}

// PowerShell shows a command that failed in two parts, and these are they. Short
// ones are no masks.

func beforeAmpersand(s string) string {
	end := strings.Index(s, "&+") + 2
	if end < 2 {
		end = strings.LastIndex(s, "&") + 1
	}
	return long(s[:end])
}

func afterAmpersand(s string) string {
	if i := strings.Index(s, "&+"); i >= 0 {
		return long(s[min(i+3, len(s)):]) // the character behind it is coloured
	}
	if i := strings.LastIndex(s, "&"); i >= 0 {
		return long(s[i+1:])
	}
	return ""
}

func long(s string) string {
	if len(s) < 6 {
		return ""
	}
	return s
}

// addMask masks a value, each of its lines, and all their encodings.
func (l *Log) addMask(value string) {
	if strings.TrimSpace(value) == "" {
		return
	}
	if l.masks == nil {
		l.masks = map[string]bool{}
	}
	values := []string{value}
	for line := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == '\r' || r == '\n' }) {
		values = append(values, strings.TrimSpace(line))
	}
	for _, one := range values {
		l.masks[one] = true
		for _, encode := range encoders {
			l.masks[encode(one)] = true
		}
	}
	delete(l.masks, "")
}

// Mask replaces what is masked so far. Masked stretches that overlap or touch
// become one.
func (l *Log) Mask(text string) string {
	type stretch struct{ start, end int }
	var found []stretch
	for mask := range l.masks {
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

// Masked reports whether a job output with this value would be dropped.
func (l *Log) Masked(value string) bool { return l.Mask(value) != value }

// JobOutputs is what reaches the jobs that need this one, of outputs that it
// declares with these values: the runner drops those that are empty, and those
// in which anything is masked.
func (l *Log) JobOutputs(declared map[string]string) map[string]string {
	kept := maps.Clone(declared)
	maps.DeleteFunc(kept, func(_, value string) bool { return value == "" || l.Masked(value) })
	return kept
}
