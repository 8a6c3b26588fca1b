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

// The waits between attempts are random, below a limit that doubles from firstWait
// to longestWait (full jitter).
const (
	firstWait   = 500 * time.Millisecond
	longestWait = 10 * time.Second
)

// Repeats is the number of attempts of a request whose answers have no content. The
// cause may be a temporary fault, or a web page that every attempt will get.
const Repeats = 4

// Limited is implemented by errors of requests with a limited number of attempts.
// The attempts are counted for each value of what. A limit of zero is none.
type Limited interface {
	Attempts() (what string, limit int)
}

// limits counts the failures of each limited request within one [Retry].
type limits map[string]int

// reached counts a failure and reports whether its request has no attempts left.
func (l limits) reached(err error) bool {
	var limited Limited
	if !errors.As(err, &limited) {
		return false
	}
	what, limit := limited.Attempts()
	l[what]++
	return limit > 0 && l[what] >= limit
}

// Log receives a message before each wait.
type Log interface {
	Infof(format string, args ...any)
}

// Retryable reports whether another attempt may succeed, and how long the server
// asks to wait before it (zero: it does not say). The error decides, with the
// methods Retryable() bool and Wait() time.Duration.
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

// RetryableStatus reports whether an HTTP status is that of a temporary fault: 408,
// 425, 429, 500, 502, 503, 504.
func RetryableStatus(status int) bool {
	return slices.Contains([]int{408, 425, 429, 500, 502, 503, 504}, status)
}

// RetryableTransport reports whether a request without an answer may get one the
// next time. Permanent errors are: a name that does not exist, an untrusted
// certificate, a refusal by the proxy, another protocol, an answer that is too
// large, a cancelled context, and too long a wait ([Throttled]).
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

// headerTooLarge recognizes net/http's errors by their text: they are not exported.
func headerTooLarge(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "server response headers exceeded") ||
		strings.Contains(err.Error(), "response header list larger than advertised limit"))
}

// Retry calls do until it succeeds, fails with an error that is not [Retryable], or
// the next wait would last beyond ctx's deadline. If the service asks for such a
// wait, the error contains a [*Throttled]. Each wait is logged; what names the
// operation, as in "signing in".
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
		log.Infof("%s: %v; trying again in %s (attempt %d)", what, last, wait.Round(10*time.Millisecond), attempts+1)
		return wait, false
	})
	err := retry.Do(ctx, next, func(ctx context.Context) error {
		attempts++
		last, before = do(ctx), last
		if retryable, _ := Retryable(last); retryable && ctx.Err() == nil {
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
	// The last attempt's own error is more specific than "context deadline exceeded".
	if last != nil && ctx.Err() != nil && !errors.Is(last, context.Cause(ctx)) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), last)
	}
	// If the last attempt was interrupted, the one before it shows the cause.
	if before != nil && ctx.Err() != nil && (errors.Is(last, context.Cause(ctx)) || errors.Is(last, context.Canceled) || errors.Is(last, context.DeadlineExceeded)) {
		err = fmt.Errorf("%w; before that: %w", err, before)
	}
	if retryable, _ := Retryable(last); retryable && attempts > 1 {
		err = &exhausted{err, attempts}
	}
	return err
}

// exhausted adds the number of attempts to an error.
type exhausted struct {
	error
	attempts int
}

func (e *exhausted) Error() string { return fmt.Sprintf("%v (%d attempts)", e.error, e.attempts) }
func (e *exhausted) Unwrap() error { return e.error }
