package sweep

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
)

const old, young = 7 * time.Hour, 5 * time.Minute

// However the server pages, each PAT that is to be revoked is revoked, with one
// request.
func TestSweepMissesNone(t *testing.T) {
	t.Parallel()
	for _, paging := range []paging{byOffset, byLast, bySnapshot} {
		for _, lag := range []time.Duration{0, 3 * time.Second, time.Hour} {
			t.Run(fmt.Sprintf("%s, listed %s longer", paging, lag), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := newFakeServer(t)
					s.paging, s.lag = paging, lag
					var keep []string
					toRevoke := 0
					for i := range 1234 {
						switch {
						case i%10 == 3:
							keep = append(keep, s.put(fmt.Sprintf("mine %d", i), old))
						case i%10 == 7:
							keep = append(keep, s.put(leaseOf("octo/tools", i, i), young))
						default:
							s.put(leaseOf("octo/tools", i, i), old)
							toRevoke++
						}
					}
					counts, err := s.sweeper().Run(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if left := s.left(); !slices.Equal(left, keep) {
						t.Errorf("%d are left, want %d", len(left), len(keep))
					}
					for id, n := range s.deletes {
						if n != 1 {
							t.Errorf("%d requests to revoke %s", n, id)
						}
					}
					want := Counts{Revoked: toRevoke, Foreign: 124, Young: 123}
					if counts != want || len(s.outcomes()) != toRevoke {
						t.Errorf("counts %+v, want %+v; %d reported", counts, want, len(s.swept))
					}
					if s.most["revoke"] != 4 || s.most["list"] != 1 {
						t.Errorf("in flight at most: %v", s.most)
					}
					// The round trips of the first page, of the revocations by
					// four, and a few for each further pass; and where a list goes
					// on showing what is revoked, two looks more at it.
					took := time.Since(s.start)
					limit := s.rtt * time.Duration(1+toRevoke/4+30)
					if lag > 0 {
						limit += 2 * (passPause + 13*s.rtt)
					}
					if took > limit {
						t.Errorf("it took %s, more than %s; %d lists", took, limit, s.requests["list"])
					}
				})
			})
		}
	}
}

// A list of one page is read once.
func TestSweepOfOnePage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		for i := range 100 {
			s.put(leaseOf("octo/tools", i, i), old)
		}
		if counts, err := s.sweeper().Run(t.Context()); err != nil || counts != (Counts{Revoked: 100}) || s.requests["list"] != 1 {
			t.Errorf("%+v, %v, %d lists", counts, err, s.requests["list"])
		}
		if took := time.Since(s.start); took != s.rtt*(1+25) {
			t.Errorf("it took %s", took)
		}
	})
}

