package ci

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"os"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/githubrunner"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// A mask is the first that is written of a credential, and says exactly what
// the credential is.
func TestMask(t *testing.T) {
	t.Parallel()
	for _, text := range []string{newPAT, oldPAT, "pa%25ss%0Aword", "::error::x", "##[error]x", " spaces around ", `quotes"'`, "ünïcödé", "a,b:c=d", "four"} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			s := newStep(t, false)
			if err := s.Mask(secret.New(text)); err != nil {
				t.Fatal(err)
			}
			s.Log().Infof("and then: %s", text)
			s.Log().Error("failed", errors.New(text))
			first, rest, _ := strings.Cut(s.stdout.String(), "\n")
			if c, ok := githubrunner.ParseLine(first); !ok || c.Name != "add-mask" || c.Data != text || len(c.Properties) > 0 {
				t.Errorf("the first line is %q, understood as %+v", first, c)
			}
			if want := "and then: ***\n::error title=failed::***\n"; rest != want {
				t.Errorf("then came %q, want %q", rest, want)
			}
			if s.stderr.Len() > 0 {
				t.Errorf("standard error %q", s.stderr.String())
			}
		})
	}
}

// The three forms in which a PAT travels, each masked before anything is said.
func TestMaskPAT(t *testing.T) {
	t.Parallel()
	for _, pat := range []string{newPAT, oldPAT} {
		s := newStep(t, false)
		if err := MaskPAT(s, secret.New(pat)); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("::add-mask::%s\n::add-mask::%s\n::add-mask::%s\n", pat,
			base64.StdEncoding.EncodeToString([]byte(pat)), base64.StdEncoding.EncodeToString([]byte(":"+pat)))
		if got := s.stdout.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}

// There is nothing to mask: an add-mask without a value is a warning of the
// runner's.
func TestMaskNothing(t *testing.T) {
	t.Parallel()
	s := newStep(t, false)
	if err := errors.Join(s.Mask(secret.Value{}), s.Mask(secret.New("")), MaskPAT(s, secret.Value{})); err != nil || s.stdout.Len() > 0 {
		t.Errorf("%v, %q", err, s.stdout.String())
	}
	p, stdout, stderr := newTerminal(false, nil)
	if err := errors.Join(p.Mask(secret.Value{}), MaskPAT(p, secret.Value{})); err != nil || stdout.Len()+stderr.Len() > 0 {
		t.Errorf("%v, %q, %q", err, stdout.String(), stderr.String())
	}
	if p.Log().Infof("a b"); stderr.String() != "azdo-pat: a b\n" {
		t.Errorf("the log says %q", stderr.String())
	}
}

// Elsewhere nobody reads a mask, so none is written; the log hides all the same.
func TestTerminalMask(t *testing.T) {
	t.Parallel()
	p, stdout, stderr := newTerminal(false, nil)
	if err := MaskPAT(p, secret.New(newPAT)); err != nil {
		t.Fatal(err)
	}
	p.Log().Infof("%s %s", newPAT, base64.StdEncoding.EncodeToString([]byte(":"+newPAT)))
	if stdout.Len() > 0 || strings.Contains(stderr.String(), newPAT[:20]) || !strings.HasPrefix(stderr.String(), "azdo-pat: *** ") {
		t.Errorf("standard output %q, standard error %q", stdout.String(), stderr.String())
	}
}

// failing is a writer that takes some writes and no more.
type failing struct {
	bytes.Buffer
	takes int
}

func (f *failing) Write(p []byte) (int, error) {
	if f.takes--; f.takes < 0 {
		return 0, errors.New("broken pipe")
	}
	return f.Buffer.Write(p)
}

// A credential whose mask did not go out must not be used.
func TestMaskThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	closed, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	g := NewGitHub(Options{LookupEnv: newBareStep(false).lookup, Stdout: closed, Stderr: new(bytes.Buffer)})
	if err := g.Mask(secret.New(newPAT)); err == nil || !errors.Is(err, os.ErrClosed) || strings.Contains(err.Error(), newPAT) {
		t.Errorf("Mask on a closed standard output: %v", err)
	}
	// The log is no reason to stop.
	g.Log().Infof("said to nobody")
	g.Log().Warning("said", "to nobody")
	g.Log().Group("of nobodies")()

	for takes := range 3 {
		w := &failing{takes: takes}
		g := NewGitHub(Options{LookupEnv: newBareStep(false).lookup, Stdout: w, Stderr: new(bytes.Buffer)})
		if err := MaskPAT(g, secret.New(newPAT)); err == nil || strings.Contains(err.Error(), newPAT) {
			t.Errorf("MaskPAT with %d of 3 masks written: %v", takes, err)
		}
	}
}

