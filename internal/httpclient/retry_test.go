package httpclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// diary records what is logged, and when.
type diary struct {
	begin time.Time
	lines []string
	at    []time.Duration
}

func (d *diary) Infof(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
	d.at = append(d.at, time.Since(d.begin))
}

var errSignal = errors.New("stopped by a signal")

// Every case lists the results of the attempts. The last one repeats.
func TestRetry(t *testing.T) {
	t.Parallel()
	wrong := errors.New("wrong password")
	sure := mayPass(false)
	for _, tc := range []struct {
		name     string
		answers  []error
		deadline time.Duration // zero: none
		stopped  time.Duration // when the caller is told to stop; zero: never
		attempt  time.Duration // how long one takes
		attempts int
		took     time.Duration
		is       []error
		err      string
		lines    int
	}{
		{name: "at once", answers: []error{nil}, attempts: 1},
		{name: "what will not pass", answers: []error{wrong}, attempts: 1, is: []error{wrong}, err: "wrong password"},
		{name: "what says that it will not pass", answers: []error{sure}, attempts: 1, is: []error{sure}, err: "well"},
		{name: "in the end", answers: []error{passes(time.Second), passes(2 * time.Second), nil}, attempts: 3, took: 3 * time.Second, lines: 2},
		{name: "until it does not pass any more", answers: []error{passes(time.Second), wrong}, attempts: 2, took: time.Second,
			is: []error{wrong}, err: "wrong password", lines: 1},
		{name: "Retry-After wins over the backoff, shorter or longer", answers: []error{passes(time.Minute), passes(time.Millisecond), nil},
			attempts: 3, took: time.Minute + time.Millisecond, lines: 2},
		{name: "a wait beyond the deadline ends it at once", answers: []error{passes(time.Hour)}, deadline: time.Minute,
			attempts: 1, is: []error{passes(time.Hour)}, err: "busy; the server asks to wait 3600 s, but only 60 s are left"},
		{name: "and says how often it was tried", answers: []error{passes(20 * time.Second)}, deadline: time.Minute,
			attempts: 3, took: 40 * time.Second, is: []error{passes(20 * time.Second)}, err: "busy; the server asks to wait 20 s, but only 20 s are left (3 attempts)", lines: 2},
		{name: "a wait that leaves time for an attempt is worth it", answers: []error{passes(30 * time.Second), nil}, deadline: 30*time.Second + 1,
			attempts: 2, took: 30 * time.Second, lines: 1},
		{name: "told to stop while waiting", answers: []error{passes(time.Hour)}, stopped: 10 * time.Second,
			attempts: 1, took: 10 * time.Second, is: []error{errSignal, passes(time.Hour)}, err: "stopped by a signal: busy", lines: 1},
		{name: "told to stop while waiting again", answers: []error{passes(time.Second), passes(time.Hour)}, stopped: 10 * time.Second,
			attempts: 2, took: 10 * time.Second, is: []error{errSignal, passes(time.Hour)}, err: "stopped by a signal: busy (2 attempts)", lines: 2},
		{name: "told to stop during an attempt that does not notice", answers: []error{passes(time.Second)}, attempt: 10 * time.Second, stopped: 4 * time.Second,
			attempts: 1, took: 10 * time.Second, is: []error{errSignal, passes(time.Second)}, err: "stopped by a signal: busy"},
		{name: "told to stop during an attempt that succeeds", answers: []error{nil}, attempt: 10 * time.Second, stopped: 4 * time.Second,
			attempts: 1, took: 10 * time.Second},
		{name: "an attempt that ends with the reason is not prefixed with it", answers: []error{fmt.Errorf("ask: %w", errSignal)}, attempt: 10 * time.Second, stopped: 4 * time.Second,
			attempts: 1, took: 10 * time.Second, is: []error{errSignal}, err: "ask: stopped by a signal"},
		{name: "an attempt that is cut short tells what the trouble was before", answers: []error{passes(time.Second), fmt.Errorf("ask: %w", errSignal)}, attempt: 10 * time.Second, stopped: 15 * time.Second,
			attempts: 2, took: 21 * time.Second, is: []error{errSignal, passes(time.Second)}, err: "ask: stopped by a signal; before that: busy", lines: 1},
		{name: "and so does one that its own clock cut short", answers: []error{passes(time.Second), fmt.Errorf("create: %w", context.Canceled)}, attempt: 10 * time.Second, stopped: 15 * time.Second,
			attempts: 2, took: 21 * time.Second, is: []error{errSignal, passes(time.Second)}, err: "stopped by a signal: create: context canceled; before that: busy", lines: 1},
		{name: "one that ends by itself says enough", answers: []error{passes(time.Second), wrong}, attempt: 10 * time.Second, stopped: 15 * time.Second,
			attempts: 2, took: 21 * time.Second, is: []error{errSignal, wrong}, err: "stopped by a signal: wrong password", lines: 1},
		{name: "told to stop before", answers: []error{nil}, stopped: -1, is: []error{errSignal}, err: "stopped by a signal"},
		{name: "the time is up during an attempt", answers: []error{passes(0)}, attempt: 10 * time.Second, deadline: 4 * time.Second,
			attempts: 1, took: 10 * time.Second, is: []error{context.DeadlineExceeded, passes(0)}, err: "context deadline exceeded: busy"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if tc.stopped < 0 {
					cancel(errSignal)
				} else if tc.stopped > 0 {
					defer time.AfterFunc(tc.stopped, func() { cancel(errSignal) }).Stop()
				}
				if tc.deadline > 0 {
					var done context.CancelFunc
					ctx, done = context.WithTimeout(ctx, tc.deadline)
					defer done()
				}
				log := &diary{begin: time.Now()}
				attempts := 0
				err := Retry(ctx, log, "the assertion", func(context.Context) error {
					time.Sleep(tc.attempt)
					attempts++
					return tc.answers[min(attempts, len(tc.answers))-1]
				})
				if attempts != tc.attempts || time.Since(log.begin) != tc.took || len(log.lines) != tc.lines {
					t.Errorf("%d attempts in %s, log %q; want %d in %s, %d lines", attempts, time.Since(log.begin), log.lines, tc.attempts, tc.took, tc.lines)
				}
				if (err == nil) != (tc.err == "") || err != nil && err.Error() != tc.err {
					t.Errorf("error %v, want %q", err, tc.err)
				}
				for _, is := range tc.is {
					if !errors.Is(err, is) {
						t.Errorf("%v is not %v", err, is)
					}
				}
			})
		})
	}
}

