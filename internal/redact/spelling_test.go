package redact

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"azdo-pat/internal/secret"
)

// A server may escape a password with another library than Go's, or twice.
func TestRedactOtherSpellings(t *testing.T) {
	t.Parallel()
	const password = `p4ss W0rd+/=%&{}x"<ü>`
	var r Redactor
	r.Add(secret.New(password))
	each := func(format string) string {
		var b strings.Builder
		for _, c := range password {
			if strings.ContainsRune("+/=%&{}\"<>ü ", c) {
				fmt.Fprintf(&b, format, c)
			} else {
				b.WriteRune(c)
			}
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"as it is":             password,
		"twice for a URL":      url.QueryEscape(url.QueryEscape(password)),
		"path in lower case":   strings.ReplaceAll(strings.ToLower(url.PathEscape(password)), "p4ss%20w0rd", "p4ss%20W0rd"),
		"slash left alone":     strings.ReplaceAll(url.PathEscape(password), "%2F", "/"),
		"JSON escapes":         each(`\u%04x`),
		"JSON in JSON":         each(`\\u%04X`),
		"decimal references":   each("&#%d;"),
		"hex references":       each("&#x%X;"),
		"references in markup": each("&amp;#%d;"),
		"shell":                each(`\%c`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := r.Redact("before " + text + " after"); got != "before *** after" {
				t.Errorf("%q became %q", text, got)
			}
		})
	}
}

// A window of a long credential is replaced, and no other text.
func TestRedactPieces(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdefghijABCDEFGHIJ-_zyxwvutsrqponmlkjihgfedcba9876543210"
	var r Redactor
	r.Add(secret.New(token))
	for _, tc := range []struct{ name, in, want string }{
		{"without its first character", "x " + token[1:] + " y", "x *** y"},
		{"its end", "x " + token[30:] + " y", "x *** y"},
		{"its middle", "x" + token[10:40] + "y", "x***y"},
		{"in two", token[:30] + " . " + token[30:], "*** . ***"},
		{"a piece of its base64", "x " + base64.StdEncoding.EncodeToString([]byte(":" + token))[20:70] + " y", "x *** y"},
		{"a piece of its hex", "x " + hex.EncodeToString([]byte(token))[20:70] + " y", "x *** y"},
		{"too little", "x " + token[:window-1] + " y", "x " + token[:window-1] + " y"},
		{"something else", "https://login.microsoftonline.com/11111111-1111-4111-8111-111111111111/oauth2", "https://login.microsoftonline.com/11111111-1111-4111-8111-111111111111/oauth2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := r.Redact(tc.in); got != tc.want {
				t.Errorf("%q became %q, want %q", tc.in, got, tc.want)
			}
		})
	}
}