// Not even a bug where nothing is expected to fail may end the program before
// it has cleaned up.
func TestContained(t *testing.T) {
	t.Parallel()
	if err := recoverPanic(func() { panic("out of order") }); err == nil || err.Error() != "out of order" {
		t.Error(err)
	}
	if err := recoverPanic(func() { panic(os.ErrClosed) }); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if err := recoverPanic(func() {}); err != nil {
		t.Error(err)
	}
}

// hiding returns a log that was told of a credential.
func hiding(credentials ...string) *Log {
	p, _, _ := newTerminal(false, nil)
	for _, text := range credentials {
		_ = p.Mask(secret.New(text))
	}
	return p.Log()
}

// A server may send a credential back as it likes to write it.
func TestScrubEncodings(t *testing.T) {
	t.Parallel()
	for _, text := range []string{newPAT, oldPAT, "p@ss/w+rd & <b>'q\"uo\"te'\\ 100% ü=~", `"quoted"`, "a/b?c=d&e+f"} {
		inJSON, _ := json.Marshal(text)
		var plainJSON bytes.Buffer
		e := json.NewEncoder(&plainJSON)
		e.SetEscapeHTML(false)
		_ = e.Encode(text)
		for name, encoded := range map[string]string{
			"plain":                 text,
			"hex":                   hex.EncodeToString([]byte(text)),
			"upper-case hex":        strings.ToUpper(hex.EncodeToString([]byte(text))),
			"query":                 url.QueryEscape(text),
			"path":                  url.PathEscape(text),
			"query as .NET does":    dotNet(url.QueryEscape(text)),
			"path as .NET does":     dotNet(url.PathEscape(text)),
			"JSON":                  strings.TrimSuffix(string(inJSON[1:]), `"`),
			"JSON, not for HTML":    strings.TrimSuffix(strings.TrimSpace(plainJSON.String())[1:], `"`),
			"HTML":                  html.EscapeString(text),
			"XML":                   strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;").Replace(text),
			"base64":                strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(text)), "="),
			"base64url":             base64.RawURLEncoding.EncodeToString([]byte(text)),
			"twice in one line":     text + " and " + text,
			"twice without a space": text + text,
		} {
			t.Run(name+"/"+text, func(t *testing.T) {
				t.Parallel()
				got := hiding(text).Scrub("<" + encoded + ">")
				// Of base64 the last character may stay: its bits are shared.
				if rest := strings.NewReplacer("***", "", " and ", "").Replace(got); !strings.Contains(got, "***") || len(rest) > 3 {
					t.Errorf("%q became %q", encoded, got)
				}
			})
		}
	}
}

func dotNet(escaped string) string {
	for _, b := range "%+&<>'\"/\\?=\u00fc @" {
		up := strings.ToUpper(url.PathEscape(string(b)))
		escaped = strings.ReplaceAll(escaped, up, strings.ToLower(up))
		up = url.QueryEscape(string(b))
		escaped = strings.ReplaceAll(escaped, up, strings.ToLower(up))
	}
	return escaped
}

