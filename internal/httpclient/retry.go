package httpclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/sethvargo/go-retry"
)

// The waits between attempts: full jitter below a bound that doubles from
// firstWait up to longestWait.
const (
	firstWait   = 500 * time.Millisecond
	longestWait = 10 * time.Second
)

// Repeats is how many attempts a request is worth whose answers have no content.
// They may be a fault that passes, or a page for people that will always come.
const Repeats = 4

// Limited is implemented by errors of requests that are worth only so many
// attempts; what tells those of different requests apart.
type Limited interface {
	Attempts() (what string, limit int)
}

// limits counts the failures of each limited request within one [Retry].
type limits map[string]int

// reached counts err and reports whether its request has had all its attempts.
func (l limits) reached(err error) bool {
	var limited Limited
	if !errors.As(err, &limited) {
		return false
	}
	what, limit := limited.Attempts()
	l[what]++
	return limit > 0 && l[what] >= limit
}

// Log says what is being waited for, while it is being waited for.
type Log interface {
	Infof(format string, args ...any)
}

// Retryable reports whether err may be gone when the same is asked again, and
// how long the server asked to wait before that (zero: it did not say).
//
// An error decides for itself with the methods Retryable() bool and
// Wait() time.Duration.
func Retryable(err error) (bool, time.Duration) {
	var p interface{ Retryable() bool }
	if !errors.As(err, &p) || !p.Retryable() {
		return false, 0
	}
	var w interface{ Wait() time.Duration }
	if errors.As(err, &w) {
		return true, w.Wait()
	}
	return true, 0
}

// PassingStatus reports whether an HTTP status is of the kind that passes:
// 408, 425, 429, 500, 502, 503, 504.
func RetryableStatus(status int) bool {
	return slices.Contains([]int{408, 425, 429, 500, 502, 503, 504}, status)
}

// PassingTransport reports whether a request that got no answer may get one
// the next time. A name that does not exist, a certificate that is not trusted, a
// proxy that forbids it, another protocol or an answer without bounds will not get
// better by asking again.
func RetryableTransport(err error) bool {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return false
	}
	var refused *proxyError
	if errors.As(err, &refused) {
		return RetryableStatus(refused.status)
	}
	var throttled *Throttled
	if _, _, mismatch := Mismatch(err); mismatch || isUntrusted(err) || errors.As(err, &throttled) {
		return false
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, errSwitchingProtocols) && !headerTooLarge(err)
}

// headerTooLarge knows net/http's errors for it, which have no name, by their text.
func headerTooLarge(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "server response headers exceeded") ||
		strings.Contains(err.Error(), "response header list larger than advertised limit"))
}

// Retry calls do until it succeeds, until it fails with an error that will not
// pass, or until the next wait would last to ctx's deadline or beyond. If it is
// the service that asks for such a wait, the error says so. What is waited for is
// logged while it is waited for: what names it, as in "the assertion".
func Retry(ctx context.Context, log Log, what string, do func(context.Context) error) error {
	var last, before error // of the last attempt and of the one before it
	backoff := retry.WithFullJitter(retry.WithCappedDuration(longestWait, retry.NewExponential(firstWait)))
	attempts, limited := 0, limits{}
	var tooLong *Throttled
	next := retry.BackoffFunc(func() (time.Duration, bool) {
		wait, stop := backoff.Next()
		_, asked := Retryable(last)
		if asked > 0 {
			wait = asked
		}
		if left, ok := timeLeft(ctx); stop || limited.reached(last) || ok && left <= wait {
			if asked > 0 && ok && left <= wait {
				tooLong = &Throttled{Service: service(last), Wait: asked, Left: left}
			}
			return 0, true
		}
		log.Infof("%s: %v; attempt %d in %s", what, last, attempts+1, wait.Round(10*time.Millisecond))
		return wait, false
	})
	err := retry.Do(ctx, next, func(ctx context.Context) error {
		attempts++
		last, before = do(ctx), last
		if passing, _ := Retryable(last); passing && ctx.Err() == nil {
			return retry.RetryableError(last)
		}
		return last
	})
	if err == nil {
		return nil
	}
	if tooLong != nil {
		err = fmt.Errorf("%w; %w", err, tooLong)
	}
	// The cause of the last attempt says more than "context deadline exceeded".
	if last != nil && ctx.Err() != nil && !errors.Is(last, context.Cause(ctx)) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), last)
	}
	// Where it was cut short, the one before it says what the trouble is.
	if before != nil && ctx.Err() != nil && (errors.Is(last, context.Cause(ctx)) || errors.Is(last, context.Canceled) || errors.Is(last, context.DeadlineExceeded)) {
		err = fmt.Errorf("%w; before that: %w", err, before)
	}
	if passing, _ := Retryable(last); passing && attempts > 1 {
		err = &exhausted{err, attempts}
	}
	return err
}

// exhausted says how often it was tried.
type exhausted struct {
	error
	attempts int
}

func (e *exhausted) Error() string { return fmt.Sprintf("%v (%d attempts)", e.error, e.attempts) }
func (e *exhausted) Unwrap() error { return e.error }
