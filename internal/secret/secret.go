// Package secret holds credentials so that they cannot be printed by accident.
//
// A [Value] prints as "***" with every verb of fmt, in JSON, in slog and
// wherever else it is formatted; only [Value.Reveal] gives the text out, and a
// search for that word finds every place that does.
package secret

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// redacted is what stands for a secret wherever one is printed.
const redacted = "***"

// Value is a credential. The zero value is the absent credential.
//
// The text is behind a pointer: fmt prints a pointer nested in an unexported
// field as an address, where it would print a string as it is.
type Value struct{ text *string }

// New makes a secret of text. An empty text makes the zero value.
func New(text string) Value {
	if text == "" {
		return Value{}
	}
	return Value{text: &text}
}

// Reveal returns the text. Call it only to send the credential to the one who
// is meant to have it, or to mask it.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// IsZero reports whether there is no credential.
func (v Value) IsZero() bool { return v.text == nil }

// String implements [fmt.Stringer].
func (v Value) String() string {
	if v.IsZero() {
		return ""
	}
	return redacted
}

// Format implements [fmt.Formatter], so that no verb reaches the text.
func (v Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, v.String()) }

// MarshalText implements [encoding.TextMarshaler].
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// LogValue implements [slog.LogValuer].
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// EnvDecode implements envconfig's decoder.
func (v *Value) EnvDecode(_ context.Context, text string) error {
	*v = New(text)
	return nil
}
