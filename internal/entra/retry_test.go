package entra

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

// after adds a Retry-After header to a reply.
func after(r reply, value string) reply {
	r.header = map[string]string{"Retry-After": value}
	return r
}

// An assertion and T1 are valid for minutes. So every attempt starts with a new
// assertion and with the first request.
func TestFreshAssertionForEveryAttempt(t *testing.T) {
	t.Parallel()
	passing := map[string]reply{
		"status 500":              {status: 500, body: "oops"},
		"a long 502":              {status: 502, body: strings.Repeat("x", maxBody+1)},
		"status 503":              refusal(503, "temporarily_unavailable", "AADSTS90033: A transient error has occurred.", 90033),
		"status 429":              after(refusal(429, "temporarily_unavailable", "slow down"), "3"),
		"an HTML 502":             {status: 502, header: map[string]string{"Content-Type": "text/html"}, body: "<h1>Bad gateway</h1>"},
		"AADSTS90033":             aadsts(90033),
		"AADSTS90024":             aadsts(90024),
		"AADSTS50033":             aadsts(50033),
		"AADSTS90055":             aadsts(90055),
		"AADSTS90006":             aadsts(90006),
		"AADSTS90012":             aadsts(90012),
		"AADSTS90090":             aadsts(90090),
		"AADSTS90091":             aadsts(90091),
		"AADSTS50087":             aadsts(50087),
		"AADSTS50166":             aadsts(50166),
		"AADSTS501621":            aadsts(501621),
		"by its words":            refusal(400, "server_error", "AADSTS90055: too many requests"),
		"among others":            refusal(400, "server_error", "AADSTS50000: x", 50000, 90033),
		"in a 200":                {status: 200, body: map[string]any{"error": "x", "error_codes": []int{90033}}},
		"temporarily_unavailable": refusal(400, "temporarily_unavailable", "AADSTS65001: x", 65001),
		"server_error":            refusal(400, "server_error", "x"),
		"a 200 that is HTML":      {status: 200, header: map[string]string{"Content-Type": "text/html"}, body: "<h1>Sign in</h1>"},
		"a 200 that is empty":     {status: 200, body: ""},
		"a 200 that is half":      {status: 200, body: `{"access_token":"eyJ`},
		"a 200 that is text":      {status: 200, body: "upstream connect error"},
		"a 203 that is a page":    {status: 203, header: map[string]string{"Content-Type": "text/html"}, body: "<h1>Sign in</h1>"},
		"no answer":               {err: io.ErrUnexpectedEOF},
		"half an answer":          {status: 200, body: brokenOff},
		"an answer late":          {err: context.DeadlineExceeded},
		"half a refusal":          {status: 400, body: brokenOff},
		"a body too slow":         {status: 200, body: tooSlow},
	}
	for identity, who := range identities {
		for leg := 1; leg <= who.requests; leg++ {
			for name, fault := range passing {
				t.Run(fmt.Sprintf("%s, request %d, %s", identity, leg, name), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						x, server := newExchange(t, who.credentials, func(n int, _ asked) reply {
							if n == leg || n == leg*2 {
								return fault
							}
							return token(n)
						})
						if _, err := x.Token(t.Context()); err != nil {
							t.Fatal(err)
						}
						if want := 2*leg + who.requests; len(server.asked) != want {
							t.Fatalf("%d requests, want %d", len(server.asked), want)
						}
						var first []string // assertions of the attempts
						for i, a := range server.asked {
							if i == 0 || i == leg || i == 2*leg {
								first = append(first, a.form.Get("client_assertion"))
							}
						}
						for i, got := range first {
							if got != jwt(i+1) {
								t.Errorf("attempt %d carries another assertion than the %d. one", i+1, i+1)
							}
						}
						if name == "status 429" {
							if wait := server.asked[leg].at.Sub(server.asked[0].at); wait != 3*time.Second {
								t.Errorf("waited %s, asked for 3s", wait)
							}
						}
						if len(server.log) != 2 || !strings.HasPrefix(server.log[1], "signing in: ") || !strings.Contains(server.log[1], " (attempt 3)") {
							t.Errorf("log %q", server.log)
						}
						if leaked := leaks(strings.Join(server.log, "\n"), append(server.kept, password, refresh)...); leaked != "" {
							t.Errorf("%.20s… in the log %q", leaked, server.log)
						}
					})
				})
			}
		}
	}
}

