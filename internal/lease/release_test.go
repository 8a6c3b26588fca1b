package lease

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
)

func TestRelease(t *testing.T) {
	t.Parallel()
	other := leaseName + " "
	for _, tc := range []struct {
		name    string
		record  Record
		active  []string // names, of #1, #2, …
		revokes []error
		lists   []error
		did     []string
		ended   string // numbers; with "-" where it had ended before
		err     string // a part of it
		left    []string
	}{
		{name: "by its id", record: Record{Stage: Minted, Name: leaseName, ID: guid(1)}, active: []string{leaseName, leaseName},
			did: []string{"revoke #1"}, ended: "#1", left: []string{"#2"}},
		{name: "by its id in capitals", record: Record{ID: strings.ToUpper(guid(1))}, active: []string{leaseName}, did: []string{"revoke #1"}, ended: "#1"},
		// A server that told a wrong id says of it that it is gone.
		{name: "gone", record: Record{Stage: Minted, Name: leaseName, ID: guid(7)}, active: []string{other, leaseName}, did: []string{"revoke #7", "list", "revoke #2"}, ended: "-#7 #2", left: []string{"#1"}},
		{name: "gone, and the list is refused", record: Record{Stage: Minted, Name: leaseName, ID: guid(7)}, lists: []error{err403List}, did: []string{"revoke #7", "list"}, ended: "-#7"},
		{name: "handed over", record: Record{Stage: HandedOver, Name: leaseName, ID: guid(1)}, active: []string{leaseName}, did: []string{"revoke #1"}, ended: "#1"},
		{name: "refused", record: Record{Stage: Minted, Name: leaseName, ID: guid(1)}, active: []string{leaseName}, revokes: []error{err403Revoke},
			did: []string{"revoke #1"}, err: "not yours", left: []string{"#1"}},
		{name: "failing for a while", record: Record{Stage: Minted, Name: leaseName, ID: guid(1)}, active: []string{leaseName}, revokes: []error{err500Revoke, err500Revoke},
			did: []string{"revoke #1", "revoke #1", "revoke #1"}, ended: "#1"},

		{name: "by its name", record: Record{Name: leaseName}, active: []string{other, leaseName, leaseName[1:], "x" + leaseName, strings.ToUpper(leaseName), ""},
			did: []string{"list", "revoke #2"}, ended: "#2", left: []string{"#1", "#3", "#4", "#5", "#6"}},
		{name: "several by one name", record: Record{Name: leaseName}, active: []string{leaseName, other, leaseName, leaseName},
			did: []string{"list", "revoke #1", "revoke #3", "revoke #4"}, ended: "#1 #3 #4", left: []string{"#2"}},
		{name: "none of that name", record: Record{Name: leaseName}, active: []string{other}, did: []string{"list"}, left: []string{"#1"}},
		{name: "a list that fails on its second page", record: Record{Name: leaseName}, active: []string{leaseName, leaseName}, lists: []error{err500List},
			did: []string{"list", "list", "revoke #1", "revoke #2"}, ended: "#1 #2"},
		{name: "a list that is refused", record: Record{Name: leaseName}, active: []string{leaseName, leaseName}, lists: []error{err403List},
			did: []string{"list", "revoke #1"}, ended: "#1", err: "list PATs", left: []string{"#2"}},
		// The others used to be left where one could not be revoked.
		{name: "one of several that is refused", record: Record{Name: leaseName}, active: []string{leaseName, leaseName, leaseName}, revokes: []error{nil, err403Revoke},
			did: []string{"list", "revoke #1", "revoke #2", "revoke #3"}, ended: "#1 #3", err: "not yours", left: []string{"#2"}},

		{name: "unsettled, by id and by name", record: Record{Stage: Minted, Name: leaseName, ID: guid(2), Unsettled: 1}, active: []string{leaseName, leaseName, other},
			did: []string{"revoke #2", "list", "revoke #1"}, ended: "#2 #1", left: []string{"#3"}},
		{name: "unsettled, and the known one is refused", record: Record{Stage: Minted, Name: leaseName, ID: guid(2), Unsettled: 1}, active: []string{leaseName, leaseName}, revokes: []error{err403Revoke},
			did: []string{"revoke #2", "list", "revoke #1"}, ended: "#1", err: "not yours", left: []string{"#2"}},
		{name: "unsettled, and both are refused", record: Record{Stage: Minted, Name: leaseName, ID: guid(2), Unsettled: 1}, active: []string{leaseName, leaseName}, revokes: []error{err403Revoke, err403Revoke},
			did: []string{"revoke #2", "list", "revoke #1"}, err: "not yours; revoke PAT", left: []string{"#1", "#2"}},

		{name: "a record that names nothing", record: Record{Stage: Intended}, active: []string{"", leaseName}, err: "has neither the id nor the name", left: []string{"#1", "#2"}},
		{name: "a record unsettled without a name", record: Record{Stage: Minted, ID: guid(2), Unsettled: 1}, active: []string{"", leaseName},
			did: []string{"revoke #2"}, ended: "#2", err: "has neither the id nor the name", left: []string{"#1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, revokes: tc.revokes, lists: tc.lists}
				for i, name := range tc.active {
					w.active = append(w.active, pat.Token{ID: guid(i + 1), DisplayName: name, ValidFrom: time.Unix(int64(i+1), 0)})
				}
				tc.record.ValidFrom = time.Unix(99, 0)
				ended, _, err := w.process().client().Release(t.Context(), tc.record)
				if (err == nil) != (tc.err == "") || err != nil && (!strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "\n")) {
					t.Errorf("error %v, want %q in it", err, tc.err)
				}
				var got []string
				for _, e := range ended {
					mark := short(e.ID)
					if e.Gone {
						mark = "-" + mark
					}
					got = append(got, mark)
					if strings.EqualFold(e.ID, tc.record.ID) != e.ValidFrom.Equal(tc.record.ValidFrom) {
						t.Errorf("%s is said to live since %s", mark, e.ValidFrom)
					}
				}
				if strings.Join(got, " ") != tc.ended {
					t.Errorf("ended %q, want %q", got, tc.ended)
				}
				w.did(tc.did...)
				w.left(tc.left...)
			})
		})
	}
}

