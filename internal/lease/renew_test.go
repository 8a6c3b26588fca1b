package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/secret"
)

const quarter = 15 * time.Minute

var (
	errRefused  = &pat.Error{Op: "update", Status: 200, Code: "patLifespanPolicyViolation"}
	errPause    = &pat.Error{Op: "update", Unsent: true, Message: "Azure DevOps asks to wait 300 s, but only 120 s are left", Err: &httpclient.Throttled{}}
	err503Renew = &pat.Error{Op: "update", Status: 503}
	errLost     = &pat.Error{Op: "update", Err: errors.New("connection reset by peer"), Message: "connection reset by peer"}
)

// newRenewer returns a Renewer of a 15-minute lease that was acquired at midnight in a
// bubble.
func newRenewer(w *world) *Renewer {
	w.Helper()
	p := w.process()
	r := fresh()
	r.Skew = httpclient.Skew{Min: w.skew, Max: w.skew}
	l, err := p.client().Acquire(w.Context(), r, Want{Scopes: wanted.Scopes, Lifetime: quarter})
	if err != nil {
		w.Fatal(err)
	}
	w.journal = nil
	return &Renewer{
		Lease: l, Want: Want{Scopes: wanted.Scopes, Lifetime: quarter}, Timeout: 2 * time.Minute,
		Use: func(_ context.Context, f func(*Client) error) error { return f(p.client()) },
		Log: p,
	}
}

// during renews the lease for that long.
func (w *world) during(d time.Duration, k *Renewer) error {
	ctx, cancel := context.WithTimeout(w.Context(), d)
	defer cancel()
	return k.Run(ctx)
}

// updates are the requests that renew, of all that was done.
func (w *world) updatesSent() (sent []string) {
	for _, line := range w.journal {
		if strings.HasPrefix(line, "update") {
			sent = append(sent, line)
		}
	}
	return sent
}

// However long a command runs, its PAT never has more than one lifetime left, nor less
// than a third.
func TestRenewer(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{0, -7 * time.Minute, 3 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, skew: skew}
				k := newRenewer(w)
				start := time.Now()
				if err := w.during(time.Hour-time.Second, k); err != nil {
					t.Error(err)
				}
				var want []string
				for n := 1; n <= 5; n++ {
					want = append(want, "update #1 until "+start.Add(time.Duration(n)*10*time.Minute+quarter-skew).Format(time.TimeOnly))
				}
				if got := w.updatesSent(); !slices.Equal(got, want) {
					t.Errorf("sent %q, want %q", got, want)
				}
				end := start.Add(50*time.Minute + quarter - skew)
				if !k.Lease.Ends().Equal(end) || !w.last().ValidTo.Equal(end) || !k.Lease.Token.ValidTo.Equal(end) {
					t.Errorf("ends %v, on record %v, want %v", k.Lease.Ends(), w.last().ValidTo, end)
				}
				if k.Lease.Token.Secret.IsZero() || w.last().ID != guid(1) {
					t.Errorf("the lease is now %+v", k.Lease)
				}
				if len(w.warnings) > 0 || len(w.logged) != 5 || !strings.Contains(w.logged[0], "renewed PAT "+guid(1)+": valid until "+start.Add(25*time.Minute-skew).Format(time.RFC3339)) {
					t.Errorf("said %q and warned %q", w.logged, w.warnings)
				}
			})
		})
	}
}

// Wrong Date headers change nothing: the time is computed from the PAT's validFrom and
// what has passed here since.
func TestRenewerWithAWrongDate(t *testing.T) {
	t.Parallel()
	for _, date := range []time.Duration{-30 * 24 * time.Hour, time.Hour, -2 * time.Minute} {
		t.Run(date.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, date: &date}
				k := newRenewer(w)
				start := time.Now()
				if err := w.during(time.Hour-time.Second, k); err != nil {
					t.Error(err)
				}
				var want []string
				for n := 1; n <= 5; n++ {
					want = append(want, "update #1 until "+start.Add(time.Duration(n)*10*time.Minute+quarter).Format(time.TimeOnly))
				}
				if got := w.updatesSent(); !slices.Equal(got, want) || len(w.warnings) > 0 {
					t.Errorf("sent %q, want %q; warned %q", got, want, w.warnings)
				}
			})
		})
	}
}

