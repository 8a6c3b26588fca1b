package check

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// failed is a report with a row of each kind.
func failed() *Report {
	r := &Report{
		Version: "v1.2.3", Commit: "0123456", OS: "linux", Arch: "arm64",
		Platform: "GitHub Actions", Identity: "agent user", Organization: "contoso",
		Warnings: []Warning{{"issuer-ends", "the issuer\nends", "1. update\n2. add"}},
		Findings: []Finding{{"issuer-on-blueprint", "does it", true, "yes: it does"}, {"may-mint", "may it", false, "not answered:\nnothing was minted"}},
	}
	r.Add("settings").Pass("%s (%s)", "organization", "input")
	row := r.Add("exchange-blueprint")
	row.Fail("do this:\n\naz ad app", "AADSTS%d", 70025)
	row.Took = 45*time.Millisecond + 400*time.Microsecond
	r.Add("azure-devops").Fail("never shown", "one\nline")
	r.Add("scopes")
	r.Add("clock").Skip("no %s", "time")
	return r
}

func TestText(t *testing.T) {
	t.Parallel()
	want := `azdo-pat v1.2.3 (0123456), linux/arm64, GitHub Actions
check of contoso as agent user

✓ settings            organization (input)
✗ exchange-blueprint  AADSTS70025 (45 ms)
✗ azure-devops        one line
– scopes              not tried
– clock               no time

Verdict: exchange-blueprint failed

What to do about exchange-blueprint:
  do this:

  az ad app

Warning: the issuer ends
  1. update
  2. add

What Microsoft does not document about agent users:
  does it? yes: it does
  may it? not answered: nothing was minted
` + send + "\n\n" + ids + "\n"
	if diff := cmp.Diff(want, failed().Text()); diff != "" {
		t.Error(diff)
	}
}

// A report without a failure proposes nothing, and names what is unknown.
func TestTextWithoutACross(t *testing.T) {
	t.Parallel()
	r := &Report{Version: "dev", Commit: "unknown", OS: "windows", Arch: "amd64", Platform: "terminal"}
	r.Add("settings").Pass("fine")
	want := "azdo-pat dev (unknown), windows/amd64, terminal\ncheck of no organization as no identity\n\n✓ settings  fine\n\nVerdict: everything is in order: every step up to the mint succeeded\n\n" + ids + "\n"
	if diff := cmp.Diff(want, r.Text()); diff != "" {
		t.Error(diff)
	}
	if got := r.Markdown(); !strings.HasPrefix(got, "### azdo-pat check: everything is in order: every step up to the mint succeeded\n\n```text\nazdo-pat dev") || r.FirstCross() != nil {
		t.Errorf("got %s", got)
	}
}

// Nothing in a report ends the block that it is in.
func TestMarkdown(t *testing.T) {
	t.Parallel()
	r := failed()
	r.Add("assertion").Pass("subject ```` and <b>, ``` too")
	got := r.Markdown()
	if !strings.HasPrefix(got, "### azdo-pat check: exchange-blueprint failed\n\n`````text\n") || !strings.HasSuffix(got, "\n`````\n") || strings.Count(got, "`````") != 2 {
		t.Errorf("got %s", got)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	r := failed()
	r.Add("hostile").Pass("##[error]x\n::error::y")
	line, err := r.JSON()
	if err != nil || strings.ContainsAny(string(line), "\n") || strings.Contains(string(line), "##") {
		t.Fatalf("%s, %v", line, err)
	}
	var got map[string]any
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	row := func(name string, ok any, seen string, took float64, fix string) any {
		return map[string]any{"name": name, "ok": ok, "seen": seen, "took-ms": took, "fix": fix}
	}
	want := map[string]any{
		"ok": false, "first-cross": "exchange-blueprint", "verdict": "exchange-blueprint failed", "version": "v1.2.3", "commit": "0123456", "os": "linux", "arch": "arm64",
		"platform": "GitHub Actions", "identity": "agent user", "organization": "contoso", "holds": got["holds"],
		"rows": []any{
			row("settings", true, "organization (input)", 0, ""),
			row("exchange-blueprint", false, "AADSTS70025", 45, "do this:\n\naz ad app"),
			row("azure-devops", false, "one\nline", 0, "never shown"),
			row("scopes", nil, "not tried", 0, ""),
			row("clock", nil, "no time", 0, ""),
			row("hostile", true, "##[error]x\n::error::y", 0, ""),
		},
		"warnings": []any{map[string]any{"name": "issuer-ends", "text": "the issuer\nends", "fix": "1. update\n2. add"}},
		"findings": []any{
			map[string]any{"name": "issuer-on-blueprint", "question": "does it", "answered": true, "text": "yes: it does"},
			map[string]any{"name": "may-mint", "question": "may it", "answered": false, "text": "not answered:\nnothing was minted"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	empty, err := (&Report{}).JSON()
	if err != nil || !strings.Contains(string(empty), `"ok":true,"first-cross":"",`) || !strings.Contains(string(empty), `"rows":[],"warnings":[],"findings":[]`) {
		t.Errorf("%s, %v", empty, err)
	}
}

// Every text of the report is redacted.
func TestReportIsRedacted(t *testing.T) {
	t.Parallel()
	r := failed()
	r.Platform, r.Identity, r.Organization = "secret", "secret", "secret"
	for _, row := range r.Rows {
		row.Seen, row.Fix = "secret", "secret"
	}
	for i := range r.Warnings {
		r.Warnings[i].Text, r.Warnings[i].Fix = "secret", "secret"
	}
	for i := range r.Findings {
		r.Findings[i].Text = "secret"
	}
	r.Clean(func(text string) string { return strings.ReplaceAll(text, "secret", "***") })
	line, err := r.JSON()
	if err != nil || strings.Contains(r.Text()+string(line), "secret") {
		t.Errorf("%s\n%s, %v", r.Text(), line, err)
	}
}
