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
	"azdo-pat/internal/timefmt"
)

// Revoked is a PAT that was revoked.
type Revoked struct {
	ID        string
	ValidFrom time.Time // zero: unknown
	Gone      bool      // it was already revoked or expired
}

// errNoName is the error of a record with neither id nor name.
var errNoName = errors.New("the record has neither the id nor the name of a PAT")

// Release revokes the PATs of a record and returns them.
//
// With an id in the record, Release revokes that PAT. Without an id, or with unsettled
// requests to mint, it revokes every PAT of the recorded name and waits for requests
// that may still take effect; mayMint reports that there was not enough time for that.
// If one PAT cannot be revoked, the others still are.
func (l *Client) Release(ctx context.Context, r Record) (ended []Revoked, mayMint bool, err error) {
	if r.ID != "" {
		var gone bool
		gone, err = l.revokeID(ctx, r.ID)
		if err == nil {
			ended = append(ended, Revoked{r.ID, r.ValidFrom, gone})
		}
		if r.Unsettled <= 0 {
			if gone && r.Name != "" {
				// The id may have been wrong, so look for the name too.
				named, _ := l.revokeNamed(ctx, r.Name, append(revokedIDs(ended), r.ID), 0)
				ended = append(ended, named...)
			}
			return ended, false, err
		}
	}
	missing := r.Unsettled
	if r.Stage == Intended {
		missing = max(1, missing)
	}
	except := append(revokedIDs(ended), r.ID)
	if err != nil { // revoke what is there, without waiting for more
		named, other := l.revokeNamed(ctx, r.Name, except, missing)
		return append(ended, named...), true, joinErrors(err, other)
	}
	named, open, err := l.revokeUntilSettled(ctx, r, except, missing)
	return append(ended, named...), open > 0, err
}

// revokeUntilSettled revokes the PATs of a record's name, except those whose ids are in
// except. missing is the number of requests to mint that may have created a PAT, or
// may still do so. The list is read until that many PATs were found, until no more can
// come, or until the time is up. open is the number of requests that there was no time
// to wait for.
func (l *Client) revokeUntilSettled(ctx context.Context, r Record, except []string, missing int) (ended []Revoked, open int, err error) {
	begin := time.Now()
	left := commitWindow - l.sinceIntent(r)
	maxWait := left
	if deadline, ok := ctx.Deadline(); ok {
		maxWait = min(left, time.Until(deadline)-finalLookTime)
	}
	for reads := 1; ; reads++ {
		passed := time.Since(begin) // by the clock before the list is read
		named, err := l.revokeNamed(ctx, r.Name, append(revokedIDs(ended), except...), missing)
		ended = append(ended, named...)
		missing = max(0, missing-countRevoked(named))
		if unread := (*listError)(nil); reads > 1 && errors.As(err, &unread) && timeIsUp(ctx) {
			return ended, missing, nil // an earlier read succeeded
		}
		switch {
		case missing == 0, passed >= left:
			return ended, 0, err
		case err != nil, passed >= maxWait:
			return ended, missing, err
		}
		if reads == 1 {
			l.Log.Infof("waiting, because a request to mint %q may still take effect until %s", r.Name, timefmt.Time(begin.Add(left)))
		}
		httpclient.Sleep(ctx, max(0, min(pollInterval, maxWait-time.Since(begin))))
		if timeIsUp(ctx) {
			return ended, missing, nil
		}
		if err := contextError(ctx); err != nil {
			return ended, missing, err
		}
	}
}

// timeIsUp reports whether the time limit has passed. That is no error while waiting for
// a PAT that may still be created: usually none is.
func timeIsUp(ctx context.Context) bool { return errors.Is(ctx.Err(), context.DeadlineExceeded) }

// sinceIntent is how much time has passed since the intent of a record. If this
// machine's clock was set meanwhile, the server's gives another time: the shorter one
// counts, and zero if the intent seems to lie in the future.
func (l *Client) sinceIntent(r Record) time.Duration {
	return max(0, min(time.Since(r.Intended), l.Server().Sub(r.ServerTime(r.Intended))))
}

// revokedIDs are the ids of PATs.
func revokedIDs(ended []Revoked) (list []string) {
	for _, e := range ended {
		list = append(list, e.ID)
	}
	return list
}

