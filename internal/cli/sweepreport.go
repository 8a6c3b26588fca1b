package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/sweep"
	"azdo-pat/internal/timefmt"
)

// sweepReport reports a sweep while it runs, as a table or as one JSON object. It
// keeps only a few rows, for the job's summary.
type sweepReport struct {
	report
	begun       bool           // the sweep has signed in
	hasHead     bool           // the head of the table was written
	rows        int            // so far
	summaryRows []sweep.Result // the first rows, for the summary
}

// newSweepReport makes the report. A reader that closes standard output early is no error
// for a dry run, which only prints; otherwise it is, because what was revoked must be
// reported.
func newSweepReport(l *loaded) *sweepReport {
	if l.Settings.DryRun {
		return &sweepReport{report: l.newReport(l.app.out)}
	}
	return &sweepReport{report: l.newReport(l.Stdout)}
}

// row is a row of the table. Only the last column has no fixed width, so that a row
// can be written before the next one is known.
const row = "%-12s  %-36s  %-9s  %-14s  %s"

// begin is called after the sign-in. Before that, there is nothing to report.
func (r *sweepReport) begin() {
	r.begun = true
	if r.json() {
		r.write(`{"organization":` + quoted(r.settings.Organization) + `,"dry-run":` + fmt.Sprint(r.settings.DryRun) + `,"leases":[`)
	}
}

// add reports one lease.
func (r *sweepReport) add(s sweep.Result) {
	if s.Outcome == sweep.Failed {
		r.log.Warning("azdo-pat sweep: not revoked", fmt.Sprintf("%s: %s", r.log.Redact(s.Name), ci.Explain(s.Err)))
	}
	r.rows++
	if len(r.summaryRows) < maxSummaryRows {
		r.summaryRows = append(r.summaryRows, s)
	}
	if r.json() {
		r.item(r.object(s))
		return
	}
	if !r.hasHead {
		r.line(bold, fmt.Sprintf(row, "OUTCOME", "ID", "AGE", "WHY", "NAME"))
		r.hasHead = true
	}
	r.line(outcomeColors[s.Outcome], fmt.Sprintf(row, s.Outcome, sanitize.Line(s.ID, 100), age(s), r.why(s), s.Name))
}

var outcomeColors = map[sweep.Outcome]color{sweep.Revoked: green, sweep.WouldRevoke: bold, sweep.HadEnded: dim, sweep.Failed: red}

// object is a result for JSON.
func (r *sweepReport) object(s sweep.Result) any {
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
		o.ValidFrom = timefmt.Time(s.ValidFrom)
	}
	if s.Err != nil {
		o.Error = r.log.Redact(s.Err.Error())
	}
	return o
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
	if r.json() {
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
		fmt.Fprintf(&b, "\n**The sweep did not finish**: the log says why.\n")
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
	younger := "younger than " + timefmt.Duration(s.OlderThan)
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
		return "older than " + timefmt.Duration(r.settings.OlderThan)
	}
	return string(s.Reason)
}

// age is the age of a lease for people.
func age(s sweep.Result) string {
	if !s.AgeKnown {
		return "unknown"
	}
	return timefmt.Rough(s.Age)
}

// hyphenated turns a text of the table into a value for JSON: "would revoke" into
// "would-revoke".
func hyphenated(text string) string { return strings.ReplaceAll(text, " ", "-") }