func TestSweepJudges(t *testing.T) {
	t.Parallel()
	const of = "octo/tools"
	for _, tc := range []struct {
		name       string
		pat        string
		age        time.Duration
		repository string
		status     string // of the run, if GitHub is asked
		reason     Reason
		counts     Counts
	}{
		{name: "old", pat: leaseOf(of, 1, 1), age: 6 * time.Hour, reason: TooOld},
		{name: "not yet", pat: leaseOf(of, 1, 1), age: 6*time.Hour - time.Second, counts: Counts{Young: 1}},
		{name: "from the future", pat: leaseOf(of, 1, 1), age: -time.Hour, counts: Counts{UnknownAge: 1}},
		{name: "undated, and GitHub knows", pat: leaseOf(of, 1, 1), age: -1, status: "completed", reason: RunCompleted},
		{name: "undated, and GitHub does not", pat: leaseOf(of, 1, 1), age: -1, status: "404", counts: Counts{Hidden: 1}},
		{name: "undated, and GitHub is not asked", pat: leaseOf(of, 1, 1), age: -1, status: "401", counts: Counts{UnknownAge: 1}},
		{name: "of a host", pat: "azdo-pat build-7 nightly 0123456789abcdef", age: old, reason: TooOld},
		{name: "of a host, young", pat: "azdo-pat build-7 nightly 0123456789abcdef", age: young, status: "completed", counts: Counts{Young: 1}},
		{name: "of another CI system", pat: "azdo-pat contoso/demo build 7.1 x 0123456789abcdef", age: old, reason: TooOld},

		{name: "another's", pat: "azdo-pat", age: old, counts: Counts{Foreign: 1}},
		{name: "another's, nearly ours", pat: "azdo-pat octo/tools run 1.1 build 0123456789ABCDEF", age: old, status: "completed", counts: Counts{Foreign: 1}},
		{name: "another's, with ours in it", pat: "x azdo-pat octo/tools run 1.1 build 0123456789abcdef", age: old, counts: Counts{Foreign: 1}},
		{name: "without a name", age: old, counts: Counts{Foreign: 1}},

		{name: "of the repository", pat: leaseOf(of, 1, 1), age: old, repository: "Octo/TOOLS", reason: TooOld},
		{name: "of another repository", pat: leaseOf("octo/tools2", 1, 1), age: old, repository: of, counts: Counts{OtherRepository: 1}},
		{name: "of another repository, over", pat: leaseOf("octo/tools2", 1, 1), age: young, repository: of, status: "completed", counts: Counts{OtherRepository: 1}},
		{name: "of no repository", pat: "azdo-pat build-7 octo/tools run 1.1 0123456789abcdef", age: old, repository: of, counts: Counts{OtherRepository: 1}},

		{name: "over", pat: leaseOf(of, 1, 1), age: young, status: "completed", reason: RunCompleted},
		{name: "running", pat: leaseOf(of, 1, 1), age: young, status: "in_progress", counts: Counts{Running: 1}},
		{name: "running for too long", pat: leaseOf(of, 1, 1), age: old, status: "in_progress", reason: TooOld},
		{name: "not shown", pat: leaseOf(of, 1, 1), age: young, status: "404", counts: Counts{Hidden: 1}},
		{name: "forbidden", pat: leaseOf(of, 1, 1), age: young, status: "403", counts: Counts{Hidden: 1}},
		{name: "moved", pat: leaseOf(of, 1, 1), age: young, status: "301", counts: Counts{Hidden: 1}},
		{name: "no answer", pat: leaseOf(of, 1, 1), age: young, status: "502", counts: Counts{Unanswered: 1}},
		{name: "no sense", pat: leaseOf(of, 1, 1), age: young, status: "418", counts: Counts{Unanswered: 1}},
		{name: "limited", pat: leaseOf(of, 1, 1), age: young, status: "429 3600", counts: Counts{Young: 1}},
		// The run id was truncated; the remaining digits are the id of another run.
		{name: "cut", pat: "azdo-pat octo/" + strings.Repeat("r", 82) + " run 12345678… 0123456789abcdef", age: young, status: "completed", counts: Counts{Young: 1}},
		{name: "cut, old", pat: "azdo-pat octo/" + strings.Repeat("r", 82) + " run 12345678… 0123456789abcdef", age: old, repository: "octo/" + strings.Repeat("r", 82), reason: TooOld},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFakeServer(t)
				id := s.put(tc.pat, tc.age)
				w := s.sweeper()
				w.Repository = tc.repository
				w.Times = func() []time.Time { return []time.Time{s.start} }
				if tc.status != "" {
					s.runs[of+" 1.1"] = tc.status
					s.github(w)
				}
				counts, err := w.Run(t.Context())
				if (err != nil) != (tc.status == "401") {
					t.Error(err)
				}
				if tc.reason != "" {
					tc.counts.Revoked = 1
					if len(s.swept) != 1 || s.swept[0].ID != id || s.swept[0].Name != tc.pat || s.swept[0].Reason != tc.reason || s.swept[0].Outcome != Revoked {
						t.Errorf("swept %+v", s.swept)
					}
				}
				if counts != tc.counts || len(s.left()) != 1-tc.counts.Revoked {
					t.Errorf("counts %+v, want %+v; left %v", counts, tc.counts, s.left())
				}
			})
		})
	}
}

