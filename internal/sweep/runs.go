package sweep

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"azdo-pat/internal/githubapi"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
)

// Runs looks up whether a workflow run has completed.
type Runs interface {
	Completed(context.Context, githubapi.Run) (bool, error)
}

// RunState is what is known of a run.
type RunState int

// The states.
const (
	NotAsked RunState = iota // no run is looked up any more, or the context has ended
	Completed
	Running
	Hidden     // GitHub does not show it to this token
	Unanswered // GitHub did not answer
)

const (
	// MaxGitHubWait is how long the sweep waits for GitHub's rate limit. After a
	// longer one, age alone decides until the next sweep.
	MaxGitHubWait = 10 * time.Second
	// maxAttempts is how often a request that GitHub fails to answer is sent.
	maxAttempts = 4
	// maxUnanswered is after how many unanswered runs in a row no more are looked up.
	maxUnanswered = 4
)

// RunLookup looks up each run once, however many leases it has, and at most four at a
// time. It is safe for concurrent use.
type RunLookup struct {
	runs Runs
	log  Log
	// undecided begins what a warning says of leases about which GitHub gives no
	// answer.
	undecided string
	slots     *semaphore.Weighted
	flights   singleflight.Group // by run

	mu             sync.Mutex
	known          recent[RunState] // by run, and by repository where none of its runs is shown
	closed         bool             // no further run is looked up
	unanswered     int              // runs in a row
	credentialsErr error            // GitHub refuses the token
}

// NewRunLookup returns a RunLookup. undecided begins what a warning about GitHub says
// of the leases, as in "age alone decides on" the leases of contoso/app.
func NewRunLookup(runs Runs, log Log, undecided string) *RunLookup {
	return &RunLookup{runs: runs, log: log, undecided: undecided, slots: semaphore.NewWeighted(concurrency)}
}

// CredentialsErr is the error with which GitHub refused the token; nil: it did not.
func (l *RunLookup) CredentialsErr() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.credentialsErr
}

// gaveUp reports whether no run is looked up any more, which was logged.
func (l *RunLookup) gaveUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// cacheKeys are the keys of a run and of its repository.
func cacheKeys(run githubapi.Run) (key, repository string) {
	repository = strings.ToLower(run.Repository)
	return repository + " " + run.ID + "." + run.Attempt, repository
}

// State looks up a run, or returns what is known of it.
func (l *RunLookup) State(ctx context.Context, run githubapi.Run) RunState {
	key, repository := cacheKeys(run)
	state, _, _ := l.flights.Do(key, func() (any, error) {
		if s, known := l.cached(key, repository); known {
			return s, nil
		}
		if err := l.slots.Acquire(ctx, 1); err != nil {
			return NotAsked, nil
		}
		defer l.slots.Release(1)
		// The answer for another run may have decided this one meanwhile.
		if s, known := l.cached(key, repository); known || ctx.Err() != nil {
			return s, nil
		}
		s, err := l.ask(ctx, run)
		return l.record(ctx, key, repository, s, err), nil
	})
	return state.(RunState)
}

// cached returns the known state of a run. After close that is NotAsked for all others.
func (l *RunLookup) cached(key, repository string) (s RunState, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, known = l.known.get(key)
	if known {
		return s, true
	}
	s, known = l.known.get(repository)
	if known {
		return s, true
	}
	return NotAsked, l.closed
}

// ask looks up a run at GitHub, with retries.
func (l *RunLookup) ask(ctx context.Context, run githubapi.Run) (s RunState, err error) {
	attempts := 0
	err = httpclient.Retry(ctx, l.log, "asking GitHub", func(ctx context.Context) error {
		done, failed := l.runs.Completed(ctx, run)
		s = Running
		if done {
			s = Completed
		}
		attempts++
		if _, wait := httpclient.Retryable(failed); wait > MaxGitHubWait || attempts == maxAttempts {
			return httpclient.Permanent(failed)
		}
		return failed
	})
	return s, err
}

// record stores the answer for a run, or the consequence of an error, and returns the
// run's state. It logs an error that concerns several runs only once.
func (l *RunLookup) record(ctx context.Context, key, repository string, s RunState, err error) RunState {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.unanswered = 0
		l.known.put(key, s)
		return s
	case ctx.Err() != nil:
		return NotAsked
	case errors.Is(err, githubapi.ErrNotFound):
		l.unanswered = 0
		l.known.put(key, Hidden)
		return Hidden
	case errors.Is(err, githubapi.ErrForbidden), errors.Is(err, githubapi.ErrMoved):
		l.unanswered = 0
		if _, logged := l.known.get(repository); !logged {
			l.known.put(repository, Hidden)
			l.log.Warning("GitHub does not answer", withConsequence(err, l.undecided+" the leases of "+repository))
		}
		return Hidden
	case errors.Is(err, githubapi.ErrCredentials):
		if l.credentialsErr == nil {
			l.log.Infof("%v; %s all leases", err, l.undecided)
		}
		l.closed, l.credentialsErr = true, err
		return NotAsked
	case errors.Is(err, githubapi.ErrLimited):
		l.close(err)
		return NotAsked
	}
	l.known.put(key, Unanswered)
	l.log.Infof("%v; %s the leases of this run", err, l.undecided)
	l.unanswered++
	if l.unanswered == maxUnanswered {
		l.close(err)
	}
	return Unanswered
}

// close stops all further look-ups because of err.
func (l *RunLookup) close(err error) {
	if !l.closed {
		l.log.Warning("GitHub is no longer asked", withConsequence(err, l.undecided+" the other leases"))
	}
	l.closed = true
}

// withConsequence is the text of an error and its consequence, with the error's hint on
// a line of its own.
func withConsequence(err error, consequence string) string {
	text := fmt.Sprintf("%v; %s", err, consequence)
	if h := hint.Of(err); h != "" {
		text += "\n" + h
	}
	return text
}
