package githubrunner

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// readCases reads a file of cases from the test suites of the runner and of
// others that read the same formats.
func readCases[T any](t *testing.T, name string) []T {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var cases []T
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	return cases
}

func TestCommandCases(t *testing.T) {
	for _, c := range readCases[struct {
		From, Line, Name, Data string
		OK                     bool
		Props                  map[string]string
	}](t, "commands.json") {
		// The name with which the suites try the form of a command.
		got, ok := parseLine(c.Line, append([]string{"do-something"}, names...))
		if ok != c.OK || got.Data != c.Data || !maps.Equal(got.Properties, c.Props) || c.Name != "" && got.Name != c.Name {
			t.Errorf("%s: %q: %+v, %v, want %+v", c.From, c.Line, got, ok, c)
		}
	}
}

func TestFileCases(t *testing.T) {
	for _, c := range readCases[struct {
		From, Text string
		Pairs      map[string]string
		Fails      bool
	}](t, "files.json") {
		got, err := ParsePairs(c.Text)
		if (err != nil) != c.Fails || err == nil && !maps.Equal(Fold(got), c.Pairs) {
			t.Errorf("%s: %q: %q, %v, want %q", c.From, c.Text, got, err, c.Pairs)
		}
	}
}

func TestMaskCases(t *testing.T) {
	for _, c := range readCases[struct {
		From    string
		Masks   []string
		Shown   map[string]string
		Escaped bool // the masks are data of a command
	}](t, "masks.json") {
		var l Log
		for _, mask := range c.Masks {
			if !c.Escaped {
				mask = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(mask)
			}
			l.Read("::add-mask::" + mask)
		}
		for text, want := range c.Shown {
			if got := l.Mask(text); got != want {
				t.Errorf("%s: %q: %q becomes %q, want %q", c.From, c.Masks, text, got, want)
			}
		}
	}
}
