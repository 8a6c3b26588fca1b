package runner

import (
	"encoding/base64"
	"maps"
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

// A value is masked in every form in which the runner looks for it, and in no
// other: whoever relies on a mask has to know both.
func TestMaskEncodings(t *testing.T) {
	for _, tt := range []struct{ value, form string }{
		{"abcdefgh", "abcdefgh"},
		{"abcdefgh", "YWJjZGVmZ2g="},
		{"abcdefgh", "YmNkZWZnaA=="}, // of bcdefgh
		{"abcdefgh", "Y2RlZmdo"},     // of cdefgh
		{`a"b`, `a\"b`},
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

func TestStoppedCommands(t *testing.T) {
	var l Log
	lines := l.Read("::stop-commands::w0rd\n::add-mask::abc\n::error::no\nw0rd\n::w0rd::\n::add-mask::def\r::error::abc def\n")
	var got []string
	for _, line := range lines {
		got = append(got, line.Text)
	}
	want := []string{"::stop-commands::w0rd", "::add-mask::abc", "::error::no", "w0rd", "::w0rd::", "abc ***"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestParsePairs(t *testing.T) {
	got, err := ParsePairs("a=1\nb<<E\nx\n\ny=\nE\n\na=2\nc=d<<e\nf<<E\r\nE\nE\r\ng<<E\nE\nh=\r")
	want := map[string]string{"a": "2", "b": "x\n\ny=", "c": "d<<e", "f": "E", "g": "", "h": "\r"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	for _, text := range []string{"a", "<<E\nE\n", "a<<\n\n", "a<<E\nx\n", "a<<E\nx", "a<<E\nE\r\n"} {
		if got, err := ParsePairs("before=1\n" + text); err == nil || got["before"] != "1" {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
