// Package hint attaches to an error what the user can change.
//
// An error describes what was being done, to whom, and what came back. A hint is the
// line after it that describes what to do about it.
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

// Of returns the outermost hint in err's tree, or "". An error of which nothing can be
// changed does not hide the hint of its cause.
func Of(err error) string {
	var h interface{ Hint() string }
	if !errors.As(err, &h) {
		return ""
	}
	if text := h.Hint(); text != "" {
		return text
	}
	switch e := err.(type) { //nolint:errorlint // errors.As stops at the first that has the method
	case interface{ Unwrap() error }:
		return Of(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, in := range e.Unwrap() {
			if text := Of(in); text != "" {
				return text
			}
		}
	}
	return ""
}
