package cli

import (
	"encoding/json"
	"io"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/settings"
)

// report writes the result of a command that lists PATs: lines of a table, or one JSON
// object whose list is written item by item.
type report struct {
	settings *settings.Settings
	log      *ci.Log
	inLog    bool      // the table goes to the log, because standard output is the log
	out      io.Writer // standard output
	summary  func(markdown string)
	paint    func(color, string) string

	hasItems bool // the list in JSON is not empty
	writeErr error
}

func (l *loaded) newReport(out io.Writer) report {
	return report{
		settings: l.Settings, log: l.platform.Log(), inLog: l.platform.Info().CI,
		out: out, summary: l.app.summary, paint: l.paint,
	}
}

// maxSummaryRows is how many rows a summary shows: GitHub takes 1 MiB.
const maxSummaryRows = 100

func (r *report) json() bool { return r.settings.Output == settings.JSON }

// line writes a line of the table. The color is for a terminal.
func (r *report) line(c color, text string) {
	if r.inLog {
		r.log.Infof("%s", text)
		return
	}
	r.write(r.paint(c, sanitize.NoCommands(r.log.Redact(text))) + "\n")
}

// item writes an item of the list in JSON.
func (r *report) item(v any) {
	separator := "\n"
	if r.hasItems {
		separator = ",\n"
	}
	r.hasItems = true
	r.write(separator + quoted(v))
}

func (r *report) write(text string) {
	if _, err := io.WriteString(r.out, text); err != nil && r.writeErr == nil {
		r.writeErr = err
	}
}

// quoted is v in JSON, on one line without logging commands.
func quoted(v any) string {
	text, _ := json.Marshal(v) // strings
	return string(sanitize.JSON(text))
}
