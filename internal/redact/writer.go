package redact

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"slices"

	"azdo-pat/internal/secret"
)

// Writer passes on what a command writes, with "***" in place of a PAT.
//
// However the text is split into writes, the result is the same. Everything else
// passes byte by byte, and at once: only bytes at the end of a write that could
// be part of a match wait for the next write, or for Close. In most texts these are
// one or two letters or digits, and never a line feed.
type Writer struct {
	w     io.Writer
	index index
	// text ends with what was written last. Up to done it was passed on, and is kept
	// because a match can begin in it.
	text   []byte
	done   int
	masked bool // the last that was passed on is a mask
	found  []span
	out    []byte
}

// ErrTooLong is the error for a credential that is longer than any PAT.
var ErrTooLong = errors.New("the PAT is longer than any PAT")

// maxPAT bounds, in bytes, the work that a writer has with each write: twelve times
// the usual PAT.
const maxPAT = 1 << 10

// NewWriter returns a writer in front of w.
func NewWriter(w io.Writer, pat secret.Value) (*Writer, error) {
	text := pat.Reveal()
	if text == "" || len(text) > maxPAT {
		return nil, ErrTooLong
	}
	writer := &Writer{w: w}
	all := append([]string{
		// Sent in an Authorization header, where they end with padding.
		base64.StdEncoding.EncodeToString([]byte(text)),
		base64.StdEncoding.EncodeToString([]byte(":" + text)),
	}, forms(text)...)
	for _, form := range all {
		writer.index.add(form)
	}
	return writer, nil
}

// Write implements [io.Writer].
func (w *Writer) Write(p []byte) (int, error) {
	w.text = append(w.text, p...)
	if err := w.pass(len(w.text) - w.undecided()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close passes on what waited for more. It does not close the writer after this one.
func (w *Writer) Close() error { return w.pass(len(w.text)) }

// undecided is how many bytes at the end can be the beginning of a match: the longest
// end of the text that is somewhere in a form.
func (w *Writer) undecided() int {
	n := 0
	for n < min(window-1, len(w.text)) {
		end := w.text[len(w.text)-n-1:]
		if !slices.ContainsFunc(w.index.forms, func(form []byte) bool { return bytes.Contains(form, end) }) {
			break
		}
		n++
	}
	return n
}

// pass passes on the text up to end, and the whole of a match that is there.
func (w *Writer) pass(end int) error {
	w.out = w.out[:0]
	w.found = merge(w.index.find(w.found[:0], w.text))
	for _, s := range w.found {
		if s.from > end {
			break
		}
		if s.to <= w.done {
			continue
		}
		w.plain(s.from)
		if !w.masked {
			w.out = append(w.out, mask...)
		}
		w.masked = true
		w.done = s.to
	}
	w.plain(end)
	// A match of what follows begins no earlier.
	kept := w.text[max(0, w.done-(window-1)):]
	w.done -= len(w.text) - len(kept)
	w.text = append(w.text[:0], kept...)
	if len(w.out) == 0 {
		return nil
	}
	_, err := w.w.Write(w.out)
	return err
}

// plain passes on the text up to end as it is.
func (w *Writer) plain(end int) {
	if end > w.done {
		w.out = append(w.out, w.text[w.done:end]...)
		w.done, w.masked = end, false
	}
}
