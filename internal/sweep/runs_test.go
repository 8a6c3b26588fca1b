package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"azdo-pat/internal/githubapi"
	"azdo-pat/internal/hint"
)

// Each run is looked up once, wherever its leases are in the list, and however often
// the list is read.
func TestOneQuestionPerRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		over := 0
		for i := range 900 {
			run := i % 90
			repository := []string{"octo/tools", "Octo/Tools"}[i/90%2]
			s.put(leaseOf(repository, run, i), young)
			status := "in_progress"
			if run%2 == 0 {
				status = "completed"
				over++
			} else if run%3 == 0 {
				status = "404"
			}
			s.runs[fmt.Sprintf("%s %d.1", repository, run)] = status
		}
		// Old ones are not asked about.
		s.put(leaseOf("octo/tools", 999, 1), old)
		counts, err := s.github(s.sweeper()).Run(t.Context())
		// Run 0 is none, whatever is said of it.
		if err != nil || counts != (Counts{Revoked: over - 10 + 1, Running: 300, Hidden: 150, Young: 10}) {
			t.Errorf("%+v, %v", counts, err)
		}
		if len(s.asked) != 89 { // run 0 is none
			t.Errorf("%d runs were asked about", len(s.asked))
		}
		for run, n := range s.asked {
			if n != 1 {
				t.Errorf("%d questions about %s", n, run)
			}
		}
		if s.most["run"] != 4 || s.most["revoke"] != 4 {
			t.Errorf("in flight at most %v", s.most)
		}
	})
}

// Lookups and revocations run in parallel.
func TestQuestionsTakeNoTimeOfTheirOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		const n = 400
		for i := range n {
			s.put(leaseOf("octo/tools", i+1, i), young)
			s.runs[fmt.Sprintf("octo/tools %d.1", i+1)] = "completed"
		}
		if counts, err := s.github(s.sweeper()).Run(t.Context()); err != nil || counts.Revoked != n {
			t.Errorf("%+v, %v", counts, err)
		}
		// Four questions and four revocations at a time, and a few round trips
		// for the list.
		if took := time.Since(s.start); took > s.rtt*(n/4+20) {
			t.Errorf("it took %s for %d questions and %d revocations", took, n, n)
		}
	})
}

// The consequence of each failure of GitHub.
func TestGitHubDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		optional bool
		status   string // of the first 40 runs that are asked about; the others are completed
		asked    int    // questions about the 40, at most
		counts   Counts
		warned   string
		err      string
	}{
		{name: "not found", status: "404", asked: 40, counts: Counts{Revoked: 40, Hidden: 40}},
		{name: "forbidden", status: "403", asked: 4, counts: Counts{Revoked: 0, Hidden: 80}, warned: "forbid"},
		{name: "moved", status: "301", asked: 4, counts: Counts{Hidden: 80}, warned: "a redirect"},
		{name: "limited for an hour", status: "403 3600", asked: 4, counts: Counts{Young: 80}, warned: "GitHub is no longer asked"},
		{name: "limited by the minute", status: "429", asked: 4, counts: Counts{Young: 80}, warned: "GitHub is no longer asked"},
		{name: "limited again and again", status: "429 5", asked: 16, counts: Counts{Young: 80}, warned: "GitHub is no longer asked"},
		{name: "out of order", status: "500", asked: 28, counts: Counts{Young: 73, Unanswered: 7}, warned: "GitHub is no longer asked"},
		{name: "credentials", status: "401", asked: 4, counts: Counts{Young: 80}, err: "age alone decided: ask GitHub about run 1"},
		{name: "credentials that were found", status: "401", optional: true, asked: 4, counts: Counts{Young: 80}, warned: "; age alone decided\ncheck github-token"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFakeServer(t)
				for i := range 80 {
					s.put(leaseOf("octo/tools", 101+i, i), young)
				}
				s.status = func(n int) string {
					if n < 40 {
						return tc.status
					}
					return "completed"
				}
				s.put(leaseOf("octo/tools", 999, 1), old)
				tc.counts.Revoked++
				sweeper := s.github(s.sweeper())
				sweeper.CredentialsOptional = tc.optional
				counts, err := sweeper.Run(t.Context())
				if (err == nil) != (tc.err == "") || err != nil && (!strings.HasPrefix(err.Error(), tc.err) || !errors.Is(err, githubapi.ErrCredentials) || !strings.Contains(hint.Of(err), "github-token")) {
					t.Errorf("%v (%s)", err, hint.Of(err))
				}
				if s.requests["run"] > tc.asked+counts.Revoked-1 || counts != tc.counts {
					// How many of those in flight come to an end is a matter of order.
					if counts.Young+counts.Unanswered != tc.counts.Young+tc.counts.Unanswered || counts.Unanswered < maxUnanswered != (tc.counts.Unanswered < maxUnanswered) || s.requests["run"] > tc.asked+4 {
						t.Errorf("%+v, want %+v, after %d questions", counts, tc.counts, s.requests["run"])
					}
				}
				if tc.warned == "" && len(s.warnings) > 0 || tc.warned != "" && (len(s.warnings) != 1 || !strings.Contains(strings.ToLower(s.warnings[0]), strings.ToLower(tc.warned))) {
					t.Errorf("warned %q", s.warnings)
				}
			})
		})
	}
}

