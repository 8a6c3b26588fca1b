package sanitize_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"azdo-pat/internal/fakes/dotnet"
	"azdo-pat/internal/fakes/githubrunner"
	"azdo-pat/internal/fakes/pipelinesagent"
	"azdo-pat/internal/sanitize"
)

func TestNoCommands(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                             "",
		"\n":                           "\n",
		"plain text, 100% of it: a::b": "plain text, 100% of it: a::b",
		"two\nlines\n":                 "two\nlines\n",
		"a ::error::b":                 "a ::error::b",
		"# one #[x] [y]":               "# one #[x] [y]",
		"Ärger mit 漢字 🙂":               "Ärger mit 漢字 🙂",

		"::error::x":           ": :error::x",
		"::":                   ": :",
		":::error::x":          ": ::error::x",
		"  ::error::x":         ": :error::x",
		"\t::error::x":         ": :error::x",
		"a\n::error::x\nb":     "a\n: :error::x\nb",
		"a\n \n ::add-mask::x": "a\n \n: :add-mask::x",
		"\u00a0\u1680\u2003\u3000::stop-commands::x": ": :stop-commands::x",
		"\ufeff::error::x":                           ": :error::x",
		"\u200b\u200d\u2060::error::x":               ": :error::x",
		"\u202e::error::x":                           ": :error::x",
		"\x00::error::x":                             ": :error::x",
		"\x1b[0m::error::x":                          " [0m::error::x",
		"\xff::error::x":                             ": :error::x",

		"a\r::error::x":     "a ::error::x",
		"a\r\n::error::x":   "a \n: :error::x",
		"\r::error::x":      ": :error::x",
		"a\v::error::x":     "a ::error::x",
		"\v\f::error::x":    ": :error::x",
		"\u2028::error::x":  ": :error::x",
		"a\u2029::error::x": "a ::error::x",
		"\u0085::error::x":  ": :error::x",

		"##[error]x":                 "# #[error]x",
		"a ##[set-output name=b]c":   "a # #[set-output name=b]c",
		"###[error]x":                "# # #[error]x",
		"####[error]x":               "# # # #[error]x",
		"##vso[task.complete]x":      "# #vso[task.complete]x",
		"a##VSO[task.setvariable]x":  "a# #VSO[task.setvariable]x",
		"#\x00#[error]x":             "# #[error]x",
		"#\u200b#[error]x":           "# #[error]x",
		"#\u034f#vso[a.b]x":          "# #vso[a.b]x",
		"#\ufe0f#\U000e0100vso[a.b]": "# # vso[a.b]",
		"::##[error]x":               ": :# #[error]x",
		"##::error::x":               "# #::error::x",
		"#\n#[error]x":               "#\n#[error]x",
	} {
		t.Run(fmt.Sprintf("%q", in), func(t *testing.T) {
			t.Parallel()
			if got := sanitize.NoCommands(in); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

func FuzzNoCommands(f *testing.F) {
	for _, seed := range githubrunner.HostileText {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := sanitize.NoCommands(text)
		if lower := strings.ToLower(got); strings.Contains(lower, "##vso[") || strings.Contains(lower, "##[") {
			t.Errorf("%q became %q", text, got)
		}
		for _, line := range dotnet.Lines(got) {
			if c, ok := githubrunner.ParseLine(line); ok {
				t.Errorf("%q became %q with the command %+v", text, got, c)
			}
			if c, ok := pipelinesagent.ParseLine(line); ok {
				t.Errorf("%q became %q with the command %+v", text, got, c)
			}
		}
		if strings.Count(got, "\n") != strings.Count(text, "\n") {
			t.Errorf("%q became %q: other lines", text, got)
		}
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r != '\n' && unicode.IsControl(r) }) {
			t.Errorf("%q became %q", text, got)
		}
		if again := sanitize.NoCommands(got); again != got {
			t.Errorf("%q became %q, and that %q", text, got, again)
		}
	})
}

// A value that the user must copy appears in full in the log, and never as a command.
func FuzzExact(f *testing.F) {
	for _, seed := range append(githubrunner.HostileText, "two  spaces", " x ", `"x"`, `\u200d`, "👩\u200d💻", "a###b", "x#", "\xff", "e\u0301", "\U000e0041", "\u3164", "") {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return // JSON holds none
		}
		line := "subject: " + sanitize.Exact(text)
		if got := sanitize.NoCommands(line); got != line || strings.Contains(line, "\n") {
			t.Fatalf("%q is shown as %q, which becomes %q", text, line, got)
		}
		got := strings.TrimPrefix(line, "subject: ")
		if strings.HasPrefix(got, `"`) {
			if err := json.Unmarshal([]byte(got), &got); err != nil {
				t.Fatalf("%q is shown as %q: %v", text, line, err)
			}
		}
		if got != text {
			t.Fatalf("%q is shown as %q, which is read as %q", text, line, got)
		}
		marshalled, _ := json.Marshal(text)
		line = string(sanitize.JSON(marshalled))
		if err := json.Unmarshal([]byte(line), &got); err != nil || got != text || sanitize.NoCommands(line) != line {
			t.Fatalf("%q is %s in JSON, which is read as %q, %v", text, line, got, err)
		}
	})
}
