package cli

import (
	"os"
	"strings"
)

// color is a parameter of the terminal's escape sequence for text: see ECMA-48, 8.3.117.
type color string

const (
	plain color = ""
	bold  color = "1"
	dim   color = "2"
	red   color = "31"
	green color = "32"
)

// paint returns text in a color if standard output is a terminal that can show colors.
// Otherwise it returns the text unchanged: in a pipe or a file, with NO_COLOR
// (https://no-color.org), and where TERM is "dumb" or, as on Windows, not set.
func (a *app) paint(c color, text string) string {
	if c == plain || !a.colors() {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

func (a *app) colors() bool {
	f, ok := a.Stdout.(*os.File)
	if !ok || a.platform.Info().CI {
		return false
	}
	off, _ := a.LookupEnv("NO_COLOR")
	term, _ := a.LookupEnv("TERM")
	info, err := f.Stat()
	return off == "" && term != "" && term != "dumb" && err == nil && info.Mode()&os.ModeCharDevice != 0
}

// paintReport paints the marks and the verdict of the report of check.
func (a *app) paintReport(report string) string {
	var b strings.Builder
	for line := range strings.Lines(report) {
		for _, p := range []struct {
			start string
			color color
		}{{"✓", green}, {"✗", red}, {"–", dim}, {"Verdict:", bold}, {"What to do about", bold}} {
			if rest, ok := strings.CutPrefix(line, p.start); ok {
				line = a.paint(p.color, p.start) + rest
			}
		}
		b.WriteString(line)
	}
	return b.String()
}
