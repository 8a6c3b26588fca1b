package quote

import (
	"encoding/json"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"azdo-pat/internal/sanitize"
)

// hostile holds possible names of branches and users. A test passes them to a real
// shell, so each must be harmless even if the quoting fails.
var hostile = []string{
	`repo:o/r:ref:refs/heads/'; touch pwned #`, `'`, `''`, `\`, `\'`, `"`, "`echo pwned`", `$(echo pwned)`, `$HOME`, `%COMSPEC%`, "‘x’‚y‛", "ünïcode 😀", "##[error]x", "::error::x", `!!`, "@file", "-x", "a b", "",
	"two  spaces", "👩\u200d💻", "\u202ex", " x", "a\u00a0b", "tab\tx", "`u{41} \u200d $HOME \"",
}

// Untrusted text is always one quoted word in a command: sh prints it unchanged. For
// PowerShell, which is not installed here, the test looks for unescaped quotes.
func TestHostileWords(t *testing.T) {
	t.Parallel()
	sh, err := exec.LookPath("sh")
	if err != nil || runtime.GOOS == "windows" {
		t.Skip("no sh") // Windows' would be another's, with rules of its own for arguments
	}
	nowhere := t.TempDir()
	for _, word := range hostile {
		body := JSON(map[string]string{"subject": word})
		if strings.ContainsAny(body, "'#`‘’‚‛\n") {
			t.Errorf("%q is written as %s", word, body)
		}
		for in, want := range map[string]string{Shell(word): word, Shell(body): body} {
			cmd := exec.Command(sh, "-c", "printf %s "+in)
			cmd.Dir, cmd.Env = nowhere, []string{"HOME=" + nowhere, "PATH=" + nowhere}
			out, err := cmd.Output()
			if strings.Contains(in, "##") || sanitize.NeedsEscape("x "+in) {
				t.Errorf("a log cannot show %q", in)
			}
			if err != nil || string(out) != want {
				t.Errorf("%s is %q to sh, want %q (%v)", in, out, want, err)
			}
		}
		var back map[string]string
		if err := json.Unmarshal([]byte(body), &back); err != nil || back["subject"] != word {
			t.Errorf("%s is %q, %v, want %q", body, back["subject"], err, word)
		}
		if got := unquoted(PowerShell(word)); got != word {
			t.Errorf("%s is %q to PowerShell, want %q", PowerShell(word), got, word)
		}
	}
}

// unquoted reads a PowerShell word, as its language says: in single quotes two of
// the quotes in a row are one of them (about_Quoting_Rules), in double quotes `u{x}
// is a character by its number (about_Special_Characters).
func unquoted(word string) string {
	if escaped, ok := strings.CutPrefix(word, `"`); ok {
		return doubleQuoted(escaped)
	}
	const quotes = "'‘’‚‛"
	var b strings.Builder
	runes := []rune(word)[1:]
	for i := 0; i < len(runes); i++ {
		if strings.ContainsRune(quotes, runes[i]) {
			if i+1 == len(runes) {
				return b.String()
			}
			if i++; !strings.ContainsRune(quotes, runes[i]) {
				return "ended early: " + b.String()
			}
		}
		b.WriteRune(runes[i])
	}
	return "did not end: " + b.String()
}

func doubleQuoted(rest string) string {
	var b strings.Builder
	for {
		before, after, escape := strings.Cut(rest, "`u{")
		if strings.ContainsAny(before, "`$\"“”„") && (escape || before != strings.TrimSuffix(rest, `"`)+`"`) {
			return "not plain: " + rest
		}
		if !escape {
			b.WriteString(strings.TrimSuffix(before, `"`))
			return b.String()
		}
		b.WriteString(before)
		digits, left, _ := strings.Cut(after, "}")
		n, err := strconv.ParseInt(digits, 16, 32)
		if err != nil || len(digits) > 6 {
			return "no character: " + after
		}
		b.WriteRune(rune(n))
		rest = left
	}
}

// Whatever the text: sh reads it back, PowerShell would, JSON does, and a log shows all of
// it and takes none of it for a command.
func FuzzQuote(f *testing.F) {
	sh, err := exec.LookPath("sh")
	if err != nil || runtime.GOOS == "windows" {
		f.Skip("no sh")
	}
	for _, seed := range hostile {
		f.Add(seed)
	}
	nowhere := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) || strings.HasSuffix(text, "\n") {
			return // no argument of a command, and no setting
		}
		words := map[string]string{Shell(text): text, `"` + DoubleQuoted(text) + `"`: text, Shell(JSON(text)): JSON(text)}
		for in, want := range words {
			cmd := exec.Command(sh, "-c", "printf %s "+in)
			cmd.Dir, cmd.Env = nowhere, []string{"PATH=" + nowhere}
			if out, err := cmd.Output(); err != nil || string(out) != want {
				t.Errorf("%s is %q to sh, want %q (%v)", in, out, want, err)
			}
		}
		for _, in := range []string{Shell(text), PowerShell(text), Shell(JSON(text))} {
			if line := "x " + in; sanitize.NoCommands(line) != line {
				t.Errorf("a log changes %q", line)
			}
		}
		if got := unquoted(PowerShell(text)); got != text {
			t.Errorf("%s is %q to PowerShell, want %q", PowerShell(text), got, text)
		}
		var back string
		if err := json.Unmarshal([]byte(JSON(text)), &back); err != nil || back != text {
			t.Errorf("%s is %q, %v, want %q", JSON(text), back, err, text)
		}
	})
}
