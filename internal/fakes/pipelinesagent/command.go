// Package agent plays Azure Pipelines' agent for tests: it reads what a step
// writes by the agent's rules (azure-pipelines-agent: Command.cs,
// CommandStringConvertor.cs, TaskCommandExtension.cs, Variables.cs), masks it,
// keeps the variables that it sets, and runs script steps as the task Bash@3
// does. It is never linked into the shipped binary.
package pipelinesagent

import (
	"slices"
	"strings"

	"azdo-pat/internal/fakes/dotnet"
)

// A Command is a logging command, ##vso[AREA.EVENT PROPERTIES]DATA.
type Command struct {
	Area, Event string            // lower case: the agent does not tell cases apart
	Properties  map[string]string // by name in lower case
	Data        string
}

const prefix = "##vso["

// ParseLine finds the command in a line: the first one, anywhere in it.
func ParseLine(line string) (Command, bool) {
	text := dotnet.Units(line)
	start := dotnet.Index(text, prefix, 0)
	if start < 0 {
		return Command{}, false
	}
	end := slices.Index(text[start:], ']') + start
	if end < start+len(prefix) {
		return Command{}, false
	}
	name, properties, _ := strings.Cut(dotnet.String(text[start+len(prefix):end]), " ")
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '.' })
	if len(parts) != 2 {
		return Command{}, false
	}
	return Command{strings.ToLower(parts[0]), strings.ToLower(parts[1]),
		dotnet.Properties(properties, ";", unescape), unescape(dotnet.String(text[end+1:]))}, true
}

// unescape undoes the escapes one after the other, that of the percent sign last.
func unescape(text string) string {
	for _, pair := range [][2]string{{"%3B", ";"}, {"%0D", "\r"}, {"%0A", "\n"}, {"%5D", "]"}, {"%AZP25", "%"}} {
		text = strings.ReplaceAll(text, pair[0], pair[1])
	}
	return text
}

// escape is what the agent itself does to text that it masks.
func escape(text string) string {
	for _, pair := range [][2]string{{"%", "%AZP25"}, {";", "%3B"}, {"\r", "%0D"}, {"\n", "%0A"}, {"]", "%5D"}} {
		text = strings.ReplaceAll(text, pair[0], pair[1])
	}
	return text
}
