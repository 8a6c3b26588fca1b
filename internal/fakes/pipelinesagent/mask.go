package pipelinesagent

import (
	"encoding/base64"
	"regexp"
	"strings"

	"azdo-pat/internal/fakes/dotnet"
)

// encoders are the forms of a secret that the agent masks beside the secret
// itself. Others, such as base64, are not masked, and a secret of several lines is
// found nowhere: the agent masks a line at a time.
var encoders = []dotnet.Encoder{
	dotnet.TextEncoder(dotnet.EscapeJSON),
	dotnet.TextEncoder(dotnet.EscapeURI),
	dotnet.TextEncoder(unescapeBackslashes),
}

// unescapeBackslashes is a secret as it appears where a shell or a program takes
// its backslashes for escapes.
func unescapeBackslashes(s string) string {
	for _, pair := range [][2]string{{`\\`, `\`}, {`\'`, `'`}, {`\"`, `"`}, {`\t`, "\t"}} {
		s = strings.ReplaceAll(s, pair[0], pair[1])
	}
	return s
}

// password is the password in a URL, by RFC 3986, section 3.2.1. It is masked
// wherever it appears.
var password = regexp.MustCompile(`//[^:/?#\n]+:((?:[\p{L}\p{Mn}\p{Nd}\p{Pc}.~\-]|(?:%|%AZP25)[0-9a-fA-F]{2}|[!$&'()*+,;=:])+)@`)

// addDefined masks the value of a secret variable that the pipeline defines: more
// forms than of one that a step sets.
func (j *Job) addDefined(value string) {
	if strings.TrimSpace(value) == "" {
		return
	}
	lines := strings.NewReplacer("\r", "%0D", "\n", "%0A")
	for _, form := range []string{
		value, lines.Replace(strings.ReplaceAll(value, "%", "%AZP25")), lines.Replace(value),
		base64.StdEncoding.EncodeToString([]byte(value)),
	} {
		j.masker.Add(form)
		j.masker.Add(strings.Trim(form, "\r\n "))
		for _, quote := range []string{"'", `"`} {
			if strings.HasPrefix(form, quote) && strings.HasSuffix(form, quote) {
				j.masker.Add(strings.Trim(form, quote))
			}
		}
	}
}

// Mask replaces all values that were masked so far.
func (j *Job) Mask(text string) string { return j.masker.Mask(text) }

// Masked reports whether something in text would be masked.
func (j *Job) Masked(text string) bool { return j.Mask(text) != text }
