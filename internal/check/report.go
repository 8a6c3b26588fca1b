// Package check tries each step on the way to a PAT or an Entra token and reports on
// it. For the first step that failed it says what to do.
//
// A report can be sent to support: it contains ids and names, which it warns about, but
// no credential.
package check

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"azdo-pat/internal/sanitize"
)

// Mark is the result of a step.
type Mark int

// The marks.
const (
	Untried Mark = iota
	Tick
	Cross
)

func (m Mark) String() string { return []string{Untried: "–", Tick: "✓", Cross: "✗"}[m] }

// Row is one step.
type Row struct {
	Name string // stable: small letters and hyphens
	Mark Mark
	Seen string // what was seen, or why it was not tried
	Took time.Duration
	// Fix is what to do about a cross: words and commands, line by line.
	Fix string
}

// Pass is for a step that succeeded.
func (r *Row) Pass(format string, args ...any) { r.Mark, r.Seen = Tick, fmt.Sprintf(format, args...) }

// Fail is for a step that went wrong; fix says what to do.
func (r *Row) Fail(fix, format string, args ...any) {
	if fix == "" {
		fix = "this may pass: run check again; if it stays, see whether this machine may reach the host (firewall, proxy), and how the service is"
	}
	r.Mark, r.Seen, r.Fix = Cross, fmt.Sprintf(format, args...), fix
}

// Skip is for a step that was not tried, or need not be.
func (r *Row) Skip(format string, args ...any) {
	r.Mark, r.Seen = Untried, fmt.Sprintf(format, args...)
}

// Finding is an answer to a question that Microsoft does not document.
type Finding struct {
	Name     string // stable, as that of a row
	Question string
	Answered bool
	Text     string
}

// Report is the result of a check.
type Report struct {
	Version, Commit string
	OS, Arch        string
	Platform        string // such as "GitHub Actions"
	Identity        string // its kind
	Organization    string
	Rows            []*Row
	Warnings        []Warning
	// Findings are an agent user's.
	Findings []Finding
}

// Add adds a row for a step that has not been tried yet.
func (r *Report) Add(name string) *Row {
	row := &Row{Name: name, Seen: "not tried"}
	r.Rows = append(r.Rows, row)
	return row
}

// FirstCross is the first step that failed, or nil.
func (r *Report) FirstCross() *Row {
	for _, row := range r.Rows {
		if row.Mark == Cross {
			return row
		}
	}
	return nil
}

// Verdict sums up all rows in one line.
func (r *Report) Verdict() string {
	if first := r.FirstCross(); first != nil {
		return first.Name + " failed"
	}
	return "everything is in order: every step up to the mint succeeded"
}

// Clean applies f to every text of the report.
func (r *Report) Clean(f func(string) string) {
	for _, text := range []*string{&r.Platform, &r.Identity, &r.Organization} {
		*text = f(*text)
	}
	for _, row := range r.Rows {
		fix := row.Fix
		row.Seen, row.Fix = f(row.Seen), f(fix)
		if row.Fix != fix {
			row.Fix += "\n\n(*** stands for what equals or looks like a credential: put it in yourself)"
		}
	}
	for i := range r.Warnings {
		w := &r.Warnings[i]
		w.Text, w.Fix = f(w.Text), f(w.Fix)
	}
	for i := range r.Findings {
		r.Findings[i].Text = f(r.Findings[i].Text)
	}
}

// ids says what the report contains, before the user shares it.
const ids = `This report holds no credential. It holds ids and names: of organization, tenant,
applications and users, what the job's assertion says (repository, branch, workflow),
hosts and addresses. Take out what you do not want to show.`

const send = `No documentation answers these. Please send this report, whatever it says: open an
issue at the project's repository and paste it between two lines of three backquotes.`