// A PAT of the name whose id cannot be read is not taken for gone.
func TestReleaseOfAPATWithoutAnID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, active: []pat.Token{{DisplayName: leaseName}}, revokes: []error{&pat.Error{Op: "revoke", Unsent: true, Message: "the authorization id is not a GUID"}}}
		if ended, _, err := w.process().client().Release(t.Context(), Record{Name: leaseName}); err == nil || len(ended) > 0 {
			t.Errorf("ended %v, %v", ended, err)
		}
	})
}

// A request to mint may take effect until the commit window has passed; the post step may
// start while it is in flight.
func TestReleaseWaitsForALateCommit(t *testing.T) {
	t.Parallel()
	intended := Record{Stage: Intended, Name: leaseName}
	doubtful := intended
	doubtful.Unsettled = 2
	behind := intended
	behind.Skew = httpclient.Skew{Min: -time.Hour, Max: -time.Hour}
	for _, tc := range []struct {
		name   string
		record Record
		since  time.Duration   // from the intent to the post step; negative: the clock was set back
		commit []time.Duration // after the post step's start
		took   time.Duration
		ended  int
		logged bool
	}{
		{name: "there already", record: intended, commit: []time.Duration{0}, ended: 1},
		{name: "after 5 s", record: intended, commit: []time.Duration{5 * time.Second}, took: 6 * time.Second, ended: 1, logged: true},
		{name: "in the last moment", record: intended, commit: []time.Duration{commitWindow - 500*time.Millisecond}, took: commitWindow, ended: 1, logged: true},
		{name: "never", record: intended, took: commitWindow, logged: true},
		{name: "44.5 s after it was sent", record: intended, commit: []time.Duration{44500 * time.Millisecond}, took: 45 * time.Second, ended: 1, logged: true},
		{name: "some time after the intent", record: intended, since: 15 * time.Second, commit: []time.Duration{3 * time.Second}, took: 4 * time.Second, ended: 1, logged: true},
		{name: "after the commit window", record: intended, since: commitWindow},
		{name: "the clock was set back", record: intended, since: -time.Minute, took: commitWindow, logged: true},
		// The mint's clock was an hour behind the server's, and this one is not.
		{name: "the clock was set ahead", record: behind, since: time.Hour + 5*time.Second, took: commitWindow - 5*time.Second, logged: true},
		{name: "the clock was set ahead, long after", record: behind, since: time.Hour + commitWindow},

		{name: "unsettled, two", record: doubtful, commit: []time.Duration{0, 11 * time.Second}, took: 12 * time.Second, ended: 2, logged: true},
		{name: "unsettled, one of two", record: doubtful, commit: []time.Duration{0}, took: commitWindow, ended: 1, logged: true},
		{name: "unsettled, after the commit window", record: doubtful, since: commitWindow, commit: []time.Duration{0}, ended: 1},

		{name: "unsettled, beside a known one", record: Record{Stage: Intended, Name: leaseName, ID: guid(7), Unsettled: 1}, commit: []time.Duration{11 * time.Second}, took: 12 * time.Second, ended: 2, logged: true},
		{name: "unsettled, but handed over", record: Record{Stage: Minted, Name: leaseName, ID: guid(7), Unsettled: 1}, commit: []time.Duration{0}, ended: 2},
		{name: "unsettled, but handed over, and none is there", record: Record{Stage: Minted, Name: leaseName, ID: guid(7), Unsettled: 1}, took: commitWindow, ended: 1, logged: true},

		{name: "of a minted one nothing is to come", record: Record{Stage: Minted, Name: leaseName, ID: guid(7)}, ended: 1},
		{name: "without a record it is not known since when", record: Record{Name: leaseName}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t}
				if tc.record.Stage == Intended || tc.record.Unsettled > 0 {
					tc.record.Intended = time.Now().Add(-tc.since)
				}
				for i, at := range tc.commit {
					if at == 0 {
						w.commit(i+1, pat.Create{DisplayName: leaseName})
					} else {
						time.AfterFunc(at, func() { w.commit(i+1, pat.Create{DisplayName: leaseName}) })
					}
				}
				begin := time.Now()
				ended, _, err := w.process().client().Release(t.Context(), tc.record)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took != tc.took || len(ended) != tc.ended {
					t.Errorf("ended %d in %s, want %d in %s", len(ended), took, tc.ended, tc.took)
				}
				if tc.logged != slices.ContainsFunc(w.logged, func(s string) bool {
					return strings.HasPrefix(s, `waiting, because a request to mint "`+leaseName+`" may still take effect until 2000-01-01T00:00:`)
				}) || len(w.logged) > 1 {
					t.Errorf("logged %q", w.logged)
				}
				w.left()
			})
		})
	}
}

