package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/cli"
	"azdo-pat/internal/settings"
)

// Everything that help says is in the manual, and the same source gives the same
// page.
func TestManual(t *testing.T) {
	t.Parallel()
	page := string(manual(tested))
	if again := string(manual(tested)); again != page {
		t.Error("two manuals of one source differ")
	}
	page = strings.ReplaceAll(page, `\%`, "") // where no word is broken
	if want := `.TH "AZDO-PAT" "1" "November 2023" "azdo-pat v1.2.3" "User Commands"` + "\n.ad l\n"; !strings.Contains(page, want) {
		t.Errorf("no %q", want)
	}
	var sections []string
	for _, m := range regexp.MustCompile(`(?m)^\.SH (.*)`).FindAllStringSubmatch(page, -1) {
		sections = append(sections, m[1])
	}
	if want := []string{"NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "SETTINGS", "ENVIRONMENT", "EXIT STATUS", "FILES", "SEE ALSO"}; !slices.Equal(sections, want) {
		t.Errorf("sections %q, want %q", sections, want)
	}
	var commands []string
	for _, c := range cli.Root().Commands() {
		if !c.IsAvailableCommand() {
			continue
		}
		commands = append(commands, c.Name())
		if !strings.Contains(page, "\n.SS azdo\\-pat "+c.Name()) {
			t.Errorf("no section for %s", c.Name())
		}
	}
	if !slices.Contains(commands, "check") || !slices.Contains(commands, "mint") {
		t.Errorf("the commands are %q", commands)
	}
	roff := func(text string) string { return strings.ReplaceAll(text, "-", `\-`) }
	for _, d := range settings.Descriptions {
		variables := "AZDO_PAT_" + strings.ToUpper(strings.ReplaceAll(d.Name, "-", "_"))
		for _, name := range d.AlsoRead {
			variables += ", " + name
		}
		if !strings.Contains(page, "\n.TP\n\\fB"+roff(d.Name)+`\fP (`) || !strings.Contains(page, "In the environment: "+variables+".") || !strings.Contains(page, roff(d.Everywhere()[1:])) {
			t.Errorf("%s is not told", d.Name)
		}
	}
	// A hyphen where a dash was typed could not be copied to a shell, and what is
	// not escaped would be a request to roff.
	for line := range strings.Lines(page) {
		if request := strings.HasPrefix(line, "."); !request && strings.Contains(strings.ReplaceAll(line, `\-`, ""), "-") {
			t.Errorf("a hyphen in %q", line)
		} else if request && !regexp.MustCompile(`^\.(nh|ad l|TH .*|SH .*|SS .*|PP|TP|EX|EE)\n$`).MatchString(line) {
			t.Errorf("what is %q?", line)
		}
	}
}

// man renders the page without a warning.
func TestManualIsShown(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), manFile)
	none := func(string) (string, bool) { return "", false }
	if err := run(t.Context(), []string{"man", "-version", "v1.2.3", "-out", file}, none, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, reader := range [][]string{{"man", "--warnings", "-l"}, {"mandoc", "-T", "utf8", "-W", "warning"}, {"groff", "-man", "-T", "utf8", "-ww", "-P", "-cbou"}} {
		path, err := exec.LookPath(reader[0])
		if err != nil {
			continue
		}
		cmd := exec.CommandContext(t.Context(), path, append(reader[1:], file)...)
		cmd.Env = append(os.Environ(), "MANWIDTH=80", "MANPAGER=cat", "LC_ALL=C.UTF-8", "MAN_KEEP_FORMATTING=")
		var warned bytes.Buffer
		cmd.Stderr = &warned
		out, err := cmd.Output()
		if reader[0] == "man" && len(bytes.TrimSpace(out)) == 0 {
			continue // as minimized images of Debian have it
		}
		shown++
		if err != nil || warned.Len() > 0 {
			t.Errorf("%s: %v, %s", reader[0], err, warned.Bytes())
		}
		for _, want := range []string{"January 1970", "azdo-pat v1.2.3", "--authorization-id", "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "EXIT STATUS"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s does not show %q", reader[0], want)
			}
		}
	}
	t.Logf("shown by %d readers", shown)
}

// The page is dated by the source, so that it is the same tomorrow.
func TestManualIsDated(t *testing.T) {
	t.Parallel()
	o := tested
	o.Time = time.Date(2026, 11, 30, 23, 59, 0, 0, time.FixedZone("", -3600))
	if !bytes.Contains(manual(o), []byte(`"December 2026"`)) {
		t.Error("not dated in UTC")
	}
}
