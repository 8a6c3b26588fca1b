package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"strings"
	"testing"

	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

const (
	newPAT = "9zXc0BNm1qWe2Rty3Uio4Pas5Dfg6Hjk7Lzx8Cvb9Nmq0Wer1Tyu2Iop3Asd4Fgh5Jkl6Zxc7Vbn" + "AZDO" + "4x1Z"
	oldPAT = "dip55dwf4vpitomw63jzvomefmi2jluguprzwwqwuc6xq4fhocwq"
)

// hiding returns a redactor of some credentials.
func hiding(credentials ...string) *Redactor {
	r := new(Redactor)
	for _, text := range credentials {
		r.Add(secret.New(text))
	}
	return r
}

// A server may send a credential back in any encoding.
func TestRedactEncodings(t *testing.T) {
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
				got := hiding(text).Redact("<" + encoded + ">")
				// The last character of base64 may stay: it also encodes a neighbour.
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

// Base64 of a text depends on its neighbours: all three alignments, with other text
// before and after.
func TestRedactBase64(t *testing.T) {
	t.Parallel()
	for _, text := range []string{newPAT, oldPAT, "hunter2", "ÿþ~?>ÿþ~?>"} {
		log := hiding(text)
		for before := range 7 {
			for behind := range 4 {
				whole := strings.Repeat("u", before) + text + strings.Repeat(":", behind)
				for name, encoding := range map[string]*base64.Encoding{
					"std": base64.StdEncoding, "url": base64.URLEncoding, "raw std": base64.RawStdEncoding, "raw url": base64.RawURLEncoding,
				} {
					got := log.Redact(encoding.EncodeToString([]byte(whole)))
					rest := strings.Replace(got, "***", "", 1)
					// At either end the neighbours' characters and one more can stay,
					// and the padding.
					if most := (before*8+5)/6 + 2 + (behind*8+5)/6 + 2; rest == got || len(rest) > most {
						t.Errorf("%s, %d before, %d behind %q: %q", name, before, behind, text, got)
					}
				}
			}
		}
	}
}

// An unknown token is recognized by its form.
func TestRedactForms(t *testing.T) {
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
		if got := log.Redact(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

// One credential can be a part of another.
func TestRedactOverlaps(t *testing.T) {
	t.Parallel()
	for _, order := range [][]string{{"hunter2", "hunter2-and-more"}, {"hunter2-and-more", "hunter2"}, {"2-and", "hunter2", "hunter2-and-more"}} {
		if got := hiding(order...).Redact("a hunter2-and-more b hunter2 c"); got != "a *** b *** c" {
			t.Errorf("%q: %q", order, got)
		}
	}
	log := hiding("hunter2", "hunter2")
	if got := log.Redact("hunter2"); got != "***" {
		t.Errorf("added twice: %q", got)
	}
}

// Guards long answers that were cut in the middle of a credential before they were
// logged: most of a PAT is enough to guess the rest.
func TestRedactCutOff(t *testing.T) {
	t.Parallel()
	refresh := strings.Repeat("1.AXoA-refresh_", 90)
	for _, text := range []string{newPAT, oldPAT, refresh} {
		log := hiding(text)
		for _, encoded := range []string{text, url.QueryEscape(text), base64.RawStdEncoding.EncodeToString([]byte(text))} {
			for left := minEncoded; left < min(len(encoded), 250); left++ {
				said := sanitize.Line("AADSTS70000: not valid: "+encoded+" and more text", 24+left+1)
				if got := log.Redact(said + "\nand more…"); got != "AADSTS70000: not valid: ***…\nand more…" {
					t.Fatalf("%q became %q", said, got)
				}
			}
		}
		if got := log.Redact("ask Entra…, no " + text[:3] + "… and not " + text); got != "ask Entra…, no "+text[:3]+"… and not ***" {
			t.Errorf("%q", got)
		}
	}
}

// Guards a password with white space, which changes when an answer that repeats it is
// made one line.
func TestRedactAfterLine(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"  two  spaces ", "no\u00a0break\u3000space", "zero\u200bwidth"} {
		if got := hiding(text).Redact(sanitize.Line("password "+text+" is wrong", 300)); got != "password *** is wrong" {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("hunter2", "password is ", ", or not")
	f.Add(newPAT, "\u2026", "…")
	f.Add("a\"b'c<&>%", "\\", "\"")
	f.Fuzz(func(t *testing.T, text, before, behind string) {
		if text == "" || secret.New(text).TooShort() || strings.Contains(text, "*") || strings.Contains(text, "…") {
			t.Skip() // could be made of what replaces it
		}
		for _, encoded := range append(encodings(text), text) {
			if len(encoded) < minEncoded && encoded != text {
				continue
			}
			if got := hiding(text).Redact(before + encoded + behind); strings.Contains(got, encoded) && !strings.Contains("***", encoded) {
				t.Errorf("%q in %q became %q", encoded, before+encoded+behind, got)
			}
		}
	})
}
