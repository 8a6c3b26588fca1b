package lease

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
)

// The PAT's end is computed by Azure DevOps' clock, which is known for certain only
// after an answer. An end computed by a wrong clock is corrected.
func TestEndByTheServersClock(t *testing.T) {
	t.Parallel()
	const (
		once  = "record intended,create,mask #1,record minted #1"
		twice = once + ",revoke #1,record intended,create,mask #2,record minted #2"
		after = "record intended,create,record intended,create,mask #1,record minted #1"
	)
	is := func(d time.Duration) *time.Duration { return &d }
	for _, tc := range []struct {
		name        string
		skew        time.Duration // of this machine, ahead of Azure DevOps
		guess, date *time.Duration
		change      func(*pat.Token)
		did         string
		life        time.Duration // of the PAT that is left
	}{
		{"known before", 10 * time.Minute, nil, nil, nil, once, lifetime},
		{"clock unknown, and this machine is ahead", 10 * time.Minute, is(0), nil, nil, twice, lifetime},
		{"clock unknown, and this machine is behind", -10 * time.Minute, is(0), nil, nil, twice, lifetime},
		{"a little off does no harm", -50 * time.Second, is(0), nil, nil, once, lifetime - 50*time.Second},
		{"behind for longer than the PAT was to live", -2 * time.Hour, is(0), nil, nil, after, lifetime},
		{"Entra is a day ahead", 0, is(-24 * time.Hour), nil, nil, twice, lifetime},
		{"Entra is a day behind", 0, is(24 * time.Hour), nil, nil, after, lifetime},
		{"the answer is dated a day ahead", 0, nil, is(-24 * time.Hour), nil, once, lifetime},
		{"the answer is dated a day behind", 0, nil, is(24 * time.Hour), nil, once, lifetime},
		{"the PAT does not tell when it begins", 10 * time.Minute, is(0), nil, func(t *pat.Token) { t.ValidFrom = time.Time{} }, twice, lifetime},
		{"all answers are dated a month ahead", 0, is(-30 * 24 * time.Hour), is(-30 * 24 * time.Hour), nil, twice, lifetime},
		{"all answers are dated half an hour back", 0, is(lifetime / 2), is(lifetime / 2), nil, twice, lifetime},
		{"all answers are dated so far back that the end is past", 0, is(lifetime), is(lifetime), nil, after, lifetime},
		{"all answers are dated back, and this machine is behind", -10 * time.Minute, is(lifetime / 2), is(lifetime / 2), nil, once, lifetime/2 - 10*time.Minute},
		{"the PAT begins in the future, by no clock", 0, nil, nil, func(t *pat.Token) { t.ValidFrom = t.ValidFrom.Add(30 * time.Minute) }, once, lifetime},
		{"a policy shortens it", 0, nil, nil, func(t *pat.Token) { t.ValidTo = t.ValidFrom.Add(lifetime / 2) }, once, lifetime / 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, skew: tc.skew, guess: tc.guess, date: tc.date, change: tc.change}
				l, err := w.process().client().Acquire(t.Context(), fresh(), wanted)
				if err != nil {
					t.Fatal(err)
				}
				w.did(strings.Split(tc.did, ",")...)
				w.left(short(l.Token.ID))
				if life := l.Token.ValidTo.Sub(time.Now().Add(-tc.skew)); life != tc.life {
					t.Errorf("it lives for %s, want %s", life, tc.life)
				}
				if again := slices.ContainsFunc(w.logged, func(s string) bool { return strings.HasSuffix(s, "; minting again") }); again != (tc.did != once) {
					t.Errorf("logged %q", w.logged)
				}
			})
		})
	}
}

// A PAT that lives longer than requested is wider, whatever any clock shows.
func TestLongerThanAsked(t *testing.T) {
	t.Parallel()
	ahead, day := -24*time.Hour, 24*time.Hour
	for _, tc := range []struct {
		name        string
		skew        time.Duration
		guess, date *time.Duration
		change      func(*pat.Token)
		want        string
	}{
		{"it begins earlier, by no clock", 0, nil, nil, func(t *pat.Token) { t.ValidFrom = t.ValidFrom.Add(-12 * time.Hour) }, "it lives 12h longer than requested, until 2000-01-01T01:00:00Z"},
		{"a little more than a minute", 0, nil, nil, func(t *pat.Token) { t.ValidFrom = t.ValidFrom.Add(-61 * time.Second) }, "it lives 1m1s longer"},
		{"all answers are dated ahead, and this machine's clock is wrong", time.Hour, &ahead, &ahead, nil, "it lives 25h longer"},
		{"no beginning, and a later end", 0, nil, nil, func(t *pat.Token) { t.ValidFrom, t.ValidTo = time.Time{}, t.ValidTo.Add(day) }, "24h later than requested"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, skew: tc.skew, guess: tc.guess, date: tc.date, change: tc.change}
				_, err := w.process().client().Acquire(t.Context(), fresh(), wanted)
				if !errors.Is(err, ErrWider) || !strings.Contains(err.Error(), tc.want) || !strings.HasSuffix(err.Error(), "; the PAT was revoked") {
					t.Errorf("error %v, want %q", err, tc.want)
				}
				w.did("record intended", "create", "mask #1", "record minted #1", "revoke #1", "record closed #1")
				w.left()
			})
		})
	}
}

// Up to a minute more is latency, not wider.
func TestAMinuteLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, change: func(t *pat.Token) { t.ValidFrom = t.ValidFrom.Add(-time.Minute) }}
		if _, err := w.process().client().Acquire(t.Context(), fresh(), wanted); err != nil {
			t.Error(err)
		}
		w.left("#1")
	})
}

// The recorded skew is that of Azure DevOps' clock, whatever the Date header says.
func TestRecordedSkew(t *testing.T) {
	t.Parallel()
	wrong := 24 * time.Hour
	for _, skew := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{T: t, skew: skew, guess: &skew, date: &wrong, creates: []create{{commit: time.Second, answer: 5 * time.Second}}}
			r := fresh()
			r.Skew = httpclient.Skew{Min: wrong, Max: wrong}
			if _, err := w.process().client().Acquire(t.Context(), r, wanted); err != nil {
				t.Fatal(err)
			}
			if got, want := w.last().Skew, (httpclient.Skew{Min: skew - time.Second, Max: skew + 4*time.Second}); got != want {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

// An end that is refused by a server whose clock agrees is not a clock problem.
func TestEndThatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, creates: []create{{commit: never, err: errEnd}}}
		if _, err := w.process().client().Acquire(t.Context(), fresh(), wanted); err == nil || !strings.Contains(err.Error(), "invalidValidTo") {
			t.Errorf("error %v", err)
		}
		w.did("record intended", "create", "record closed")
	})
}

// If the PAT cannot be revoked, no other one is minted.
func TestAgainFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		guess := time.Duration(0)
		w := &world{T: t, skew: time.Hour, guess: &guess, revokes: []error{err403Revoke, err403Revoke}}
		if _, err := w.process().client().Acquire(t.Context(), fresh(), wanted); err == nil || !strings.Contains(err.Error(), "could not be revoked") {
			t.Errorf("error %v", err)
		}
		w.did("record intended", "create", "mask #1", "record minted #1", "revoke #1", "revoke #1")
		w.left("#1")
		w.release()
		w.left()
	})
}
