package githubrunner

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"

	"azdo-pat/internal/fakes/dotnet"
)

// Command is a logging command that the runner would execute.
type Command struct {
	Name       string            // in lower case
	Properties map[string]string // by name in lower case
	Data       string
}

// names are the logging commands that a step's output can contain.
var names = []string{"add-mask", "debug", "notice", "warning", "error", "group", "endgroup", "add-path", "set-env",
	"set-output", "save-state", "add-matcher", "remove-matcher", "echo", "stop-commands"}

// ParseLine reads a line of a step's output as the runner does: the form
// ::name properties::data at its start, or the old form ##[name properties]data
// anywhere in it.
func ParseLine(line string) (Command, bool) { return parseLine(line, names) }

func parseLine(line string, names []string) (Command, bool) {
	text := dotnet.Units(line)
	if c, ok := newForm(text, names); ok {
		return c, true
	}
	return oldForm(text, names)
}

func newForm(text []uint16, names []string) (Command, bool) {
	text = dotnet.TrimStart(text)
	if !dotnet.HasPrefix(text, "::") {
		return Command{}, false
	}
	end := dotnet.Index(text, "::", 2)
	if end < 0 {
		return Command{}, false
	}
	name, properties, _ := strings.Cut(dotnet.String(text[2:end]), " ")
	return command(name, strings.TrimSpace(properties), ",", unescapeProperty, dotnet.String(text[end+2:]), unescapeData, names)
}

func oldForm(text []uint16, names []string) (Command, bool) {
	start := dotnet.Index(text, "##[", 0)
	if start < 0 {
		return Command{}, false
	}
	end := slices.Index(text[start:], ']') + start
	if end < start+3 {
		return Command{}, false
	}
	name, properties, _ := strings.Cut(dotnet.String(text[start+3:end]), " ")
	return command(name, properties, ";", unescapeOld, dotnet.String(text[end+1:]), unescapeOld, names)
}

func command(name, properties, separator string, inProperty func(string) string, data string, inData func(string) string, names []string) (Command, bool) {
	if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
		return Command{}, false
	}
	return Command{strings.ToLower(name), dotnet.Properties(properties, separator, inProperty), inData(data)}, true
}

// Escapes are replaced one after the other, that of the percent sign last.
var (
	unescapeData     = unescaper("%0D", "\r", "%0A", "\n", "%25", "%")
	unescapeProperty = unescaper("%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%")
	unescapeOld      = unescaper("%3B", ";", "%0D", "\r", "%0A", "\n", "%5D", "]", "%25", "%")
)

func unescaper(pairs ...string) func(string) string {
	return func(s string) string {
		for i := 0; i < len(pairs); i += 2 {
			s = strings.ReplaceAll(s, pairs[i], pairs[i+1])
		}
		return s
	}
}

// Log is the log of a job. A mask applies from the line after its command to the end of
// the job.
type Log struct{ masks dotnet.Masker }

// Line is a line of a log as a person sees it, and the command in it, if any.
type Line struct {
	Text    string
	Command *Command
	// Err is why the runner cannot execute the command; the step then fails.
	Err error
}

// maxIssue is the length of an annotation in UTF-16 units. The rest is cut.
const maxIssue = 4096

// Read reads the output of one step. A command that sets a mask is not shown.
// stop-commands ends with the step, but its token stays masked.
func (l *Log) Read(output string) []Line {
	var lines []Line
	stopped := "" // the token that ends the stop
	for _, raw := range dotnet.Lines(output) {
		c, ok := parseLine(raw, append(slices.Clip(names), stopped))
		switch {
		case !ok || stopped != "" && !strings.EqualFold(c.Name, stopped):
			lines = append(lines, Line{Text: l.Mask(raw)})
		case stopped != "":
			stopped = ""
			lines = append(lines, Line{Text: l.Mask(raw)})
		case c.Name == "stop-commands":
			if err := checkStopToken(c.Data); err != nil {
				// The runner stops reading the output.
				return append(lines, Line{Text: l.Mask(raw), Command: &c, Err: err})
			}
			stopped = c.Data
			if dotnet.Len(c.Data) > 6 {
				l.masks.Add(c.Data)
			}
			lines = append(lines, Line{Text: l.Mask(raw), Command: &c})
		default:
			if line, show := l.execute(c, raw); show {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// checkStopToken refuses a token that would end the stop too easily.
func checkStopToken(token string) error {
	if token == "" || strings.EqualFold(token, "pause-logging") ||
		slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, token) }) {
		return fmt.Errorf("stop-commands does not accept the token %q", token)
	}
	return nil
}

// execute executes a command and reports whether it shows a line.
func (l *Log) execute(c Command, raw string) (line Line, show bool) {
	line = Line{Text: l.Mask(c.Data), Command: &c}
	switch c.Name {
	case "add-mask":
		l.addMask(c.Data)
		return Line{}, false
	case "error", "warning", "notice":
		if units := dotnet.Units(line.Text); len(units) > maxIssue {
			line.Text = string(utf16.Decode(units[:maxIssue]))
		}
	case "set-env", "add-path":
		line.Err = fmt.Errorf("the command %s is disabled", c.Name)
	case "set-output", "save-state":
		if c.Properties["name"] == "" {
			line.Err = fmt.Errorf("%s has no name", c.Name)
		}
	case "echo":
		if value := strings.ToUpper(strings.TrimSpace(c.Data)); value != "ON" && value != "OFF" {
			line.Err = errors.New("echo must be on or off")
		}
	}
	c.Data = line.Text
	if line.Err != nil {
		line.Text = l.Mask(raw)
	}
	return line, true
}
