// Package sweep revokes the PATs that earlier jobs left behind.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/githubapi"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
)

// Listing is the API that a [Sweeper] needs. An error that is no [*pat.Error] is
// about more than the one request and ends the sweep.
type Listing interface {
	Next(context.Context, *pat.Cursor) ([]pat.Token, error)
	// Revoke ends a PAT that Next has shown.
	Revoke(ctx context.Context, id string) (gone bool, err error)
	Listed(ctx context.Context, id string, show pat.Show) (bool, error)
}

// Log says what happens.
type Log interface {
	Infof(format string, args ...any)
	Warning(title, text string)
}

// Sweeper releases the leases that earlier jobs left behind.
type Sweeper struct {
	PATs Listing
	// Runs knows which workflow runs are over; nil: nobody does.
	Runs Runs
	// OlderThan is the age from which on a lease is released, whatever else is
	// known of it.
	OlderThan time.Duration
	// Repository, OWNER/REPO, leaves alone what other repositories minted; "":
	// all.
	Repository string
	// DryRun releases nothing.
	DryRun bool
	// Times are what Azure DevOps' clock can show now, the likeliest first.
	Times func() []time.Time
	// Ready waits for as long as Azure DevOps has asked for before the next
	// request; nil: it never asks.
	Ready func(context.Context) error
	Log   Log
	// Report is told what became of each lease that is to be released, one at a
	// time, while the sweep goes on.
	Report func(Swept)
}

// Outcome is what became of a lease that was to be released.
type Outcome string

// The outcomes.
const (
	Released    Outcome = "revoked"
	WouldBe     Outcome = "would revoke" // DryRun
	EndedBefore Outcome = "had ended"    // somebody else was first
	NotReleased Outcome = "failed"
)

// Reason is why a lease was to be released.
type Reason string

// The reasons.
const (
	Old     Reason = "older than"
	RunOver Reason = "run completed"
)

// Swept is a lease that was to be released, and what became of it.
type Swept struct {
	ID, Name  string
	ValidFrom time.Time     // zero: not known
	Age       time.Duration // by Azure DevOps' clock
	AgeKnown  bool
	Reason    Reason
	Outcome   Outcome
	Err       error // NotReleased
}

// Tally counts PATs.
type Counts struct {
	// By outcome.
	Released, WouldBe, EndedBefore, NotReleased int
	// Left were to be released, or to be asked about, when the sweep was stopped.
	Left int
	// What was left alone, and why, as far as the list was read the last time.
	Foreign   int // the name is not of our form
	Elsewhere int // not of the repository
	Young     int // younger than OlderThan, and nobody was asked about the run
	Running   int // the run is not over
	Hidden    int // young, and GitHub does not show the run
	Silent    int // young, and GitHub did not answer
	Undated   int // its age is not known
}

// Kept is how many leases were left alone.
func (t Counts) Kept() int {
	return t.Elsewhere + t.Young + t.Running + t.Hidden + t.Silent + t.Undated
}

// String is the tally in words.
func (t Counts) String() string {
	parts := []string{fmt.Sprintf("%d revoked", t.Released)}
	for _, part := range []struct {
		n    int
		text string
	}{
		{t.WouldBe, "%d would be revoked"},
		{t.EndedBefore, "%d had ended"},
		{t.NotReleased, "%d failed"},
		{t.Left, "%d not got to"},
		{t.Kept(), "%d kept"},
		{t.Foreign, "%d of the user's other tokens not touched"},
	} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf(part.text, part.n))
		}
	}
	return strings.Join(parts, ", ")
}

const (
	// inFlight is how many PATs are revoked at a time, and about how many runs is
	// asked.
	inFlight = 4
	// queue is how many PATs wait for that at most: about a page, so that the
	// next page is there when one is done.
	queue = 100
	// enough is how long a revocation that fails in a way that may pass is tried
	// again, where the server does not say how long.
	enough = time.Minute
	// hopeless is how many revocations in a row may fail before the others are
	// not tried any more.
	hopeless = 2 * inFlight
	// progress is how often a long sweep says how far it is.
	progress = 10 * time.Second
	// passes is how often the list is read at most. Where each revokes half of
	// what is left, 14 do for a million.
	passes = 32
	// quietPasses is how many of them in a row may find nothing to revoke and yet
	// show what is revoked.
	quietPasses = 3
	// passPause is how long to wait before the list is read again where nothing
	// was revoked.
	passPause = 2 * time.Second
	// stopTimeout is how long revocations in flight may go on after the sweep was
	// told to stop.
	stopTimeout = 4500 * time.Millisecond
)

