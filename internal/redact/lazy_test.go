package redact

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"

	"azdo-pat/internal/secret"
)

// basic is what a PAT becomes in a header.
func basic(token string) string { return base64.StdEncoding.EncodeToString([]byte(":" + token)) }

// What is said in most runs makes nobody work out what tokens look like.
func TestTokensStayUnread(t *testing.T) {
	t.Parallel()
	var s Redactor
	for _, token := range []string{newPAT, basic(newPAT), oldPAT, strings.Repeat("eyJhbGciOiJSUzI1NiJ9.", 40)} {
		s.Add(secret.New(token))
	}
	for _, said := range []string{
		"azdo-pat mint: contoso",
		"identity: agent user agent@contoso.onmicrosoft.com of agent a1a1a1a1-0000-4000-8000-000000000002, by way of blueprint b1b1b1b1-0000-4000-8000-000000000001",
		`minting "azdo-pat contoso/widgets run 1658821493.2 build 0123456789abcdef" with vso.code vso.packaging_write for 30m0s`,
		"minted PAT 4ab5764f-4193-4f1d-b995-64144880b7d7 for contoso with vso.code, valid until 2026-11-28T14:24:00Z",
		"[token](https://dev.azure.com/contoso/_usersSettings/tokens)",
		"GET vssps.dev.azure.com/contoso/_apis/tokens/pats: 200 OK after 51ms",
	} {
		if got := s.Redact(said); got != said || s.replacer != nil {
			t.Errorf("%q became %q, replacer %v", said, got, s.replacer)
		}
	}
}

// Tokens that are read late are hidden as those that are read at once.
func TestTokensAreReadInTime(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	tokens := []string{newPAT, basic(newPAT), oldPAT, strings.Repeat("eyJhbGciOiJSUzI1NiJ9.", 4) + "~end", strings.Repeat("1.AXoA-refresh_", 9)}
	var forms []string
	for _, token := range tokens {
		forms = append(append(forms, token), encodings(token)...)
	}
	between := []string{" ", "…", ".", "/", ":", "\n", "-", "4ab5764f-4193-4f1d-b995-64144880b7d7", "https://login.microsoftonline.com/", "Bearer ", "x"}
	changed := 0
	for range 1_000 {
		var late, early Redactor
		for _, token := range tokens {
			late.Add(secret.New(token))
			early.Add(secret.New(token))
			early.read()
		}
		var text strings.Builder
		for range 1 + random.IntN(5) {
			text.WriteString(between[random.IntN(len(between))])
			form := forms[random.IntN(len(forms))]
			from := random.IntN(len(form))
			// Mostly about as long as is just too long, or not quite.
			text.WriteString(form[from:min(len(form), from+random.IntN(2*piece))])
		}
		want := early.Redact(text.String())
		if got := late.Redact(text.String()); got != want {
			t.Fatalf("%q became %q, want %q", text.String(), got, want)
		}
		if want != text.String() {
			changed++
		}
	}
	if changed < 300 || changed > 970 {
		t.Errorf("%d of the texts held something", changed)
	}
}