// The age depends on which clock is right. A clock that contradicts the PAT is wrong;
// if two may be right, the PAT may be in use.
func TestSweepAges(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, tc := range []struct {
		name     string
		age      time.Duration // of the PAT, by this machine's clock
		lifetime time.Duration
		clocks   []time.Duration // ahead of this machine's
		want     Counts
		shown    time.Duration // the age that is reported
	}{
		{"one clock", 7 * time.Hour, day, []time.Duration{0}, Counts{Revoked: 1}, 7 * time.Hour},
		{"a second old, and the answers are dated a month ahead", time.Second, time.Hour, []time.Duration{30 * day}, Counts{UnknownAge: 1}, 0},
		{"the same, and this machine's clock can be right", time.Second, time.Hour, []time.Duration{30 * day, 0}, Counts{Young: 1}, 0},
		{"old, and the answers are dated a month ahead", 7 * time.Hour, day, []time.Duration{30 * day, 0}, Counts{Revoked: 1}, 7 * time.Hour},
		{"both can be right", time.Second, day, []time.Duration{8 * time.Hour, 0}, Counts{Young: 1}, 0},
		{"old by both", 7 * time.Hour, day, []time.Duration{8 * time.Hour, 0}, Counts{Revoked: 1}, 7 * time.Hour},
		{"by this machine it has not begun", -5 * time.Hour, day, []time.Duration{12 * time.Hour, 0}, Counts{Revoked: 1}, 7 * time.Hour},
		{"dated before it began", time.Hour, day, []time.Duration{-8 * time.Hour}, Counts{UnknownAge: 1}, 0},
		{"begun in this second", -30 * time.Second, day, []time.Duration{0}, Counts{Young: 1}, 0},
		{"ended in this minute", day + 30*time.Second, day, []time.Duration{0}, Counts{Revoked: 1}, day + 30*time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFakeServer(t)
				s.put(leaseOf("octo/tools", 1, 1), 0)
				s.pats[0].from, s.pats[0].to = s.start.Add(-tc.age), s.start.Add(tc.lifetime-tc.age)
				w := s.sweeper()
				w.Times = func() (times []time.Time) {
					for _, ahead := range tc.clocks {
						times = append(times, s.start.Add(ahead))
					}
					return times
				}
				counts, err := w.Run(t.Context())
				if err != nil || counts != tc.want {
					t.Errorf("%+v, %v; want %+v", counts, err, tc.want)
				}
				if tc.want.Revoked > 0 && (s.swept[0].Age != tc.shown || !s.swept[0].AgeKnown) {
					t.Errorf("%+v, want an age of %s", s.swept[0], tc.shown)
				}
			})
		})
	}
}

// A dry run reports what would be revoked, and revokes nothing.
func TestSweepDryRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		for i := range 250 {
			s.put(leaseOf("octo/tools", i, i), old)
		}
		s.put(leaseOf("octo/tools", 999, 1), young)
		s.runs["octo/tools 999.1"] = "completed"
		w := s.github(s.sweeper())
		w.DryRun = true
		counts, err := w.Run(t.Context())
		if err != nil || counts != (Counts{WouldRevoke: 251}) || len(s.outcomes()) != 251 || s.requests["revoke"] != 0 || s.requests["list"] != 3 {
			t.Errorf("%+v, %v, %v", counts, err, s.requests)
		}
		if len(s.left()) != 251 || s.swept[0].Outcome != WouldRevoke {
			t.Errorf("%d left, %+v", len(s.left()), s.swept[0])
		}
	})
}

// Another process, such as a post step, revoked the PAT first.
func TestSweepOfWhatIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		s.lag = time.Hour
		s.put(leaseOf("octo/tools", 1, 1), old)
		s.put(leaseOf("octo/tools", 2, 2), old)
		s.pats[0].revoked = time.Now()
		counts, err := s.sweeper().Run(t.Context())
		if err != nil || counts != (Counts{Revoked: 1, HadEnded: 1}) || s.outcomes()[s.pats[0].id] != HadEnded {
			t.Errorf("%+v, %v, %+v", counts, err, s.swept)
		}
	})
}

// A PAT that cannot be revoked is tried once, does not keep the others, and makes the
// sweep fail.
func TestSweepOfWhatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		for i := range 400 {
			s.put(leaseOf("octo/tools", i, i), old)
		}
		s.answer = func(kind, what string, _ int) (int, time.Duration) {
			if kind == "revoke" && (what[7] == '3' || what[7] == '8') {
				return 403, 0 // every fifth
			}
			return 0, 0
		}
		counts, err := s.sweeper().Run(t.Context())
		if err == nil || err.Error() != "80 of 400 leases could not be revoked" || hint.Of(err) == "" {
			t.Errorf("%v (%s)", err, hint.Of(err))
		}
		if counts != (Counts{Revoked: 320, Failed: 80}) || s.requests["revoke"] != 400 || len(s.left()) != 80 {
			t.Errorf("%+v; %v", counts, s.requests)
		}
		for _, one := range s.swept {
			if (one.Outcome == Failed) != (one.Err != nil) || one.Err != nil && !strings.Contains(one.Err.Error(), one.ID) {
				t.Errorf("%+v", one)
			}
		}
	})
}

