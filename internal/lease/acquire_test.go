package lease

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
)

func TestAcquire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, skew: 5 * time.Minute}
		time.Sleep(300 * time.Millisecond)
		now := time.Now()
		l, err := w.process().client().Acquire(t.Context(), fresh(), wanted)
		if err != nil {
			t.Fatal(err)
		}
		w.did("record intended", "create", "mask #1", "record minted #1")
		w.left("#1")
		// The end is reckoned by the server's clock, and asked for in whole
		// seconds, since that is what comes back.
		want := pat.Create{DisplayName: leaseName, Scopes: wanted.Scopes, ValidTo: now.Add(lifetime - 5*time.Minute).Truncate(time.Second)}
		if got := w.asked[0]; got.DisplayName != want.DisplayName || !slices.Equal(got.Scopes, want.Scopes) || !got.ValidTo.Equal(want.ValidTo) {
			t.Errorf("asked for %+v, want %+v", got, want)
		}
		if l.Token.ID != guid(1) || l.Token.Secret.Reveal() != "secret-of-#1" {
			t.Errorf("token %+v", l.Token)
		}
		intent := fresh()
		intent.Stage, intent.Intended, intent.Unsettled = Intended, now, 1
		if got := w.records[0].String(); got != intent.String() {
			t.Errorf("intent %s\nwant   %s", got, intent)
		}
		minted := intent
		minted.Unsettled, minted.Skew = 0, httpclient.Skew{Min: 5 * time.Minute, Max: 5 * time.Minute}
		minted.Stage, minted.ID, minted.ValidFrom, minted.ValidTo = Minted, guid(1), now.Add(-5*time.Minute), want.ValidTo
		if got := l.Record.String(); got != minted.String() || got != w.records[1].String() {
			t.Errorf("record %s\nwant   %s", got, minted)
		}
		if len(w.warnings) > 0 {
			t.Errorf("warnings %q", w.warnings)
		}
	})
}

