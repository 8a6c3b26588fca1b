package sweep

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"azdo-pat/internal/githubapi"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
)

// Runs knows which workflow runs are over.
type Runs interface {
	Completed(context.Context, githubapi.Run) (bool, error)
}

// answer is what is known of a run.
type answer int

const (
	unasked answer = iota // nobody is asked any more
	over
	running
	hidden // GitHub does not show it
	silent // GitHub did not answer
)

const (
	// ShortWait is how long GitHub's rate limit is waited for. A longer one is
	// for the next sweep: age decides until then.
	ShortWait = 10 * time.Second
	// tries is how often a question is asked that GitHub fails to answer.
	tries = 4
	// mute is how many questions in a row may go without an answer before GitHub
	// is left alone.
	mute = 4
)

// questions asks about each run once, however many leases it has: one goroutine
// opens a question, others answer it, and another awaits the answer.
type questions struct {
	runs Runs
	log  Log

	mu    sync.Mutex
	known recent[answer]           // by run, and by repository where none of its runs is shown
	open  map[string]chan struct{} // by run: closed when it is answered
	shut  bool
	muted int   // questions in a row without an answer
	wrong error // the token is not taken
}

// keys are what the answer about a run can be known by.
func keys(run githubapi.Run) (key, repository string) {
	repository = strings.ToLower(run.Repository)
	return repository + " " + run.ID + "." + run.Attempt, repository
}

func (q *questions) lookup(run githubapi.Run) (answer, bool) {
	key, repository := keys(run)
	if a, ok := q.known.get(key); ok {
		return a, true
	}
	return q.known.get(repository)
}

// ask opens a question, unless there is one, or an answer, or nobody to ask.
func (q *questions) ask(run githubapi.Run) (opened bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	key, _ := keys(run)
	if _, known := q.lookup(run); known || q.shut || q.open[key] != nil {
		return false
	}
	if q.open == nil {
		q.open = map[string]chan struct{}{}
	}
	q.open[key] = make(chan struct{})
	return true
}

// await waits for the answer to a question that was opened.
func (q *questions) await(run githubapi.Run) answer {
	key, _ := keys(run)
	q.mu.Lock()
	asked := q.open[key]
	q.mu.Unlock()
	if asked != nil {
		<-asked
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	a, _ := q.lookup(run)
	return a
}

// answer closes a question: with GitHub's answer, with what follows from its
// refusal, or with none.
func (q *questions) answer(ctx context.Context, run githubapi.Run) {
	key, repository := keys(run)
	q.mu.Lock()
	_, known := q.lookup(run)
	none := known || q.shut || ctx.Err() != nil
	q.mu.Unlock()
	var a answer
	var err error
	if !none {
		a, err = q.send(ctx, run)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.open[key])
	delete(q.open, key)
	switch {
	case none:
	case err == nil:
		q.muted = 0
		q.known.put(key, a)
	case ctx.Err() == nil:
		q.refused(err, key, repository)
	}
}

// send asks, more than once where that can help soon.
func (q *questions) send(ctx context.Context, run githubapi.Run) (a answer, err error) {
	n := 0
	err = httpclient.Retry(ctx, q.log, "GitHub", func(ctx context.Context) error {
		isOver, err := q.runs.Completed(ctx, run)
		if a = running; isOver {
			a = over
		}
		if _, wait := httpclient.Retryable(err); wait > ShortWait {
			return httpclient.Permanent(err)
		}
		if n++; n == tries {
			return httpclient.Permanent(err)
		}
		return err
	})
	return a, err
}

// refused draws the conclusion from a question that was not answered, and says
// so once where it is about more than the one run.
func (q *questions) refused(err error, key, repository string) {
	switch {
	case errors.Is(err, githubapi.ErrNotFound):
		q.muted = 0
		q.known.put(key, hidden)
	case errors.Is(err, githubapi.ErrForbidden), errors.Is(err, githubapi.ErrMoved):
		q.muted = 0
		if _, told := q.known.get(repository); !told {
			q.known.put(repository, hidden)
			q.log.Warning("GitHub does not answer", explained(err, "the leases of "+repository+" are left to their age"))
		}
	case errors.Is(err, githubapi.ErrCredentials):
		if q.wrong == nil {
			q.log.Infof("%v; going on by age alone", err)
		}
		q.shut, q.wrong = true, err
	case errors.Is(err, githubapi.ErrLimited):
		q.close(err)
	default:
		q.known.put(key, silent)
		q.log.Infof("%v; the leases of this run are left to their age", err)
		if q.muted++; q.muted == mute {
			q.close(err)
		}
	}
}

// close ends all questions.
func (q *questions) close(err error) {
	if !q.shut {
		q.log.Warning("GitHub is not asked any more", explained(err, "the other leases are left to their age"))
	}
	q.shut = true
}

// explained is what follows from an error, with what to change on a line of its
// own.
func explained(err error, what string) string {
	text := fmt.Sprintf("%v; %s", err, what)
	if h := hint.Of(err); h != "" {
		text += "\n" + h
	}
	return text
}