// If every revocation is refused, the sweep ends early.
func TestSweepGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		for i := range 1000 {
			s.put(leaseOf("octo/tools", i, i), old)
		}
		s.answer = func(kind, _ string, n int) (int, time.Duration) {
			if kind == "revoke" && n > 100 {
				return 403, 0
			}
			return 0, 0
		}
		counts, err := s.sweeper().Run(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "8 revocations in a row failed, the last one: revoke PAT 0") || hint.Of(err) == "" {
			t.Errorf("%v (%s)", err, hint.Of(err))
		}
		if counts.Revoked != 100 || counts.Failed < 8 || counts.Failed > 12 || counts.NotReached == 0 || s.requests["revoke"] > 112 {
			t.Errorf("%+v; %v", counts, s.requests)
		}
	})
}

// A passing failure is retried for a limited time.
func TestSweepTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		for i := range 20 {
			s.put(leaseOf("octo/tools", i, i), old)
		}
		tries := map[string]int{}
		s.answer = func(kind, what string, _ int) (int, time.Duration) {
			if kind != "revoke" {
				return 0, 0
			}
			if tries[what]++; tries[what] == 1 || what == guid(13) {
				return 503, 0
			}
			return 0, 0
		}
		counts, err := s.sweeper().Run(t.Context())
		if err == nil || counts != (Counts{Revoked: 19, Failed: 1}) {
			t.Errorf("%+v, %v", counts, err)
		}
		if took := time.Since(s.start); took < time.Minute || took > 2*time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

// A PAT for which there was no time is left, and the others are revoked.
func TestSweepHasNoTimeForSome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		for i := range 20 {
			s.put(leaseOf("octo/tools", i, i), old)
		}
		s.answer = func(kind, what string, n int) (int, time.Duration) {
			if kind == "revoke" && what == guid(13) {
				return 503, 0
			}
			return 0, 0
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		counts, err := s.sweeper().Run(ctx)
		if counts != (Counts{Revoked: 19, NotReached: 1}) || err == nil || !strings.Contains(err.Error(), "503") || !strings.HasPrefix(hint.Of(err), "run it again") && ctx.Err() == nil {
			t.Errorf("%+v, %v (%s)", counts, err, hint.Of(err))
		}
		if took := time.Since(s.start); took > 10*time.Second+stopTimeout {
			t.Errorf("it took %s", took)
		}
	})
}

// A rate limit is the user's, so every request waits.
func TestSweepIsThrottled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		for i := range 300 {
			s.put(leaseOf("octo/tools", i, i), old)
		}
		s.answer = func(kind, _ string, n int) (int, time.Duration) {
			if kind == "revoke" && n == 50 {
				return 429, 30 * time.Second
			}
			return 0, 0
		}
		counts, err := s.sweeper().Run(t.Context())
		if err != nil || counts != (Counts{Revoked: 300}) || s.requests["revoke"] != 301 {
			t.Errorf("%+v, %v, %v", counts, err, s.requests)
		}
		late := 0
		for _, sent := range append(s.sent["revoke"], s.sent["list"]...) {
			at, _ := time.ParseDuration(sent)
			// The answer came after a list and 12 and a half rounds of four.
			if at > 1500*time.Millisecond && at < 31*time.Second {
				late++
			}
		}
		if late > 3 {
			t.Errorf("%d requests while the server wanted to be left alone", late)
		}
	})
}

// The list waits too.
func TestSweepListIsThrottled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		s.put(leaseOf("octo/tools", 1, 1), old)
		for i := range 900 {
			s.put(leaseOf("octo/tools", 1000+i, i), young)
		}
		s.answer = func(kind, _ string, n int) (int, time.Duration) {
			if kind == "revoke" && n == 1 {
				return 429, 30 * time.Second
			}
			return 0, 0
		}
		if counts, err := s.sweeper().Run(t.Context()); err != nil || counts != (Counts{Revoked: 1, Young: 900}) {
			t.Errorf("%+v, %v", counts, err)
		}
		// The first page and, beside the revocation, the second; after the answer
		// at most the third.
		if early := slices.IndexFunc(s.sent["list"], func(sent string) bool { at, _ := time.ParseDuration(sent); return at > 30*time.Second }); early > 3 {
			t.Errorf("lists at %s", s.sent["list"])
		}
	})
}