// Before each wait its reason and length are logged.
func TestRetryLogsWhileItWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &diary{begin: time.Now()}
		n := 0
		err := Retry(t.Context(), log, "the assertion", func(context.Context) error {
			if n++; n == 3 {
				return nil
			}
			return passes(time.Duration(n) * 1234567890 * time.Nanosecond)
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"the assertion: busy; trying again in 1.23s (attempt 2)", "the assertion: busy; trying again in 2.47s (attempt 3)"}
		if strings.Join(log.lines, "\n") != strings.Join(want, "\n") {
			t.Errorf("log %q, want %q", log.lines, want)
		}
		if log.at[0] != 0 || log.at[1] != 1234567890 {
			t.Errorf("logged at %v", log.at)
		}
	})
}

// Full jitter: jobs that failed at the same time do not retry at the same time.
func TestRetryJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bounds := []time.Duration{500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000} // milliseconds
		const runs = 60
		var above, below [8]int // the middle
		for range runs {
			last, n := time.Time{}, 0
			err := Retry(t.Context(), &diary{}, "x", func(context.Context) error {
				defer func() { last = time.Now() }()
				if n > 0 {
					wait, bound := time.Since(last), bounds[n-1]*time.Millisecond
					if wait >= bound {
						t.Errorf("wait %d is %s, bound %s", n, wait, bound)
					}
					if wait < bound/2 {
						below[n-1]++
					} else {
						above[n-1]++
					}
				}
				if n++; n > len(bounds) {
					return nil
				}
				return passes(0)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		// With 60 runs, the probability that one half gets none is 2^-60.
		for i := range bounds {
			if above[i] == 0 || below[i] == 0 {
				t.Errorf("wait %d: %d in the lower half, %d in the upper", i+1, below[i], above[i])
			}
		}
	})
}

// If the client times out by itself, the caller still has time.
func TestRetryAfterARequestTimedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		n := 0
		err := Retry(ctx, &diary{}, "x", func(ctx context.Context) error {
			n++
			ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
			defer cancel()
			<-ctx.Done()
			return TransportError("ask", "host.test", ctx.Err())
		})
		if n < 3 || err == nil || !strings.Contains(err.Error(), fmt.Sprintf("(%d attempts)", n)) {
			t.Errorf("%d attempts, error %v", n, err)
		}
	})
}
