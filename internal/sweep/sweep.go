// Package sweep revokes the PATs that earlier jobs left behind.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/githubapi"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
)

// PATs is the API that a [Sweeper] needs. A [*pat.Error] concerns one request. Any
// other error concerns all of them and ends the sweep.
type PATs interface {
	Next(context.Context, *pat.Cursor) ([]pat.Token, error)
	// Revoke revokes a PAT that Next has returned.
	Revoke(ctx context.Context, id string) (gone bool, err error)
	Listed(ctx context.Context, id string, show pat.Show) (bool, error)
}

// Log receives progress and warnings.
type Log interface {
	Infof(format string, args ...any)
	Warning(title, text string)
}

// Sweeper revokes leases that earlier jobs left behind.
type Sweeper struct {
	PATs PATs
	// Runs looks up which workflow runs have completed. If it is nil, age alone
	// decides.
	Runs Runs
	// CredentialsOptional: GitHub may refuse the credentials of Runs, since they were not
	// given to this program.
	CredentialsOptional bool
	// OlderThan is the age from which a lease is revoked in any case.
	OlderThan time.Duration
	// Repository limits the sweep to leases of one OWNER/REPO; empty: all.
	Repository string
	// DryRun revokes nothing.
	DryRun bool
	// Times are the times that Azure DevOps' clock may show now, the likeliest first.
	Times func() []time.Time
	// Ready waits while Azure DevOps throttles this user (Retry-After); nil: no wait.
	Ready func(context.Context) error
	Log   Log
	// Report is called during the sweep with the result for each lease. Calls do not
	// overlap.
	Report func(Result)
}

// Result is a lease that was to be revoked, and the outcome.
type Result struct {
	ID, Name  string
	ValidFrom time.Time     // zero: unknown
	Age       time.Duration // by Azure DevOps' clock
	AgeKnown  bool
	Reason    Reason
	Outcome   Outcome
	Err       error // of the outcome Failed
}

// Outcome is the result for a lease that was to be revoked.
type Outcome string

// The outcomes.
const (
	Revoked     Outcome = "revoked"
	WouldRevoke Outcome = "would revoke" // a dry run
	HadEnded    Outcome = "had ended"    // it was revoked or expired before
	Failed      Outcome = "failed"
)

// Reason is why a lease was to be revoked.
type Reason string

// The reasons.
const (
	TooOld       Reason = "older than"
	RunCompleted Reason = "run completed"
)

const (
	// concurrency is how many PATs are revoked at the same time, and how many runs
	// are looked up.
	concurrency = 4
	// maxPending limits the leases that wait to be revoked: about a page, so that the
	// next page has arrived when they are done.
	maxPending = 100
	// retryTime is how long a failing revocation is tried again if the server does not
	// say how long to wait.
	retryTime = time.Minute
	// maxFailures is how many revocations may fail in a row before the sweep ends.
	maxFailures = 2 * concurrency
	// progressInterval is how often a long sweep logs its progress.
	progressInterval = 10 * time.Second
	// maxPasses is how often the list is read at most. If each pass revokes half of
	// what is left, 14 are enough for a million.
	maxPasses = 32
	// maxIdlePasses is how many passes in a row may revoke nothing while the list
	// still shows revoked PATs.
	maxIdlePasses = 3
	// passPause is how long to wait before the list is read again after a pass that
	// revoked nothing.
	passPause = 2 * time.Second
	// stopTimeout is how long revocations in flight may go on after the sweep was
	// told to stop.
	stopTimeout = 4500 * time.Millisecond
)