// Text is the report for people: a line a row.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "azdo-pat %s (%s), %s/%s, %s\ncheck of %s as %s\n\n",
		r.Version, r.Commit, r.OS, r.Arch, r.Platform, cmp.Or(r.Organization, "no organization"), cmp.Or(r.Identity, "no identity"))
	width := 0
	for _, row := range r.Rows {
		width = max(width, utf8.RuneCountInString(row.Name))
	}
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "%s %-*s  %s", row.Mark, width, row.Name, oneLine(row.Seen))
		if row.Took > 0 {
			fmt.Fprintf(&b, " (%d ms)", row.Took.Milliseconds())
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "\nVerdict: %s\n", r.Verdict())
	if first := r.FirstCross(); first != nil && first.Fix != "" {
		fmt.Fprintf(&b, "\nWhat to do about %s:\n%s", first.Name, indented(first.Fix))
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "\nWarning: %s\n%s", oneLine(w.Text), indented(w.Fix))
	}
	if len(r.Findings) > 0 {
		b.WriteString("\nWhat Microsoft does not document about agent users:\n")
		for _, f := range r.Findings {
			fmt.Fprintf(&b, "  %s? %s\n", f.Question, oneLine(f.Text))
		}
		b.WriteString(send + "\n")
	}
	b.WriteString("\n" + ids + "\n")
	return b.String()
}

// Markdown is the report as a block of code, which nothing in it can end.
func (r *Report) Markdown() string {
	text := r.Text()
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fmt.Sprintf("### azdo-pat check: %s\n\n%stext\n%s%s\n", r.Verdict(), fence, text, fence)
}

// JSON is the report as one object on one line, which cannot hold a logging
// command.
func (r *Report) JSON() ([]byte, error) {
	type row struct {
		Name string `json:"name"`
		OK   *bool  `json:"ok"` // null: not tried
		Seen string `json:"seen"`
		Took int64  `json:"took-ms"`
		Fix  string `json:"fix"`
	}
	type warning struct {
		Name string `json:"name"`
		Text string `json:"text"`
		Fix  string `json:"fix"`
	}
	type finding struct {
		Name     string `json:"name"`
		Question string `json:"question"`
		Answered bool   `json:"answered"`
		Text     string `json:"text"`
	}
	report := struct {
		OK           bool      `json:"ok"`
		FirstCross   string    `json:"first-cross"` // empty: none
		Verdict      string    `json:"verdict"`
		Version      string    `json:"version"`
		Commit       string    `json:"commit"`
		OS           string    `json:"os"`
		Arch         string    `json:"arch"`
		Platform     string    `json:"platform"`
		Identity     string    `json:"identity"`
		Organization string    `json:"organization"`
		Rows         []row     `json:"rows"`
		Warnings     []warning `json:"warnings"`
		Findings     []finding `json:"findings"`
		Holds        string    `json:"holds"`
	}{
		OK: true, Verdict: r.Verdict(), Version: r.Version, Commit: r.Commit, OS: r.OS, Arch: r.Arch,
		Platform: r.Platform, Identity: r.Identity, Organization: r.Organization,
		Holds: oneLine(ids), Rows: []row{}, Warnings: []warning{}, Findings: []finding{},
	}
	if first := r.FirstCross(); first != nil {
		report.OK, report.FirstCross = false, first.Name
	}
	for _, in := range r.Rows {
		out := row{Name: in.Name, Seen: in.Seen, Took: in.Took.Milliseconds(), Fix: in.Fix}
		if in.Mark != Untried {
			ok := in.Mark == Tick
			out.OK = &ok
		}
		report.Rows = append(report.Rows, out)
	}
	for _, w := range r.Warnings {
		report.Warnings = append(report.Warnings, warning(w))
	}
	for _, f := range r.Findings {
		report.Findings = append(report.Findings, finding(f))
	}
	line, err := json.Marshal(report)
	return sanitize.JSON(line), err
}

// oneLine makes one line of several. Within a line, spaces are left alone: they
// can be part of a value.
func oneLine(text string) string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " ")
}

func indented(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(strings.TrimRight("  "+line, " ") + "\n")
	}
	return b.String()
}