// The answer to a create request decides whether a PAT may be left, and whether
// another request may be sent.
func TestCreateThatFails(t *testing.T) {
	t.Parallel()
	// The second create, when what the first one made has been found, and when it
	// has not.
	again := []string{"record intended", "create", "mask #2", "record minted #2"}
	doubtful := []string{"record intended unsettled", "create", "mask #2", "record intended #2 unsettled"}
	for _, tc := range []struct {
		name    string
		creates []create
		lists   []error
		revokes []error
		did     []string // after "record intended", "create"
		err     string   // a part of it; empty: a lease
		left    []string
	}{
		// Settled: nothing can have been made, so nothing is looked for.
		{name: "a policy", creates: []create{{commit: never, err: errPolicy}}, did: []string{"record closed"}, err: "patLifespanPolicyViolation"},
		{name: "not signed in", creates: []create{{commit: never, err: err401}}, did: []string{"record closed"}, err: "not signed in"},
		{name: "throttled", creates: []create{{commit: never, err: err429}}, did: []string{"record intended", "create", "mask #1", "record minted #1"}, left: []string{"#1"}},
		{name: "never sent", creates: []create{{commit: never, err: errUnsent}}, did: []string{"record intended", "create", "mask #1", "record minted #1"}, left: []string{"#1"}},

		// Not settled: looked for by name, ended, and only then asked again. Where
		// nothing was found it may come late: it is looked for once more before
		// the lease is handed over, and where nothing is found then, later.
		{name: "500 with a PAT", creates: []create{{err: err500}},
			did: slices.Concat([]string{"record intended unsettled", "list", "revoke #1"}, again), left: []string{"#2"}},
		{name: "500 without", creates: []create{{commit: never, err: err500}},
			did: []string{"record intended unsettled", "list", "record intended unsettled", "create", "mask #1", "record intended #1 unsettled", "list", "record minted #1 unsettled"}, left: []string{"#1"}},
		{name: "500, and the PAT comes before the next", creates: []create{{commit: time.Nanosecond, err: err503}},
			did: slices.Concat([]string{"record intended unsettled", "list"}, doubtful, []string{"list", "revoke #1", "record minted #2"}), left: []string{"#2"}},
		{name: "500, and the PAT comes with the next", creates: []create{{commit: 5 * time.Second, err: err503}, {commit: 2 * time.Second, answer: 2 * time.Second}},
			did: slices.Concat([]string{"record intended unsettled", "list"}, doubtful, []string{"list", "revoke #1", "record minted #2"}), left: []string{"#2"}},
		{name: "503 with Retry-After", creates: []create{{err: err503}},
			did: slices.Concat([]string{"record intended unsettled", "list", "revoke #1"}, again), left: []string{"#2"}},
		{name: "408", creates: []create{{err: err408}},
			did: slices.Concat([]string{"record intended unsettled", "list", "revoke #1"}, again), left: []string{"#2"}},
		{name: "no answer", creates: []create{{err: errReset}},
			did: slices.Concat([]string{"record intended unsettled", "list", "revoke #1"}, again), left: []string{"#2"}},
		{name: "no answer in time", creates: []create{{answer: never}},
			did: slices.Concat([]string{"record intended unsettled", "list", "revoke #1"}, again), left: []string{"#2"}},
		{name: "twice", creates: []create{{err: err500}, {err: err500}},
			did: []string{"record intended unsettled", "list", "revoke #1", "record intended", "create", "record intended unsettled", "list", "revoke #2",
				"record intended", "create", "mask #3", "record minted #3"}, left: []string{"#3"}},
		{name: "twice, and the first one comes late", creates: []create{{commit: time.Nanosecond, err: err503}, {commit: never, err: err503}},
			did: []string{"record intended unsettled", "list", "record intended unsettled", "create", "record intended unsettled", "list", "revoke #1",
				"record intended unsettled", "create", "mask #2", "record intended #2 unsettled", "list", "record minted #2 unsettled"}, left: []string{"#2"}},
		{name: "a list that fails for a while", creates: []create{{err: err500}}, lists: []error{err500List, err500List},
			did: slices.Concat([]string{"record intended unsettled", "list", "list", "list", "revoke #1"}, again), left: []string{"#2"}},
		{name: "a revocation that fails for a while", creates: []create{{err: err500}}, revokes: []error{err500Revoke},
			did: slices.Concat([]string{"record intended unsettled", "list", "revoke #1", "revoke #1"}, again), left: []string{"#2"}},
		{name: "a list that fails for good", creates: []create{{err: err500}}, lists: []error{err403List, err403List},
			did: []string{"record intended unsettled", "list", "revoke #1", "list"}, err: "a PAT named"},
		{name: "a list that fails at first", creates: []create{{err: err500}}, lists: []error{err403List},
			did: []string{"record intended unsettled", "list", "revoke #1", "list", "record closed"}, err: "500"},
		{name: "a revocation that fails for good", creates: []create{{err: err500}}, revokes: []error{err403Revoke, err403Revoke},
			did: []string{"record intended unsettled", "list", "revoke #1", "list", "revoke #1"}, err: "a PAT named", left: []string{"#1"}},
		{name: "the last look fails", creates: []create{{commit: time.Nanosecond, err: err500}}, lists: []error{nil, err403List},
			did: slices.Concat([]string{"record intended unsettled", "list"}, doubtful, []string{"list", "revoke #1", "revoke #2", "list", "record closed #2"}), err: "list PATs"},

		// An answer that cannot be relied on is not tried again, and what it
		// names is not all that may be there.
		{name: "half a success", creates: []create{{err: errHalf}}, did: []string{"record intended unsettled", "list", "revoke #1", "record closed"}, err: "cut off"},
		{name: "half a success, and no PAT", creates: []create{{commit: never, err: errHalf}}, did: []string{"record intended unsettled", "list", "list"}, err: "cut off"},
		{name: "a sign-in page", creates: []create{{commit: never, err: errHTML}}, did: []string{"record closed"}, err: "HTML"},
		{name: "an error of another kind", creates: []create{{err: errUnknown}}, did: []string{"record intended unsettled", "list", "revoke #1", "record closed"}, err: "something else"},
		{name: "half a success that names the PAT", creates: []create{{err: errHalf, withPAT: true}},
			did: []string{"mask #1", "record intended #1 unsettled", "revoke #1", "list", "record closed #1"}, err: "cut off; the PAT was revoked"},
		{name: "500 that names the PAT", creates: []create{{err: err500, withPAT: true}},
			did: []string{"mask #1", "record intended #1 unsettled", "revoke #1", "list"}, err: "may still be created until"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, creates: tc.creates, lists: tc.lists, revokes: tc.revokes}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				l, err := w.process().client().Acquire(ctx, fresh(), wanted)
				w.did(append([]string{"record intended", "create"}, tc.did...)...)
				w.left(tc.left...)
				if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v, want %q in it", err, tc.err)
				}
				if err == nil {
					if l.Token.Secret.IsZero() || w.last().String() != l.Record.String() {
						t.Errorf("lease %+v", l)
					}
				} else if l != nil {
					t.Error("a lease beside the error")
				}
				for _, r := range w.records {
					if strings.Contains(r.String(), "secret-of") {
						t.Errorf("the PAT is in the record %s", r)
					}
				}
				if all := strings.Join(append(w.logged, w.warnings...), "\n") + fmt.Sprint(err); strings.Contains(all, "secret-of") {
					t.Errorf("the PAT is in %s", all)
				}
			})
		})
	}
}

