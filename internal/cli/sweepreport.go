package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/sweep"
)

// sweepReport reports a sweep while it runs, as a table or as one JSON object. It
// keeps only a few rows, for the job's summary.
type sweepReport struct {
	settings *settings.Settings
	log      *ci.Log
	inLog    bool      // the table goes to the log, since standard output is the log
	out      io.Writer // standard output
	summary  func(markdown string)
	paint    func(color, string) string

	begun       bool           // the sweep has signed in
	hasHead     bool           // the head of the table was written
	rows        int            // so far
	summaryRows []sweep.Result // the first rows, for the summary
	writeErr    error
}

// newSweepReport writes to standard output. A dry run only prints, so that a reader that
// closes early is no error; what was revoked must be reported.
func newSweepReport(l *loaded) *sweepReport {
	r := &sweepReport{
		settings: l.Settings, log: l.platform.Log(), inLog: l.platform.Info().CI,
		out: l.Stdout, summary: l.app.summary, paint: l.paint,
	}
	if l.Settings.DryRun {
		r.out = l.app.out
	}
	return r
}

// maxSummaryRows is how many leases a summary shows: it can have 1 MiB.
const maxSummaryRows = 100

// row is a row of the table. Only the last column has no fixed width, so that a row
// can be written before the next one is known.
const row = "%-12s  %-36s  %-9s  %-14s  %s"

// begin is called after the sign-in. Before that, there is nothing to report.
func (r *sweepReport) begin() {
	r.begun = true
	if r.settings.Output == settings.JSON {
		r.write(`{"organization":` + quoted(r.settings.Organization) + `,"dry-run":` + fmt.Sprint(r.settings.DryRun) + `,"leases":[`)
	}
}

// add reports one lease.
func (r *sweepReport) add(s sweep.Result) {
	if s.Outcome == sweep.Failed {
		r.log.Warning("azdo-pat sweep: not revoked", fmt.Sprintf("%s: %s", r.log.Redact(s.Name), ci.Explain(s.Err)))
	}
	if len(r.summaryRows) < maxSummaryRows {
		r.summaryRows = append(r.summaryRows, s)
	}
	r.rows++
	if r.settings.Output == settings.JSON {
		separator := ",\n"
		if r.rows == 1 {
			separator = "\n"
		}
		r.write(separator + r.object(s))
		return
	}
	if !r.hasHead {
		r.line(bold, fmt.Sprintf(row, "OUTCOME", "ID", "AGE", "WHY", "NAME"))
		r.hasHead = true
	}
	r.line(outcomeColors[s.Outcome], fmt.Sprintf(row, s.Outcome, sanitize.Line(s.ID, 100), age(s), r.why(s), s.Name))
}

var outcomeColors = map[sweep.Outcome]color{sweep.Revoked: green, sweep.WouldRevoke: bold, sweep.HadEnded: dim, sweep.Failed: red}

// line writes a line of the table. The color is for a terminal.
func (r *sweepReport) line(c color, text string) {
	if r.inLog {
		r.log.Infof("%s", text)
		return
	}
	r.write(r.paint(c, sanitize.NoCommands(r.log.Redact(text))) + "\n")
}

func (r *sweepReport) write(text string) {
	if _, err := io.WriteString(r.out, text); err != nil && r.writeErr == nil {
		r.writeErr = err
	}
}

// object is a result in JSON.
func (r *sweepReport) object(s sweep.Result) string {
	o := struct {
		Outcome         string `json:"outcome"`
		AuthorizationID string `json:"authorization-id"`
		DisplayName     string `json:"display-name"`
		ValidFrom       string `json:"valid-from,omitempty"`
		Reason          string `json:"reason"`
		Error           string `json:"error,omitempty"`
	}{
		Outcome: hyphenated(string(s.Outcome)), AuthorizationID: s.ID, DisplayName: r.log.Redact(s.Name), Reason: hyphenated(string(s.Reason)),
	}
	if !s.ValidFrom.IsZero() {
		o.ValidFrom = stamp(s.ValidFrom)
	}
	if s.Err != nil {
		o.Error = r.log.Redact(s.Err.Error())
	}
	return quoted(o)
}