// A pause that Azure DevOps asks for on a success is kept by the pages of the list
// and by all revocations.
func TestSweepSlowsDown(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]http.Header{
		"Retry-After":       {"Retry-After": {"5"}},
		"X-RateLimit-Delay": {"X-Ratelimit-Delay": {"5.000"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFakeServer(t)
				for i := range 120 {
					s.put(leaseOf("octo/tools", i, i), old)
				}
				s.header = func(string, int) http.Header { return header.Clone() }
				counts, err := s.sweeper().Run(t.Context())
				if err != nil || counts != (Counts{Revoked: 120}) {
					t.Errorf("%+v, %v", counts, err)
				}
				// In a burst there are no more than four revocations and a page of the list.
				var all []time.Duration
				for _, sent := range append(s.sent["revoke"], s.sent["list"]...) {
					at, _ := time.ParseDuration(sent)
					all = append(all, at)
				}
				slices.Sort(all)
				for i := 5; i < len(all); i++ {
					if pause := all[i] - all[i-5]; pause < 5*time.Second {
						t.Fatalf("requests at %s", all[:i+1])
					}
				}
			})
		})
	}
}

// If there is no time for the wait, the sweep ends.
func TestSweepHasNoTimeForAPause(t *testing.T) {
	t.Parallel()
	for kind, counts := range map[string]Counts{"list": {NotReached: 20}, "revoke": {Revoked: 4, NotReached: 16}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFakeServer(t)
				for i := range 20 {
					s.put(leaseOf("octo/tools", i, i), old)
				}
				s.header = func(k string, _ int) http.Header {
					if k != kind {
						return nil
					}
					return http.Header{"Retry-After": {"300"}}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				got, err := s.sweeper().Run(ctx)
				if err == nil || !strings.Contains(err.Error(), "Azure DevOps asks to wait 300 s") || got != counts {
					t.Errorf("%+v, %v", got, err)
				}
				if took := time.Since(s.start); took > time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

// A PAT that shifted to the next page is not handled twice.
func TestSweepSeesOneTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		for i := range 150 {
			s.put(leaseOf("octo/tools", 1, i), young)
		}
		// The answer comes when both are waiting for it.
		s.runs["octo/tools 1.1"] = "429 5"
		time.AfterFunc(time.Second, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.runs["octo/tools 1.1"] = "completed"
		})
		s.answer = func(kind, what string, n int) (int, time.Duration) {
			if kind == "list" && n == 2 {
				for i := range 20 {
					s.pats = append(s.pats, &fakePAT{id: guid(1000 + i), name: "a new one", from: time.Now()})
				}
			}
			return 0, 0
		}
		counts, err := s.github(s.sweeper()).Run(t.Context())
		if err != nil || counts != (Counts{Revoked: 150, Foreign: 20}) || len(s.outcomes()) != 150 || s.requests["revoke"] != 150 {
			t.Errorf("%+v, %v; %v", counts, err, s.requests)
		}
	})
}

// If the server asks to wait for longer than there is time, the sweep ends at once.
func TestSweepIsThrottledForTooLong(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"revoke", "list"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFakeServer(t)
				for i := range 300 {
					s.put(leaseOf("octo/tools", i, i), old)
				}
				s.answer = func(k, _ string, n int) (int, time.Duration) {
					if k == kind && (k == "list" && n == 2 || k == "revoke" && n == 50) {
						return 429, time.Hour
					}
					return 0, 0
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				counts, err := s.sweeper().Run(ctx)
				// From the answer, or from a request that was not sent because of it.
				refused, throttled := (*pat.Error)(nil), (*httpclient.Throttled)(nil)
				if !(errors.As(err, &refused) && refused.Status == 429 || errors.As(err, &throttled) && throttled.Wait == time.Hour) || hint.Of(err) == "" {
					t.Error(err)
				}
				if took := time.Since(s.start); took > 5*time.Second || counts.Failed != 0 || counts.NotReached == 0 {
					t.Errorf("it took %s: %+v", took, counts)
				}
			})
		})
	}
}

