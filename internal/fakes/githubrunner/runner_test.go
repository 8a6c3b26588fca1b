package githubrunner

import (
	"encoding/base64"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// masked is a log in which a value is masked.
func masked(value string) *Log {
	var l Log
	l.Read("::add-mask::" + value)
	return &l
}

// A value is masked in each form for which the runner searches, and in no other.
func TestMaskEncodings(t *testing.T) {
	for _, tt := range []struct{ value, form string }{
		{"abcdefgh", "abcdefgh"},
		{"abcdefgh", "YWJjZGVmZ2g="},
		{"abcdefgh", "YmNkZWZnaA=="}, // of bcdefgh
		{"abcdefgh", "Y2RlZmdo"},     // of cdefgh
		{`a"b`, `a\"b`},
		{"a\u0085b", `a\u0085b`},
		{`a'b`, `a''b`},
		{"a\tb\\c\u2028\x01", `a\tb\\c\u2028\u0001`},
		{"a b+c/ü~", "a%20b%2Bc%2F%C3%BC~"},
		{`<a href='x">&`, "&lt;a href=&apos;x&quot;&gt;&amp;"},
		{`"quoted"`, `"quoted"`},
		{`"quoted."`, "quoted."},
		{"secret1&secret2&secret3", "secret1&secret2&"},
		{"secret1&secret2&secret3", "secret3"},
		{"secret1&+secret2", "ecret2"},
	} {
		if got := masked(tt.value).Mask("<" + tt.form + ">"); got != "<***>" {
			t.Errorf("with the mask %q, %q becomes %q", tt.value, tt.form, got)
		}
	}
	for _, tt := range []struct{ value, form string }{
		{"abcdefgh", "6162636465666768"},
		{"abcdefgh", "ABCDEFGH"},
		{"a>b?c>d?", strings.TrimRight(base64.URLEncoding.EncodeToString([]byte("a>b?c>d?")), "=")},
		{`"quoted"`, "quoted"},
		{"&short", "short"},
		{"\u0100", "\x01\x00"}, // the same bytes, from the second on
	} {
		if masked(tt.value).Masked(tt.form) {
			t.Errorf("the mask %q hides %q, which the runner shows", tt.value, tt.form)
		}
	}
}

func TestMasksMerge(t *testing.T) {
	var l Log
	l.Read("::add-mask::abc\n::add-mask::bcd\n::add-mask::x%0A yz \n::add-mask:: ")
	for text, want := range map[string]string{
		"-abcd-":   "-***-",
		"-abcabc-": "-***-",
		"-abc-abc": "-***-***",
		"yz":       "***",
		"a b":      "a b",
		"":         "",
	} {
		if got := l.Mask(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestJobOutputs(t *testing.T) {
	got := masked("abcdefgh").JobOutputs(map[string]string{
		"token": "abcdefgh", "user:": "dXNlcjphYmNkZWZnaA==", "part": "x Y2RlZmdo x", "empty": "", "id": "1234",
	})
	if !maps.Equal(got, map[string]string{"id": "1234"}) {
		t.Errorf("kept %v", got)
	}
}

// texts is what a person sees.
func texts(lines []Line) []string {
	var all []string
	for _, line := range lines {
		all = append(all, line.Text)
	}
	return all
}

func TestStoppedCommands(t *testing.T) {
	var l Log
	got := texts(l.Read("::stop-commands::w0rd\n::add-mask::abc\n::error::no\nw0rd\n##[W0RD]\n::add-mask::def\r::error::abc def\n"))
	want := []string{"::stop-commands::w0rd", "::add-mask::abc", "::error::no", "w0rd", "##[W0RD]", "abc ***"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	// The next step has its commands, but not the token of this one.
	got = texts(l.Read("::stop-commands::t0ken-and-more\n::add-mask::ghi"))
	got = append(got, texts(l.Read("::add-mask::jkl\n::t0ken-and-more::\nghi jkl"))...)
	want = []string{"::stop-commands::***", "::add-mask::ghi", "::***::", "ghi ***"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A token of more than 6 UTF-16 units is masked.
func TestStopTokenLength(t *testing.T) {
	for token, masked := range map[string]bool{"abcdef": false, "abcdefg": true, "äöüäöü": false, "abc\U0001F511de": true, "abc\U0001F511d": false} {
		var l Log
		l.Read("::stop-commands::" + token + "\n::" + token + "::")
		if l.Masked(token) != masked {
			t.Errorf("%q is masked: %v", token, !masked)
		}
	}
}

func TestCommandsThatFail(t *testing.T) {
	for _, line := range []string{
		"::stop-commands::", "::stop-commands::Set-Env", "::stop-commands::pause-logging", "##[stop-commands]stop-commands",
		"::set-env name=a::b", "##[add-path]/a", "::set-output::a", "::save-state name=::a", "::echo::", "::echo::yes",
	} {
		var l Log
		lines := l.Read(line + "\nnext")
		if lines[0].Err == nil || lines[0].Text != line {
			t.Errorf("%q: %+v", line, lines)
		}
		// After a token that it refuses the runner reads no further.
		if read := len(lines) == 2; read == strings.Contains(line, "stop-commands") {
			t.Errorf("%q: the next line is read: %v", line, read)
		}
	}
	for _, line := range []string{"::stop-commands::a", "::set-output name=a::", "::save-state name=a::", "::echo:: on ", "::error::x"} {
		var l Log
		if lines := l.Read(line); lines[0].Err != nil {
			t.Errorf("%q: %v", line, lines[0].Err)
		}
	}
}

// These cases come from the runner's source: characters that its searches skip, and
// the encodings of a stream.
func TestCommandsInOtherCharacters(t *testing.T) {
	for line, name := range map[string]string{
		" \t\u00a0\u2003\u3000::error::x":   "error",
		"a##[error]x":                       "error",
		"a\U0001F511##[set-output name=x]y": "set-output",
		"::error:\u200d:x":                  "error",
		"::error:\x00\U000e0100\ufe0f:x":    "error",
		// The name is taken from where it would be without them.
		"#\u034f#[error]x": "",
		"##\u200d[error]x": "",
		":: error::x":      "",
		"\ufeff::error::x": "",
		"\ufeffx::error::": "",
	} {
		if c, ok := ParseLine(line); ok != (name != "") || c.Name != name {
			t.Errorf("%q: %+v, %v, want %q", line, c, ok, name)
		}
	}
	for _, output := range []string{"\xef\xbb\xbf::error::ä", "\xff\xfe:\x00:\x00e\x00r\x00r\x00o\x00r\x00:\x00:\x00\xe4\x00"} {
		var l Log
		if lines := l.Read(output); len(lines) != 1 || lines[0].Command == nil || lines[0].Text != "ä" {
			t.Errorf("%q: %+v", output, lines)
		}
	}
}

// Lengths are in UTF-16 units.
func TestLengths(t *testing.T) {
	const key = "\U0001F511"
	for _, tt := range []struct {
		mask, text, want string
	}{
		{`"` + strings.Repeat("ü", 6) + `"`, strings.Repeat("ü", 6), strings.Repeat("ü", 6)},
		{`"` + strings.Repeat(key, 4) + `"`, strings.Repeat(key, 4), "***"},
		{"x&" + strings.Repeat("ü", 5), strings.Repeat("ü", 5), strings.Repeat("ü", 5)},
		{"x&" + strings.Repeat(key, 3), strings.Repeat(key, 3), "***"},
		// The unit after "&+" is the first half of a pair.
		{"x&+" + key + "secret", "-" + key + "secret", "-\ufffd***"},
	} {
		if got := masked(tt.mask).Mask(tt.text); got != tt.want {
			t.Errorf("with the mask %q, %q becomes %q, want %q", tt.mask, tt.text, got, tt.want)
		}
	}
	var l Log
	for text, want := range map[string]int{strings.Repeat("ü", 5000): 4096, strings.Repeat(key, 2000): 2000, strings.Repeat(key, 5000): 2048} {
		if got := []rune(l.Read("::error::" + text)[0].Text); len(got) != want {
			t.Errorf("an annotation of %d characters, want %d", len(got), want)
		}
		if got := []rune(l.Read("::debug::" + text)[0].Text); len(got) != len([]rune(text)) {
			t.Errorf("a debug line of %d characters", len(got))
		}
	}
}

func TestParsePairs(t *testing.T) {
	got, err := ParsePairs("a=1\nb<<E\nx\n\ny=\nE\n\na=2\nc=d<<e\nf<<E\r\nE\nE\r\ng<<E\nE\nh=\r")
	want := []Pair{{"a", "1"}, {"b", "x\n\ny="}, {"a", "2"}, {"c", "d<<e"}, {"f", "E"}, {"g", ""}, {"h", "\r"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	for _, text := range []string{"a", "<<E\nE\n", "a<<\n\n", "a<<E\nx\n", "a<<E\nx", "a<<E\nE\r\n"} {
		if got, err := ParsePairs("before=1\n" + text); err == nil || !slices.Equal(got, []Pair{{"before", "1"}}) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

// .NET tells a file's encoding by its byte order mark.
func TestEncodings(t *testing.T) {
	for _, text := range []string{
		"a=ä", "\xef\xbb\xbfa=ä",
		"\xff\xfea\x00=\x00\xe4\x00", "\xfe\xff\x00a\x00=\x00\xe4",
		"\xff\xfe\x00\x00a\x00\x00\x00=\x00\x00\x00\xe4\x00\x00\x00", "\x00\x00\xfe\xff\x00\x00\x00a\x00\x00\x00=\x00\x00\x00\xe4",
	} {
		if got, err := ParsePairs(text); err != nil || !slices.Equal(got, []Pair{{"a", "ä"}}) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{"a=\xff": "\ufffd", "\xfe\xff\x00a\x00=\x00": "\ufffd", "\xff\xfea\x00=\x00\x3d\xd8": "\ufffd"} {
		if got, err := ParsePairs(text); err != nil || !slices.Equal(got, []Pair{{"a", want}}) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestStepFiles(t *testing.T) {
	s, err := NewStep(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(s.Env()[name], []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("GITHUB_STATE", "Lease=1\n=2\nlease=3\nLEASE=4\nother=5")
	if got, err := s.State(); err != nil || !maps.Equal(got, map[string]string{"STATE_Lease": "4", "STATE_": "2", "STATE_other": "5"}) {
		t.Errorf("the state is %q, %v", got, err)
	}
	write("GITHUB_OUTPUT", "a=1\nA=2\n=3\nb=4")
	if got, err := s.Outputs(); err == nil || !maps.Equal(got, map[string]string{"a": "2"}) {
		t.Errorf("the outputs are %q, %v", got, err)
	}
	write("GITHUB_STEP_SUMMARY", "\ufeff# ä")
	if got, err := s.Summary(); err != nil || got != "# ä" {
		t.Errorf("the summary is %q, %v", got, err)
	}
	write("GITHUB_STEP_SUMMARY", strings.Repeat("x", 1<<20+1))
	if got, err := s.Summary(); err == nil || got != "" {
		t.Errorf("a summary that is too large: %v", err)
	}
	// A file that the step took away says nothing.
	if err := os.Remove(s.Env()["GITHUB_OUTPUT"]); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Outputs(); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
}
