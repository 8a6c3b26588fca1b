package hint

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

// unadvised may have a hint of its own, and has none.
type unadvised struct{ error }

func (unadvised) Hint() string    { return "" }
func (u unadvised) Unwrap() error { return u.error }

// advised has its own Hint method, as the errors of other packages do.
type advised struct{}

func (advised) Error() string { return "refused" }
func (advised) Hint() string  { return "ask again" }

func TestOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		err     error
		message string
		hint    string
	}{
		{"none", io.EOF, "EOF", ""},
		{"added", Add(io.EOF, "try more"), "EOF", "try more"},
		{"empty", Add(io.EOF, ""), "EOF", ""},
		{"an empty one does not hide another", Add(Add(io.EOF, "inner"), ""), "EOF", "inner"},
		{"the outermost wins", Add(fmt.Errorf("read: %w", Add(io.EOF, "inner")), "outer"), "read: EOF", "outer"},
		{"through wrapping", fmt.Errorf("read: %w", Add(io.EOF, "inner")), "read: EOF", "inner"},
		{"through joining", errors.Join(io.ErrClosedPipe, Add(io.EOF, "inner")), "io: read/write on closed pipe\nEOF", "inner"},
		{"of the cause, if the error has none", fmt.Errorf("ask: %w", unadvised{Add(io.EOF, "inner")}), "ask: EOF", "inner"},
		{"of the one beside it", fmt.Errorf("%w; %w", unadvised{io.EOF}, Add(io.EOF, "beside")), "EOF; EOF", "beside"},
		{"an error's own", fmt.Errorf("ask: %w", advised{}), "ask: refused", "ask again"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := tc.err.Error(); got != tc.message {
				t.Errorf("message %q, want %q", got, tc.message)
			}
			if got := Of(tc.err); got != tc.hint {
				t.Errorf("hint %q, want %q", got, tc.hint)
			}
		})
	}
}

func TestNoError(t *testing.T) {
	t.Parallel()
	if err := Add(nil, "nothing went wrong"); err != nil {
		t.Errorf("Add(nil, …) = %v, want nil", err)
	}
	if got := Of(nil); got != "" {
		t.Errorf("Of(nil) = %q, want nothing", got)
	}
}

// Adding a hint keeps the error for errors.Is and errors.As.
func TestHintedErrorsAreStillFound(t *testing.T) {
	t.Parallel()
	err := Add(fmt.Errorf("ask: %w", advised{}), "outer")
	if !errors.Is(Add(io.EOF, "x"), io.EOF) || !errors.As(err, &advised{}) {
		t.Error("the cause behind a hint is not found")
	}
}
