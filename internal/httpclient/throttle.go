package httpclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// longestAsked bounds how long a service can ask to wait; what is longer is as
// good as for ever.
const maxRetryAfter = 366 * 24 * time.Hour

// RetryAfter reads the header of that name: seconds, also with a fraction, or an
// HTTP date, reckoned from now. Zero: absent, unreadable, or past.
func RetryAfter(h http.Header, now time.Time) (wait time.Duration) {
	for _, value := range h.Values("Retry-After") {
		value = strings.TrimSpace(value)
		if d, ok := seconds(value); ok {
			wait = max(wait, d)
		} else if at, err := http.ParseTime(value); err == nil {
			// The date is the server's; reckon from its own clock where it tells.
			if server, err := http.ParseTime(h.Get("Date")); err == nil {
				now = server
			}
			wait = max(wait, min(at.Sub(now), maxRetryAfter))
		}
	}
	return wait
}

// seconds reads a decimal number of seconds.
func seconds(text string) (time.Duration, bool) {
	if text == "" || len(text) > 100 || strings.Trim(text, "0123456789.") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, false
	}
	if f >= maxRetryAfter.Seconds() {
		return maxRetryAfter, true
	}
	return time.Duration(math.Ceil(f * float64(time.Second))), true
}

// longestSlow bounds the wait for what Azure DevOps' X-RateLimit headers say. They
// ask for nothing, and where it holds requests back it slows us down by itself.
const maxSlowDown = 5 * time.Second

// slowDown is how long Azure DevOps' X-RateLimit headers suggest to wait: as long
// as it held this request back or, when the limit is used up, until it is reset,
// but not long.
func slowDown(h http.Header, now time.Time) time.Duration {
	if held, ok := seconds(h.Get("X-RateLimit-Delay")); ok && held > 0 {
		return min(held, maxSlowDown)
	}
	left, err := strconv.ParseFloat(h.Get("X-RateLimit-Remaining"), 64)
	reset, err2 := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64)
	if err != nil || err2 != nil || left > 0 {
		return 0
	}
	if server, err := http.ParseTime(h.Get("Date")); err == nil {
		now = server
	}
	return min(max(0, time.Unix(reset, 0).Sub(now)), maxSlowDown)
}

// Throttled is the error of a service that asks to wait for longer than there is
// time.
type Throttled struct {
	Service string
	Wait    time.Duration
	Left    time.Duration // of the time that there is
}

func (t *Throttled) Error() string {
	wait := formatSeconds(t.Wait)
	if t.Wait >= maxRetryAfter {
		wait = "a year or longer"
	}
	return fmt.Sprintf("%s asks to wait %s, and there are %s left", cmp.Or(t.Service, "the server"), wait, formatSeconds(max(0, t.Left.Truncate(time.Second))))
}

// Hint is what the reader can change.
func (t *Throttled) Hint() string {
	return "let fewer jobs use this account at once, try again later, or give timeout a longer duration"
}

func formatSeconds(d time.Duration) string {
	return strconv.FormatFloat(d.Round(time.Millisecond).Seconds(), 'f', -1, 64) + " s"
}

// service names the service that an error is about.
func service(err error) string {
	var s interface{ Service() string }
	if errors.As(err, &s) {
		return s.Service()
	}
	return ""
}

// Pacer keeps requests back for as long as their service has asked for it, in
// an answer of whatever status. It is safe for concurrent use.
type Pacer struct {
	mu       sync.Mutex
	services map[string]*paced // by host
}

// paced is one service.
type paced struct {
	name  string
	slows bool          // its X-RateLimit headers count
	limit time.Duration // the longest wait; zero: as long as there is time

	until time.Time     // nothing is sent before, says Retry-After
	asked time.Duration // what it said
	// Better nothing is sent before, say the X-RateLimit headers; and how long they
	// said to wait.
	advice  time.Time
	advised time.Duration
	told    time.Time // the wait that was logged last
}

func (p *Pacer) service(host string) *paced {
	host = strings.ToLower(host)
	s := p.services[host]
	if s == nil {
		if p.services == nil {
			p.services = map[string]*paced{}
		}
		s = &paced{name: host}
		p.services[host] = s
	}
	return s
}

