package httpclient

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// If a service asks for a wait, even with a success, the next request to it is delayed,
// and no request to other services.
func TestPacer(t *testing.T) {
	t.Parallel()
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	unix := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }
	for _, tc := range []struct {
		name   string
		header func() map[string]string // of the first answer
		status int                      // of it; zero: 200
		time   time.Duration            // that there is; zero: no end
		wait   time.Duration            // before the second request
		err    string                   // in place of it
	}{
		{name: "nothing asked", header: func() map[string]string { return nil }},
		{name: "Retry-After", header: func() map[string]string { return map[string]string{"Retry-After": "7"} }, wait: 7 * time.Second},
		{name: "on a failure", status: 503, header: func() map[string]string { return map[string]string{"Retry-After": "7"} }, wait: 7 * time.Second},
		{name: "a fraction", header: func() map[string]string { return map[string]string{"Retry-After": "1.5"} }, wait: 1500 * time.Millisecond},
		{name: "a date", header: func() map[string]string { return map[string]string{"Retry-After": date(9 * time.Second)} }, wait: 9 * time.Second},
		{name: "just in time", header: func() map[string]string { return map[string]string{"Retry-After": "7"} }, time: 8 * time.Second, wait: 7 * time.Second},
		{name: "longer than there is time", header: func() map[string]string { return map[string]string{"Retry-After": "300"} }, time: time.Minute,
			err: "Azure DevOps asks to wait 300 s, but only 60 s are left"},
		{name: "longer than anybody waits", header: func() map[string]string { return map[string]string{"Retry-After": "99999999999999999999"} }, time: time.Minute,
			err: "Azure DevOps asks to wait a year or longer, but only 60 s are left"},
		{name: "the request was held back", header: func() map[string]string { return map[string]string{"X-RateLimit-Delay": "2.500"} }, wait: 2500 * time.Millisecond},
		{name: "for long", header: func() map[string]string { return map[string]string{"X-RateLimit-Delay": "4000"} }, wait: 5 * time.Second},
		{name: "the limit is used up", header: func() map[string]string {
			return map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": unix(3 * time.Second)}
		}, wait: 3 * time.Second},
		{name: "for a long time", header: func() map[string]string {
			return map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": unix(time.Hour)}
		}, wait: 5 * time.Second},
		{name: "the limit is not used up", header: func() map[string]string {
			return map[string]string{"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": unix(time.Hour)}
		}},
		{name: "no delay", header: func() map[string]string {
			return map[string]string{"X-RateLimit-Delay": "0", "X-RateLimit-Limit": "200"}
		}},
		{name: "advice for which there is no time", header: func() map[string]string { return map[string]string{"X-RateLimit-Delay": "20"} }, time: 4 * time.Second},
		{name: "Retry-After beside advice", header: func() map[string]string {
			return map[string]string{"Retry-After": "1", "X-RateLimit-Delay": "20"}
		}, time: 4 * time.Second, wait: time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &Pacer{}
				p.Name("azure.test", "Azure DevOps", true)
				log := &diary{begin: time.Now()}
				sent := 0
				client := &http.Client{Transport: &Paced{Pacer: p, Log: log, Next: roundTripper(func(r *http.Request) (*http.Response, error) {
					sent++
					h := http.Header{}
					status := 200
					if sent == 1 {
						for name, value := range tc.header() {
							h.Set(name, value)
						}
						status = max(status, tc.status)
					}
					return &http.Response{StatusCode: status, Header: h, Body: http.NoBody, Request: r}, nil
				})}}
				ctx := t.Context()
				if tc.time > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.time)
					defer cancel()
				}
				get := func(ctx context.Context, url string) error {
					_, err := client.Do(must(http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("x"))))
					return err
				}
				for _, url := range []string{"https://azure.test/a", "https://entra.test/"} {
					if err := get(ctx, url); err != nil || time.Since(log.begin) != 0 {
						t.Fatalf("%s: %v after %s", url, err, time.Since(log.begin))
					}
				}
				// A context from Outliving observes the other one's deadline.
				err := get(Outliving(ctx), "https://azure.test/b")
				if tc.err != "" {
					var throttled *Throttled
					if !errors.As(err, &throttled) || throttled.Error() != tc.err || sent != 2 {
						t.Errorf("error %v after %d requests, want %q", err, sent, tc.err)
					}
					e := TransportError("ask", "azure.test", err)
					if e.Error() != "ask: nothing was sent to azure.test: "+tc.err || e.Retryable() {
						t.Errorf("error %q, passing %t", e, e.Retryable())
					}
					return
				}
				if took := time.Since(log.begin); err != nil || took != tc.wait || sent != 3 {
					t.Errorf("%d requests, %v; the last one after %s, want %s", sent, err, took, tc.wait)
				}
				if said := strings.Join(log.lines, "\n"); strings.Contains(said, "Azure DevOps asks to wait") != (tc.wait >= time.Second) {
					t.Errorf("logged %q", said)
				}
			})
		})
	}
}

