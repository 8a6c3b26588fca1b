package lease

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
)

// An unanswered request to revoke may have taken effect: the list is read before it is
// repeated.
func TestRevokeLooksBeforeItRepeats(t *testing.T) {
	t.Parallel()
	const look = "look for #1 among active"
	for _, tc := range []struct {
		name    string
		revokes []error
		looks   []error
		did     []string
		gone    bool
		err     string
	}{
		{name: "it took effect", revokes: []error{errNoAnswerCarriedOut}, did: []string{"revoke #1", look}},
		{name: "it did not", revokes: []error{errNoAnswer}, did: []string{"revoke #1", look, "revoke #1"}},
		{name: "twice", revokes: []error{errNoAnswer, errNoAnswerCarriedOut}, did: []string{"revoke #1", look, "revoke #1", look}},
		{name: "a gateway gave up", revokes: []error{&pat.Error{Op: "revoke", Status: 504}}, did: []string{"revoke #1", look, "revoke #1"}},
		{name: "half an answer", revokes: []error{&pat.Error{Op: "revoke", Status: 200, Err: context.DeadlineExceeded}}, did: []string{"revoke #1", look, "revoke #1"}},
		{name: "it was never sent", revokes: []error{&pat.Error{Op: "revoke", Unsent: true, Err: errors.New("refused")}}, did: []string{"revoke #1", "revoke #1"}},
		{name: "the server failed", revokes: []error{err500Revoke}, did: []string{"revoke #1", "revoke #1"}},
		{name: "the list fails for a while", revokes: []error{errNoAnswer}, looks: []error{err500List}, did: []string{"revoke #1", look, "revoke #1"}},
		{name: "the list fails for a while, and it took effect", revokes: []error{errNoAnswerCarriedOut}, looks: []error{err500List}, did: []string{"revoke #1", look, "revoke #1"}},
		{name: "the list is refused", revokes: []error{errNoAnswer}, looks: []error{err403List}, did: []string{"revoke #1", look, "revoke #1"}},
		{name: "it is refused in the end", revokes: []error{errNoAnswer, err403Revoke}, did: []string{"revoke #1", look, "revoke #1"}, err: "not yours"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, revokes: tc.revokes, looks: tc.looks}
				w.commit(1, pat.Create{DisplayName: leaseName})
				ended, _, err := w.process().client().Release(t.Context(), Record{Stage: Minted, Name: leaseName, ID: guid(1)})
				w.did(tc.did...)
				if tc.err != "" {
					if err == nil || !strings.Contains(err.Error(), tc.err) {
						t.Errorf("error %v", err)
					}
					return
				}
				// It was this process that ended it.
				if err != nil || len(ended) != 1 || ended[0].Gone {
					t.Errorf("ended %v, %v", ended, err)
				}
				w.left()
			})
		})
	}
}

// For an id that the caller gives there is no record; only Azure DevOps' answers count.
func TestReleaseID(t *testing.T) {
	t.Parallel()
	const active, all = "look for #1 among active", "look for #1 among all"
	for _, tc := range []struct {
		name    string
		before  string // what the PAT is: active, over or nothing
		revokes []error
		looks   []error
		did     []string
		gone    bool
		is      error
		err     string
	}{
		{name: "active", before: "active", did: []string{"revoke #1"}},
		{name: "active, and there is no answer", before: "active", revokes: []error{errNoAnswerCarriedOut}, did: []string{"revoke #1", active, all}},
		{name: "ended", before: "over", did: []string{"revoke #1", all}, gone: true},
		{name: "unknown to Azure DevOps", did: []string{"revoke #1", all}, is: ErrNoSuchPAT},
		{name: "unknown to Azure DevOps, and there is no answer", revokes: []error{errNoAnswer}, did: []string{"revoke #1", active, all}, is: ErrNoSuchPAT},
		{name: "unknown to Azure DevOps, and the list fails for a while", looks: []error{err500List}, did: []string{"revoke #1", all, all}, is: ErrNoSuchPAT},
		{name: "the list is refused", before: "over", looks: []error{err403List}, did: []string{"revoke #1", all}, is: err403List, err: "it is unknown whether it ever was"},
		{name: "refused", before: "active", revokes: []error{err403Revoke}, did: []string{"revoke #1"}, is: err403Revoke},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, revokes: tc.revokes, looks: tc.looks}
				if tc.before != "" {
					w.commit(1, pat.Create{DisplayName: "somebody's"})
				}
				if tc.before == "over" {
					w.active, w.ended = nil, w.active
				}
				ended, err := w.process().client().ReleaseID(t.Context(), guid(1))
				w.did(tc.did...)
				if !errors.Is(err, tc.is) || err != nil && !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v, want %v", err, tc.is)
				}
				if err == nil && (ended.ID != guid(1) || ended.Gone != tc.gone) {
					t.Errorf("ended %+v", ended)
				}
			})
		})
	}
}