// Run reads the list of active PATs page by page and revokes leases at the same time,
// in bounded memory. If it fails or is stopped, it waits for the requests in flight,
// and the next sweep continues with what is left.
//
// If something on a list of several pages was revoked, Run reads the list again:
// revoking a PAT can shift the pages after it, and one pass may see only half of the
// PATs. It also reads the list again, a few times, while revoked PATs are still listed,
// since they may vanish between two pages.
func (s *Sweeper) Run(ctx context.Context) (Counts, error) {
	w := &sweep{
		Sweeper: s, slots: semaphore.NewWeighted(concurrency),
		runs: NewRunLookup(s.Runs, s.Log, "age alone decides on"),
	}
	defer w.logProgress()()

	var err error
	for again := true; again; {
		again, err = w.pass(ctx)
		w.passes++
		if again && w.passes == maxPasses {
			err = fmt.Errorf("read the list of PATs %d times without reaching its end", maxPasses)
			break
		}
		if again && w.idlePasses > 0 {
			httpclient.Sleep(ctx, passPause)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.warnOfRuns()
	return w.counts, w.conclude(err)
}

// warnOfRuns warns that age alone decided where GitHub gave no answer, unless the sweep
// fails for that reason or a warning was logged before.
func (w *sweep) warnOfRuns() {
	refused := w.runs.CredentialsErr()
	switch {
	case refused != nil && w.CredentialsOptional:
		w.Log.Warning("GitHub refuses the token", withConsequence(refused, "age alone decided"))
	case w.counts.Unanswered > 0 && !w.runs.gaveUp():
		w.Log.Warning("GitHub did not answer", fmt.Sprintf("GitHub gave no answer about the runs of %d leases, so only their age counted; the log says why", w.counts.Unanswered))
	}
}

// conclude returns the error of a sweep whose last pass ended with err.
func (w *sweep) conclude(err error) error {
	const again = "run it again: it continues with what is left"
	switch c := w.counts; {
	case w.stopped != nil && !w.complete:
		switch {
		case w.outOfTime == nil:
			return w.stopped
		case errors.Is(w.outOfTime, w.stopped):
			return w.outOfTime
		}
		return fmt.Errorf("%w: %w", w.stopped, w.outOfTime)
	case err != nil:
		return err
	case c.NotReached > 0:
		return hint.Add(fmt.Errorf("no time was left for %d leases: %w", c.NotReached, w.outOfTime), again+"; or give timeout a longer duration")
	case c.Failed > 0:
		return hint.Add(fmt.Errorf("%d of %d leases could not be revoked", c.Failed, c.Failed+c.Revoked+c.HadEnded),
			"each is named above; "+again)
	case w.runs.CredentialsErr() != nil && !w.CredentialsOptional:
		return fmt.Errorf("age alone decided: %w", w.runs.CredentialsErr())
	}
	return nil
}

// sweep is one call of [Sweeper.Run].
type sweep struct {
	*Sweeper
	slots *semaphore.Weighted // to revoke
	runs  *RunLookup

	mu     sync.Mutex
	counts Counts
	// claimed are the ids of leases that were to be revoked: they may be listed for
	// a while after, and one that failed is not tried again in the next pass. The
	// value reports whether the lease is known to be revoked.
	claimed  recent[bool]
	failures int // in a row
	revoked  int // in this pass
	stale    int // listed in this pass although known to be revoked

	passes     int
	idlePasses int   // passes in a row in which nothing was revoked
	restarted  bool  // a pass that revoked nothing ended early
	complete   bool  // the last pass left nothing to do
	stopped    error // why the sweep ended early
	outOfTime  error // the error of a revocation that there was no time to retry
}

// candidate is a lease that is to be revoked, at once if it has a reason,
// otherwise if its run has completed.
type candidate struct {
	Result
	run githubapi.Run
}

// pass reads the list once. It reports whether the list must be read again.
func (w *sweep) pass(ctx context.Context) (again bool, err error) {
	w.startPass()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(maxPending + concurrency + 1) // the list too
	inFlight, cancel := httpclient.WithGracePeriod(groupCtx, stopTimeout)
	defer cancel()

	cursor := pat.NewCursor(pat.Filter{SortBy: pat.ByName, Ascending: true}) // all leases of a run together
	var pages int
	group.Go(func() error {
		pages, err = w.list(groupCtx, cursor, func(t pat.Token) {
			if c, ok := w.examine(t); ok {
				group.Go(func() error { return w.handle(groupCtx, inFlight, c) })
			}
		})
		if err != nil && endsSweep(err) {
			return err
		}
		return nil
	})
	if failed := group.Wait(); failed != nil {
		w.stopped = context.Cause(groupCtx)
	} else if ctx.Err() != nil {
		w.stopped = context.Cause(ctx)
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	w.idlePasses++
	if w.revoked > 0 {
		w.idlePasses = 0
	}
	shifted := pages > 1 && (w.revoked > 0 || w.stale > 0 && w.idlePasses < maxIdlePasses)
	w.complete = cursor.Done() && w.counts.NotReached == 0 && !shifted
	if pat.CursorRefused(err) && pages > 0 && (w.revoked > 0 || !w.restarted) {
		w.restarted = w.revoked == 0
		w.Log.Infof("%v; reading the list from its start", err)
		return w.stopped == nil, nil
	}
	return shifted && err == nil && w.stopped == nil, err
}

// startPass resets the counts that belong to one pass.
func (w *sweep) startPass() {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.counts
	w.counts = Counts{Revoked: c.Revoked, WouldRevoke: c.WouldRevoke, HadEnded: c.HadEnded, Failed: c.Failed, NotReached: c.NotReached}
	w.revoked, w.stale = 0, 0
}

// list reads the list to its end and returns the number of pages. After an error
// that can be retried it asks for the same page again.
func (w *sweep) list(ctx context.Context, cursor *pat.Cursor, each func(pat.Token)) (pages int, err error) {
	for ; !cursor.Done() && ctx.Err() == nil; pages++ {
		var tokens []pat.Token
		err := httpclient.Retry(ctx, w.Log, "listing PATs", func(ctx context.Context) (err error) {
			err = w.ready(ctx)
			if err == nil {
				tokens, err = w.PATs.Next(ctx, cursor)
			}
			return err
		})
		if err != nil {
			return pages, err
		}
		for _, t := range tokens {
			each(t)
		}
	}
	return pages, nil
}

// endsSweep reports whether every further request would fail in the same way: the
// user cannot sign in, or the server asks to wait for longer than there is time.
func endsSweep(err error) bool {
	var refused *pat.Error
	var throttled *httpclient.Throttled
	retryable, wait := httpclient.Retryable(err)
	return !errors.As(err, &refused) || retryable && wait > 0 || errors.As(err, &throttled)
}

// examine decides by name and age what to do with a PAT. It returns a candidate for
// revocation; or it counts a PAT that is not to be revoked, and returns false.
func (w *sweep) examine(t pat.Token) (c candidate, ok bool) {
	name := displayname.Parse(t.DisplayName)
	c.Result = Result{ID: t.ID, Name: t.DisplayName, ValidFrom: t.ValidFrom}
	c.Age, c.AgeKnown = w.age(t)
	switch {
	case name.Kind != displayname.Lease: // a rotated PAT is in use as long as it lives
		w.count(&w.counts.Foreign)
	case w.wasClaimed(t.ID):
	case w.Repository != "" && !strings.EqualFold(name.Repository, w.Repository):
		w.count(&w.counts.OtherRepository)
	case c.AgeKnown && c.Age >= w.OlderThan:
		c.Reason = TooOld
		return c, true
	case w.Runs != nil && name.RunID != "":
		c.run = githubapi.Run{Repository: name.Repository, ID: name.RunID, Attempt: name.Attempt}
		return c, true
	default:
		w.countYoung(c)
	}
	return c, false
}

// age is the age of an active PAT. A clock is wrong if it shows a time before the PAT's
// start or after its end. Of the ages by the other clocks the lowest counts, since the
// PAT may be in use.
func (w *sweep) age(t pat.Token) (age time.Duration, known bool) {
	if t.ValidFrom.IsZero() {
		return 0, false
	}
	for _, now := range w.Times() {
		if now.Before(t.ValidFrom.Add(-httpclient.Tolerance)) || !t.ValidTo.IsZero() && now.After(t.ValidTo.Add(httpclient.Tolerance)) {
			continue
		}
		if a := max(0, now.Sub(t.ValidFrom)); !known || a < age {
			age, known = a, true
		}
	}
	return age, known
}

// handle revokes a lease, if there is a reason to. A request in flight may go on after
// ctx has ended. An error ends the sweep.
func (w *sweep) handle(ctx, inFlight context.Context, c candidate) error {
	if c.Reason == "" {
		if !w.runCompleted(ctx, c) {
			return nil
		}
		c.Reason = RunCompleted
	}
	if !w.claim(c.ID) {
		return nil
	}
	if w.DryRun && ctx.Err() == nil {
		c.Outcome = WouldRevoke
		return w.report(c.Result)
	}
	if err := w.slots.Acquire(ctx, 1); err != nil {
		w.count(&w.counts.NotReached)
		return nil
	}
	defer w.slots.Release(1)
	if ctx.Err() != nil {
		w.count(&w.counts.NotReached)
		return nil
	}
	gone, err := w.revoke(ctx, inFlight, c.ID)
	switch {
	case err == nil && gone:
		c.Outcome = HadEnded
	case err == nil:
		c.Outcome = Revoked
	case ctx.Err() == nil && endsSweep(err):
		w.count(&w.counts.NotReached)
		return err
	case w.ranOutOfTime(ctx, err):
		w.count(&w.counts.NotReached)
		return nil
	default:
		c.Outcome, c.Err = Failed, err
	}
	return w.report(c.Result)
}

// runCompleted reports whether the run of a lease has completed. If it has not, or
// if that is unknown, it counts the lease.
func (w *sweep) runCompleted(ctx context.Context, c candidate) bool {
	switch w.runs.State(ctx, c.run) {
	case Completed:
		return true
	case Running:
		w.count(&w.counts.Running)
	case Hidden:
		w.count(&w.counts.Hidden)
	case Unanswered:
		w.count(&w.counts.Unanswered)
	case NotAsked:
		if ctx.Err() != nil {
			w.count(&w.counts.NotReached)
		} else {
			w.countYoung(c)
		}
	}
	return false
}

// revoke revokes a PAT. A request in flight when ctx ends is waited for.
func (w *sweep) revoke(ctx, inFlight context.Context, id string) (gone bool, err error) {
	begin := time.Now()
	r := pat.Revocation{ID: id, PATs: w.PATs}
	err = httpclient.Retry(ctx, w.Log, "revoking", func(ctx context.Context) (err error) {
		err = w.ready(ctx)
		if err != nil {
			return err
		}
		gone, err = r.Attempt(inFlight)
		if _, wait := httpclient.Retryable(err); wait == 0 && time.Since(begin) >= retryTime {
			return httpclient.Permanent(err)
		}
		return err
	})
	return gone, err
}

// ranOutOfTime reports whether a revocation failed only because there was no time
// for an answer, or for another attempt.
func (w *sweep) ranOutOfTime(ctx context.Context, err error) bool {
	if retryable, _ := httpclient.Retryable(err); retryable {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.outOfTime = err
		return true
	}
	var refused *pat.Error
	answered := errors.As(err, &refused) && refused.Status != 0
	return ctx.Err() != nil && !answered
}

// report counts a result and reports it. After too many failures in a row it
// returns an error.
func (w *sweep) report(r Result) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch r.Outcome {
	case WouldRevoke:
		w.counts.WouldRevoke++
	case Revoked:
		w.counts.Revoked++
	case HadEnded:
		w.counts.HadEnded++
	case Failed:
		w.counts.Failed++
		w.failures++
	}
	if r.Outcome == Revoked || r.Outcome == HadEnded {
		w.failures = 0
		w.revoked++
		w.claimed.put(strings.ToLower(r.ID), true)
	}
	w.Report(r)
	if w.failures == maxFailures {
		return hint.Add(fmt.Errorf("%d revocations in a row failed, the last one: %w", maxFailures, r.Err), hint.Of(r.Err))
	}
	return nil
}

// wasClaimed reports whether a lease was claimed before.
func (w *sweep) wasClaimed(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	revoked, claimed := w.claimed.get(strings.ToLower(id))
	if revoked {
		w.stale++
	}
	return claimed
}

// claim reports whether a lease is claimed for the first time: when pages shift, a PAT
// can be listed twice.
func (w *sweep) claim(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := strings.ToLower(id)
	if _, before := w.claimed.get(key); before {
		return false
	}
	w.claimed.put(key, false)
	return true
}

func (w *sweep) count(n *int) { w.mu.Lock(); defer w.mu.Unlock(); *n++ }

// countYoung counts a lease that is left alone because of its age.
func (w *sweep) countYoung(c candidate) {
	if !c.AgeKnown {
		w.count(&w.counts.UnknownAge)
	} else {
		w.count(&w.counts.Young)
	}
}

// logProgress logs the progress from time to time, until the returned function is
// called.
func (w *sweep) logProgress() (stop func()) {
	done := make(chan struct{})
	var logging sync.WaitGroup
	logging.Go(func() {
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			w.mu.Lock()
			c := w.counts
			w.mu.Unlock()
			w.Log.Infof("so far: %s", c)
		}
	})
	return func() { close(done); logging.Wait() }
}

// ready waits while Azure DevOps throttles this user.
func (w *sweep) ready(ctx context.Context) error {
	if w.Ready == nil {
		return nil
	}
	return w.Ready(ctx)
}
