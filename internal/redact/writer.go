package redact

import (
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"strings"

	"azdo-pat/internal/secret"
)

// Writer copies a command's output, with "***" in place of a PAT or an Entra token.
//
// The result does not depend on how the text is split into writes. All other text is
// passed on unchanged and at once, so that a prompt is seen: only the end of a write
// that may be the beginning of a match waits for the next write, or for Close. Usually
// that is one or two letters or digits, and never a line feed.
type Writer struct {
	w      io.Writer
	index  index
	text   []byte // the end of the input, in which a match may begin
	done   int    // text[:done] was passed on
	masked bool   // what was passed on ends with a mask
	found  []span
	out    []byte
}

// ErrTooLong is the error for a credential that is longer than any PAT or Entra token.
var ErrTooLong = errors.New("the token is longer than any PAT or Entra token")

// maxToken is several times the length of an Entra token, in bytes, which has about 2
// KiB; a PAT has 84 bytes. It bounds the time for a write.
const maxToken = 16 << 10

// NewWriter returns a Writer that writes to w.
func NewWriter(w io.Writer, token secret.Value) (*Writer, error) {
	text := token.Reveal()
	if text == "" || len(text) > maxToken {
		return nil, ErrTooLong
	}
	writer := &Writer{w: w}
	all := append([]string{
		// As in an Authorization header, with padding.
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

// Close passes on the rest. It does not close the underlying writer.
func (w *Writer) Close() error { return w.pass(len(w.text)) }

// undecided returns how many bytes at the end of the text may be the beginning of a
// match, which they are if some form contains them.
func (w *Writer) undecided() int {
	n := 0
	for n < min(window-1, len(w.text)) {
		end := string(w.text[len(w.text)-n-1:])
		if !slices.ContainsFunc(w.index.forms, func(form string) bool { return strings.Contains(form, end) }) {
			break
		}
		n++
	}
	return n
}

// pass passes on the text up to end. A match that goes beyond it is passed on whole.
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
	// A match with later text cannot begin earlier.
	kept := w.text[max(0, w.done-(window-1)):]
	w.done -= len(w.text) - len(kept)
	w.text = append(w.text[:0], kept...)
	if len(w.out) == 0 {
		return nil
	}
	_, err := w.w.Write(w.out)
	return err
}

// plain adds the text up to end to the output.
func (w *Writer) plain(end int) {
	if end > w.done {
		w.out = append(w.out, w.text[w.done:end]...)
		w.done, w.masked = end, false
	}
}