// A page that failed is requested again, without those before it.
func TestSweepGoesOnWhereTheListFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		for i := range 450 {
			s.put(leaseOf("octo/tools", i, i), young)
		}
		s.answer = func(kind, _ string, n int) (int, time.Duration) {
			if kind == "list" && (n == 3 || n == 4) {
				return 503, 0
			}
			return 0, 0
		}
		counts, err := s.sweeper().Run(t.Context())
		if err != nil || counts != (Counts{Young: 450}) || !slices.Equal(s.pages, []string{"", "100", "200", "300", "400"}) || s.requests["list"] != 7 {
			t.Errorf("%+v, %v, pages %q", counts, err, s.pages)
		}
	})
}

// The server may no longer know a place in the list.
func TestSweepStartsTheListAgain(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		age   time.Duration
		bad   func(n int) bool
		lists int
		err   string
	}{
		{"once", young, func(n int) bool { return n == 3 }, 3 + 5, ""},
		{"again and again", young, func(n int) bool { return n%3 == 0 }, 6, "status 400"},
		{"again and again, while something is revoked", old, func(n int) bool { return n == 2 || n == 4 || n == 6 }, 0, ""},
		{"at its start", young, func(n int) bool { return true }, 1, "status 400"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFakeServer(t)
				for i := range 450 {
					s.put(leaseOf("octo/tools", i, i), tc.age)
				}
				s.answer = func(kind, _ string, n int) (int, time.Duration) {
					if kind == "list" && tc.bad(n) {
						return 400, 0
					}
					return 0, 0
				}
				counts, err := s.sweeper().Run(t.Context())
				if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) || tc.lists > 0 && s.requests["list"] != tc.lists {
					t.Errorf("%v after %d lists", err, s.requests["list"])
				}
				if err == nil && counts != (Counts{Young: 450}) && counts != (Counts{Revoked: 450}) {
					t.Errorf("%+v", counts)
				}
			})
		})
	}
}

// PATs found before the list failed are revoked.
func TestSweepOfAListThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		for i := range 450 {
			s.put(leaseOf("octo/tools", i, i), old)
		}
		s.answer = func(kind, _ string, n int) (int, time.Duration) {
			if kind == "list" && n == 3 {
				return 403, 0
			}
			return 0, 0
		}
		counts, err := s.sweeper().Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "list PATs") || counts != (Counts{Revoked: 200}) || s.requests["list"] != 3 {
			t.Errorf("%+v, %v", counts, err)
		}
	})
}

// When stopped or out of time, the sweep starts no revocation, waits for those in
// flight, and reports what is left.
func TestSweepIsStopped(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		rtt  time.Duration
		took time.Duration
		want Counts
	}{
		// A list, then four at a time: the third four are in flight.
		{"soon", 2 * time.Second, 8 * time.Second, Counts{Revoked: 12, NotReached: 188}},
		// In flight for too long.
		{"late", 10 * time.Second, 24501 * time.Millisecond, Counts{Revoked: 4, NotReached: 196}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFakeServer(t)
				s.rtt = tc.rtt
				for i := range 1000 {
					s.put(leaseOf("octo/tools", i, i), old)
				}
				ctx, stop := context.WithCancelCause(t.Context())
				defer stop(nil)
				after := tc.rtt*3 + time.Second
				if tc.name == "late" {
					after = 2*tc.rtt + time.Millisecond
				}
				time.AfterFunc(after, func() { stop(errSignal) })
				counts, err := s.sweeper().Run(ctx)
				if !errors.Is(err, errSignal) || counts != tc.want || len(s.left()) != 1000-tc.want.Revoked {
					t.Errorf("%+v, %v; %d left", counts, err, len(s.left()))
				}
				if took := time.Since(s.start); took != tc.took {
					t.Errorf("it took %s, want %s", took, tc.took)
				}
			})
		})
	}
}

// A stop after everything was done changes nothing.
func TestSweepIsStoppedAtItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		s.put(leaseOf("octo/tools", 1, 1), old)
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
		defer cancel()
		if counts, err := s.sweeper().Run(ctx); err != nil || counts != (Counts{Revoked: 1}) {
			t.Errorf("%+v, %v", counts, err)
		}
	})
}