// A renewed PAT that ends later than a lifetime from now, by when it began, is wider.
func TestRenewedForTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t}
		k := newRenewer(w)
		k.Lease.Record.ValidFrom = time.Time{} // then a Date is all there is
		day := -24 * time.Hour
		w.date = &day
		time.Sleep(time.Minute)
		if err := w.process().client().Renew(t.Context(), k.Lease, k.Want); !errors.Is(err, ErrWider) || !strings.Contains(err.Error(), "it lives 24h longer than requested") {
			t.Errorf("error %v", err)
		}
		w.left()
	})
}

// The answer decides whether the renewal is retried. There is one warning, which says
// when the PAT ends.
func TestRenewerFails(t *testing.T) {
	t.Parallel()
	twice := func(err error) []error { return []error{nil, err} } // the first renewal succeeds
	for _, tc := range []struct {
		name    string
		updates []error
		down    time.Duration // since the start
		renew   func(*pat.Token)
		sent    int // how many requests at least, and twice as many at most
		warning string
		last    string // what was said last
	}{
		{name: "a policy", updates: []error{errRefused}, sent: 1,
			warning: "PAT not renewed: the PAT " + guid(1) + " is not renewed: it ends at 2000-01-01T00:15:00Z, even if the command is still running: update PAT: status 200: patLifespanPolicyViolation: the PAT would live longer than the tenant allows"},
		{name: "a policy at the second time", updates: twice(errRefused), sent: 2, warning: "it ends at 2000-01-01T00:25:00Z, even if"},
		{name: "revoked by another process", updates: []error{&pat.Error{Op: "update", Status: 200, Code: "tokenNotFound"}}, sent: 1, warning: "there is no such PAT"},
		{name: "a hint", updates: []error{hint.Add(errRefused, "change this")}, sent: 1, warning: "tenant allows\nchange this"},
		{name: "a passing fault", updates: []error{err503Renew, errLost, err503Renew}, sent: 7, last: "renewed PAT"},
		{name: "a pause of more than timeout", updates: []error{errPause, errPause}, sent: 6, warning: "Azure DevOps asks to wait 300 s, but only 120 s are left; trying again later", last: "renewed PAT"},
		{name: "an unreadable answer", updates: []error{&pat.Error{Op: "update", Status: 200, Unreadable: true}}, sent: 1,
			warning: "it ends at 2000-01-01T00:15:00Z, or at 2000-01-01T00:25:00Z if the server has renewed it, even if"},
		{name: "never an answer", updates: slices.Repeat([]error{errLost}, 1000), sent: 60,
			warning: "or at 2000-01-01T00:2", last: "PAT " + guid(1) + " is still not renewed: "},
		{name: "an outage of more than timeout", down: 13 * time.Minute, sent: 30, warning: "trying again later", last: "renewed PAT"},
		{name: "an outage without end", down: 24 * time.Hour, sent: 60, warning: "it ends at 2000-01-01T00:15:00Z", last: "is still not renewed"},
		{name: "what is no API error", updates: []error{errUnknown}, sent: 1, warning: "something else"},
		{name: "another PAT", renew: func(t *pat.Token) { t.ID = guid(2) }, sent: 1, warning: "the answer is about PAT " + guid(2) + " instead of " + guid(1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, updates: tc.updates, down: tc.down, renew: tc.renew}
				k := newRenewer(w)
				if err := w.during(50*time.Minute, k); err != nil {
					t.Error(err)
				}
				if n := len(w.updatesSent()); n < tc.sent || n > 2*tc.sent {
					t.Errorf("%d requests, want %d or a few more", n, tc.sent)
				}
				if tc.warning == "" && len(w.warnings) > 0 || tc.warning != "" && (len(w.warnings) != 1 || !strings.Contains(w.warnings[0], tc.warning)) {
					t.Errorf("warned %q, want one with %q", w.warnings, tc.warning)
				}
				if tc.last != "" && !strings.Contains(w.logged[len(w.logged)-1], tc.last) {
					t.Errorf("said %q, want %q last", w.logged, tc.last)
				}
			})
		})
	}
}

