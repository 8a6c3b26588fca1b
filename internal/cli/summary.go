package cli

import (
	"fmt"
	"strings"
	"time"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
)

// mintSummary is the table for the job's summary, without the PAT itself.
func (c *app) mintSummary(s *settings.Settings, l *lease.Lease) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### Azure DevOps PAT minted\n\n| | |\n|---|---|\n")
	end := "revoked when the job ends"
	if c.platform.Info().Cleanup == ci.RevokeStep {
		end = "revoked by the step that runs azdo-pat revoke"
	}
	if s.SkipRevoke {
		end = "not revoked, since skip-revoke is set"
	}
	for _, row := range [][2]string{
		{"Organization", s.Organization},
		{"Identity", signin.Describe(s)},
		{"Scopes", strings.Join(l.Token.Scopes, " ")},
		{"Lifetime", fmt.Sprintf("%s, until %s; %s", minutes(l.Token.ValidTo.Sub(l.Record.ServerTime(c.Now()))), stamp(l.Token.ValidTo), end)},
		{"Name", l.Record.Name},
		{"Id", l.Token.ID},
	} {
		fmt.Fprintf(&b, "| %s | %s |\n", row[0], cell(row[1]))
	}
	fmt.Fprintf(&b, "\n[The user's tokens](%s)\n", tokenPage(s.Organization))
	return b.String()
}

// revokeSummary lists the PATs that the post step revoked.
func revokeSummary(s *settings.Settings, ended []lease.Revoked, server time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### Azure DevOps PAT revoked\n\n")
	for _, e := range ended {
		fmt.Fprintf(&b, "- %s in %s%s\n", code(e.ID), code(s.Organization), lived(e, server))
	}
	return b.String()
}

// lived describes how long a PAT was valid; empty: unknown.
func lived(e lease.Revoked, server time.Time) string {
	switch {
	case e.Gone:
		return ": had ended before"
	case e.ValidFrom.IsZero() || server.Before(e.ValidFrom):
		return ""
	}
	return ": lived " + span(server.Sub(e.ValidFrom))
}

// minutes is a lifetime for people.
func minutes(d time.Duration) string {
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

// span is a duration for people, to the second.
func span(d time.Duration) string { return d.Round(time.Second).String() }

// cell is a text in a cell of a Markdown table, as code. A "|" would end the cell,
// inside of code too.
func cell(text string) string { return code(strings.ReplaceAll(text, "|", "¦")) }

// code is a text as Markdown code, in which nothing is a link, a mention or markup.
// In HTML's <code> GitHub would still make links of www.… and of e-mail addresses.
func code(text string) string {
	text = sanitize.Line(text, 600)
	if text == "" {
		return ""
	}
	longest, run := 0, 0 // of backticks in a row
	for _, r := range text {
		if run++; r != '`' {
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
