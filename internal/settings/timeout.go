package settings

import (
	"context"
	"fmt"
	"strings"
	"time"

	"azdo-pat/internal/hint"
)

// WithTimeout ends ctx after the time that the setting timeout allows.
func WithTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, hint.Add(
		fmt.Errorf("not done within %s", FormatDuration(timeout)), "if the services are just slow, give timeout a longer duration"))
}

// FormatDuration is a duration as one would write it in a setting, such as 30d, 6h or
// 1h30m.
func FormatDuration(d time.Duration) string {
	if d >= 3*day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	text := d.String()
	if before, ok := strings.CutSuffix(text, "m0s"); ok {
		text = before + "m"
	}
	if before, ok := strings.CutSuffix(text, "h0m"); ok {
		text = before + "h"
	}
	return text
}

// RoundDuration is a duration for people: in days, in hours and minutes, or to the
// second, whichever is enough.
func RoundDuration(d time.Duration) string {
	switch {
	case d >= 3*day:
		return fmt.Sprintf("%d days", d.Round(day)/day)
	case d >= time.Hour:
		return FormatDuration(d.Round(time.Minute))
	}
	return FormatDuration(d.Round(time.Second))
}
