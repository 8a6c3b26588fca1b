package cli

import (
	"fmt"
	"strings"
	"time"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/job"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/signin"
	"azdo-pat/internal/timefmt"
)

// mintSummary is the table for the job's summary, without the PAT itself.
func mintSummary(l *loaded, minted *lease.Lease) string {
	s, t, r := l.Settings, minted.Token, minted.Record
	end := "revoked when the job ends"
	if l.platform.Info().Cleanup == ci.RevokeStep {
		end = "revoked by the step that runs azdo-pat revoke"
	}
	if s.SkipRevoke {
		end = "not revoked, since skip-revoke is set"
	}
	return summaryTable("Azure DevOps PAT minted", [][2]string{
		{"Organization", s.Organization},
		{"Identity", signin.Describe(s)},
		{"Scopes", strings.Join(t.Scopes, " ")},
		{"Lifetime", lifeSpan(t.ValidTo.Sub(r.ServerTime(time.Now())), t.ValidTo) + "; " + end},
		{"Name", r.Name},
		{"Id", t.ID},
	}) + fmt.Sprintf("\n[The user's tokens](%s)\n", job.TokenPage(s.Organization))
}

// summaryTable is a heading and a table of names and values. It has no row for an empty
// value.
func summaryTable(title string, rows [][2]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n| | |\n|---|---|\n", title)
	for _, row := range rows {
		if row[1] != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", row[0], cell(row[1]))
		}
	}
	return b.String()
}

// lifeSpan says how long a token is still valid, and until when.
func lifeSpan(left time.Duration, until time.Time) string {
	return timefmt.Duration(left.Round(time.Minute)) + ", until " + timefmt.Time(until)
}

// revokeSummary lists the PATs that were revoked.
func revokeSummary(organization string, r *job.Released) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### Azure DevOps PAT revoked\n\n")
	for _, p := range r.PATs {
		fmt.Fprintf(&b, "- %s in %s%s\n", code(p.ID), code(organization), lifetimeNote(p, r))
	}
	return b.String()
}

// cell is a text in a cell of a Markdown table, as code. It has no "|", which would end
// the cell even inside code.
func cell(text string) string { return code(strings.ReplaceAll(text, "|", "¦")) }

// code is a text as Markdown code, so that nothing in it is a link, a mention or markup.
// In HTML's <code>, GitHub would still make links of www.… and of e-mail addresses.
func code(text string) string {
	text = sanitize.Line(text, 600)
	if text == "" {
		return ""
	}
	longest, run := 0, 0 // of backticks in a row
	for _, r := range text {
		run++
		if r != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") {
		text = " " + text + " " // Markdown takes these away
	}
	fence := strings.Repeat("`", longest+1)
	return fence + text + fence
}
