package httpclient

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// clocked is a Clock whose requests take some time, and whose server sends a Date.
type clocked struct {
	*Clock
	took   time.Duration
	date   string
	failed error
}

// withClock runs a test in a synctest bubble in which it is noon.
func withClock(t *testing.T, test func(t *testing.T, c *clocked)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(noon))
		test(t, newClocked())
	})
}

func newClocked() *clocked {
	c := &clocked{}
	c.Clock = &Clock{
		Host: "dev.example",
		Next: roundTripper(func(*http.Request) (*http.Response, error) {
			time.Sleep(c.took)
			return &http.Response{Header: http.Header{"Date": {c.date}}, Body: http.NoBody}, c.failed
		}),
	}
	return c
}

func (c *clocked) ask(t *testing.T, host string) {
	t.Helper()
	if _, err := c.RoundTrip(&http.Request{URL: &url.URL{Scheme: "https", Host: host}}); !errors.Is(err, c.failed) {
		t.Error(err)
	}
}

// A Date belongs to a moment between sending and receiving and has whole seconds. A
// difference within that interval is not a skew.
func TestClock(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, date string
		late       time.Duration // of the request, after the full second
		took       time.Duration
		err        error
		want       Skew
		estimate   time.Duration
	}{
		{"no Date", "", 0, 0, nil, Skew{}, 0},
		{"nonsense", "yesterday", 0, 0, nil, Skew{}, 0},
		{"no answer", "Sun, 22 Nov 2026 11:00:00 GMT", 0, 0, errors.New("reset"), Skew{}, 0},
		{"the same second", "Sun, 22 Nov 2026 12:00:00 GMT", 0, 0, nil, Skew{-time.Second, 0}, 0},
		{"the end of the second", "Sun, 22 Nov 2026 12:00:00 GMT", 999 * time.Millisecond, 0, nil, Skew{-time.Millisecond, 999 * time.Millisecond}, 0},
		{"sent in one second, received in the next", "Sun, 22 Nov 2026 12:00:00 GMT", 900 * time.Millisecond, time.Second, nil, Skew{-100 * time.Millisecond, 1900 * time.Millisecond}, 0},
		{"answered at the end of a long time", "Sun, 22 Nov 2026 12:00:30 GMT", 0, 30 * time.Second, nil, Skew{-31 * time.Second, 0}, 0},
		{"dated at its start", "Sun, 22 Nov 2026 12:00:00 GMT", 0, 30 * time.Second, nil, Skew{-time.Second, 30 * time.Second}, 0},
		{"behind", "Sun, 22 Nov 2026 12:10:00 GMT", 0, time.Second, nil, Skew{-10*time.Minute - time.Second, -10*time.Minute + time.Second}, -10*time.Minute + time.Second},
		{"ahead", "Sun, 22 Nov 2026 11:00:00 GMT", 0, time.Second, nil, Skew{time.Hour - time.Second, time.Hour + time.Second}, time.Hour - time.Second},
	} {
		withClock(t, func(t *testing.T, c *clocked) {
			time.Sleep(tc.late)
			c.took, c.date, c.failed = tc.took, tc.date, tc.err
			c.ask(t, "dev.example")
			if got := c.Skew(); got != tc.want || got.Estimate() != tc.estimate {
				t.Errorf("%s: %v, estimate %s; want %v, %s", tc.name, got, got.Estimate(), tc.want, tc.estimate)
			}
		})
	}
}