// conclude logs the counts.
func (r *sweepReport) conclude(t sweep.Counts) {
	r.log.Infof("%s", t)
	if why := whyKept(t, r.settings); why != "" {
		r.log.Infof("kept: %s", why)
	}
}

// close ends the report and writes the summary.
func (r *sweepReport) close(t sweep.Counts, complete bool) {
	if !r.begun {
		return
	}
	if r.settings.Output == settings.JSON {
		counts, _ := json.Marshal(struct {
			Revoked     int  `json:"revoked"`
			WouldRevoke int  `json:"would-revoke"`
			HadEnded    int  `json:"had-ended"`
			Failed      int  `json:"failed"`
			Left        int  `json:"left"`
			Kept        int  `json:"kept"`
			Foreign     int  `json:"foreign"`
			Complete    bool `json:"complete"`
		}{t.Revoked, t.WouldRevoke, t.HadEnded, t.Failed, t.NotReached, t.Kept(), t.Foreign, complete})
		r.write("\n]," + string(counts[1:]) + "\n")
	}
	r.summary(r.markdown(t, complete))
}

// markdown is the report for the job's summary.
func (r *sweepReport) markdown(t sweep.Counts, complete bool) string {
	var b strings.Builder
	title := "Azure DevOps PATs swept"
	if r.settings.DryRun {
		title += " (dry run)"
	}
	fmt.Fprintf(&b, "### %s\n\n%s: %s.\n", title, code(r.settings.Organization), t)
	if !complete {
		fmt.Fprintf(&b, "\n**Not everything was done**: see the log for the reason.\n")
	}
	if len(r.summaryRows) > 0 {
		fmt.Fprintf(&b, "\n| | name | id | age | why |\n|---|---|---|---|---|\n")
	}
	for _, s := range r.summaryRows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", s.Outcome, cell(s.Name), cell(s.ID), age(s), r.why(s))
	}
	if more := r.rows - len(r.summaryRows); more > 0 {
		fmt.Fprintf(&b, "\n%d more are in the log.\n", more)
	}
	return b.String()
}

// whyKept says how many leases were not revoked, for each reason; empty: none.
func whyKept(t sweep.Counts, s *settings.Settings) string {
	younger := "younger than " + settings.FormatDuration(s.OlderThan)
	var reasons []string
	add := func(n int, reason string) {
		if n > 0 {
			reasons = append(reasons, fmt.Sprintf("%d %s", n, reason))
		}
	}
	add(t.Young, younger)
	add(t.Running, "of runs that have not completed")
	add(t.Hidden, younger+", of runs that GitHub does not show to this token")
	add(t.Unanswered, younger+", of runs about which GitHub gave no answer")
	add(t.OtherRepository, "not of "+s.Repository)
	add(t.UnknownAge, "of unknown age")
	return strings.Join(reasons, "; ")
}

func (r *sweepReport) why(s sweep.Result) string {
	if s.Reason == sweep.TooOld {
		return "older than " + settings.FormatDuration(r.settings.OlderThan)
	}
	return string(s.Reason)
}

// age is the age of a lease, to the second.
func age(s sweep.Result) string {
	if !s.AgeKnown {
		return "unknown"
	}
	return settings.FormatDuration(s.Age.Round(time.Second))
}

// hyphenated makes a value for JSON of a text in the table: "would revoke" becomes
// "would-revoke".
func hyphenated(text string) string { return strings.ReplaceAll(text, " ", "-") }

// quoted is v in JSON, on one line without logging commands.
func quoted(v any) string {
	text, _ := json.Marshal(v) // strings
	return string(sanitize.JSON(text))
}