// A policy that caps the lifetime decides when the next renewal is due, if any. It is not
// requested over and over.
func TestRenewerUnderAPolicy(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		grant   func(asked time.Time, since time.Duration) time.Duration // of the PAT's life, from its creation
		sent    int
		warning string
	}{
		// At 10:00 up to 20:00, at 16:40 up to 20:00 again.
		{"counted from the creation", func(time.Time, time.Duration) time.Duration { return 20 * time.Minute }, 2,
			"it ends at 2000-01-01T00:20:00Z, even if the command is still running: the renewal was not granted"},
		// Every 4 minutes from the first 10 minutes on.
		{"counted from the renewal", func(_ time.Time, since time.Duration) time.Duration { return since + 6*time.Minute }, 13, ""},
		{"a second each", func(_ time.Time, since time.Duration) time.Duration { return quarter + time.Second }, 1, "it ends at 2000-01-01T00:15:01Z"},
		{"earlier than it was", func(_ time.Time, since time.Duration) time.Duration { return since + time.Minute }, 1, "it ends at 2000-01-01T00:11:00Z"},
		{"half a minute each", func(_ time.Time, since time.Duration) time.Duration {
			return quarter + 30*time.Second*(1+since/(10*time.Minute+20*time.Second))
		}, 3, "it ends at"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t}
				start := time.Now()
				w.renew = func(token *pat.Token) {
					token.ValidTo = start.Add(min(token.ValidTo.Sub(start), tc.grant(token.ValidTo, time.Since(start))))
				}
				if err := w.during(time.Hour, newRenewer(w)); err != nil {
					t.Error(err)
				}
				if got := w.updatesSent(); len(got) != tc.sent {
					t.Errorf("sent %q, want %d", got, tc.sent)
				}
				if tc.warning == "" && len(w.warnings) > 0 || tc.warning != "" && (len(w.warnings) != 1 || !strings.Contains(w.warnings[0], tc.warning)) {
					t.Errorf("warned %q, want one with %q", w.warnings, tc.warning)
				}
			})
		})
	}
}

// A PAT that comes back wider is revoked at once, even while it is in use. (Promise 4.)
func TestRenewedWider(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		renew   func(*pat.Token)
		revokes []error
		err     string // after "the PAT is wider than requested: "
		left    []string
	}{
		{"a scope", func(t *pat.Token) { t.Scopes = append(t.Scopes, "vso.work_full") }, nil, `the scope "vso.work_full" was not requested; the PAT was revoked`, nil},
		{"no scopes", func(t *pat.Token) { t.Scopes = nil }, nil, "the answer does not name its scopes; the PAT was revoked", nil},
		{"all organizations", func(t *pat.Token) { t.TargetAccounts = nil }, nil, "it is valid for all organizations of the user; the PAT was revoked", nil},
		{"two organizations", func(t *pat.Token) { t.TargetAccounts = []string{"a", "b"} }, nil, "it is valid for 2 organizations; the PAT was revoked", nil},
		{"two seconds", func(t *pat.Token) { t.ValidTo = t.ValidTo.Add(2 * time.Second) }, nil, "it ends at 2000-01-01T00:25:02Z, 2s later than requested; the PAT was revoked", nil},
		{"a second", func(t *pat.Token) { t.ValidTo = t.ValidTo.Add(time.Second) }, nil, "", []string{"#1"}},
		{"the revocation fails for a while", func(t *pat.Token) { t.Scopes = []string{"app_token"} }, []error{err500Revoke}, `the scope "app_token" was not requested; the PAT was revoked`, nil},
		{"the revocation is refused", func(t *pat.Token) { t.Scopes = []string{"app_token"} }, []error{err403Revoke},
			`the scope "app_token" was not requested; it could not be revoked: revoke PAT: status 403: not yours`, []string{"#1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, renew: tc.renew, revokes: tc.revokes}
				k := newRenewer(w)
				err := w.during(11*time.Minute, k)
				switch {
				case tc.err == "" && err == nil:
				case tc.err == "" || !errors.Is(err, ErrWider) || err.Error() != "the PAT is wider than requested: "+tc.err:
					t.Errorf("error %v, want %q", err, tc.err)
				case hint.Of(err) == "":
					t.Error("no hint")
				case (k.Lease.Record.Stage == Closed) != (tc.left == nil):
					t.Errorf("stage %s, left %v", k.Lease.Record.Stage, tc.left)
				}
				w.left(tc.left...)
				if len(w.warnings) > 0 {
					t.Errorf("warned %q", w.warnings)
				}
			})
		})
	}
}