// Name says what people call the service on a host, and whether its X-RateLimit
// headers are those of Azure DevOps.
func (p *Pacer) Name(host, name string, azureDevOps bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.service(host)
	s.name, s.slows = name, azureDevOps
}

// HostOf is the host of a URL, by which a [Pacer] knows a service: with the port if
// it has one, and empty if the URL cannot be read.
func HostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// Limit gives the waits for a host an upper bound of their own.
func (p *Pacer) Limit(host string, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.service(host).limit = d
}

// note remembers what an answer asks for.
func (p *Pacer) note(host string, h http.Header) {
	now := time.Now()
	asked := RetryAfter(h, now)
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.service(host)
	if until := now.Add(asked); asked > 0 && until.After(s.until) {
		s.until, s.asked = until, asked
	}
	if s.slows {
		if advised := slowDown(h, now); now.Add(advised).After(s.advice) {
			s.advice, s.advised = now.Add(advised), advised
		}
	}
}

// Wait returns when a request to a host is welcome. It returns the reason when
// ctx ends before, and a [*Throttled] at once if it would. Where ctx outlives
// another one, see [Outliving], there is no time to wait when that has ended.
func (p *Pacer) Wait(ctx context.Context, host string, log Log) error {
	outlived, _ := ctx.Value(outlivedKey{}).(context.Context)
	if outlived == nil {
		outlived = context.Background()
	}
	for ctx.Err() == nil && outlived.Err() == nil && ctx.Value(unpacedKey{}) == nil {
		p.mu.Lock()
		s := p.service(host)
		until := s.until
		wait := time.Until(until)
		left, limited := timeLeft(ctx)
		if s.limit > 0 && (!limited || s.limit < left) {
			left, limited = s.limit, true
		}
		if limited && wait > 0 && left <= wait {
			p.mu.Unlock()
			return &Throttled{Service: s.name, Wait: s.asked, Left: left}
		}
		asked := s.asked
		// There is time for good advice, or it is not taken.
		if advised := time.Until(s.advice); advised > wait && (!limited || advised < left) {
			until, wait, asked = s.advice, advised, s.advised
		}
		tell := wait > 0 && asked >= time.Second && !s.told.Equal(until)
		if tell {
			s.told = until
		}
		name := s.name
		p.mu.Unlock()
		if wait <= 0 {
			return nil
		}
		if tell {
			log.Infof("%s asks to wait %s before the next request", name, formatSeconds(asked))
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-outlived.Done():
		case <-ctx.Done():
		}
		timer.Stop()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// Paced is a transport whose requests a [Pacer] keeps back.
type Paced struct {
	Next  http.RoundTripper
	Pacer *Pacer
	Log   Log
}

// RoundTrip implements [http.RoundTripper].
func (p *Paced) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := p.Pacer.Wait(r.Context(), r.URL.Host, p.Log); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	resp, err := p.Next.RoundTrip(r)
	if err == nil {
		p.Pacer.note(r.URL.Host, resp.Header)
	}
	return resp, err
}

type (
	unpacedKey  struct{}
	outlivedKey struct{}
)

// Unpaced returns a context whose requests are sent at once, whatever the service
// has asked for: for cleaning up, which has no time to wait.
func Unpaced(ctx context.Context) context.Context {
	return context.WithValue(ctx, unpacedKey{}, true)
}

// Outliving returns a context that does not end when ctx does, for what is to be
// brought to an end. No wait that a service asks for lasts longer than ctx for all
// that.
func Outliving(ctx context.Context) context.Context {
	return context.WithValue(context.WithoutCancel(ctx), outlivedKey{}, ctx)
}

// timeLeft is how much time ctx leaves for waiting.
func timeLeft(ctx context.Context) (time.Duration, bool) {
	deadline, ok := ctx.Deadline()
	left := time.Until(deadline)
	if outlived, is := ctx.Value(outlivedKey{}).(context.Context); is {
		if soft, limited := timeLeft(outlived); limited && (!ok || soft < left) {
			left, ok = soft, true
		}
	}
	return left, ok
}