// Permanent errors are not retried; some of them would lock the account.
func TestPlainMistakesAreNotRetried(t *testing.T) {
	t.Parallel()
	mistakes := map[string]reply{
		"status 400":            {status: 400, body: map[string]any{"error": "invalid_request"}},
		"status 401":            {status: 401, body: map[string]any{"error": "invalid_client"}},
		"status 403":            {status: 403, body: ""},
		"status 404":            {status: 404, body: ""},
		"status 501":            {status: 501, body: ""},
		"a redirect":            {status: 302, header: map[string]string{"Location": "https://elsewhere.test"}},
		"HTML":                  {status: 400, header: map[string]string{"Content-Type": "text/html"}, body: "<h1>No</h1>"},
		"a 200 without a token": {status: 200, body: map[string]any{}},
		"too large":             {err: httpclient.ErrTooLarge},
		"too large a token":     {status: 200, body: map[string]any{"access_token": strings.Repeat("x", maxBody)}},
		"an unknown code":       aadsts(99999),
	}
	for code := range hints {
		if code == codeLoop {
			continue
		}
		mistakes[fmt.Sprint("AADSTS", code)] = aadsts(code)
	}
	for name, fault := range mistakes {
		for leg := 1; leg <= 3; leg++ {
			t.Run(fmt.Sprintf("request %d, %s", leg, name), func(t *testing.T) {
				t.Parallel()
				x, server := newExchange(t, identityAgent, func(n int, _ asked) reply {
					if n == leg {
						return fault
					}
					return token(n)
				})
				_, err := x.Token(t.Context())
				if err == nil || strings.Contains(err.Error(), "attempts") {
					t.Errorf("error %v", err)
				}
				if len(server.asked) != leg || x.Source.(*source).made != 1 || len(server.log) > 0 {
					t.Errorf("%d requests with %d assertions, log %q", len(server.asked), x.Source.(*source).made, server.log)
				}
			})
		}
	}
}

func TestAssertionThatCannotBeHad(t *testing.T) {
	t.Parallel()
	wrong := errors.New("no id-token permission")
	for _, tc := range []struct {
		name                 string
		fails                []error
		assertions, requests int
		err                  error
	}{
		{"for good", []error{wrong, wrong}, 1, 0, wrong},
		{"for a while", []error{&httpclient.Error{Status: 503, RetryAfter: time.Second}, &httpclient.Error{Status: 429}, nil}, 3, 1, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				x, server := newExchange(t, identityPassword, func(n int, _ asked) reply { return token(n) })
				x.Source = &source{fails: tc.fails}
				if _, err := x.Token(t.Context()); !errors.Is(err, tc.err) {
					t.Errorf("error %v, want %v", err, tc.err)
				}
				if made := x.Source.(*source).made; made != tc.assertions || len(server.asked) != tc.requests {
					t.Errorf("%d assertions asked for, %d requests", made, len(server.asked))
				}
			})
		})
	}
}

// A credential that cannot be masked must not be used.
func TestCredentialThatCannotBeKept(t *testing.T) {
	t.Parallel()
	full := errors.New("standard output is closed")
	for fails := 1; fails <= 4; fails++ {
		x, server := newExchange(t, identityAgent, func(n int, _ asked) reply { return token(n) })
		kept, n := x.Mask, 0
		x.Mask = func(v secret.Value) error {
			if v.IsZero() {
				return nil
			}
			if n++; n == fails {
				return full
			}
			return kept(v)
		}
		got, err := x.Token(t.Context())
		if !errors.Is(err, full) || !got.Access.IsZero() {
			t.Errorf("credential %d: error %v", fails, err)
		}
		if len(server.asked) != fails-1 {
			t.Errorf("credential %d: %d requests", fails, len(server.asked))
		}
	}
}

func TestToldToStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stopped := errors.New("stopped by a signal")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(5*time.Second, func() { cancel(stopped) })
		x, server := newExchange(t, identityPassword, func(int, asked) reply { return after(reply{status: 503}, "60") })
		begin := time.Now()
		_, err := x.Token(ctx)
		if !errors.Is(err, stopped) || !strings.Contains(err.Error(), "answered 503") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(begin); took != 5*time.Second || len(server.asked) != 1 {
			t.Errorf("%d requests in %s", len(server.asked), took)
		}
	})
}

// If the tenant is unknown, it is looked up while the assertion is being fetched.
func TestTenantIsAskedForMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x, server := newExchange(t, identityPassword, func(n int, _ asked) reply {
			if n == 1 {
				return after(reply{status: 503}, "1")
			}
			return token(n)
		})
		x.Tenant = ""
		asked := 0
		x.Discover = func(context.Context) (string, error) {
			asked++
			time.Sleep(3 * time.Second)
			return tenantID, nil
		}
		x.Source = slow{x.Source, 2 * time.Second}
		begin := time.Now()
		if _, err := x.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		// 3 s for both, 1 s of waiting, and 2 s for the second assertion alone.
		if took := time.Since(begin); took != 6*time.Second || asked != 1 {
			t.Errorf("%s, asked for the tenant %d times; want 6s, once", took, asked)
		}
		if x.Tenant != tenantID || !strings.Contains(server.asked[0].url, tenantID) {
			t.Errorf("tenant %q, asked at %s", x.Tenant, server.asked[0].url)
		}
	})
}

func TestTenantThatCannotBeHad(t *testing.T) {
	t.Parallel()
	unknown := errors.New("there is no organization contoso")
	denied := errors.New("no id-token permission")
	for _, tc := range []struct {
		name       string
		tenant     []error
		assertion  error
		err        error
		tenants    int
		assertions int
		kept       bool
	}{
		{"for good", []error{unknown}, nil, unknown, 1, 1, true},
		{"for a while", []error{&httpclient.Error{Status: 503}, nil}, nil, nil, 2, 2, true},
		{"nor the assertion", []error{unknown}, denied, denied, 1, 1, false},
		{"the assertion's refusal ends the wait for it", []error{nil}, denied, denied, 1, 1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				x, server := newExchange(t, identityPassword, func(n int, _ asked) reply { return token(n) })
				x.Tenant = ""
				asked := 0
				x.Discover = func(ctx context.Context) (string, error) {
					asked++
					if tc.assertion != nil { // it would never end
						<-ctx.Done()
						return "", ctx.Err()
					}
					return tenantID, tc.tenant[asked-1]
				}
				if tc.assertion != nil {
					x.Source = &source{fails: []error{tc.assertion}}
				}
				_, err := x.Token(t.Context())
				if !errors.Is(err, tc.err) {
					t.Errorf("error %v, want %v", err, tc.err)
				}
				if made := x.Source.(*source).made; asked != tc.tenants || made != tc.assertions {
					t.Errorf("asked for %d tenants and %d assertions", asked, made)
				}
				if (len(server.kept) > 0) != tc.kept {
					t.Errorf("%d credentials kept", len(server.kept))
				}
			})
		})
	}
}

// slow delays every assertion.
type slow struct {
	assertion.Source
	time.Duration
}

func (s slow) Assertion(ctx context.Context) (secret.Value, error) {
	time.Sleep(s.Duration)
	return s.Source.Assertion(ctx)
}
