package redact

import (
	"encoding/base64"
	"errors"
	"io"

	"azdo-pat/internal/secret"
)

// Writer passes on what a command writes, with a PAT and its encodings replaced
// by "***": base64 at each of its three alignments, hex in both cases, and what
// URLs, JSON and markup make of it. Any 24 characters in a row of one of these
// are replaced, so that the lines into which an encoder breaks it are, too.
//
// However the text is split into writes, the result is the same. Everything else
// passes byte by byte, and at once: only bytes at the end of a write that could
// be part of a match wait for the next write, or for Close. Those are letters
// and digits, in most texts one or two of them, and never a line feed.
type Writer struct {
	w       io.Writer
	parts   *parts
	held    []byte // waits; what follows may make it part of a match
	state   int32  // of parts, after what was looked at
	length  int    // of the part that it ends with
	written bool   // the last that was written is a replacement
	out     []byte
}

// ErrLong is the error of a credential that is longer than any PAT.
var ErrLong = errors.New("the PAT is longer than any PAT")

// longestPAT bounds, in bytes, the memory that a filter takes: twelve times the
// usual PAT.
const longestPAT = 1 << 10

// NewWriter returns a filter in front of w. For the usual PAT it takes less than
// a megabyte.
func NewWriter(w io.Writer, pat secret.Value) (*Writer, error) {
	text := pat.Reveal()
	if text == "" || len(text) > longestPAT {
		return nil, ErrLong
	}
	// The first two are sent in an Authorization header.
	forms := append([]string{
		base64.StdEncoding.EncodeToString([]byte(text)),
		base64.StdEncoding.EncodeToString([]byte(":" + text)),
		text,
	}, encodings(text)...)
	return &Writer{w: w, parts: newParts(forms, min(piece, len(text)))}, nil
}

// Write implements [io.Writer].
func (f *Writer) Write(p []byte) (int, error) {
	text := p
	if len(f.held) > 0 {
		text = append(f.held, p...)
	}
	m := f.parts
	state, length := f.state, f.length
	f.out = f.out[:0]
	from := 0 // what is before it is dealt with
	for i := len(text) - len(p); i < len(text); i++ {
		// Where the end of the next match that there can be is no part of any
		// text, there is none, and most of it need not be looked at.
		for end := i - length + m.enough - 1; end-2 >= i && end < len(text) && !m.triple(text[end-2:end+1]); end += m.enough - 2 {
			i, state, length = end-1, 0, 0
		}
		state, length = m.step(state, length, text[i])
		if length >= m.enough {
			f.pass(text[from:max(from, i+1-length)])
			if !f.written {
				f.out, f.written = append(f.out, "***"...), true
			}
			from = i + 1
		}
	}
	waits := max(from, len(text)-length)
	f.pass(text[from:waits])
	f.state, f.length = state, length
	f.held = append(f.held[:0], text[waits:]...)
	if len(f.out) == 0 {
		return len(p), nil
	}
	if _, err := f.w.Write(f.out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// pass puts text out as it is.
func (f *Writer) pass(text []byte) {
	if len(text) > 0 {
		f.out, f.written = append(f.out, text...), false
	}
}

// Close writes what waited for more. It does not close the writer behind.
func (f *Writer) Close() error {
	if len(f.held) == 0 {
		return nil
	}
	_, err := f.w.Write(f.held)
	f.held, f.state, f.length, f.written = nil, 0, 0, false
	return err
}

// parts is the suffix automaton of some texts: it knows all their parts. Every
// state stands for parts that end at the same places; state 0 for the empty one.
// https://en.wikipedia.org/wiki/Suffix_automaton
type parts struct {
	enough  int        // the length from which on a part tells too much
	class   [256]int32 // of a byte; 0: no text has it
	classes int32
	next    []int32  // by state and class; 0: there is no such part
	longest []int32  // the length of a state's longest part
	shorter []int32  // the state of the longest end of these that is in another state
	triples []uint64 // by three classes, a bit: whether there is such a part
}

func newParts(texts []string, enough int) *parts {
	m := &parts{enough: enough, classes: 1}
	for _, text := range texts {
		for _, b := range []byte(text) {
			if m.class[b] == 0 {
				m.class[b] = m.classes
				m.classes++
			}
		}
	}
	m.triples = make([]uint64, m.classes*m.classes*m.classes/64+1)
	m.state(0)
	for _, text := range texts {
		last := int32(0)
		for i, b := range []byte(text) {
			last = m.extend(last, m.class[b])
			if i >= 2 {
				n := m.number(text[i-2], text[i-1], b)
				m.triples[n/64] |= 1 << (n % 64)
			}
		}
	}
	return m
}

// step returns the state, and the length of the part that it is reached with, after
// one more byte.
func (m *parts) step(state int32, length int, b byte) (int32, int) {
	class := m.class[b]
	for state != 0 && m.next[state*m.classes+class] == 0 {
		state = m.shorter[state]
		length = int(m.longest[state])
	}
	if state = m.next[state*m.classes+class]; state == 0 {
		return 0, 0
	}
	return state, length + 1
}

func (m *parts) number(a, b, c byte) int32 {
	return (m.class[a]*m.classes+m.class[b])*m.classes + m.class[c]
}

// triple reports whether three bytes are a part.
func (m *parts) triple(text []byte) bool {
	n := m.number(text[0], text[1], text[2])
	return m.triples[n/64]&(1<<(n%64)) != 0
}

// state adds a state whose longest part has that length.
func (m *parts) state(longest int32) int32 {
	m.next = append(m.next, make([]int32, m.classes)...)
	m.longest = append(m.longest, longest)
	m.shorter = append(m.shorter, 0)
	return int32(len(m.longest) - 1)
}

// extend makes known what a state's longest part is with one more byte, and all
// its ends, and returns the state of it.
func (m *parts) extend(last, class int32) int32 {
	if known := m.next[last*m.classes+class]; known != 0 {
		return m.exact(last, known, class)
	}
	added := m.state(m.longest[last] + 1)
	for at := last; ; at = m.shorter[at] {
		if known := m.next[at*m.classes+class]; known != 0 {
			m.shorter[added] = m.exact(at, known, class)
			break
		}
		m.next[at*m.classes+class] = added
		if at == 0 {
			break
		}
	}
	return added
}

// exact returns a state whose longest part is that of the state at with one more
// byte. If known, where that leads, has a longer one, it is split.
func (m *parts) exact(at, known, class int32) int32 {
	if m.longest[known] == m.longest[at]+1 {
		return known
	}
	split := m.state(m.longest[at] + 1)
	copy(m.next[split*m.classes:], m.next[known*m.classes:(known+1)*m.classes])
	m.shorter[split], m.shorter[known] = m.shorter[known], split
	for ; m.next[at*m.classes+class] == known; at = m.shorter[at] {
		m.next[at*m.classes+class] = split
		if at == 0 {
			break
		}
	}
	return split
}
