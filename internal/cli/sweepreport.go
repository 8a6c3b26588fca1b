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

// sweepReport tells what a sweep does, while it does it: a table, where standard
// output is not the log, or an object of JSON. Nothing of it is kept but a few
// rows for the summary.
type sweepReport struct {
	call     *app
	settings *settings.Settings

	begun  bool          // there is something to report
	open   bool          // the table has a head
	rows   int           // so far
	shown  []sweep.Swept // in the summary
	failed error         // to write
}

// summaryRows is how many leases a summary shows at most: it may have 1 MiB.
const summaryRows = 100

// row is the table's. The last column has no bound, so that the others line up
// without a look at all rows.
const row = "%-12s  %-36s  %-9s  %-14s  %s"

// begin is called when the sweep has signed in: before that, there is nothing to
// report.
func (r *sweepReport) begin() {
	r.begun = true
	if r.settings.Output == settings.JSON {
		r.write(`{"organization":` + quoted(r.settings.Organization) + `,"dry-run":` + fmt.Sprint(r.settings.DryRun) + `,"leases":[`)
	}
}

// add reports one lease.
func (r *sweepReport) add(s sweep.Swept) {
	log := r.call.platform.Log()
	if s.Outcome == sweep.NotReleased {
		log.Warning("azdo-pat sweep: not revoked", fmt.Sprintf("%s: %s", log.Scrub(s.Name), ci.Explain(s.Err)))
	}
	if len(r.shown) < summaryRows {
		r.shown = append(r.shown, s)
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
	if !r.open {
		r.line(fmt.Sprintf(row, "OUTCOME", "ID", "AGE", "WHY", "NAME"))
		r.open = true
	}
	r.line(fmt.Sprintf(row, s.Outcome, sanitize.Line(s.ID, 100), age(s), r.why(s), s.Name))
}

// line writes a line of the table. In a CI system standard output is the log.
func (r *sweepReport) line(text string) {
	log := r.call.platform.Log()
	if !r.call.platform.Info().CI {
		r.write(sanitize.NoCommands(log.Scrub(text)) + "\n")
		return
	}
	log.Infof("%s", text)
}

// write writes to standard output. A dry run only prints, so that a reader that
// closes early is no error; what was revoked must be reported.
func (r *sweepReport) write(text string) {
	var w io.Writer = r.call.Stdout
	if r.settings.DryRun {
		w = &r.call.out
	}
	if _, err := io.WriteString(w, text); err != nil && r.failed == nil {
		r.failed = err
	}
}

// object is a lease in JSON.
func (r *sweepReport) object(s sweep.Swept) string {
	o := struct {
		Outcome         string `json:"outcome"`
		AuthorizationID string `json:"authorization-id"`
		DisplayName     string `json:"display-name"`
		ValidFrom       string `json:"valid-from,omitempty"`
		Reason          string `json:"reason"`
		Error           string `json:"error,omitempty"`
	}{
		Outcome: slug(string(s.Outcome)), AuthorizationID: s.ID, DisplayName: r.call.platform.Log().Scrub(s.Name), Reason: slug(string(s.Reason)),
	}
	if !s.ValidFrom.IsZero() {
		o.ValidFrom = stamp(s.ValidFrom)
	}
	if s.Err != nil {
		o.Error = r.call.platform.Log().Scrub(s.Err.Error())
	}
	return quoted(o)
}

// conclude says how much was done.
func (r *sweepReport) conclude(t sweep.Counts) {
	log := r.call.platform.Log()
	log.Infof("%s", t)
	if why := kept(t, r.settings); why != "" {
		log.Infof("kept: %s", why)
	}
}

// close ends what begin has begun, and writes the summary.
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
		}{t.Released, t.WouldBe, t.EndedBefore, t.NotReleased, t.Left, t.Kept(), t.Foreign, complete})
		r.write("\n]," + string(counts[1:]) + "\n")
	}
	if err := r.call.platform.Summary(r.summary(t, complete)); err != nil {
		r.call.platform.Log().Warning("no summary", err.Error())
	}
}

// summary is the Markdown for the job's summary.
func (r *sweepReport) summary(t sweep.Counts, complete bool) string {
	var b strings.Builder
	title := "Azure DevOps PATs swept"
	if r.settings.DryRun {
		title += " (dry run)"
	}
	fmt.Fprintf(&b, "### %s\n\n%s: %s.\n", title, code(r.settings.Organization), t)
	if !complete {
		fmt.Fprintf(&b, "\n**Not everything was done**: the log says why.\n")
	}
	if len(r.shown) > 0 {
		fmt.Fprintf(&b, "\n| | name | id | age | why |\n|---|---|---|---|---|\n")
	}
	for _, s := range r.shown {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", s.Outcome, cell(s.Name), cell(s.ID), age(s), r.why(s))
	}
	if more := r.rows - len(r.shown); more > 0 {
		fmt.Fprintf(&b, "\nand %d more, which the log shows.\n", more)
	}
	return b.String()
}

func (r *sweepReport) why(s sweep.Swept) string {
	if s.Reason == sweep.Old {
		return "older than " + brief(r.settings.OlderThan)
	}
	return string(s.Reason)
}

// age is the age of a lease, to the minute.
func age(s sweep.Swept) string {
	if !s.AgeKnown {
		return "not known"
	}
	return brief(s.Age.Round(1e9))
}

// brief is a duration without zeros at its end, such as 6h or 1h30m.
func brief(d time.Duration) string {
	text := d.String()
	if before, ok := strings.CutSuffix(text, "m0s"); ok {
		text = before + "m"
	}
	if before, ok := strings.CutSuffix(text, "h0m"); ok {
		text = before + "h"
	}
	return text
}

// slug is a word of the table as JSON has it.
func slug(text string) string { return strings.ReplaceAll(text, " ", "-") }

// quoted is v in JSON, in one line that cannot hold a logging command.
func quoted(v any) string {
	text, _ := json.Marshal(v) // strings
	return string(sanitize.JSON(text))
}
