package httpclient

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Tolerance is the largest difference between two clocks that is ignored. It covers
// delayed requests and times that are rounded to the second.
const Tolerance = time.Minute

// A Skew is how far this machine's clock is ahead of another one: between Min and
// Max. Negative values mean that it is behind.
type Skew struct {
	Min time.Duration `json:"min"`
	Max time.Duration `json:"max"`
}

// MeasureSkew returns the skew, given that at some moment between sent and received
// the other clock was between from and until.
func MeasureSkew(sent, received, from, until time.Time) Skew {
	// Compare wall clock times: Round removes the monotonic reading.
	sent, received = sent.Round(0), received.Round(0)
	if received.Before(sent) { // the clock was set back meanwhile
		sent, received = received, sent
	}
	return Skew{Min: sent.Sub(until), Max: received.Sub(from)}
}

// Estimate returns the smallest possible skew: zero, if Min and Max allow it.
func (s Skew) Estimate() time.Duration {
	switch {
	case s.Min > 0:
		return s.Min
	case s.Max < 0:
		return s.Max
	}
	return 0
}

// Agrees reports whether two skews can be the same, within [Tolerance].
func (s Skew) Agrees(t Skew) bool {
	return s.Min <= t.Max+Tolerance && t.Min <= s.Max+Tolerance
}

// overlap combines two measurements of the same skew. It reports false if they
// contradict each other.
func (s Skew) overlap(t Skew) (Skew, bool) {
	both := Skew{max(s.Min, t.Min), min(s.Max, t.Max)}
	return both, both.Min <= both.Max
}

// Clock is a transport that measures the servers' clocks by the Date header of
// their answers. A Date has whole seconds and belongs to some moment between
// sending the request and receiving the answer, so the result is an interval.
//
// A proxy can change a Date. So a Date that differs from this machine's clock is
// used only if other evidence does not contradict it; see [Clock.Confine].
type Clock struct {
	Next http.RoundTripper
	// Host is the server whose clock is used, as in [net/url.URL.Host]. Until it
	// has answered, another server's clock is used.
	Host string

	mu       sync.Mutex
	skews    map[string]Skew // by host
	lastHost string          // the host that sent a Date last
	bound    *Skew           // from Confine; nil: none
}

// RoundTrip implements [http.RoundTripper].
func (c *Clock) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := time.Now()
	resp, err := c.Next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.observe(strings.ToLower(r.URL.Host), MeasureSkew(sent, time.Now(), date, date.Add(time.Second)))
	}
	return resp, nil
}

func (c *Clock) observe(host string, skew Skew) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.skews == nil {
		c.skews = map[string]Skew{}
	}
	// Several answers narrow the interval, unless a clock was set in between.
	if before, ok := c.skews[host]; ok {
		if both, ok := before.overlap(skew); ok {
			skew = both
		}
	}
	c.skews[host], c.lastHost = skew, host
}

// Confine records that the servers' time is now between from and until, by other
// evidence than a Date, such as a token that is valid now.
func (c *Clock) Confine(from, until time.Time) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	bound := MeasureSkew(now, now, from, until)
	c.bound = &bound
}

// Skews returns the possible skews, the likeliest first. There are two if a Date
// and this machine's clock differ and no evidence decides between them.
func (c *Clock) Skews() []Skew {
	c.mu.Lock()
	defer c.mu.Unlock()
	date, ok := c.skews[strings.ToLower(c.Host)]
	if !ok {
		date, ok = c.skews[c.lastHost]
	}
	if !ok || date.Agrees(Skew{}) {
		return []Skew{date} // unknown, or both clocks agree
	}
	both := []Skew{date, {}}
	if likely := slices.DeleteFunc(slices.Clone(both), func(s Skew) bool { return c.bound != nil && !s.Agrees(*c.bound) }); len(likely) > 0 {
		return likely
	}
	return both
}

// Skew returns the likeliest skew; zero if no answer had a Date.
func (c *Clock) Skew() Skew { return c.Skews()[0] }

// After reports whether t is past by the clock of every server that sent a Date.
func (c *Clock) After(t time.Time) bool {
	now := time.Now().Round(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, skew := range c.skews {
		if !now.Add(-skew.Max).After(t) {
			return false
		}
	}
	return true
}