// A short rate limit is waited for, and a passing failure is retried.
func TestGitHubAnswersLater(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"429 5", "403 5", "502", "500"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFakeServer(t)
				for i := range 20 {
					s.put(leaseOf("octo/tools", 101+i, i), young)
					s.runs[fmt.Sprintf("octo/tools %d.1", 101+i)] = "completed"
				}
				s.runs["octo/tools 107.1"] = status
				time.AfterFunc(450*time.Millisecond, func() {
					s.mu.Lock()
					defer s.mu.Unlock()
					s.runs["octo/tools 107.1"] = "completed"
				})
				if counts, err := s.github(s.sweeper()).Run(t.Context()); err != nil || counts != (Counts{Revoked: 20}) || len(s.warnings) > 0 {
					t.Errorf("%+v, %v, %q", counts, err, s.warnings)
				}
			})
		})
	}
}

// A sweep that is stopped does not wait for GitHub.
func TestQuestionsAreStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		for i := range 20 {
			s.put(leaseOf("octo/tools", 101+i/5, i), young)
			s.runs[fmt.Sprintf("octo/tools %d.1", 101+i/5)] = "429 8"
		}
		ctx, stop := context.WithCancelCause(t.Context())
		defer stop(nil)
		time.AfterFunc(3*time.Second, func() { stop(errSignal) })
		counts, err := s.github(s.sweeper()).Run(ctx)
		if took := time.Since(s.start); took != 3*time.Second || !errors.Is(err, errSignal) || counts != (Counts{NotReached: 20}) || len(s.warnings) > 0 {
			t.Errorf("%+v, %v after %s; %q", counts, err, took, s.warnings)
		}
	})
}

// A token that may not read one repository may read another.
func TestForbiddenIsOneRepository(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		for i := range 30 {
			s.put(leaseOf("octo/a", i+1, i), young)
			s.put(leaseOf("octo/b", i+1, i), young)
			s.runs[fmt.Sprintf("octo/a %d.1", i+1)] = "403"
			s.runs[fmt.Sprintf("octo/b %d.1", i+1)] = "completed"
		}
		counts, err := s.github(s.sweeper()).Run(t.Context())
		if err != nil || counts != (Counts{Revoked: 30, Hidden: 30}) || s.requests["run"] > 34 {
			t.Errorf("%+v, %v, %d questions", counts, err, s.requests["run"])
		}
		if len(s.warnings) != 1 || !strings.Contains(s.warnings[0], "octo/a") || !slices.ContainsFunc(s.warnings, func(w string) bool { return strings.Contains(w, "\ngive github-token the permission") }) {
			t.Errorf("%q", s.warnings)
		}
	})
}
