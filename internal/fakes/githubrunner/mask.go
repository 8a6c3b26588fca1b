package githubrunner

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"azdo-pat/internal/fakes/dotnet"
)

// encoders are the forms of a value that the runner masks beside the value
// itself.
var encoders = []dotnet.Encoder{
	dotnet.TextEncoder(func(s string) string { return shifted(s, 0) }),
	dotnet.TextEncoder(func(s string) string { return shifted(s, 1) }),
	dotnet.TextEncoder(func(s string) string { return shifted(s, 2) }),
	dotnet.TextEncoder(strings.NewReplacer(`"`, `\"`).Replace), // as an argument on a command line
	dotnet.TextEncoder(strings.NewReplacer(`'`, `''`).Replace), // in an expression of a workflow
	dotnet.TextEncoder(dotnet.EscapeJSON),
	dotnet.TextEncoder(dotnet.EscapeURI),
	dotnet.TextEncoder(strings.NewReplacer("<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;", "&", "&amp;").Replace), // in XML
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

// unquoted is a longer value without the quotation marks around it.
func unquoted(s []uint16) []uint16 {
	if len(s) > 8 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return nil
}

// PowerShell shows a command that failed in two parts, and these are they. Short
// ones are no masks.

func beforeAmpersand(s []uint16) []uint16 {
	end := ampersandPlus(s) + 2
	if end < 2 {
		end = lastAmpersand(s) + 1
	}
	return long(s[:end])
}

func afterAmpersand(s []uint16) []uint16 {
	if i := ampersandPlus(s); i >= 0 {
		return long(s[min(i+3, len(s)):]) // the unit after it is coloured
	}
	if i := lastAmpersand(s); i >= 0 {
		return long(s[i+1:])
	}
	return nil
}

func ampersandPlus(s []uint16) int {
	for i := range len(s) - 1 {
		if s[i] == '&' && s[i+1] == '+' {
			return i
		}
	}
	return -1
}

func lastAmpersand(s []uint16) int {
	for i, u := range slices.Backward(s) {
		if u == '&' {
			return i
		}
	}
	return -1
}

func long(s []uint16) []uint16 {
	if len(s) < 6 {
		return nil
	}
	return s
}

// addMask masks a value, each of its lines, and all their encodings.
func (l *Log) addMask(value string) {
	l.masks.Encoders = encoders
	if strings.TrimSpace(value) == "" {
		return
	}
	l.masks.Add(value)
	for line := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == '\r' || r == '\n' }) {
		l.masks.Add(strings.TrimSpace(line))
	}
}

// Mask replaces all values that were masked so far.
func (l *Log) Mask(text string) string { return l.masks.Mask(text) }

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
