// Package secret holds credentials so that they cannot be printed by accident.
//
// A [Value] prints as "***" with every verb of fmt, in JSON, in slog and in any other
// format. Only [Value.Reveal] returns the text, so a search for its name finds every
// use.
package secret

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// redacted is printed instead of a secret.
const redacted = "***"

// Value is a credential. The zero value is the absent credential.
//
// The text is behind a pointer: fmt prints a pointer nested in an unexported
// field as an address, where it would print a string as it is.
type Value struct{ text *string }

// New returns text as a secret. An empty text gives the zero value.
func New(text string) Value {
	if text == "" {
		return Value{}
	}
	return Value{text: &text}
}

// Reveal returns the text. Call it only to send the credential to its recipient, or to
// mask it.
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

// Format implements [fmt.Formatter], so that no verb prints the text.
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
