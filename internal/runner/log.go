package runner

import (
	"slices"
	"strings"
	"unicode"
)

// Command is a logging command that the runner would carry out.
type Command struct {
	Name       string
	Properties map[string]string
	Data       string
}

// names are the logging commands that the runner knows.
var names = []string{"add-mask", "debug", "notice", "warning", "error", "group", "endgroup", "add-path", "set-env",
	"set-output", "save-state", "add-matcher", "remove-matcher", "echo", "stop-commands", "internal-set-repo-path"}

// ParseLine reads a line of a step's output as the runner does: the form
// ::name properties::data at its start, or the old form ##[name properties]data
// anywhere in it.
func ParseLine(line string) (Command, bool) { return parseLine(line, names) }

func parseLine(line string, names []string) (Command, bool) {
	if trimmed := strings.TrimLeftFunc(line, unicode.IsSpace); strings.HasPrefix(trimmed, "::") {
		if info, data, ok := strings.Cut(trimmed[2:], "::"); ok {
			if c, ok := command(info, names, ",", unescapeProperty); ok {
				c.Data = unescapeData(data)
				return c, true
			}
		}
	}
	if _, rest, ok := strings.Cut(line, "##["); ok {
		if info, data, ok := strings.Cut(rest, "]"); ok {
			if c, ok := command(info, names, ";", unescapeOld); ok {
				c.Data = unescapeOld(data)
				return c, true
			}
		}
	}
	return Command{}, false
}

func command(info string, names []string, separator string, unescape func(string) string) (Command, bool) {
	name, properties, _ := strings.Cut(info, " ")
	if name == "" {
		return Command{}, false
	}
	if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
		return Command{}, false
	}
	c := Command{Name: strings.ToLower(name), Properties: map[string]string{}}
	for _, property := range strings.Split(strings.TrimSpace(properties), separator) {
		if key, value, ok := strings.Cut(property, "="); ok && key != "" && value != "" {
			c.Properties[key] = unescape(value)
		}
	}
	return c, true
}

func unescapeData(s string) string {
	return strings.NewReplacer("%0D", "\r", "%0A", "\n", "%25", "%").Replace(s)
}

func unescapeProperty(s string) string {
	return strings.NewReplacer("%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%").Replace(s)
}

func unescapeOld(s string) string {
	return strings.NewReplacer("%3B", ";", "%0D", "\r", "%0A", "\n", "%5D", "]", "%25", "%").Replace(s)
}

// Log is the log of a job. Masks hold from the line after the one that sets
// them to the job's end.
type Log struct {
	masks   map[string]bool
	stopped string // the word that makes the runner heed commands again, or ""
}

// Line is a line of a log as a person sees it, and the command in it, if any.
type Line struct {
	Text    string
	Command *Command
}

// newlines are what ends a line for the runner, a lone carriage return too.
var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// Read reads a step's output. Commands that set a mask show nothing.
func (l *Log) Read(output string) []Line {
	var lines []Line
	for raw := range strings.Lines(newlines.Replace(output)) {
		raw = strings.TrimSuffix(raw, "\n")
		c, ok := parseLine(raw, append(slices.Clip(names), l.stopped))
		switch {
		case !ok || l.stopped != "" && !strings.EqualFold(c.Name, l.stopped):
			lines = append(lines, Line{Text: l.Mask(raw)})
		case l.stopped != "":
			l.stopped = ""
			lines = append(lines, Line{Text: l.Mask(raw)})
		case c.Name == "add-mask":
			l.addMask(c.Data)
		case c.Name == "stop-commands":
			l.stopped = c.Data
			if len(c.Data) > 6 {
				l.addMask(c.Data)
			}
			lines = append(lines, Line{Text: l.Mask(raw), Command: &c})
		default:
			c.Data = l.Mask(c.Data)
			lines = append(lines, Line{Text: c.Data, Command: &c})
		}
	}
	return lines
}
