package redact

import "strings"

// piece is how many characters in a row of a credential are too many.
const piece = 24

// Any piece of a text holds one of its anchors whole: anchors are so long, and
// begin so far apart. So that not all pieces of a text need be kept to find one,
// which for a JWT in its encodings are some ten thousand.
const (
	anchor = piece / 2
	apart  = piece - anchor + 1
)

// pieces finds pieces of texts in another text.
type pieces struct {
	places []place        // of anchors; the first is none
	last   map[string]int // the latest place of an anchor
}

// place is where an anchor is in a text.
type place struct {
	text string
	at   int
	next int // another place of the same anchor; 0: none
}

// around is the part of a text in which the pieces are that hold the anchor.
func (p place) around() string {
	return p.text[max(0, p.at-(piece-anchor)):min(len(p.text), p.at+piece)]
}

// add makes the pieces of a text known.
func (p *pieces) add(text string) {
	if len(text) < piece {
		return
	}
	if p.last == nil {
		p.last, p.places = map[string]int{}, make([]place, 1)
	}
	for at := 0; at+anchor <= len(text); at += apart {
		key := text[at : at+anchor]
		added := place{text, at, p.last[key]}
		if !p.has(added) {
			p.last[key] = len(p.places)
			p.places = append(p.places, added)
		}
	}
}

// has reports whether a place would add no piece. Without it, a text that
// repeats itself would have one anchor in thousands of places.
func (p *pieces) has(added place) bool {
	for k := added.next; k != 0; k = p.places[k].next {
		if p.places[k].around() == added.around() {
			return true
		}
	}
	return false
}

// hide replaces the known pieces in a text, those that overlap by one mark.
func (p *pieces) hide(text string) string {
	starts := p.find(text)
	if starts == nil {
		return text
	}
	var b strings.Builder
	hidden := 0 // up to where text is part of a credential
	for i := range len(text) {
		if starts[i] {
			if i >= hidden {
				b.WriteString("***")
			}
			hidden = i + piece
		}
		if i >= hidden {
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

// find tells where in a text the known pieces start; nil: there is none.
func (p *pieces) find(text string) (starts []bool) {
	for i := 0; i+anchor <= len(text); i++ {
		for k := p.last[text[i:i+anchor]]; k != 0; k = p.places[k].next {
			from, to := p.places[k].match(text, i)
			for ; from+piece <= to; from++ {
				if starts == nil {
					starts = make([]bool, len(text))
				}
				starts[from] = true
			}
		}
	}
	return starts
}

// match tells how much of text, where the anchor is at i, is as it is around
// the anchor, as far as pieces with it reach.
func (p place) match(text string, i int) (from, to int) {
	const reach = piece - anchor
	from, to = i, i+anchor
	for n := 1; n <= min(reach, i, p.at) && text[i-n] == p.text[p.at-n]; n++ {
		from--
	}
	for n := anchor; n < anchor+reach && i+n < len(text) && p.at+n < len(p.text) && text[i+n] == p.text[p.at+n]; n++ {
		to++
	}
	return from, to
}
