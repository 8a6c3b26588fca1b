package cli

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"azdo-pat/internal/settings"
)

// Every command explains itself: what it is, at length, and by an example that
// calls it by its name and has no flag that it does not have.
func TestHelp(t *testing.T) {
	t.Parallel()
	seen := 0
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		seen++
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s: short %q, long %q, example %q", cmd.CommandPath(), cmd.Short, cmd.Long, cmd.Example)
		}
		if !strings.Contains(cmd.Example, cmd.CommandPath()) && cmd.Name() != "help" {
			t.Errorf("%s: not called in its example %q", cmd.CommandPath(), cmd.Example)
		}
		for line := range strings.Lines(cmd.Example) {
			if !strings.HasPrefix(line, "  ") && strings.TrimSpace(line) != "" {
				t.Errorf("%s: %q is not indented as an example is", cmd.CommandPath(), line)
			}
			// Text before a pipe, or in a comment, belongs to azdo-pat.
			line, _, _ = strings.Cut(line, " | ")
			for _, word := range strings.Fields(strings.Split(line, "#")[0]) {
				if word == "--" {
					break // what follows is another program's
				}
				name, isFlag := strings.CutPrefix(word, "--")
				name, _, _ = strings.Cut(strings.Trim(name, `"'`), "=")
				if isFlag && name != "" && cmd.HasParent() && cmd.Flags().Lookup(name) == nil {
					t.Errorf("%s: its example has the flag --%s, and it has none", cmd.CommandPath(), name)
				}
			}
		}
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() || c.Name() == "help" {
				walk(c)
			}
		}
	}
	walk(Root())
	if seen < 10 {
		t.Errorf("%d commands seen, which is too few", seen)
	}
}

// The help text of a flag comes from the description of its setting.
func TestFlags(t *testing.T) {
	t.Parallel()
	for _, cmd := range Root().Commands() {
		for _, d := range settings.Descriptions {
			want := false
			for _, c := range d.For {
				want = want || string(c) == cmd.Name() && !d.Secret
			}
			if f := cmd.Flags().Lookup(d.Name); (f != nil) != want || f != nil && f.Usage != d.TextFor(settings.Command(cmd.Name())) {
				t.Errorf("%s --%s: %+v, want %t", cmd.Name(), d.Name, f, want)
			}
		}
	}
}

// The help of a command names every variable that its settings are read from, those of
// secrets too, and fits a terminal.
func TestHelpNamesVariables(t *testing.T) {
	t.Parallel()
	for _, cmd := range Root().Commands() {
		var help strings.Builder
		cmd.SetOut(&help)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		for _, d := range settings.Descriptions {
			if !slices.Contains(d.For, settings.Command(cmd.Name())) {
				continue
			}
			for _, variable := range d.Variables() {
				if !slices.Contains(strings.FieldsFunc(help.String(), func(r rune) bool { return r == ' ' || r == ',' || r == '\n' }), variable) {
					t.Errorf("help of %s lacks %s", cmd.Name(), variable)
				}
			}
		}
		for line := range strings.Lines(help.String()) {
			if utf8.RuneCountInString(line) > 85 {
				t.Errorf("help of %s: a line is too long for a terminal: %q", cmd.Name(), line)
			}
		}
	}
}
