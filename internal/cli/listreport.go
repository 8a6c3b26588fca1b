package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"azdo-pat/internal/audit"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/timefmt"
)

// listReport reports the PATs of a user: in JSON in the order of the list, while it is
// read, or at the end as a table, the worst first. The job's summary has the worst.
type listReport struct {
	report
	rules []settings.Rule
	worst *audit.Worst
}

const (
	// maxTableRows is how many PATs the table shows, which limits the memory. JSON has all
	// of them.
	maxTableRows = 10_000
	// The longest text of a cell, in characters.
	maxNameCell, maxScopesCell = 300, 300
)

func newListReport(l *loaded, rules []settings.Rule) *listReport {
	r := &listReport{report: l.newReport(l.out), rules: rules, worst: audit.NewWorst(maxTableRows)}
	if r.json() {
		r.worst = audit.NewWorst(maxSummaryRows)
	}
	return r
}

// begin is called after the sign-in. Before that, there is nothing to report.
func (r *listReport) begin() {
	if r.json() {
		r.write(`{"organization":` + quoted(r.settings.Organization) + `,"pats":[`)
	}
}

// add reports one PAT.
func (r *listReport) add(p audit.PAT) {
	p.ID, p.Name = r.log.Redact(p.ID), r.log.Redact(p.Name)
	for i, scope := range p.Scopes {
		p.Scopes[i] = r.log.Redact(scope)
	}
	if r.json() {
		r.item(object(p))
	}
	// The texts of a server must not decide how much memory is used.
	p.ID, p.Name = sanitize.Line(p.ID, 40), sanitize.Line(p.Name, maxNameCell)
	p.Scopes = []string{sanitize.Line(strings.Join(p.Scopes, " "), maxScopesCell)}
	p.Repository, p.RunID = "", "" // parts of the server's text
	r.worst.Add(p)
}

// object is a PAT for JSON. Every key is always there.
func object(p audit.PAT) any {
	o := struct {
		AuthorizationID string   `json:"authorization-id"`
		DisplayName     string   `json:"display-name"`
		Scopes          []string `json:"scopes"`
		ValidFrom       string   `json:"valid-from"`
		ValidTo         string   `json:"valid-to"`
		Kind            string   `json:"kind"`
		Repository      string   `json:"repository"`
		RunID           string   `json:"run-id"`
		Findings        []string `json:"findings"`
	}{
		AuthorizationID: p.ID, DisplayName: p.Name, Scopes: p.Scopes, Kind: string(p.Kind),
		Repository: p.Repository, RunID: p.RunID, Findings: p.Findings,
	}
	if !p.ValidFrom.IsZero() {
		o.ValidFrom = timefmt.Time(p.ValidFrom)
	}
	if !p.ValidTo.IsZero() {
		o.ValidTo = timefmt.Time(p.ValidTo)
	}
	if o.Scopes == nil {
		o.Scopes = []string{}
	}
	if o.Findings == nil {
		o.Findings = []string{}
	}
	return o
}

// close ends the report and writes the summary.
func (r *listReport) close(result audit.Result) {
	// failed names rules of fail-on only, and is never null.
	failed := []string{}
	if r.settings.Rules != nil {
		failed = foundRules(result, r.rules)
	}
	kept, more := r.worst.PATs()
	if r.json() {
		r.write("\n],\"failed\":" + quoted(failed) + fmt.Sprintf(",\"complete\":%t}\n", result.Complete))
	} else {
		r.table(kept, more)
	}
	r.log.Infof("%s", r.counts(result))
	r.summary(r.markdown(kept, more, result, failed))
}

// counts says what was found.
func (r *listReport) counts(result audit.Result) string {
	text := pats(result.PATs)
	if !result.Complete {
		text = "not all PATs were listed: " + text
	}
	if counted := countedRules(result, r.rules); len(counted) > 0 {
		return text + ": " + strings.Join(counted, ", ")
	}
	return text + ", and no rule applies to any"
}

// cells are the cells of a PAT's row in the table.
func cells(p audit.PAT) [6]string {
	findings, end := strings.Join(p.Findings, " "), "unknown"
	if findings == "" {
		findings = "-"
	}
	if !p.ValidTo.IsZero() {
		end = timefmt.Time(p.ValidTo)
	}
	return [6]string{findings, string(p.Kind), end, p.ID, strings.Join(p.Scopes, " "), p.Name}
}

// table writes the PATs as a table.
func (r *listReport) table(kept []audit.PAT, more int) {
	if len(kept) == 0 {
		return
	}
	head := [6]string{"FOUND", "KIND", "ENDS", "ID", "SCOPES", "NAME"}
	var width [6]int
	const widest = 40 // a longer cell shifts the rest of its row
	for i, text := range head {
		width[i] = len(text)
	}
	for _, p := range kept {
		for i, text := range cells(p) {
			width[i] = max(width[i], min(widest, utf8.RuneCountInString(text)))
		}
	}
	line := func(c color, row [6]string) {
		var b strings.Builder
		for i, text := range row {
			if i == len(row)-1 {
				b.WriteString(text)
				break
			}
			fmt.Fprintf(&b, "%-*s  ", width[i], text)
		}
		r.line(c, b.String())
	}
	line(bold, head)
	for _, p := range kept {
		c := plain
		if len(p.Findings) > 0 {
			c = red
		}
		line(c, cells(p))
	}
	if more > 0 {
		r.line(plain, fmt.Sprintf("%d more are not shown; --output json lists all", more))
	}
}

// markdown is the report for the job's summary.
func (r *listReport) markdown(kept []audit.PAT, more int, result audit.Result, failed []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### Azure DevOps PATs of the account\n\n%s: %s.\n", code(r.settings.Organization), r.counts(result))
	if !result.Complete {
		fmt.Fprintf(&b, "\n**Not every PAT was listed**: the log says why.\n")
	}
	if len(failed) > 0 {
		fmt.Fprintf(&b, "\n**Failed**: %s\n", code(strings.Join(failed, " ")))
	}
	if len(kept) > maxSummaryRows {
		more += len(kept) - maxSummaryRows
		kept = kept[:maxSummaryRows]
	}
	if len(kept) > 0 {
		fmt.Fprintf(&b, "\n| found | kind | ends | id | scopes | name |\n|---|---|---|---|---|---|\n")
	}
	for _, p := range kept {
		c := cells(p)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", cell(c[0]), c[1], c[2], cell(c[3]), cell(c[4]), cell(c[5]))
	}
	if more > 0 {
		where := "in the log"
		if r.json() {
			where = "on standard output"
		}
		fmt.Fprintf(&b, "\n%d more are %s.\n", more, where)
	}
	return b.String()
}
