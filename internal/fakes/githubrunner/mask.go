package githubrunner

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"azdo-pat/internal/fakes/dotnet"
)

// encoders return the encodings of a value that the runner masks too.
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

// shifted is the base64 of a value without its first n bytes, which occurs in the base64
// of a text such as USER:VALUE.
func shifted(s string, n int) string {
	if len(s) > n {
		s = s[n:]
	}
	return base64.StdEncoding.EncodeToString([]byte(s))
}

// unquoted is a value of more than 8 characters without quotation marks around it.
func unquoted(s []uint16) []uint16 {
	if len(s) > 8 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return nil
}

// PowerShell shows a failed command in two parts: up to the ampersand, and after it.
// Short parts are not masked.

func beforeAmpersand(s []uint16) []uint16 {
	end := ampersandPlus(s) + 2
	if end < 2 {
		end = lastAmpersand(s) + 1
	}
	return long(s[:end])
}

func afterAmpersand(s []uint16) []uint16 {
	if i := ampersandPlus(s); i >= 0 {
		return long(s[min(i+3, len(s)):]) // PowerShell puts a colour code around the unit after it
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

// Mask replaces all values that are masked so far.
func (l *Log) Mask(text string) string { return l.masks.Mask(text) }

// Masked reports whether a job output with this value would be dropped.
func (l *Log) Masked(value string) bool { return l.Mask(value) != value }

// JobOutputs returns the declared outputs that the jobs that need this one receive. The
// runner drops empty ones, and those that contain a masked value.
func (l *Log) JobOutputs(declared map[string]string) map[string]string {
	kept := maps.Clone(declared)
	maps.DeleteFunc(kept, func(_, value string) bool { return value == "" || l.Masked(value) })
	return kept
}