// A throttled create request can be sent much later than the first one. Its commit
// window starts at its own intent.
func TestIntentOfEveryAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, creates: []create{{commit: never, err: err429}}}
		begin := time.Now()
		if _, err := w.process().client().Acquire(t.Context(), fresh(), wanted); err != nil {
			t.Fatal(err)
		}
		if got := w.last().Intended.Sub(begin); got != err429.RetryAfter {
			t.Errorf("the intent is recorded as of %s after the start, the create was sent %s after it", got, err429.RetryAfter)
		}
		// And so is the PAT's end.
		if got := w.asked[1].ValidTo.Sub(w.asked[0].ValidTo); got != err429.RetryAfter {
			t.Errorf("the second PAT was asked to end %s after the first", got)
		}
	})
}

func TestRecordThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left on device")
	for _, tc := range []struct {
		name    string
		fails   func(sent int, r Record) bool
		creates []create
		did     []string
		err     string
	}{
		{"the intent", func(int, Record) bool { return true }, nil, []string{"record intended unsettled"}, "record the intent to mint: no space left on device; nothing was minted"},
		{"the intent of a second attempt", func(sent int, r Record) bool { return sent == 1 && r.Stage == Intended }, []create{{commit: never, err: err429}},
			[]string{"create", "record intended unsettled"}, "record the intent to mint"},
		{"the id", func(_ int, r Record) bool { return r.Stage == Minted }, nil,
			[]string{"create", "mask #1", "record minted #1", "revoke #1"}, "record the PAT's id: no space left on device; the PAT was revoked"},
		{"the doubt", func(sent int, r Record) bool { return sent == 1 && r.Unsettled > 0 }, []create{{err: err500}},
			[]string{"create", "record intended unsettled", "list", "revoke #1"}, "record that the request is unsettled: no space left on device"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, creates: tc.creates}
				w.recordFails = func(r Record) error {
					if tc.fails(w.created, r) {
						return full
					}
					return nil
				}
				_, err := w.process().client().Acquire(t.Context(), fresh(), wanted)
				if !errors.Is(err, full) || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v, want %q in it", err, tc.err)
				}
				w.left()
				did := slices.DeleteFunc(slices.Clone(w.journal), func(s string) bool { return s == "record intended" || strings.HasPrefix(s, "record closed") })
				if !slices.Equal(did, tc.did) {
					t.Errorf("did %q, want %q", did, tc.did)
				}
			})
		})
	}
}

func TestPATThatCannotBeMasked(t *testing.T) {
	t.Parallel()
	closed := errors.New("standard output is closed")
	for name, tc := range map[string]struct {
		creates []create
		did     []string
	}{
		"of a success": {nil, []string{"record intended", "create", "mask #1", "record minted #1", "revoke #1", "record closed #1"}},
		"of a failure": {[]create{{err: errHalf, withPAT: true}}, []string{"record intended", "create", "mask #1", "record intended #1 unsettled", "revoke #1", "list", "record closed #1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, maskFails: closed, creates: tc.creates}
				_, err := w.process().client().Acquire(t.Context(), fresh(), wanted)
				if !errors.Is(err, closed) {
					t.Errorf("error %v", err)
				}
				w.did(tc.did...)
				w.left()
			})
		})
	}
}

// PATs with similar names belong to others, other jobs or earlier attempts.
func TestOnlyTheExactNameIsEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, creates: []create{{err: err500}}}
		for i, name := range []string{leaseName + " ", strings.ToUpper(leaseName), leaseName + "0", leaseName[1:], "", leaseName} {
			w.active = append(w.active, pat.Token{ID: guid(100 + i), DisplayName: name})
		}
		if _, err := w.process().client().Acquire(t.Context(), fresh(), wanted); err != nil {
			t.Fatal(err)
		}
		w.left("#100", "#101", "#102", "#103", "#104", "#2")
	})
}

