// Package hint attaches to an error what its reader can change.
//
// An error says what was being done, to whom and what came back; a hint is the
// line after it that says what to do about it.
package hint

import "errors"

type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }
func (h *hinted) Hint() string  { return h.hint }

// Add returns err with a hint. A nil error or an empty hint changes nothing.
func Add(err error, hint string) error {
	if err == nil || hint == "" {
		return err
	}
	return &hinted{err, hint}
}

// Of returns the outermost hint of err's chain, or "".
func Of(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
