package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/secret"
)

// through writes text to a Writer, in writes of the lengths that split returns, and
// returns what the Writer passes on.
func through(t testing.TB, pat, text string, split func(left int) int) string {
	t.Helper()
	var out bytes.Buffer
	f, err := NewWriter(&out, secret.New(pat))
	if err != nil {
		t.Fatal(err)
	}
	for rest := []byte(text); len(rest) > 0; {
		n := min(max(1, split(len(rest))), len(rest))
		part := bytes.Clone(rest[:n])
		if m, err := f.Write(part); m != n || err != nil {
			t.Fatalf("wrote %d of %d: %v", m, n, err)
		}
		clear(part) // it may not be kept
		rest = rest[n:]
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func whole(left int) int { return left }
func bytewise(int) int   { return 1 }

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestWriter(t *testing.T) {
	t.Parallel()
	wrapped := b64(newPAT)[:76] + "\n" + b64(newPAT)[76:]
	for _, tc := range []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"no secret", "build 42: 100 % done\r\n\tAZDO \x00\xff\x1b[1m", "build 42: 100 % done\r\n\tAZDO \x00\xff\x1b[1m"},
		{"the PAT", newPAT, "***"},
		{"in a line", "token=" + newPAT + "\n", "token=***\n"},
		{"in a URL", "https://pat:" + newPAT + "@dev.azure.com/", "https://pat:***@dev.azure.com/"},
		{"twice", newPAT + " " + newPAT, "*** ***"},
		{"twice in a row", newPAT + newPAT, "***"},
		{"an Authorization header", "Authorization: Basic " + b64(":"+newPAT) + "\r\n", "Authorization: Basic ***\r\n"},
		{"base64", b64(newPAT) + "\n", "***\n"},
		{"hex", hex.EncodeToString([]byte(newPAT)), "***"},
		{"hex in capitals", "0x" + strings.ToUpper(hex.EncodeToString([]byte(newPAT))) + ".", "0x***."},
		{"base64 in lines", wrapped + "\n", "***\n***\n"},
		{"cut off", newPAT[:40] + "…", "***…"},
		{"its end", "…" + newPAT[60:] + "\n", "…***\n"},
		{"too little of it", newPAT[:23] + "\n" + newPAT[61:] + "\n", newPAT[:23] + "\n" + newPAT[61:] + "\n"},
		{"begun twice", newPAT[:30] + newPAT, "***"},
		{"begun and broken off", newPAT[:10] + newPAT, newPAT[:10] + "***"},
		{"the beginning at the end", "x " + newPAT[:20], "x " + newPAT[:20]},
		{"one short of it", "x" + newPAT[1:], "x***"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for name, split := range map[string]func(int) int{"whole": whole, "bytewise": bytewise, "in threes": func(int) int { return 3 }} {
				if got := through(t, newPAT, tc.in, split); got != tc.want {
					t.Errorf("%s: %q, want %q", name, got, tc.want)
				}
			}
		})
	}
	// In base64 of a longer text, characters that also encode a neighbour may stay.
	for before := range 7 {
		for after := range 4 {
			in := b64(strings.Repeat("u", before) + ":" + newPAT + strings.Repeat("\n", after))
			got := through(t, newPAT, in, bytewise)
			if mask := strings.Index(got, "***"); mask < 0 || mask > 4*(before+3)/3 || len(got) > mask+3+4*(after+3)/3 {
				t.Errorf("%d before, %d after: %q", before, after, got)
			}
		}
	}
	// A PAT from before July 2024, and one that is shorter than any PAT.
	if got := through(t, oldPAT, "a "+oldPAT+" b64 "+b64(oldPAT), bytewise); got != "a *** b64 ***" {
		t.Errorf("an old PAT: %q", got)
	}
	if got := through(t, "s3cr3t", "a s3cr3t s3cr3 "+b64(":s3cr3t")+" s3cr3t", bytewise); got != "a *** s3cr3 *** ***" {
		t.Errorf("a short PAT: %q", got)
	}
}

// Text that cannot be part of a match is passed on at once, so that a prompt without a
// line feed is seen.
func TestWriterWaitsForNoMore(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	f, err := NewWriter(&out, secret.New(newPAT))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"Continue? [y/N] ", "50 %", "\rwait...", "a line\n", "Password: "} {
		out.Reset()
		fmt.Fprint(f, text)
		if out.String() != text {
			t.Errorf("of %q came out %q", text, out.String())
		}
	}
	for n := 1; n <= len(newPAT); n++ { // however much of the PAT is there, none of it comes out
		out.Reset()
		fmt.Fprint(f, "- "+newPAT[:n])
		if want := "- " + strings.Repeat("*", 3*min(1, n/window)); out.String() != want {
			t.Fatalf("of %d characters of the PAT came out %q, want %q", n, out.String(), want)
		}
		fmt.Fprint(f, "\n")
	}
}

func TestWriterThatCannotWrite(t *testing.T) {
	t.Parallel()
	f, err := NewWriter(broken{}, secret.New(newPAT))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.Write([]byte("text\n")); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := f.Write([]byte(newPAT[:5])); err != nil { // nothing to write yet
		t.Error(err)
	}
	if err := f.Close(); err == nil {
		t.Error("Close without an error")
	}
	for _, pat := range []string{"", strings.Repeat("x", maxToken+1)} {
		if _, err := NewWriter(io.Discard, secret.New(pat)); !errors.Is(err, ErrTooLong) {
			t.Errorf("a PAT of %d characters: %v", len(pat), err)
		}
	}
}

