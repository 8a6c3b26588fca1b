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

// maxRetryAfter is the longest wait that is read from an answer. Longer ones are
// cut to it.
const maxRetryAfter = 366 * 24 * time.Hour

// RetryAfter returns the wait that the Retry-After header asks for (RFC 9110,
// section 10.2.3): seconds, also with a fraction, or an HTTP date. Zero: it is
// absent, invalid, or past. This machine's clock is used if the answer has no Date
// header.
func RetryAfter(h http.Header) (wait time.Duration) {
	for _, value := range h.Values("Retry-After") {
		value = strings.TrimSpace(value)
		if d, ok := seconds(value); ok {
			wait = max(wait, d)
		} else if at, err := http.ParseTime(value); err == nil {
			now := time.Now()
			// Use the server's clock for the server's date.
			if server, err := http.ParseTime(h.Get("Date")); err == nil {
				now = server
			}
			wait = max(wait, min(at.Sub(now), maxRetryAfter))
		}
	}
	return wait
}

// seconds parses a decimal number of seconds, such as "1.5".
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

// maxSlowDown limits the wait because of Azure DevOps' X-RateLimit headers. They
// are only advice: Azure DevOps delays the requests itself if it must.
const maxSlowDown = 5 * time.Second

// slowDown returns how long to wait because of Azure DevOps' X-RateLimit headers:
// as long as this request was delayed or, if the limit is used up, until it is
// reset; at most maxSlowDown.
// https://learn.microsoft.com/azure/devops/integrate/concepts/rate-limits
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

// Throttled is the error of a service that asks to wait longer than there is time.
type Throttled struct {
	Service string
	Wait    time.Duration
	Left    time.Duration // the time that is left
}

func (t *Throttled) Error() string {
	wait := formatSeconds(t.Wait)
	if t.Wait >= maxRetryAfter {
		wait = "a year or longer"
	}
	return fmt.Sprintf("%s asks to wait %s, but only %s are left", cmp.Or(t.Service, "the server"), wait, formatSeconds(max(0, t.Left.Truncate(time.Second))))
}

// Hint returns what the user can change.
func (t *Throttled) Hint() string {
	return "let fewer jobs use this account at once, try again later, or give timeout a longer duration"
}

func formatSeconds(d time.Duration) string {
	return strconv.FormatFloat(d.Round(time.Millisecond).Seconds(), 'f', -1, 64) + " s"
}

// service returns the name of the service that an error is about, or "".
func service(err error) string {
	var s interface{ Service() string }
	if errors.As(err, &s) {
		return s.Service()
	}
	return ""
}

// Pacer delays requests for as long as an earlier answer of their service, of any
// status, asked for. It is safe for concurrent use. The zero Pacer is ready to use.
type Pacer struct {
	mu       sync.Mutex
	services map[string]*paced // by host
}

// paced is one service.
type paced struct {
	name  string
	slows bool          // its X-RateLimit headers are obeyed
	limit time.Duration // the longest wait; zero: the time that is left

	until time.Time     // by Retry-After: send nothing before
	asked time.Duration // the value of Retry-After
	// The same of the X-RateLimit headers, which are only advice.
	advice  time.Time
	advised time.Duration
	told    time.Time // the end of the wait that was logged last
	slow    time.Time // when it was logged last that an answer takes long
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

// Name sets the name of the service on a host, and whether its X-RateLimit headers
// are those of Azure DevOps.
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

// Limit sets the longest wait for a host.
func (p *Pacer) Limit(host string, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.service(host).limit = d
}

// note records the wait that an answer asks for.
func (p *Pacer) note(host string, h http.Header) {
	now := time.Now()
	asked := RetryAfter(h)
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

// Wait returns when a request to a host may be sent. It returns the cause if ctx
// ends first, and a [*Throttled] at once if the wait would be too long. If ctx is
// from [Outliving], it stops waiting when the other context ends.
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
		// Advice is followed only if there is time.
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

// Paced is a transport whose requests are delayed by a [Pacer].
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
	stop := p.watch(r.URL.Host)
	resp, err := p.Next.RoundTrip(r)
	stop()
	if err == nil {
		p.Pacer.note(r.URL.Host, resp.Header)
	}
	return resp, err
}

// slowAnswer is how long an answer may take before it is logged, and slowAgain how often
// that is logged for one service, whatever the number of its requests.
const (
	slowAnswer = 2 * time.Second
	slowAgain  = 10 * time.Second
)

// watch logs that an answer takes long, until stop is called. It does not wait for the
// log, which may block.
func (p *Paced) watch(host string) (stop func()) {
	answered := make(chan struct{})
	go func() {
		begin, timer := time.Now(), time.NewTimer(slowAnswer)
		defer timer.Stop()
		for {
			select {
			case <-answered:
				return
			case <-timer.C:
			}
			if name, tell := p.Pacer.slowAnswer(host); tell {
				p.Log.Infof("waiting for %s to answer (%s so far)", name, formatSeconds(time.Since(begin).Round(time.Second)))
			}
			timer.Reset(slowAgain)
		}
	}()
	return func() { close(answered) }
}

// slowAnswer returns the name of the service on a host, and whether it is due to be
// logged that an answer of it takes long.
func (p *Pacer) slowAnswer(host string) (name string, tell bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.service(host)
	tell = s.slow.IsZero() || time.Since(s.slow) >= slowAgain
	if tell {
		s.slow = time.Now()
	}
	return s.name, tell
}

type (
	unpacedKey  struct{}
	outlivedKey struct{}
)

// Unpaced returns a context whose requests are not delayed by a [Pacer]. Cleaning
// up has no time to wait.
func Unpaced(ctx context.Context) context.Context {
	return context.WithValue(ctx, unpacedKey{}, true)
}

// Outliving returns a context that does not end when ctx does, for a request that
// must be completed. A wait that a service asks for still ends with ctx.
func Outliving(ctx context.Context) context.Context {
	return context.WithValue(context.WithoutCancel(ctx), outlivedKey{}, ctx)
}

// timeLeft returns how much time ctx leaves for waiting, and whether it is limited.
func timeLeft(ctx context.Context) (time.Duration, bool) {
	deadline, ok := ctx.Deadline()
	left := time.Until(deadline)
	if ctx.Value(unpacedKey{}) != nil {
		return left, ok
	}
	if outlived, is := ctx.Value(outlivedKey{}).(context.Context); is {
		if soft, limited := timeLeft(outlived); limited && (!ok || soft < left) {
			left, ok = soft, true
		}
	}
	return left, ok
}