// Reading the list takes time: a PAT made meanwhile would be missed.
func TestReleaseLooksAgainAtTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t}
		r := Record{Stage: Intended, Name: leaseName, Intended: time.Now()}
		l := w.process().client()
		l.PATs = stale{w.process()}
		time.AfterFunc(commitWindow-time.Millisecond, func() { w.commit(1, pat.Create{DisplayName: leaseName}) })
		if ended, _, err := l.Release(t.Context(), r); err != nil || len(ended) != 1 {
			t.Errorf("ended %v, %v", ended, err)
		}
		w.left()
	})
}

// stale answers with what was there when the request was sent.
type stale struct{ *process }

func (s stale) List(ctx context.Context, f pat.Filter) iter.Seq2[pat.Token, error] {
	return func(yield func(pat.Token, error) bool) {
		s.mu.Lock()
		all := slices.Clone(s.active)
		s.mu.Unlock()
		time.Sleep(3500 * time.Millisecond) // so that the fourth look ends with the time
		for _, t := range all {
			if !yield(t, nil) {
				return
			}
		}
	}
}

// A wait that is stopped or times out reports what is left.
func TestReleaseIsInterrupted(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		record Record
		slow   time.Duration
		ended  int
	}{
		{"while it waits for a late commit", Record{Stage: Intended, Name: leaseName}, 0, 0},
		{"while it revokes", Record{Stage: Minted, Name: leaseName, ID: guid(1)}, time.Hour, 0},
		{"while it lists", Record{Name: leaseName}, time.Hour, 0},
		{"between two", Record{Stage: Minted, Name: leaseName, ID: guid(1), Unsettled: 1}, 2 * time.Second, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, slowness: tc.slow}
				ctx, stop := context.WithCancelCause(t.Context())
				defer stop(nil)
				time.AfterFunc(3*time.Second, func() { stop(errSignal) })
				if tc.record.Stage == Intended {
					tc.record.Intended = time.Now()
				}
				begin := time.Now()
				ended, _, err := w.process().client().Release(ctx, tc.record)
				if !errors.Is(err, errSignal) || len(ended) != tc.ended {
					t.Errorf("ended %v, %v", ended, err)
				}
				if took := time.Since(begin); took != 3*time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

// After a timeout the remaining PATs are not tried.
func TestReleaseOfSeveralIsInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, slowness: 2 * time.Second}
		for i := range 3 {
			w.commit(i+1, pat.Create{DisplayName: leaseName})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		ended, _, err := w.process().client().Release(ctx, Record{Name: leaseName})
		if !errors.Is(err, context.DeadlineExceeded) || len(ended) != 1 || strings.Contains(err.Error(), ";") {
			t.Errorf("ended %v, %v", ended, err)
		}
		w.did("list", "revoke #1", "revoke #2")
	})
}

// slowLog is a log on a busy machine: each line takes longer than a test's timeout.
type slowLog struct{ *process }

func (slowLog) Infof(string, ...any) { time.Sleep(10 * time.Second) }

// Something else than the wait may use up the time. Then the list read before it was
// the last.
func TestTimeEndsWhileWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := (&world{T: t}).process().client()
		l.Log = slowLog{}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if ended, _, err := l.Release(ctx, Record{Stage: Intended, Name: leaseName, Intended: time.Now()}); err != nil || len(ended) != 0 {
			t.Errorf("ended %v, %v", ended, err)
		}
	})
}

// If the time ends while the list is read again, the read before it was the last; during
// the first read, nothing is known.
func TestTimeEndsWhileLooking(t *testing.T) {
	t.Parallel()
	for timeout, complains := range map[time.Duration]bool{time.Second: true, 5 * time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{T: t, slowness: 1500 * time.Millisecond}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			ended, _, err := w.process().client().Release(ctx, Record{Stage: Intended, Name: leaseName, Intended: time.Now()})
			if len(ended) != 0 || (err != nil) != complains {
				t.Errorf("within %s: ended %v, %v", timeout, ended, err)
			}
		})
	}
}