// countRevoked counts the PATs that were active until they were revoked. One that had
// already ended may have been counted before.
func countRevoked(ended []Revoked) (n int) {
	for _, e := range ended {
		if !e.Gone {
			n++
		}
	}
	return n
}

// maxListReads is how often a list of several pages is read at most.
const maxListReads = 6

// revokeNamed revokes every active PAT of that name (see [displayname.Compare]) whose id
// is not in except: the lease's own PAT, and revoked ones that the list may still show.
// want is how many are expected. Those found are revoked even if the list cannot be
// read to its end.
func (l *Client) revokeNamed(ctx context.Context, name string, except []string, want int) (ended []Revoked, err error) {
	if name == "" {
		return nil, errNoName
	}
	found, unclear, err := l.find(ctx, name, except, want)
	if err != nil && len(found) == 0 {
		return nil, &listError{err}
	}
	for _, t := range found {
		gone, e := l.revokeID(ctx, t.ID)
		if e == nil {
			ended = append(ended, Revoked{t.ID, t.ValidFrom, gone})
			continue
		}
		err = joinErrors(err, e)
		if ctx.Err() != nil {
			break
		}
	}
	if len(unclear) > 0 && countRevoked(ended) < want {
		err = joinErrors(err, unclearNamesError(unclear))
	}
	return ended, err
}

// find lists the active PATs of that name, and in unclear those whose shortened names
// may be that name. An error is about the rest of the list.
func (l *Client) find(ctx context.Context, name string, except []string, want int) (found, unclear []pat.Token, err error) {
	add := func(list *[]pat.Token, t pat.Token) {
		known := slices.ContainsFunc(except, func(id string) bool { return strings.EqualFold(id, t.ID) }) ||
			slices.ContainsFunc(*list, func(f pat.Token) bool { return strings.EqualFold(f.ID, t.ID) })
		if !known || t.ID == "" {
			*list = append(*list, t)
		}
	}
	keep := func(t pat.Token) {
		switch displayname.Compare(t.DisplayName, name) {
		case displayname.Same:
			add(&found, t)
		case displayname.Unclear:
			add(&unclear, t)
		}
	}
	err = l.readWholeList(ctx, keep, func() bool { return len(found) >= want })
	return found, unclear, err
}

// List returns the active PATs that keep accepts. It fails if the list cannot be read to
// its end.
func (l *Client) List(ctx context.Context, keep func(pat.Token) bool) (list []pat.Token, err error) {
	err = l.readWholeList(ctx, func(t pat.Token) {
		known := slices.ContainsFunc(list, func(f pat.Token) bool { return strings.EqualFold(f.ID, t.ID) })
		if !known && keep(t) {
			list = append(list, t)
		}
	}, func() bool { return false })
	return list, err
}

// readWholeList reads the list of active PATs so that none is missed, unless enough
// returns true. It calls each for every PAT, for some more than once.
func (l *Client) readWholeList(ctx context.Context, each func(pat.Token), enough func() bool) error {
	var before []byte
	for range maxListReads {
		list, pages, err := l.readList(ctx, each)
		if err != nil {
			return err
		}
		// Pages are not read at the same moment. When other jobs revoke their PATs
		// meanwhile, as the jobs of a matrix do, later PATs move to a page that was
		// already read. If two reads agree, none was missed.
		if pages < 2 || enough() || bytes.Equal(list, before) {
			break
		}
		before = list
	}
	return nil
}

// listError is the error of a list that could not be read to its end and showed no PAT
// of the lease until then.
type listError struct{ error }

func (u *listError) Unwrap() error { return u.error }

// readList reads the list of active PATs. It returns a checksum of the ids and the
// number of pages. After an error it continues where it was.
func (l *Client) readList(ctx context.Context, each func(pat.Token)) (sum []byte, pages int, err error) {
	h := sha256.New()
	next, stop := iter.Pull2(l.PATs.Pages(ctx, pat.Filter{}))
	defer func() { stop() }()
	broken := false
	err = httpclient.Retry(ctx, l.Log, "listing PATs", func(ctx context.Context) error {
		for {
			tokens, failed, ok := next()
			switch {
			case !ok && broken: // the iterator cannot continue after an error
				stop()
				h.Reset()
				next, stop = iter.Pull2(l.PATs.Pages(ctx, pat.Filter{}))
				pages = 0
			case !ok:
				return nil
			case failed != nil:
				broken = true
				return failed
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