// A PAT of the same name that no request made must not be counted as one that a
// request made.
func TestStrangerOfTheSameName(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		creates []create
		revokes []error
		did     []string
		stage   Stage
	}{
		{"found beside it", []create{{err: err500}, {commit: never, err: err500}}, nil,
			[]string{"record intended", "create", "record intended unsettled", "list", "revoke #9", "revoke #1",
				"record intended", "create", "record intended unsettled", "list", "record intended unsettled", "create", "mask #2",
				"record intended #2 unsettled", "list", "record minted #2 unsettled"}, Minted},
		{"revoked in its place", []create{{err: err500}}, []error{nil, err403Revoke, err403Revoke},
			[]string{"record intended", "create", "record intended unsettled", "list", "revoke #9", "revoke #1", "list", "revoke #1"}, Intended},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, creates: tc.creates, revokes: tc.revokes, active: []pat.Token{{ID: guid(9), DisplayName: leaseName}}}
				_, _ = w.process().client().Acquire(t.Context(), fresh(), wanted)
				w.did(tc.did...)
				if r := w.last(); r.Stage != tc.stage || r.Unsettled == 0 {
					t.Errorf("record %s", r)
				}
			})
		})
	}
}

// A list may show a PAT for a while after it was revoked, and a second revocation may
// be confirmed like the first. Neither is the PAT of another request.
func TestListThatLags(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]bool{"said to be gone": false, "confirmed again": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, creates: []create{{err: err503}, {commit: 10 * time.Second, err: err503}}}
				p := w.process()
				l := p.client()
				l.PATs = lagging{p, new([]pat.Token), again}
				got, err := l.Acquire(t.Context(), fresh(), wanted)
				if err != nil {
					t.Fatal(err)
				}
				if got.Record.Unsettled != 1 {
					t.Errorf("record %s", got.Record)
				}
				r := got.Record
				r.Stage = Intended // as if it had been killed before the hand-over
				if !again {        // what an earlier process has ended is listed still
					if _, _, err := l.Release(t.Context(), r); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Minute)
					w.left()
				}
			})
		})
	}
}

// While it waits, the post step does not revoke again what it has revoked.
func TestReleaseFromAListThatLags(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t}
		p := w.process()
		l := p.client()
		l.PATs = lagging{p, new([]pat.Token), true}
		w.commit(1, pat.Create{DisplayName: leaseName})
		time.AfterFunc(9*time.Second, func() { w.commit(2, pat.Create{DisplayName: leaseName}) })
		ended, _, err := l.Release(t.Context(), Record{Stage: Intended, Name: leaseName, Intended: time.Now(), Unsettled: 2})
		if err != nil || len(ended) != 2 || ended[1].ID != guid(2) {
			t.Errorf("ended %v, %v", ended, err)
		}
		time.Sleep(time.Minute)
		w.left()
	})
}

// lagging lists everything that was ever active.
type lagging struct {
	*process
	ever  *[]pat.Token
	again bool // confirms what had ended before as if it had not
}

func (l lagging) Revoke(ctx context.Context, id string) (bool, error) {
	gone, err := l.process.Revoke(ctx, id)
	return gone && !l.again, err
}

func (l lagging) Pages(ctx context.Context, f pat.Filter) iter.Seq2[[]pat.Token, error] {
	return func(yield func([]pat.Token, error) bool) {
		for tokens := range l.process.Pages(ctx, f) {
			for _, t := range tokens {
				if !slices.ContainsFunc(*l.ever, func(o pat.Token) bool { return o.ID == t.ID }) {
					*l.ever = append(*l.ever, t)
				}
			}
		}
		yield(slices.Clone(*l.ever), nil)
	}
}