// An Entra token is much longer than a PAT.
func TestWriterWithEntraToken(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	part := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[random.IntN(64)]
		}
		return string(b)
	}
	token := "eyJ0eXAi" + part(100) + "." + part(2000) + "." + part(342)
	in := "token " + token + " basic " + b64(token) + " " + b64(":"+token) + " hex " + hex.EncodeToString([]byte(token)) + " part " + token[1000:1050] + " end\n"
	for name, split := range map[string]func(int) int{"whole": whole, "in blocks": func(int) int { return 100 }} {
		if got := through(t, token, in, split); got != "token *** basic *** *** hex *** part *** end\n" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := through(t, token, "token "+token+"\n", bytewise); got != "token ***\n" {
		t.Errorf("byte by byte: %q", got)
	}
}

// broken is a closed stream.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// A Writer keeps a bounded amount of text.
func TestWriterIsBounded(t *testing.T) { // not parallel: it counts allocations
	f, err := NewWriter(io.Discard, secret.New(newPAT))
	if err != nil {
		t.Fatal(err)
	}
	text := []byte(strings.Repeat(newPAT[:23]+newPAT[1:24]+"\n", 1000))
	if n := testing.AllocsPerRun(20, func() {
		if _, err := f.Write(text); err != nil {
			t.Error(err)
		}
	}); n > 1 {
		t.Errorf("%.0f allocations a write", n)
	}
	if size := cap(f.text) + cap(f.out); size > 4*len(text) {
		t.Errorf("%d bytes are kept of writes of %d", size, len(text))
	}
}

// FuzzWriter checks that the result does not depend on how a text with pieces of a PAT
// is split, has no window of the PAT's forms in it, and all other text.
func FuzzWriter(f *testing.F) {
	all := append(forms(newPAT), b64(newPAT), b64(":"+newPAT))
	parts := map[string]bool{}
	for _, form := range all {
		for i := 0; i+window <= len(form); i++ {
			parts[form[i:i+window]] = true
		}
	}
	f.Add([]byte("a line\n"), uint64(1))
	f.Add([]byte("\x01\x80token \x02\x05\x03 and \x81"), uint64(2))
	f.Fuzz(func(t *testing.T, script []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 42))
		// A byte above ASCII stands for a part of a form. Its lower bits are the
		// length.
		var text strings.Builder
		for _, b := range script {
			if b < 0x80 {
				text.WriteByte(b)
				continue
			}
			form := all[random.IntN(len(all))]
			from := random.IntN(len(form))
			text.WriteString(form[from:min(len(form), from+int(b&0x7f))])
		}
		want := through(t, newPAT, text.String(), whole)
		if got := through(t, newPAT, text.String(), func(left int) int { return 1 + random.IntN(min(left, 100)) }); got != want {
			t.Errorf("%q became %q, and in pieces %q", text.String(), want, got)
		}
		if got := through(t, newPAT, text.String(), bytewise); got != want {
			t.Errorf("%q became %q, and byte by byte %q", text.String(), want, got)
		}
		holds := func(text string) string {
			for i := 0; i+window <= len(text); i++ {
				if parts[text[i:i+window]] {
					return text[i : i+window]
				}
			}
			return ""
		}
		if part := holds(want); part != "" {
			t.Errorf("%q became %q, which holds %q", text.String(), want, part)
		}
		if holds(text.String()) == "" && want != text.String() {
			t.Errorf("%q became %q, though nothing of the PAT is in it", text.String(), want)
		}
		if left, ok := inOrder(want, text.String()); !ok && !bytes.ContainsRune(script, '*') {
			t.Errorf("%q became %q, which has %q of its own", text.String(), want, left)
		}
	})
}

// inOrder reports whether the text between the replacements in got is in text, in that
// order. If not, it returns the part that is not there.
func inOrder(got, text string) (left string, ok bool) {
	for part := range strings.SplitSeq(got, "***") {
		i := strings.Index(text, part)
		if i < 0 {
			return part, false
		}
		text = text[i+len(part):]
	}
	return "", true
}

// The input is a compiler's output with a PAT in every hundredth line, and base64, which
// looks most like a PAT.
func BenchmarkWriter(b *testing.B) {
	var lines, dense bytes.Buffer
	for i := 0; lines.Len() < 1<<20; i++ {
		fmt.Fprintf(&lines, "2026-11-22T03:20:%02dZ  [%4d/5000] Compiling internal/release/reproducible_test.go (object 0x%08x)\n", i%60, i, i*2654435761)
		if i%100 == 0 {
			fmt.Fprintf(&lines, "Authorization: Basic %s\n", b64(":"+newPAT))
		}
	}
	random := rand.NewChaCha8([32]byte{})
	_, _ = io.CopyN(base64.NewEncoder(base64.StdEncoding, &dense), random, 3<<18)
	for name, text := range map[string][]byte{"lines": lines.Bytes(), "base64": dense.Bytes()} {
		b.Run(name, func(b *testing.B) {
			f, err := NewWriter(io.Discard, secret.New(newPAT))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				for chunk := range slices.Chunk(text, 32<<10) {
					if _, err := f.Write(chunk); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
