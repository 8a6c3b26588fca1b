package httpclient

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Tolerance is how far apart two clocks may be and still count as one. It allows
// for a request that is held back and for tokens that are dated to the second.
const Tolerance = time.Minute

// A Skew is how far this machine's clock is ahead of another one, as far as that
// is known: between Min and Max. Negative values mean that it is behind.
type Skew struct {
	Min time.Duration `json:"min"`
	Max time.Duration `json:"max"`
}

// MeasureSkew returns the skew that follows from a request and its answer: at
// some moment in between, the other clock was between from and until.
func MeasureSkew(sent, received, from, until time.Time) Skew {
	// What a clock shows is compared, so monotonic readings must not take part.
	sent, received = sent.Round(0), received.Round(0)
	if received.Before(sent) { // the clock was set back meanwhile
		sent, received = received, sent
	}
	return Skew{Min: sent.Sub(until), Max: received.Sub(from)}
}

// Estimate is the smallest skew that agrees with what is known: none if there
// need not be any.
func (s Skew) Estimate() time.Duration {
	switch {
	case s.Min > 0:
		return s.Min
	case s.Max < 0:
		return s.Max
	}
	return 0
}

// Agrees reports whether two skews can be the same, give or take [Tolerance].
func (s Skew) Agrees(t Skew) bool {
	return s.Min <= t.Max+Tolerance && t.Min <= s.Max+Tolerance
}

// overlap is what two measurements of the same skew say together, if they can
// both be right.
func (s Skew) overlap(t Skew) (Skew, bool) {
	both := Skew{max(s.Min, t.Min), min(s.Max, t.Max)}
	return both, both.Min <= both.Max
}

// Clock learns from the Date header of answers how far this machine's clock is
// ahead of the servers'. A Date is the time to the second at some moment between
// sending the request and receiving its answer, so it tells no more than an
// interval.
//
// A proxy can change a Date. So one that differs from this machine's clock is
// used only if other evidence does not contradict it; see [Clock.Confine].
type Clock struct {
	Next http.RoundTripper
	Now  func() time.Time
	// Host is the server whose clock counts, as in [net/url.URL.Host]. What the
	// others say counts as long as it has not said anything.
	Host string

	mu       sync.Mutex
	skews    map[string]Skew // by host
	lastHost string          // the host that told it last
	bound    *Skew           // by other evidence; nil: none
}

// RoundTrip implements [http.RoundTripper].
func (c *Clock) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := c.Now()
	resp, err := c.Next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.observe(strings.ToLower(r.URL.Host), MeasureSkew(sent, c.Now(), date, date.Add(time.Second)))
	}
	return resp, nil
}

func (c *Clock) observe(host string, skew Skew) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.skews == nil {
		c.skews = map[string]Skew{}
	}
	// Several answers tell more than one, unless a clock was set in between.
	if before, ok := c.skews[host]; ok {
		if both, ok := before.overlap(skew); ok {
			skew = both
		}
	}
	c.skews[host], c.lastHost = skew, host
}

// Confine notes that the time of the servers is now between from and until, by
// other evidence than a Date, such as a token that is valid now.
func (c *Clock) Confine(from, until time.Time) {
	now := c.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	bound := MeasureSkew(now, now, from, until)
	c.bound = &bound
}

// Skews are the skews that can be right, the likeliest first. There is more than
// one only where a Date and this machine's clock differ and nothing decides
// between them.
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

// Skew is the likeliest skew; zero if no answer told the time.
func (c *Clock) Skew() Skew { return c.Skews()[0] }

// After reports whether every server that told the time says that t is past.
func (c *Clock) After(t time.Time) bool {
	now := c.Now().Round(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, skew := range c.skews {
		if !now.Add(-skew.Max).After(t) {
			return false
		}
	}
	return true
}