// Azure DevOps delays a throttled request for up to 30 seconds. One that is answered then
// is one request and one valid PAT.
func TestCreateThatIsHeldBack(t *testing.T) {
	t.Parallel()
	for _, held := range []time.Duration{18 * time.Second, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{T: t, creates: []create{{commit: held, answer: held}}}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			l, err := w.process().client().Acquire(ctx, fresh(), wanted)
			if err != nil || l.Record.Unsettled > 0 || time.Since(w.last().Intended) != held {
				t.Errorf("after %s: %v", held, err)
			}
			w.did("record intended", "create", "mask #1", "record minted #1")
			w.left("#1")
		})
	}
}

// Without a later process, a request that may still take effect is waited for, as far as
// there is time, before anything is called revoked.
func TestNoLaterProcess(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		creates []create
		timeout time.Duration
		told    time.Duration // to stop; zero: never
		took    time.Duration
		err     string
		left    bool // one that comes after all
	}{
		{name: "it comes", creates: []create{{commit: 27 * time.Second, answer: 5 * time.Second, err: errReset}, {commit: never, err: err401}}, timeout: 2 * time.Minute,
			took: 28 * time.Second, err: "not signed in; the PAT was revoked"},
		{name: "it does not come", creates: []create{{commit: never, answer: 5 * time.Second, err: errReset}, {commit: never, err: err401}}, timeout: 2 * time.Minute,
			took: commitWindow + 6*time.Second, err: "not signed in"},
		{name: "there is an answer", creates: []create{{commit: never, answer: 5 * time.Second, err: errUnread}}, timeout: 2 * time.Minute,
			took: 5 * time.Second, err: `the answer is HTML; a PAT named "` + leaseName + `" may still be created until`},
		{name: "there is no time", creates: []create{{commit: 27 * time.Second, answer: 5 * time.Second, err: errReset}, {commit: never, err: err401}}, timeout: 20 * time.Second,
			took: 20 * time.Second, err: `a PAT named "` + leaseName + `" may still be created until 2000-01-01T00:00:5`, left: true},
		{name: "told to stop", creates: []create{{commit: 27 * time.Second, answer: 5 * time.Second, err: errReset}, {commit: never, err: err401}}, timeout: 2 * time.Minute, told: 10 * time.Second,
			took: 10 * time.Second, err: `a PAT named "` + leaseName + `" may exist`, left: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, creates: tc.creates}
				ctx, cancel := context.WithTimeout(t.Context(), tc.timeout)
				defer cancel()
				ctx, stop := context.WithCancelCause(ctx)
				defer stop(nil)
				if tc.told > 0 {
					time.AfterFunc(tc.told, func() { stop(errSignal) })
				}
				begin := time.Now()
				l := w.process().client()
				l.NoLaterProcess = true
				_, err := l.Acquire(ctx, fresh(), wanted)
				if err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "was revoked") != strings.Contains(tc.err, "was revoked") {
					t.Errorf("error %v, want %q in it", err, tc.err)
				}
				if took := time.Since(begin); took > tc.took || took < tc.took-2*time.Second {
					t.Errorf("it took %s, want about %s", took, tc.took)
				}
				time.Sleep(time.Minute)
				if left := len(w.ids()) > 0; left != tc.left {
					t.Errorf("%v are left; did %q", w.ids(), w.journal)
				}
			})
		})
	}
}

// Without a later process, unsettled requests are waited for before the PAT is handed
// over.
func TestSettle(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{never, 27 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{T: t, creates: []create{{commit: late, answer: time.Second, err: errReset}}}
			client := w.process().client()
			l, err := client.Acquire(t.Context(), fresh(), wanted)
			if err != nil || l.Record.Unsettled == 0 {
				t.Fatalf("%v, %+v", err, l)
			}
			if err := client.Settle(t.Context(), l); err != nil || l.Record.Unsettled > 0 {
				t.Errorf("%v, %+v", err, l.Record)
			}
			time.Sleep(time.Minute)
			w.left(short(l.Token.ID))
		})
	}
}

// A wait that Azure DevOps has asked for comes before the intent, since the lifetime and
// the commit window start when the request is sent. If it is too long, nothing is minted.
func TestReadyBeforeTheIntent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t}
		l := w.process().client()
		l.Ready = func(context.Context) error { w.process().note("ready"); time.Sleep(20 * time.Second); return nil }
		begin := time.Now()
		lease, err := l.Acquire(t.Context(), fresh(), wanted)
		if err != nil || w.last().Intended.Sub(begin) != 20*time.Second || lease.Token.ValidTo.Sub(begin) != 20*time.Second+lifetime {
			t.Errorf("%v, %+v", err, lease)
		}
		w.did("ready", "record intended", "create", "mask #1", "record minted #1")
		if err := l.Renew(t.Context(), lease, wanted); err != nil || lease.Token.ValidTo.Sub(begin) != 40*time.Second+lifetime {
			t.Errorf("%v, %+v", err, lease)
		}
		w.journal = nil
		throttled := &httpclient.Throttled{Service: "Azure DevOps", Wait: 300 * time.Second, Left: 90 * time.Second}
		l.Ready = func(context.Context) error { return throttled }
		if _, err := l.Acquire(t.Context(), fresh(), wanted); err == nil || err.Error() != "mint a PAT: Azure DevOps asks to wait 300 s, but only 90 s are left" {
			t.Errorf("error %v", err)
		}
		w.did("record closed")
	})
}
