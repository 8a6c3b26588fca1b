package sanitize

import (
	"strings"
	"unicode"
)

// OutputDelimiter ends each value in GitHub's command files. A value that
// contains it would end early there.
const OutputDelimiter = "_GitHubActionsFileCommandDelimeter_"

// NoCommands changes text so that no line of it is a logging command. GitHub reads
// "::name::" at the start of a line and "##[name]" anywhere, Azure Pipelines
// "##vso[" and "##[" anywhere. Control characters except the line feed become
// spaces, so that no other character starts a line, and so do the invisible
// characters that .NET ignores when it compares text.
func NoCommands(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.ToValidUTF8(text, " ")) {
		body, feed := strings.CutSuffix(line, "\n")
		body = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) {
				return ' '
			}
			return r
		}, body)
		for strings.Contains(body, "##") {
			body = strings.ReplaceAll(body, "##", "# #")
		}
		if trimmed := strings.TrimLeftFunc(body, unicode.IsSpace); strings.HasPrefix(trimmed, "::") {
			body = ": " + trimmed[1:]
		}
		b.WriteString(body)
		if feed {
			b.WriteByte('\n')
		}
	}
	return b.String()
}
