package wire

import (
	"net/http"
	"sync"
	"time"
)

// Clock learns from the Date header of answers how far this machine's clock is
// ahead of the server's.
type Clock struct {
	Next http.RoundTripper
	Now  func() time.Time
	// Guess is the skew as long as no answer has told it.
	Guess time.Duration

	mu   sync.Mutex
	told bool
	skew time.Duration
}

// RoundTrip implements [http.RoundTripper].
func (c *Clock) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.Next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.mu.Lock()
		c.told, c.skew = true, c.Now().Sub(date).Truncate(time.Second)
		c.mu.Unlock()
	}
	return resp, nil
}

// Skew is how far this machine's clock is ahead, to the second; negative: it is
// behind. It is Guess as long as no answer told.
func (c *Clock) Skew() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.told {
		return c.Guess
	}
	return c.skew
}
