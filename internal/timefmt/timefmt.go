// Package timefmt writes times and durations for logs, errors and reports.
package timefmt

import (
	"fmt"
	"strings"
	"time"
)

const day = 24 * time.Hour

// Time is a time in UTC, to the second, as in 2026-11-30T12:00:00Z.
func Time(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Duration is a duration as one would write it in a setting, such as 30d, 6h or 1h30m.
// The settings read it back.
func Duration(d time.Duration) string {
	if d > day && d%day == 0 {
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

// Rough is a duration for people: in days from three days on, in hours and minutes from an
// hour on, otherwise to the second.
func Rough(d time.Duration) string {
	switch {
	case d >= 3*day:
		return fmt.Sprintf("%d days", d.Round(day)/day)
	case d >= time.Hour:
		return Duration(d.Round(time.Minute))
	}
	return Duration(d.Round(time.Second))
}