// A long sweep logs its progress.
func TestSweepSaysHowFarItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		for i := range 1000 {
			s.put(leaseOf("octo/tools", i, i), old)
		}
		s.put("mine", old)
		if _, err := s.sweeper().Run(t.Context()); err != nil {
			t.Error(err)
		}
		if n := int(time.Since(s.start) / (10 * time.Second)); len(s.logged) != n || n < 2 {
			t.Errorf("%q in %s", s.logged, time.Since(s.start))
		}
		if !strings.HasPrefix(s.logged[0], "so far: 39") {
			t.Errorf("%q", s.logged)
		}
	})
}

// If the sign-in fails, not every PAT is tried.
func TestSweepEndsWithTheSignIn(t *testing.T) {
	t.Parallel()
	signIn := errors.New("exchange refused")
	for _, kind := range []string{"list", "revoke"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFakeServer(t)
				for i := range 300 {
					s.put(leaseOf("octo/tools", i, i), old)
				}
				w := s.sweeper()
				w.PATs = &signedOut{w.PATs, kind, signIn}
				counts, err := w.Run(t.Context())
				if !errors.Is(err, signIn) || counts.Failed != 0 || s.requests["revoke"] > 20 {
					t.Errorf("%+v, %v, %v", counts, err, s.requests)
				}
			})
		})
	}
}

// signedOut is an API that needs a new token from the second page or the tenth
// revocation on, and gets none.
type signedOut struct {
	PATs
	kind string
	err  error
}

func (o *signedOut) Next(ctx context.Context, at *pat.Cursor) ([]pat.Token, error) {
	if o.kind == "list" && at.Begun() {
		return nil, o.err
	}
	return o.PATs.Next(ctx, at)
}

func (o *signedOut) Revoke(ctx context.Context, id string) (bool, error) {
	if o.kind == "revoke" && id > guid(10) {
		return false, o.err
	}
	return o.PATs.Revoke(ctx, id)
}

// A list that grows as fast as it is swept is read a limited number of times.
func TestSweepEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		for i := range 150 {
			s.put(leaseOf("octo/tools", i, i), young)
		}
		s.answer = func(kind, what string, n int) (int, time.Duration) {
			if kind == "list" && what == "" {
				s.pats = append(s.pats, &fakePAT{id: guid(1000 + n), name: leaseOf("octo/tools", n, n), from: time.Now().Add(-old)})
			}
			return 0, 0
		}
		counts, err := s.sweeper().Run(t.Context())
		if err == nil || err.Error() != "read the list of PATs 32 times without reaching its end" || counts != (Counts{Revoked: 32, Young: 150}) {
			t.Errorf("%+v, %v", counts, err)
		}
	})
}

// Memory is bounded, however many PATs there are.
func TestRecentForgets(t *testing.T) {
	t.Parallel()
	var r recent[int]
	for i := range 3*maxRecent + 5 {
		r.put(fmt.Sprint(i), i)
		r.put(fmt.Sprint(i), -i) // the same again takes no room
	}
	if len(r.values) != maxRecent || len(r.order) != maxRecent {
		t.Errorf("%d values, %d in order", len(r.values), len(r.order))
	}
	for i, want := range map[int]bool{0: false, 2*maxRecent + 4: false, 2*maxRecent + 5: true, 3*maxRecent + 4: true} {
		if v, ok := r.get(fmt.Sprint(i)); ok != want || ok && v != -i {
			t.Errorf("%d: %d, %v", i, v, ok)
		}
	}
}

// An id in another case is the same id.
func TestSweepReadsIDsInAnyCase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		s.lag = 3 * time.Second
		for i := range 150 {
			s.put(leaseOf("octo/tools", i, i), old)
		}
		w := s.sweeper()
		w.PATs = &otherCase{PATs: w.PATs}
		counts, err := w.Run(t.Context())
		if err != nil || counts != (Counts{Revoked: 150}) || s.requests["revoke"] != 150 {
			t.Errorf("%+v, %v, %v", counts, err, s.requests)
		}
	})
}

// otherCase is an API that shows ids in capitals when the list is read again.
type otherCase struct {
	PATs
	lists int
}

func (o *otherCase) Next(ctx context.Context, at *pat.Cursor) ([]pat.Token, error) {
	tokens, err := o.PATs.Next(ctx, at)
	if o.lists++; o.lists > 2 {
		for i := range tokens {
			tokens[i].ID = strings.ToUpper(tokens[i].ID)
		}
	}
	return tokens, err
}
