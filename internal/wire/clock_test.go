package wire

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	answer := &http.Response{Header: http.Header{}, Body: http.NoBody}
	var failed error
	c := &Clock{
		Next: roundTripper(func(*http.Request) (*http.Response, error) { return answer, failed }),
		Now:  func() time.Time { return now }, Guess: time.Minute,
	}
	for _, tc := range []struct {
		name, date string
		err        error
		want       time.Duration
	}{
		{"nobody told", "", nil, time.Minute},
		{"behind", "Sun, 22 Nov 2026 12:10:00 GMT", nil, -10 * time.Minute},
		{"in time", "Sun, 22 Nov 2026 12:00:00 GMT", nil, 0},
		{"ahead", "Sun, 22 Nov 2026 11:00:00 GMT", nil, time.Hour},
		{"nonsense changes nothing", "yesterday", nil, time.Hour},
		{"no answer changes nothing", "Sun, 22 Nov 2026 12:00:00 GMT", errors.New("reset"), time.Hour},
	} {
		answer.Header.Set("Date", tc.date)
		failed = tc.err
		if _, err := c.RoundTrip(nil); !errors.Is(err, tc.err) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if got := c.Skew(); got != tc.want {
			t.Errorf("%s: skew %s, want %s", tc.name, got, tc.want)
		}
	}
}