// Cancelling ends the wait, and Unpaced skips it.
func TestPacerInAHurry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told, stop := context.WithCancel(t.Context())
		p := &Pacer{}
		p.note("azure.test", http.Header{"Retry-After": {"60"}})
		begin := time.Now()
		if err := p.Wait(Unpaced(t.Context()), "azure.test", &diary{}); err != nil || time.Since(begin) != 0 {
			t.Errorf("cleaning up: %v after %s", err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeoutCause(Outliving(told), 90*time.Second, io.ErrClosedPipe)
		defer cancel()
		time.AfterFunc(3*time.Second, stop)
		for range 2 {
			if err := p.Wait(ctx, "azure.test", &diary{}); err != nil || time.Since(begin) != 3*time.Second {
				t.Errorf("told to stop: %v after %s", err, time.Since(begin))
			}
		}
		cancel()
		if err := p.Wait(ctx, "azure.test", &diary{}); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// A wait that is longer than a service's limit fails at once.
func TestPacerLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &Pacer{}
		p.Limit("github.test", 10*time.Second)
		p.Name("github.test", "GitHub", false)
		p.note("github.test", http.Header{"Retry-After": {"60"}, "X-Ratelimit-Remaining": {"0"}})
		begin := time.Now()
		var throttled *Throttled
		if err := p.Wait(t.Context(), "github.test", &diary{}); !errors.As(err, &throttled) || throttled.Service != "GitHub" || time.Since(begin) != 0 {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		time.Sleep(55 * time.Second)
		if err := p.Wait(t.Context(), "github.test", &diary{}); err != nil || time.Since(begin) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
	})
}

// An answer that takes long is logged after two seconds and then every ten, once for all
// requests to a service.
func TestSlowAnswer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		takes    time.Duration
		requests int
		want     []string
	}{
		{"fast", time.Second, 3, nil},
		{"slow", 25 * time.Second, 1, []string{"2 s", "12 s", "22 s"}},
		{"slow, several at once", 25 * time.Second, 8, []string{"2 s", "12 s", "22 s"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, log := &Pacer{}, &lockedDiary{}
				p.Name("azure.test", "Azure DevOps", true)
				client := &http.Client{Transport: &Paced{Pacer: p, Log: log, Next: roundTripper(func(r *http.Request) (*http.Response, error) {
					time.Sleep(tc.takes) // in the bubble
					return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
				})}}
				var sent sync.WaitGroup
				for range tc.requests {
					sent.Go(func() {
						if _, err := client.Get("https://azure.test/"); err != nil {
							t.Error(err)
						}
					})
				}
				sent.Wait()
				time.Sleep(time.Minute)
				var want []string
				for _, after := range tc.want {
					want = append(want, "waiting for Azure DevOps to answer ("+after+" so far)")
				}
				log.mu.Lock()
				defer log.mu.Unlock()
				if !slices.Equal(log.lines, want) {
					t.Errorf("logged %q, want %q", log.lines, want)
				}
			})
		})
	}
}

type lockedDiary struct {
	mu sync.Mutex
	diary
}

func (d *lockedDiary) Infof(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.diary.Infof(format, args...)
}
