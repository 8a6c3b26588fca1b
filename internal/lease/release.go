package lease

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
)

// Ended is a PAT that is no more.
type Revoked struct {
	ID        string
	ValidFrom time.Time // zero: not known
	Gone      bool      // it had ended before
}

// errNameless is the error of a record that says neither which PAT nor what name.
var errNameless = errors.New("the record names no PAT")

// Release ends what a record speaks of, and returns what it found.
//
// With an id it is that PAT; without one, or where a request to mint was left
// open, it is every PAT of exactly that name. A request that may still take
// effect is waited for; mayMint reports that there was not enough time for that. A
// PAT that cannot be revoked does not keep the others from being revoked.
func (l *Client) Release(ctx context.Context, r Record) (ended []Revoked, mayMint bool, err error) {
	var failed error
	if r.ID != "" {
		gone, err := l.end(ctx, r.ID)
		if err == nil {
			ended = append(ended, Revoked{r.ID, r.ValidFrom, gone})
		}
		if failed = err; r.Unsettled <= 0 {
			if gone && r.Name != "" {
				// It is gone, and that is that, unless the id was a wrong one.
				named, _ := l.endNamed(ctx, r.Name, append(ids(ended), r.ID), 0)
				ended = append(ended, named...)
			}
			return ended, false, failed
		}
	}
	missing := r.Unsettled
	if r.Stage == Intended {
		missing = max(1, missing)
	}
	named, open, err := l.await(ctx, r, append(ids(ended), r.ID), missing, failed == nil)
	return append(ended, named...), open > 0, and(failed, err)
}

// await ends the PATs of a record's name, but those of some ids, that so many
// requests to mint may have made or may yet make. It waits for them until none is
// missing or none can come any more, or until the time is up; if there is no need
// to go on, it looks but once. It returns what it has ended, and how many are
// missing for which it could not wait to the end.
func (l *Client) await(ctx context.Context, r Record, except []string, missing int, goOn bool) (ended []Revoked, open int, err error) {
	begin := l.Now()
	left := commitWindow - l.since(r)
	patience := left
	if deadline, ok := ctx.Deadline(); ok {
		// There may be no time to wait so long, and nothing to complain about: most
		// often nothing comes.
		patience = min(left, time.Until(deadline)-finalLookTime)
	}
	for first := true; ; first = false {
		passed := l.Now().Sub(begin) // what comes after a look is for the next one
		named, err := l.endNamed(ctx, r.Name, append(ids(ended), except...), missing)
		ended = append(ended, named...)
		missing = max(0, missing-news(named))
		if cut := (*unread)(nil); !first && errors.As(err, &cut) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return ended, missing, nil // nor is there time for another look: the one before is the last
		}
		switch {
		case missing == 0, passed >= left:
			return ended, 0, err
		case err != nil, !goOn, passed >= patience:
			return ended, missing, err
		}
		if first {
			l.Log.Infof("a request to mint %q may still take effect until %s", r.Name, stamp(begin.Add(left)))
		}
		l.Sleep(ctx, max(0, min(pollInterval, patience-l.Now().Sub(begin))))
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return ended, missing, nil // as above
		}
		if err := ctxErr(ctx); err != nil {
			return ended, missing, err
		}
	}
}

// since is how much time has passed since the intent of a record. Where this
// machine's clock was set meanwhile, the server's tells: it is the shorter time,
// and none if the intent seems to be still to come.
func (l *Client) since(r Record) time.Duration {
	return max(0, min(l.Now().Sub(r.Intended), l.Server().Sub(r.ServerTime(r.Intended))))
}

// ids are the ids of PATs that are no more.
func ids(ended []Revoked) (list []string) {
	for _, e := range ended {
		list = append(list, e.ID)
	}
	return list
}

// news is how many PATs were active until now: one that had ended before can be
// one that somebody has counted already.
func news(ended []Revoked) (n int) {
	for _, e := range ended {
		if !e.Gone {
			n++
		}
	}
	return n
}

// readings is how often a long list is read at most.
const readings = 6

// endNamed revokes every active PAT of that name, by [displayname.Compare], except those
// of some ids: the lease's own, and what is revoked already and may be listed for a while.
// Want is how many are likely to be there. What was found is ended even if the
// list cannot be read to its end.
func (l *Client) endNamed(ctx context.Context, name string, except []string, want int) ([]Revoked, error) {
	if name == "" {
		return nil, errNameless
	}
	var found, doubtful []pat.Token
	keep := func(t pat.Token) {
		into := &found
		switch displayname.Compare(t.DisplayName, name) {
		case displayname.Different:
			return
		case displayname.Unclear:
			into = &doubtful
		}
		its := func(id string) bool { return id != "" && strings.EqualFold(id, t.ID) }
		if !slices.ContainsFunc(except, its) && !slices.ContainsFunc(*into, func(f pat.Token) bool { return its(f.ID) }) {
			*into = append(*into, t)
		}
	}
	var failed error
	var before []byte
	for range readings {
		var list []byte
		var pages int
		if list, pages, failed = l.read(ctx, keep); failed != nil {
			break
		}
		// The pages of a list are no picture of one moment: when others end their
		// PATs meanwhile, as all jobs of a matrix do at once, what comes after
		// moves up, and past the page that is asked for next. Nothing was missed
		// where two readings agree.
		if pages < 2 || len(found) >= want || bytes.Equal(list, before) {
			break
		}
		before = list
	}
	if failed != nil && len(found) == 0 {
		return nil, &unread{failed}
	}
	var ended []Revoked
	for _, t := range found {
		gone, err := l.end(ctx, t.ID)
		if err == nil {
			ended = append(ended, Revoked{t.ID, t.ValidFrom, gone})
		} else if failed = and(failed, err); ctx.Err() != nil {
			break
		}
	}
	if len(doubtful) > 0 && news(ended) < want {
		failed = and(failed, similarNames(doubtful))
	}
	return ended, failed
}

// unread is the error of a list that could not be read to its end, and showed
// nothing to end until then.
type unread struct{ error }

func (u *unread) Unwrap() error { return u.error }

// read reads the list of active PATs, and returns what tells it from another one,
// and how many pages it had. After an error it goes on where it was.
func (l *Client) read(ctx context.Context, each func(pat.Token)) (sum []byte, pages int, err error) {
	h := sha256.New()
	next, stop := iter.Pull2(l.PATs.Pages(ctx, pat.Filter{}))
	defer func() { stop() }()
	broken := false
	err = httpclient.Retry(ctx, l.Log, "listing", func(ctx context.Context) error {
		for {
			tokens, err, ok := next()
			switch {
			case !ok && broken: // it does not go on after an error
				stop()
				h.Reset()
				next, stop = iter.Pull2(l.PATs.Pages(ctx, pat.Filter{}))
				pages = 0
			case !ok:
				return nil
			case err != nil:
				broken = true
				return err
			default:
				for _, t := range tokens {
					each(t)
					h.Write([]byte(t.ID + "\n"))
				}
				pages++
			}
			broken = false
		}
	})
	return h.Sum(nil), pages, err
}
