package redact

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// Of a text in which all pieces are looked for one by one, the same is left.
func TestPiecesAreFoundByTheirAnchors(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	text := func(letters, length int) string {
		b := make([]byte, length)
		for i := range b {
			b[i] = 'a' + byte(random.IntN(letters))
		}
		return string(b)
	}
	found := 0
	for range 10_000 {
		// Few letters make for many coincidences.
		letters := 1 + random.IntN(4)
		var p pieces
		known := map[string]bool{}
		var credentials []string
		for range 1 + random.IntN(3) {
			c := text(letters, random.IntN(100))
			credentials = append(credentials, c)
			p.add(c)
			for i := range len(c) - piece + 1 {
				known[c[i:i+piece]] = true
			}
		}
		in := text(letters, random.IntN(30))
		for range random.IntN(4) {
			c := credentials[random.IntN(len(credentials))]
			from := random.IntN(len(c) + 1)
			in += c[from:from+random.IntN(len(c)-from+1)] + text(letters, random.IntN(3))
		}
		want, hidden := "", 0
		for i := range len(in) {
			if i+piece <= len(in) && known[in[i:i+piece]] {
				if i >= hidden {
					want += "***"
				}
				hidden = i + piece
			}
			if i >= hidden {
				want += in[i : i+1]
			}
		}
		if got := p.hide(in); got != want {
			t.Fatalf("credentials %q: %q became %q, want %q", credentials, in, got, want)
		}
		if want != in {
			found++
		}
	}
	if found < 2_500 {
		t.Errorf("only %d of the texts had a piece", found)
	}
}

// A text that repeats itself has few pieces, however long it is.
func TestPiecesOfATextThatRepeatsItself(t *testing.T) {
	t.Parallel()
	var p pieces
	p.add(strings.Repeat("a", 1<<20))
	p.add(strings.Repeat("abc", 1<<18))
	if n := len(p.places); n > 50 {
		t.Errorf("%d places are kept", n)
	}
	if got := p.hide(strings.Repeat("a", 1<<16) + "b"); got != "***b" {
		t.Errorf("got %d characters", len(got))
	}
}