// Told to stop during a renewal, it does not warn; the release revokes the PAT.
func TestRenewerStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, slowness: 10 * time.Second}
		k := newRenewer(w)
		if err := w.during(10*time.Minute+5*time.Second, k); err != nil || len(w.warnings)+len(w.logged) > 0 || len(w.updatesSent()) != 1 {
			t.Errorf("%v, warned %q, said %q, did %q", err, w.warnings, w.logged, w.journal)
		}
		if want := k.Lease.Record.ValidTo.Add(10 * time.Minute); !k.Lease.Ends().Equal(want) {
			t.Errorf("it ends %v at the latest, want %v", k.Lease.Ends(), want)
		}
	})
}

// jumpingWall is a wall clock that jumps after a minute.
func jumpingWall(by time.Duration) func() time.Time {
	start := time.Now()
	return func() time.Time {
		if time.Since(start) > time.Minute {
			return wallClock().Add(by)
		}
		return wallClock()
	}
}

// A machine that sleeps stops timers but not its clock. A due renewal follows soon after
// it wakes, and an expired PAT is reported once.
func TestRenewerAfterSleep(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		slept   time.Duration
		warning string
	}{
		{9 * time.Minute, ""},
		{8 * time.Hour, "is not renewed: it ended at 2000-01-01T00:15:00Z, even if the command is still running: update PAT: status 200: expiredPatCannotBeExtended: the PAT has expired and cannot be extended"},
	} {
		t.Run(tc.slept.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t}
				k := newRenewer(w)
				start := time.Now()
				k.Lease.wall = jumpingWall(tc.slept)
				var asked time.Duration
				k.Use = func(_ context.Context, f func(*Client) error) error {
					asked = time.Since(start)
					w.skew = -tc.slept // the server has not slept
					l := w.process().client()
					l.Server = k.Lease.wall
					return f(l)
				}
				if err := w.during(3*time.Minute, k); err != nil {
					t.Error(err)
				}
				if asked < time.Minute || asked > 90*time.Second {
					t.Errorf("asked %s after the start, want it soon after the sleep", asked)
				}
				if got := strings.Join(w.warnings, "\n"); tc.warning == "" && got != "" || !strings.Contains(got, tc.warning) || len(w.warnings) > 1 {
					t.Errorf("warned %q, want %q", w.warnings, tc.warning)
				}
			})
		})
	}
}

// A wall clock that is set back delays no renewal.
func TestRenewerAfterClockIsSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t}
		k := newRenewer(w)
		k.Lease.wall = jumpingWall(-8 * time.Hour)
		k.Use = func(_ context.Context, f func(*Client) error) error {
			l := w.process().client()
			l.Server = k.Lease.wall
			return f(l)
		}
		if err := w.during(25*time.Minute, k); err != nil || len(w.warnings) > 0 {
			t.Errorf("%v, warned %q", err, w.warnings)
		}
		if got, want := w.updatesSent(), []string{"update #1 until 00:25:00", "update #1 until 00:35:00"}; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}

// If the record cannot be written, there is an error.
func TestRenewWithoutRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t}
		k := newRenewer(w)
		w.recordFails = func(Record) error { return fmt.Errorf("disk full %s", secret.New("x")) }
		if err := w.during(11*time.Minute, k); err != nil || len(w.warnings) != 1 || !strings.Contains(w.warnings[0], "disk full") {
			t.Errorf("%v, warned %q", err, w.warnings)
		}
	})
}
