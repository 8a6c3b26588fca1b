package secret

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// No way of printing shows a credential, nested or not.
func TestValueIsNeverPrinted(t *testing.T) {
	const text = "correct-horse"
	type holder struct {
		Public  Value
		private Value
		Pointer *Value
		Map     map[string]Value
	}
	v := New(text)
	h := holder{v, v, &v, map[string]Value{"k": v}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
		fmt.Fprintf(&out, verb+"\n", v)
		fmt.Fprintf(&out, verb+"\n", h)
		fmt.Fprintf(&out, verb+"\n", &h)
	}
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v, "h", h)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v, "h", h)
	for _, form := range []string{text, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret was printed: %s", out.String())
		}
	}
	if !strings.Contains(out.String(), redacted) {
		t.Errorf("no redaction mark in %s", out.String())
	}
}

func TestValue(t *testing.T) {
	if !New("").IsZero() || New("").Reveal() != "" || New("").String() != "" {
		t.Error("an empty text is not the absent credential")
	}
	var v Value
	if err := v.EnvDecode(context.Background(), "x"); err != nil || v.Reveal() != "x" || v.IsZero() {
		t.Errorf("EnvDecode gave %q, %v", v.Reveal(), err)
	}
}