func TestWider(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*pat.Token)
		wider  string // a part of the error; empty: it is not
		warns  string // a part of the warning; empty: none
	}{
		{name: "exactly as asked", change: func(*pat.Token) {}},
		{name: "in another order", change: func(t *pat.Token) { slices.Reverse(t.Scopes) }},
		{name: "repeated", change: func(t *pat.Token) { t.Scopes = append(t.Scopes, t.Scopes...) }},
		{name: "with what is implied", change: func(t *pat.Token) { t.Scopes = append(t.Scopes, "vso.code") }},
		{name: "a second later", change: func(t *pat.Token) { t.ValidTo = t.ValidTo.Add(time.Second) }},
		{name: "a second earlier", change: func(t *pat.Token) { t.ValidTo = t.ValidTo.Add(-time.Second) }},

		{name: "a further scope", change: func(t *pat.Token) { t.Scopes = append(t.Scopes, "vso.work") }, wider: `the scope "vso.work" was not requested`},
		{name: "a scope that includes the asked one", change: func(t *pat.Token) { t.Scopes[1] = "vso.packaging_write" }, wider: `the scope "vso.packaging_write" was not requested`},
		{name: "full access", change: func(t *pat.Token) { t.Scopes = []string{"app_token"} }, wider: `the scope "app_token" was not requested`},
		{name: "a scope in other letters", change: func(t *pat.Token) { t.Scopes[1] = "VSO.PACKAGING" }, wider: `the scope "VSO.PACKAGING" was not requested`},
		{name: "a hostile scope", change: func(t *pat.Token) { t.Scopes = append(t.Scopes, "x\n::error::y") }, wider: `the scope "x\n::error::y" was not requested`},
		{name: "all organizations", change: func(t *pat.Token) { t.TargetAccounts = nil }, wider: "valid for all organizations"},
		{name: "no organization", change: func(t *pat.Token) { t.TargetAccounts = []string{} }, wider: "valid for 0 organizations"},
		{name: "two organizations", change: func(t *pat.Token) { t.TargetAccounts = []string{"a", "b"} }, wider: "valid for 2 organizations"},
		{name: "more than a second later", change: func(t *pat.Token) { t.ValidTo = t.ValidTo.Add(time.Second + time.Millisecond) }, wider: "1s later than requested"},
		{name: "two seconds later", change: func(t *pat.Token) { t.ValidTo = t.ValidTo.Add(2 * time.Second) }, wider: "it ends at 2000-01-01T01:00:02Z, 2s later than requested"},
		{name: "in every way", change: func(t *pat.Token) {
			t.Scopes, t.TargetAccounts, t.ValidTo = []string{"vso.work"}, nil, t.ValidTo.AddDate(1, 0, 0)
		}, wider: `the scope "vso.work" was not requested; it is valid for all organizations of the user; it ends at 2001-01-01T01:00:00Z, 366d later than requested`},

		{name: "ended before it began", change: func(t *pat.Token) { t.ValidTo = t.ValidFrom }, wider: "before it could be used"},

		{name: "two seconds earlier", change: func(t *pat.Token) { t.ValidTo = t.ValidTo.Add(-2 * time.Second) }, warns: "2s earlier than requested"},
		{name: "half the time", change: func(t *pat.Token) { t.ValidTo = t.ValidTo.Add(-lifetime / 2) }, warns: "30m earlier than requested"},
		{name: "without a scope", change: func(t *pat.Token) { t.Scopes = t.Scopes[:1] }, warns: "granted the PAT without vso.packaging"},
		{name: "with an included scope in its place", change: func(t *pat.Token) { t.Scopes[0] = "vso.code" }, warns: "granted the PAT without vso.code_write"},
		{name: "without any", change: func(t *pat.Token) { t.Scopes = nil }, wider: "does not name its scopes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, change: tc.change}
				_, err := w.process().client().Acquire(t.Context(), fresh(), wanted)
				if tc.wider == "" {
					if err != nil {
						t.Fatal(err)
					}
					w.did("record intended", "create", "mask #1", "record minted #1")
					if (len(w.warnings) == 1) != (tc.warns != "") || tc.warns != "" && !strings.Contains(w.warnings[0], tc.warns) {
						t.Errorf("warnings %q, want %q", w.warnings, tc.warns)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), tc.wider) || !strings.HasSuffix(err.Error(), "; the PAT was revoked") || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want %q in it", err, tc.wider)
				}
				w.did("record intended", "create", "mask #1", "record minted #1", "revoke #1", "record closed #1")
				w.left()
				if len(w.warnings) > 0 {
					t.Errorf("warnings %q", w.warnings)
				}
			})
		})
	}
}

// If a PAT with more scopes than requested cannot be revoked, the error reports
// that, and its id is recorded for the post step.
func TestWiderAndNotRevoked(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string][]error{
		"refused": {err403Revoke},
		"failing": slices.Repeat([]error{err500Revoke}, 1000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, revokes: refused, change: func(t *pat.Token) { t.TargetAccounts = nil }}
				begin := time.Now()
				_, err := w.process().client().Acquire(t.Context(), fresh(), wanted)
				if err == nil || !strings.Contains(err.Error(), "wider than requested") || !strings.Contains(err.Error(), "the PAT "+guid(1)+" could not be revoked") {
					t.Errorf("error %v", err)
				}
				if !errors.Is(err, refused[0]) {
					t.Errorf("the cause is lost: %v", err)
				}
				if h := hint.Of(err); !strings.Contains(h, "token-service-url") || !strings.Contains(h, "the post step looks for it again") {
					t.Errorf("hint %q", h)
				}
				if took := time.Since(begin); took > Cleanup {
					t.Errorf("it took %s", took)
				}
				w.left("#1")
				if r := w.last(); r.Stage != Minted || r.ID != guid(1) {
					t.Errorf("record %s", r)
				}
				w.revokes = nil
				if _, _, err := w.process().client().Release(t.Context(), w.last()); err != nil {
					t.Error(err)
				}
				w.left()
			})
		})
	}
}
