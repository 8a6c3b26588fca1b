package redact

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"

	"azdo-pat/internal/secret"
)

// basic is a PAT as an Authorization header has it.
func basic(token string) string { return base64.StdEncoding.EncodeToString([]byte(":" + token)) }

// The usual lines of the log are left as they are.
func TestRedactLeavesTheRest(t *testing.T) {
	t.Parallel()
	var r Redactor
	for _, token := range []string{newPAT, basic(newPAT), oldPAT, strings.Repeat("eyJhbGciOiJSUzI1NiJ9.", 40)} {
		r.Add(secret.New(token))
	}
	for _, said := range []string{
		"azdo-pat mint: contoso",
		"identity: agent user agent@contoso.onmicrosoft.com (agent identity a1a1a1a1-0000-4000-8000-000000000002, blueprint b1b1b1b1-0000-4000-8000-000000000001)",
		`minting a PAT with vso.code vso.packaging_write for 30m, named "azdo-pat contoso/widgets run 1658821493.2 build 0123456789abcdef"`,
		"minted PAT 4ab5764f-4193-4f1d-b995-64144880b7d7 for contoso with vso.code, valid until 2026-11-28T14:24:00Z",
		"[token](https://dev.azure.com/contoso/_usersSettings/tokens)",
		"GET vssps.dev.azure.com/contoso/_apis/tokens/pats: 200 OK after 51ms",
	} {
		if got := r.Redact(said); got != said {
			t.Errorf("%q became %q", said, got)
		}
	}
}

// No window of any token is left, however tokens and other text are mixed.
func TestRedactLeavesNoWindow(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	tokens := []string{newPAT, basic(newPAT), oldPAT, strings.Repeat("eyJhbGciOiJSUzI1NiJ9.", 4) + "~end", strings.Repeat("1.AXoA-refresh_", 9)}
	var r Redactor
	var all []string
	windows := map[string]bool{}
	for _, token := range tokens {
		r.Add(secret.New(token))
		for _, form := range forms(token) {
			all = append(all, form)
			for i := range len(form) - window + 1 {
				windows[form[i:i+window]] = true
			}
		}
	}
	holds := func(text string) bool {
		for i := range len(text) - window + 1 {
			if windows[text[i:i+window]] {
				return true
			}
		}
		return false
	}
	between := []string{" ", "…", ".", "/", ":", "\n", "-", "4ab5764f-4193-4f1d-b995-64144880b7d7", "https://login.microsoftonline.com/", "Bearer ", "x"}
	changed := 0
	for range 5_000 {
		var b strings.Builder
		for range 1 + random.IntN(5) {
			b.WriteString(between[random.IntN(len(between))])
			form := all[random.IntN(len(all))]
			from := random.IntN(len(form))
			// The length is often just below or above that of a window.
			b.WriteString(form[from:min(len(form), from+random.IntN(2*window))])
		}
		text := b.String()
		got := r.Redact(text)
		if holds(got) {
			t.Fatalf("%q became %q", text, got)
		}
		if left, ok := inOrder(got, text); !ok {
			t.Fatalf("%q became %q, which has %q of its own", text, got, left)
		}
		if !holds(text) && !strings.Contains(text, "…") && !strings.Contains(text, "eyJ") && got != text {
			t.Fatalf("%q became %q, though it holds no window", text, got)
		}
		if got != text {
			changed++
		}
	}
	if changed < 1_500 || changed > 4_850 {
		t.Errorf("%d of the texts were changed", changed)
	}
}

// BenchmarkRedactorOfARun redacts the log of a usual run, with the credentials of one,
// none of them in the log.
func BenchmarkRedactorOfARun(b *testing.B) {
	random := rand.NewChaCha8([32]byte{})
	credentials := []secret.Value{secret.New(newPAT), secret.New(basic(newPAT))}
	for _, length := range []int{900, 1300, 1500, 1500, 1600} { // JWTs
		payload := make([]byte, length)
		_, _ = random.Read(payload)
		credentials = append(credentials, secret.New("eyJhbGciOiJSUzI1NiJ9."+base64.RawURLEncoding.EncodeToString(payload)))
	}
	b.ReportAllocs()
	for b.Loop() {
		var r Redactor
		for _, v := range credentials {
			r.Add(v)
		}
		for range 30 {
			r.Redact(`minting a PAT with vso.code vso.packaging_write for 30m, named "azdo-pat contoso/widgets run 1658821493.2 build 0123456789abcdef"`)
		}
	}
}