// The clock is set back during a request.
func TestMeasureSkewOfAClockThatWasSet(t *testing.T) {
	t.Parallel()
	if got, want := MeasureSkew(noon.Add(time.Hour), noon, noon, noon.Add(time.Second)), (Skew{-time.Second, time.Hour}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestClockOfSeveralAnswers(t *testing.T) {
	t.Parallel()
	withClock(t, func(t *testing.T, c *clocked) {
		c.took, c.date = 30*time.Second, "Sun, 22 Nov 2026 12:00:03 GMT"
		c.ask(t, "dev.example")
		time.Sleep(100 * time.Millisecond)
		c.took, c.date = 0, "Sun, 22 Nov 2026 12:00:33 GMT"
		c.ask(t, "dev.example")
		if got, want := c.Skew(), (Skew{-3900 * time.Millisecond, -2900 * time.Millisecond}); got != want {
			t.Errorf("two answers: %v, want %v", got, want)
		}
		c.date = "Sun, 22 Nov 2026 13:00:33 GMT" // one of the clocks was set
		c.ask(t, "dev.example")
		if got, want := c.Skew(), (Skew{-time.Hour - 3900*time.Millisecond, -time.Hour - 2900*time.Millisecond}); got != want {
			t.Errorf("a clock was set: %v, want %v", got, want)
		}
	})
}

// The clock of Host is used; another server's only until Host has answered.
func TestClockOfSeveralServers(t *testing.T) {
	t.Parallel()
	withClock(t, func(t *testing.T, c *clocked) {
		at := func(host, date string, want time.Duration) {
			t.Helper()
			c.date = date
			c.ask(t, host)
			if got := c.Skew().Estimate(); got != want {
				t.Errorf("after %s: %s, want %s", host, got, want)
			}
		}
		at("ci.example", "Sun, 22 Nov 2026 13:00:00 GMT", -time.Hour)
		at("login.example", "Sun, 22 Nov 2026 14:00:00 GMT", -2*time.Hour)
		at("DEV.example", "Sun, 22 Nov 2026 12:00:00 GMT", 0)
		at("login.example", "Sun, 22 Nov 2026 14:00:00 GMT", 0)
	})
}

// A Date, or this machine's clock, is not used if other evidence contradicts it.
func TestClockIsConfined(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	for _, tc := range []struct {
		name        string
		date        time.Duration // ahead of this machine
		from, until time.Duration // of the token, by this machine; zero: none
		want        []time.Duration
	}{
		{"a wrong date", 30 * 24 * hour, -hour, hour, []time.Duration{0}},
		{"a wrong date in the past", -3 * hour, -hour, hour, []time.Duration{0}},
		{"a wrong machine", 3 * hour, 2 * hour, 4 * hour, []time.Duration{-3 * hour}},
		{"nothing decides", hour / 2, -hour, hour, []time.Duration{-hour / 2, 0}},
		{"no token", 3 * hour, 0, 0, []time.Duration{-3 * hour, 0}},
		{"neither can be right", 9 * hour, 2 * hour, 4 * hour, []time.Duration{-9 * hour, 0}},
		{"both clocks agree against the token", 0, 2 * hour, 4 * hour, []time.Duration{0}},
	} {
		withClock(t, func(t *testing.T, c *clocked) {
			c.date = noon.Add(tc.date).Format(http.TimeFormat)
			c.ask(t, "dev.example")
			if tc.until != 0 {
				c.Confine(noon.Add(tc.from), noon.Add(tc.until))
			}
			var got []time.Duration
			for _, s := range c.Skews() {
				got = append(got, s.Estimate())
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
			}
		})
	}
}

// A moment is past if it is past by the clock of every server.
func TestClockAfter(t *testing.T) {
	t.Parallel()
	withClock(t, func(t *testing.T, c *clocked) {
		if !c.After(noon.Add(time.Hour)) {
			t.Error("past without a Date")
		}
		c.date = "Sun, 22 Nov 2026 14:00:00 GMT"
		c.ask(t, "dev.example")
		for at, want := range map[time.Duration]bool{0: true, 2*time.Hour - time.Second: true, 2 * time.Hour: false, 3 * time.Hour: false} {
			if got := c.After(noon.Add(at)); got != want {
				t.Errorf("one server, %s: %t", at, got)
			}
		}
		c.date = "Sun, 22 Nov 2026 12:00:00 GMT"
		c.ask(t, "login.example")
		if c.After(noon.Add(time.Hour)) || !c.After(noon.Add(-time.Second)) {
			t.Error("the earliest of two servers does not decide")
		}
	})
}
