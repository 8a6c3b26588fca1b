package timefmt

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]struct{ exact, rough string }{
		0:                                {"0s", "0s"},
		1500 * time.Millisecond:          {"1.5s", "2s"},
		90 * time.Second:                 {"1m30s", "1m30s"},
		30 * time.Minute:                 {"30m", "30m"},
		90 * time.Minute:                 {"1h30m", "1h30m"},
		time.Hour + 29*time.Second:       {"1h0m29s", "1h"},
		24 * time.Hour:                   {"24h", "24h"},
		48 * time.Hour:                   {"2d", "2d"},
		36 * time.Hour:                   {"36h", "36h"},
		30 * 24 * time.Hour:              {"30d", "30 days"},
		30*24*time.Hour - time.Second:    {"719h59m59s", "30 days"},
		-5 * time.Minute:                 {"-5m", "-5m"},
		10*24*time.Hour + 90*time.Minute: {"241h30m", "10 days"},
	} {
		if got := Duration(d); got != want.exact {
			t.Errorf("Duration(%v) = %q, want %q", d, got, want.exact)
		}
		if got := Rough(d); got != want.rough {
			t.Errorf("Rough(%v) = %q, want %q", d, got, want.rough)
		}
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 13, 0, 0, 5, time.FixedZone("", 3600))
	if got, want := Time(at), "2026-11-30T12:00:00Z"; got != want {
		t.Errorf("Time = %q, want %q", got, want)
	}
}
