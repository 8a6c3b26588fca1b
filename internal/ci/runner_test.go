package ci

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"
)

// This file is GitHub's runner as a reader of what a step writes: which lines
// of its output are commands (actions/runner, ActionCommand.cs), and what its
// command files say (FileCommandManager.cs).

// command is a logging command as the runner understands it.
type command struct {
	name  string
	props map[string]string
	data  string
}

// registered are the commands that the runner knows.
var registered = []string{
	"add-mask", "add-matcher", "add-path", "debug", "echo", "endgroup", "error", "group", "internal-set-repo-path",
	"notice", "remove-matcher", "save-state", "set-env", "set-output", "stop-commands", "warning",
}

// commandIn finds the command in a line of output: first the form ::name::,
// then the old one.
func commandIn(line string) (command, bool) {
	text := utf16.Encode([]rune(line))
	if c, ok := newForm(text); ok {
		return c, true
	}
	return oldForm(text)
}

func newForm(text []uint16) (command, bool) {
	for len(text) > 0 && unicode.IsSpace(rune(text[0])) {
		text = text[1:]
	}
	if !startsWith(text, "::") {
		return command{}, false
	}
	end := index(text, "::", 2)
	if end < 0 {
		return command{}, false
	}
	return fields(str(text[2:end]), str(text[end+2:]), ",", []string{"%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%"},
		[]string{"%0D", "\r", "%0A", "\n", "%25", "%"})
}

func oldForm(text []uint16) (command, bool) {
	start := index(text, "##[", 0)
	if start < 0 {
		return command{}, false
	}
	end := slices.Index(text[start:], ']') + start
	if end < start+3 {
		return command{}, false
	}
	all := []string{"%3B", ";", "%0D", "\r", "%0A", "\n", "%5D", "]", "%25", "%"}
	return fields(str(text[start+3:end]), str(text[end+1:]), ";", all, all)
}

// fields takes "name key=value…" apart. The escapes are undone one after the
// other, in this order.
func fields(info, data, separator string, inProperty, inData []string) (command, bool) {
	name, rest, _ := strings.Cut(info, " ")
	if !slices.ContainsFunc(registered, func(r string) bool { return strings.EqualFold(r, name) }) {
		return command{}, false
	}
	c := command{name, map[string]string{}, unescape(data, inData)}
	for property := range strings.SplitSeq(strings.TrimSpace(rest), separator) {
		if key, value, ok := strings.Cut(strings.TrimLeft(property, "="), "="); ok && value != "" {
			c.props[strings.ToLower(key)] = unescape(value, inProperty)
		}
	}
	return c, true
}

func unescape(text string, pairs []string) string {
	for i := 0; i < len(pairs); i += 2 {
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

func str(text []uint16) string { return string(utf16.Decode(text)) }

// ignorable reports whether .NET's comparison by culture, which the runner uses
// for these two searches, looks past a character.
func ignorable(u uint16) bool {
	r := rune(u)
	return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
		unicode.IsControl(r) && !unicode.IsSpace(r) || u == 0xdb40 // the first half of U+E0000 to U+E03FF
}

func startsWith(text []uint16, prefix string) bool {
	for _, want := range prefix {
		for len(text) > 0 && text[0] != uint16(want) && ignorable(text[0]) {
			text = text[1:]
		}
		if len(text) == 0 || text[0] != uint16(want) {
			return false
		}
		text = text[1:]
	}
	return true
}

func index(text []uint16, what string, from int) int {
	for i := from; i < len(text); i++ {
		if text[i] == uint16(what[0]) && startsWith(text[i:], what) {
			return i
		}
	}
	return -1
}

// lines takes output apart as the runner reads it: LF, CR and CRLF end a line.
func lines(output string) []string {
	output = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(output)
	return strings.Split(strings.TrimSuffix(output, "\n"), "\n")
}

// commands lists the commands in output.
func commands(output string) []command {
	var all []command
	for _, line := range lines(output) {
		if c, ok := commandIn(line); ok {
			all = append(all, c)
		}
	}
	return all
}

// vso reports whether Azure Pipelines would take something in output for a
// command or for formatting.
func vso(output string) bool {
	output = strings.ToLower(output)
	return strings.Contains(output, "##vso[") || strings.Contains(output, "##[")
}

// pair is a name and a value of a command file.
type pair struct{ name, value string }

// pairs reads a command file. A malformed line fails the step.
func pairs(file string) ([]pair, error) {
	var all []pair
	for file != "" {
		var line string
		line, file, _ = strings.Cut(file, "\n")
		equals, heredoc := strings.Index(line, "="), strings.Index(line, "<<")
		switch {
		case line == "":
		case equals >= 0 && (heredoc < 0 || equals < heredoc):
			all = append(all, pair{line[:equals], line[equals+1:]})
		case heredoc > 0 && heredoc+2 < len(line):
			var value []string
			for {
				next, rest, feed := strings.Cut(file, "\n")
				if next == line[heredoc+2:] {
					file = rest
					break
				}
				if !feed {
					return all, errors.New("matching delimiter not found")
				}
				value, file = append(value, next), rest
			}
			all = append(all, pair{line[:heredoc], strings.Join(value, "\n")})
		default:
			return all, fmt.Errorf("invalid format %q", line)
		}
	}
	return all, nil
}

// A runner that recognises no commands would prove nothing.
func TestRunnerSeesCommands(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]command{
		"::error::boom":                              {"error", nil, "boom"},
		" \t\u00a0\u2003\u3000::error::boom":         {"error", nil, "boom"},
		"::ERROR::boom":                              {"ERROR", nil, "boom"},
		"::error title=a%3Ab%2Cc%25,file=x::1%0A2%%": {"error", map[string]string{"title": "a:b,c%", "file": "x"}, "1\n2%%"},
		"::endgroup::":                               {"endgroup", nil, ""},
		"::add-mask::50%25 ::x::":                    {"add-mask", nil, "50% ::x::"},
		"a##[error]boom":                             {"error", nil, "boom"},
		"azdo-pat: ##[set-output name=x;a=b%3B]y%5D": {"set-output", map[string]string{"name": "x", "a": "b;"}, "y]"},
		"::nonsense::##[error]boom":                  {"error", nil, "boom"},
	} {
		got, ok := commandIn(line)
		if !ok || got.name != want.name || got.data != want.data || !maps.Equal(got.props, want.props) {
			t.Errorf("%q: %v %+v, want %+v", line, ok, got, want)
		}
	}
	for _, line := range []string{"", "::", "::error", ":: error::x", "x ::error::y", "::nonsense::x", "##[nonsense]x", "##[error", "# #[error]x", ": :error::x", "##\u200d[error]"} {
		if c, ok := commandIn(line); ok {
			t.Errorf("%q is the command %+v", line, c)
		}
	}
}

func TestRunnerReadsFiles(t *testing.T) {
	t.Parallel()
	got, err := pairs("a=1=2\n\nb<<END\n1\n2\nEND\nc<<X\nX\na=3<<4\n")
	want := []pair{{"a", "1=2"}, {"b", "1\n2"}, {"c", ""}, {"a", "3<<4"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, file := range []string{"nonsense\n", "a<<END\n1\n", "a<<END\n1", "<<END\nEND\n", "a<<\n"} {
		if got, err := pairs(file); err == nil {
			t.Errorf("%q: %q and no error", file, got)
		}
	}
}