// In base64 the neighbours of a text change what it looks like: all three
// alignments, whatever stands before and behind.
func TestScrubBase64(t *testing.T) {
	t.Parallel()
	for _, text := range []string{newPAT, oldPAT, "hunter2", "ÿþ~?>ÿþ~?>"} {
		log := hiding(text)
		for before := range 7 {
			for behind := range 4 {
				whole := strings.Repeat("u", before) + text + strings.Repeat(":", behind)
				for name, encoding := range map[string]*base64.Encoding{
					"std": base64.StdEncoding, "url": base64.URLEncoding, "raw std": base64.RawStdEncoding, "raw url": base64.RawURLEncoding,
				} {
					got := log.Scrub(encoding.EncodeToString([]byte(whole)))
					rest := strings.Replace(got, "***", "", 1)
					// A whole character more than the neighbours' own can stay at
					// either end, and the padding.
					if most := (before*8+5)/6 + 2 + (behind*8+5)/6 + 2; rest == got || len(rest) > most {
						t.Errorf("%s, %d before, %d behind %q: %q", name, before, behind, text, got)
					}
				}
			}
		}
	}
}

// A token that nobody told the log of is known by its form.
func TestScrubForms(t *testing.T) {
	t.Parallel()
	const jwt = "eyJ0eXAiOiJKV1QifQ.eyJzdWIiOiJyZXBvOmEvYiJ9.c2lnbmF0dXJlLV8"
	log := hiding()
	for in, want := range map[string]string{
		newPAT:                                 "***",
		oldPAT:                                 "***",
		jwt:                                    "***",
		"token=" + newPAT + "&x":               "token=***&x",
		"u:" + oldPAT + "@host":                "u:***@host",
		`"` + oldPAT + `"`:                     `"***"`,
		"Bearer " + jwt + ".":                  "Bearer ***.",
		jwt[:40] + "…":                         "***…",
		"a" + newPAT:                           "a***",
		jwt + " " + jwt:                        "*** ***",
		"eyJhbGciOi.eyJzdWIiOi.":               "***",
		strings.ToUpper(oldPAT):                strings.ToUpper(oldPAT),
		oldPAT[:51]:                            oldPAT[:51],
		newPAT[:83]:                            newPAT[:83],
		"4ab5764f-4193-4f1d-b995-64144880b7d7": "4ab5764f-4193-4f1d-b995-64144880b7d7",
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	} {
		if got := log.Scrub(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

// Of several credentials, one inside the other, nothing is left.
func TestScrubOverlaps(t *testing.T) {
	t.Parallel()
	for _, order := range [][]string{{"hunter2", "hunter2-and-more"}, {"hunter2-and-more", "hunter2"}, {"2-and", "hunter2", "hunter2-and-more"}} {
		if got := hiding(order...).Scrub("a hunter2-and-more b hunter2 c"); got != "a *** b *** c" {
			t.Errorf("%q: %q", order, got)
		}
	}
	log := hiding("hunter2", "hunter2")
	if got := log.Scrub("hunter2"); got != "***" {
		t.Errorf("told twice: %q", got)
	}
}

// A mask of a few letters would hide them wherever they stand in the log, and the
// CI system masks each line of a value.
func TestMaskOfTooFewCharacters(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a", "abc", "   ", "abc ", "äöü", "\n", "hunter2\nabc", "a\r\nhunter2"} {
		terminal, _, stderr := newTerminal(false, nil)
		step, agent := newStep(t, false), newPipelineStep(t, false)
		for name, p := range map[string]Platform{"GitHub": step, "Azure Pipelines": agent, "terminal": terminal} {
			if err := p.Mask(secret.New(text)); !errors.Is(err, ErrTooShort) {
				t.Errorf("%s: a mask of %q: %v", name, text, err)
			}
			if err := p.Log().Hide(secret.New(text)); !errors.Is(err, ErrTooShort) {
				t.Errorf("%s: %q is hidden: %v", name, text, err)
			}
			if got := p.Log().Scrub("abc äöü   hunter2"); got != "abc äöü   hunter2" {
				t.Errorf("%s: after %q the log says %q", name, text, got)
			}
		}
		if step.stdout.Len()+agent.stdout.Len()+stderr.Len() > 0 {
			t.Errorf("%q: %q, %q, %q", text, step.stdout.String(), agent.stdout.String(), stderr.String())
		}
	}
}

// Guards long answers that were cut in the middle of a credential before the
// log saw them: most of a PAT is enough to guess the rest.
func TestScrubCutOff(t *testing.T) {
	t.Parallel()
	refresh := strings.Repeat("1.AXoA-refresh_", 90)
	for _, text := range []string{newPAT, oldPAT, refresh} {
		log := hiding(text)
		for _, encoded := range []string{text, url.QueryEscape(text), base64.RawStdEncoding.EncodeToString([]byte(text))} {
			for left := shortest; left < min(len(encoded), 250); left++ {
				said := sanitize.Line("AADSTS70000: not valid: "+encoded+" for ever and ever", 24+left+1)
				if got := log.Scrub(said + "\nand more…"); got != "AADSTS70000: not valid: ***…\nand more…" {
					t.Fatalf("%q became %q", said, got)
				}
			}
		}
		if got := log.Scrub("ask Entra…, no " + text[:3] + "… and not " + text); got != "ask Entra…, no "+text[:3]+"… and not ***" {
			t.Errorf("%q", got)
		}
	}
}

// Guards a password with white space, which looks different once an answer that
// repeats it was made one line.
func TestScrubAfterLine(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"  two  spaces ", "no\u00a0break\u3000space", "zero\u200bwidth"} {
		if got := hiding(text).Scrub(sanitize.Line("password "+text+" is wrong", 300)); got != "password *** is wrong" {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// A credential is replaced before the line is made harmless, so what makes it
// harmless cannot spoil the match; and what replaces it makes no command.
func TestScrubBeforeHarmless(t *testing.T) {
	t.Parallel()
	s := newStep(t, false)
	for _, text := range []string{"::x##[y]z", "[error]", "\u200bhidden"} {
		if err := s.Mask(secret.New(text)); err != nil {
			t.Fatal(err)
		}
	}
	s.stdout.Reset()
	s.Log().Infof("::x##[y]z\n##[error]x #[error]# \u200bhidden\n[error]::error::y")
	if got, want := s.stdout.String(), "***\n# #***x #***# ***\n***::error::y\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzScrub(f *testing.F) {
	f.Add("hunter2", "password is ", ", or not")
	f.Add(newPAT, "\u2026", "…")
	f.Add("a\"b'c<&>%", "\\", "\"")
	f.Fuzz(func(t *testing.T, text, before, behind string) {
		if text == "" || unmaskable(secret.New(text)) != nil || strings.Contains(text, "*") || strings.Contains(text, "…") {
			t.Skip() // could be made of what replaces it
		}
		for _, encoded := range append(encodings(text), text) {
			if len(encoded) < shortest && encoded != text {
				continue
			}
			if got := hiding(text).Scrub(before + encoded + behind); strings.Contains(got, encoded) && !strings.Contains("***", encoded) {
				t.Errorf("%q in %q became %q", encoded, before+encoded+behind, got)
			}
		}
	})
}

// A mask that could not be written is not taken for one that was: asked for once
// more, it must be written or fail again.
func TestMaskThatFailed(t *testing.T) {
	t.Parallel()
	w := &failingOnce{}
	g := NewGitHub(Options{LookupEnv: func(string) (string, bool) { return "", false }, Stdout: w, Random: strings.NewReader("")})
	v := secret.New("correct-horse-battery")
	if err := g.Mask(v); err == nil {
		t.Fatal("the failure was not reported")
	}
	for range 2 {
		if err := g.Mask(v); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := w.String(), "::add-mask::correct-horse-battery\n"; got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}

// failingOnce is a stream whose first write fails.
type failingOnce struct {
	failed bool
	strings.Builder
}

func (f *failingOnce) Write(p []byte) (int, error) {
	if !f.failed {
		f.failed = true
		return 0, errors.New("broken pipe")
	}
	return f.Builder.Write(p)
}