// Sweep reads the list of active PATs page by page and revokes what is to be
// revoked meanwhile, in bounded memory.
//
// A page can shift when something before it is revoked: the server may go on at
// an offset into what is active then, in which case one pass sees about every
// other PAT. So a list of several pages out of which something was revoked is
// read again; and so is one that still shows what is revoked already, a few
// times, since that may vanish between two pages. When a sweep fails or is
// stopped, all that is in flight is waited for, and the next one goes on with
// what is left.
func (s *Sweeper) Sweep(ctx context.Context) (Counts, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	patient, cancel := outliving(ctx)
	defer cancel()
	w := &sweep{Sweeper: s, patient: patient, stop: stop, questions: questions{runs: s.Runs, log: s.Log}}
	defer w.tell()()

	var err error
	for again := true; again; {
		again, err = w.pass(ctx)
		if w.passes++; again && w.passes == passes {
			err = fmt.Errorf("the list of PATs was read %d times and is still not done", passes)
			break
		}
		if again && w.quiet > 0 {
			rest(ctx, passPause)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	const again = "run it again: it goes on with what is left"
	switch t := w.tally; {
	case ctx.Err() != nil && !w.complete:
		err = context.Cause(ctx)
		if errors.Is(w.late, err) {
			err = w.late
		} else if w.late != nil {
			err = fmt.Errorf("%w: %w", err, w.late)
		}
	case err == nil && t.Left > 0:
		err = hint.Add(fmt.Errorf("no time was left for %d leases: %w", t.Left, w.late), again+"; or give timeout a longer duration")
	case err == nil && t.NotReleased > 0:
		err = hint.Add(fmt.Errorf("%d of %d leases could not be revoked", t.NotReleased, t.NotReleased+t.Released+t.EndedBefore),
			"each is named above; "+again)
	case err == nil && w.questions.wrong != nil:
		err = fmt.Errorf("age alone could decide: %w", w.questions.wrong)
	}
	return w.tally, err
}

// outliving is a context for what is in flight when ctx ends: it gets a little
// longer.
func outliving(ctx context.Context) (context.Context, func()) {
	patient, cancel := context.WithCancelCause(httpclient.Outliving(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(stopTimeout, func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(patient, func() { timer.Stop() })
	})
	return patient, func() { stop(); cancel(nil) }
}

// sweep is one call of [Sweeper.Sweep].
type sweep struct {
	*Sweeper
	patient   context.Context // for what is in flight
	stop      context.CancelCauseFunc
	questions questions

	mu    sync.Mutex
	tally Counts
	// taken are those that were to be revoked, by id: they may be listed for a
	// while after, and what failed is not tried in the next pass.
	// It is true of what is known to be revoked.
	taken  recent[bool]
	failed int // in a row
	ended  int // in this pass
	stale  int // shown in this pass although it is known to be revoked

	passes   int
	quiet    int   // passes in a row in which nothing was revoked
	complete bool  // the last pass has left nothing to do
	late     error // what would have been tried again, had there been time
	outdated bool  // a pass ended early, and had revoked nothing
}

// candidate is a lease that is to be revoked, or about whose run is to be asked.
type candidate struct {
	Swept
	run githubapi.Run
}

// pass reads the list once. It reports whether it must be read again.
func (w *sweep) pass(ctx context.Context) (again bool, err error) {
	w.mu.Lock()
	t := w.tally
	w.tally = Counts{Released: t.Released, WouldBe: t.WouldBe, EndedBefore: t.EndedBefore, NotReleased: t.NotReleased, Left: t.Left}
	w.ended, w.stale = 0, 0
	w.mu.Unlock()

	ahead, young, doomed := make(chan githubapi.Run, queue), make(chan candidate, queue), make(chan candidate, queue)
	var asking, revoking sync.WaitGroup
	for range inFlight {
		revoking.Go(func() {
			for c := range doomed {
				w.release(ctx, c.Swept)
			}
		})
	}
	// While a lease waits for the answer about its run, the runs of those behind
	// it are asked about.
	for range inFlight {
		asking.Go(func() {
			for run := range ahead {
				w.questions.answer(ctx, run)
			}
		})
	}
	asking.Go(func() {
		for c := range young {
			w.follow(ctx, c, doomed)
		}
	})
	decide := func(t pat.Token) {
		switch c := w.judge(t); {
		case c.Reason != "":
			w.take(c, doomed)
		case c.run != githubapi.Run{}:
			if w.questions.ask(c.run) {
				ahead <- c.run
			}
			young <- c
		}
	}
	at := pat.NewCursor(pat.Filter{SortBy: pat.ByName, Ascending: true}) // so that all leases of a run stand together
	pages, err := w.list(ctx, at, decide)
	if err != nil && !about(err) {
		w.stop(err)
	}
	close(ahead)
	close(young)
	asking.Wait()
	close(doomed)
	revoking.Wait()

	w.mu.Lock()
	defer w.mu.Unlock()
	if w.quiet++; w.ended > 0 {
		w.quiet = 0
	}
	shifted := pages > 1 && (w.ended > 0 || w.stale > 0 && w.quiet < quietPasses)
	w.complete = at.Done() && w.tally.Left == 0 && !shifted
	if outdated(err) && pages > 0 && (w.ended > 0 || !w.outdated) {
		// A place in the list that the server does not know any more.
		w.outdated = w.ended == 0
		w.Log.Infof("%v; reading the list from its start", err)
		return ctx.Err() == nil, nil
	}
	return shifted && err == nil && ctx.Err() == nil, err
}

// list reads the list to its end, and says how many pages it had. A page that
// fails in a way that may pass is asked for again, and not those before it.
func (w *sweep) list(ctx context.Context, at *pat.Cursor, each func(pat.Token)) (pages int, err error) {
	for ; !at.Done() && ctx.Err() == nil; pages++ {
		var tokens []pat.Token
		err := httpclient.Retry(ctx, w.Log, "listing", func(ctx context.Context) (err error) {
			if err = w.ready(ctx); err == nil {
				tokens, err = w.PATs.Next(ctx, at)
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

// about reports whether an error is about one request, and not about all that
// could follow: nobody could sign in, or the server wants to be left alone for
// longer than there is time.
func about(err error) bool {
	var refused *pat.Error
	var throttled *httpclient.Throttled
	passing, asked := httpclient.Retryable(err)
	return errors.As(err, &refused) && !(passing && asked > 0) && !errors.As(err, &throttled)
}

// outdated reports whether a list failed in a way that may be due to where it
// was to go on.
func outdated(err error) bool {
	var refused *pat.Error
	return errors.As(err, &refused) && (refused.Status == 400 || refused.Status == 404 || refused.Status == 410)
}

// judge decides what becomes of a PAT, as far as its name and its age tell: it is
// to be revoked and why, or its run is to be asked about, or it is counted and
// that is that.
func (w *sweep) judge(t pat.Token) (c candidate) {
	name, ours := displayname.Parse(t.DisplayName)
	c.Swept = Swept{ID: t.ID, Name: t.DisplayName, ValidFrom: t.ValidFrom}
	c.Age, c.AgeKnown = w.age(t)
	switch {
	case !ours:
		w.count(&w.tally.Foreign)
	case w.wasTaken(t.ID):
	case w.Repository != "" && !strings.EqualFold(name.Repository, w.Repository):
		w.count(&w.tally.Elsewhere)
	case c.AgeKnown && c.Age >= w.OlderThan:
		c.Reason = Old
	case w.Runs != nil && name.RunID != "":
		c.run = githubapi.Run{Repository: name.Repository, ID: name.RunID, Attempt: name.Attempt}
	default:
		w.leave(c)
	}
	return c
}

// age is how old an active PAT is. A clock that shows a time before it began, or
// after it ended, is none. Where two can be right, the PAT is as young as either
// says: it may be in use.
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

// leave counts a lease that is left to its age.
func (w *sweep) leave(c candidate) {
	if !c.AgeKnown {
		w.count(&w.tally.Undated)
	} else {
		w.count(&w.tally.Young)
	}
}

// follow decides what becomes of a lease by the answer about its run.
func (w *sweep) follow(ctx context.Context, c candidate, doomed chan<- candidate) {
	switch w.questions.await(c.run) {
	case over:
		c.Reason = RunOver
		w.take(c, doomed)
	case running:
		w.count(&w.tally.Running)
	case hidden:
		w.count(&w.tally.Hidden)
	case silent:
		w.count(&w.tally.Silent)
	case unasked:
		if ctx.Err() != nil {
			w.count(&w.tally.Left)
		} else {
			w.leave(c)
		}
	}
}

func (w *sweep) count(n *int) { w.mu.Lock(); defer w.mu.Unlock(); *n++ }

// wasTaken reports whether a lease was taken before.
func (w *sweep) wasTaken(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	revoked, taken := w.taken.get(strings.ToLower(id))
	if revoked {
		w.stale++
	}
	return taken
}

// take has a lease revoked, unless it was taken before: a PAT can be listed twice
// where the pages shift.
func (w *sweep) take(c candidate, doomed chan<- candidate) {
	w.mu.Lock()
	revoked, before := w.taken.get(strings.ToLower(c.ID))
	w.taken.put(strings.ToLower(c.ID), before && revoked)
	w.mu.Unlock()
	if !before {
		doomed <- c
	}
}

// release revokes a lease and says what became of it.
func (w *sweep) release(ctx context.Context, s Swept) {
	switch {
	case ctx.Err() != nil:
		w.count(&w.tally.Left)
		return
	case w.DryRun:
		s.Outcome = WouldBe
		w.report(s)
		return
	}
	gone, err := w.revoke(ctx, s.ID)
	switch {
	case err == nil && gone:
		s.Outcome = EndedBefore
	case err == nil:
		s.Outcome = Released
	case w.unheard(ctx, err):
		w.count(&w.tally.Left)
		return
	default:
		s.Outcome, s.Err = NotReleased, err
	}
	w.report(s)
}

// revoke revokes a PAT. What is in flight when ctx ends is waited for.
func (w *sweep) revoke(ctx context.Context, id string) (gone bool, err error) {
	begin := time.Now()
	r := pat.Revocation{ID: id, PATs: w.PATs}
	err = httpclient.Retry(ctx, w.Log, "revoking", func(ctx context.Context) (err error) {
		if err = w.ready(ctx); err != nil {
			return err
		}
		gone, err = r.Attempt(w.patient)
		if _, asked := httpclient.Retryable(err); asked == 0 && time.Since(begin) >= enough {
			return httpclient.Permanent(err)
		}
		return err
	})
	return gone, err
}

// unheard reports whether an error says nothing of the PAT: there was no time for
// an answer, or all that could follow would fail in the same way.
func (w *sweep) unheard(ctx context.Context, err error) bool {
	if ctx.Err() == nil && !about(err) {
		w.stop(err)
		return true
	}
	if passing, _ := httpclient.Retryable(err); passing {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.late = err
		return true
	}
	var refused *pat.Error
	answered := errors.As(err, &refused) && refused.Status != 0
	return ctx.Err() != nil && !answered
}

// report counts and tells what became of a lease.
func (w *sweep) report(s Swept) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch s.Outcome {
	case WouldBe:
		w.tally.WouldBe++
	case Released:
		w.tally.Released++
	case EndedBefore:
		w.tally.EndedBefore++
	case NotReleased:
		w.tally.NotReleased++
	}
	if s.Outcome == NotReleased {
		if w.failed++; w.failed == hopeless {
			w.stop(hint.Add(fmt.Errorf("%d revocations in a row failed, the last one: %w", hopeless, s.Err), hint.Of(s.Err)))
		}
	} else if w.failed = 0; s.Outcome != WouldBe {
		w.ended++
		w.taken.put(strings.ToLower(s.ID), true)
	}
	w.Report(s)
}

// tell says from time to time how far the sweep is, until the returned function
// is called.
func (w *sweep) tell() (done func()) {
	over := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		ticker := time.NewTicker(progress)
		defer ticker.Stop()
		for {
			select {
			case <-over:
				return
			case <-ticker.C:
			}
			w.mu.Lock()
			t := w.tally
			w.mu.Unlock()
			w.Log.Infof("so far: %s", t)
		}
	})
	return func() { close(over); telling.Wait() }
}

// ready waits for as long as Azure DevOps has asked for: it asks that of the
// user, and not of the one request.
func (w *sweep) ready(ctx context.Context) error {
	if w.Ready == nil {
		return nil
	}
	return w.Ready(ctx)
}

// rest waits, or returns early with ctx.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
