package redact

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Looking up keys finds the same as looking for each window.
func TestIndexFindsEachWindow(t *testing.T) {
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
		// With few letters, much of the text matches by coincidence.
		letters := 1 + random.IntN(4)
		var x index
		known := map[string]bool{} // what is to be found, by the text itself
		var credentials []string
		for range 1 + random.IntN(3) {
			c := text(letters, random.IntN(100))
			credentials = append(credentials, c)
			x.add(c)
			for i := 0; len(c) >= keyLen && i+min(window, len(c)) <= len(c); i++ {
				known[c[i:i+min(window, len(c))]] = true
			}
		}
		in := text(letters, random.IntN(30))
		for range random.IntN(4) {
			c := credentials[random.IntN(len(credentials))]
			from := random.IntN(len(c) + 1)
			in += c[from:from+random.IntN(len(c)-from+1)] + text(letters, random.IntN(3))
		}
		hidden := make([]bool, len(in))
		for i := range in {
			for n := keyLen; n <= min(window, len(in)-i); n++ {
				if known[in[i:i+n]] {
					for k := range n {
						hidden[i+k] = true
					}
				}
			}
		}
		got := make([]bool, len(in))
		for _, s := range merge(x.find(nil, []byte(in))) {
			for i := s.from; i < s.to; i++ {
				got[i] = true
			}
		}
		if !slices.Equal(got, hidden) {
			t.Fatalf("credentials %q: in %q found %v, want %v", credentials, in, got, hidden)
		}
		if slices.Contains(hidden, true) {
			found++
		}
	}
	if found < 2_500 {
		t.Errorf("only %d of the texts had something in them", found)
	}
}

// A credential that repeats itself does not make the search slow, however long it is.
func TestIndexOfATextThatRepeatsItself(t *testing.T) {
	t.Parallel()
	var x index
	x.add(strings.Repeat("a", 1<<20))
	x.add(strings.Repeat("abc", 1<<18))
	text := strings.Repeat("a", 1<<16)
	if got := merge(x.find(nil, []byte(text+"b"))); len(got) != 1 || got[0] != (span{0, len(text)}) {
		t.Errorf("found %v", got)
	}
}
