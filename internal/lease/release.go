package lease

import (
	"context"
	"strings"
	"sync"
	"time"

	"azdo-pat/internal/pat"
	"azdo-pat/internal/wire"
)

// Ended is a PAT that is no more.
type Ended struct {
	ID        string
	ValidFrom time.Time // zero: not known
	Gone      bool      // it had ended before
}

// Release ends what a record speaks of, and returns what it found.
//
// With an id it is that PAT; without one, or where a request to mint was left
// open, it is every PAT of exactly that name. A request that may still take
// effect is waited for.
func (l *Lessor) Release(ctx context.Context, r Record) ([]Ended, error) {
	var ended []Ended
	if r.ID != "" {
		gone, err := l.end(ctx, r.ID)
		if err != nil {
			return ended, err
		}
		ended = append(ended, Ended{r.ID, r.ValidFrom, gone})
		if !r.Doubt {
			return ended, nil
		}
	}
	named, err := l.endNamed(ctx, r.Name, r.ID)
	ended = append(ended, named...)
	if err != nil || len(ended) > 0 || r.Stage != Intended {
		return ended, err
	}
	for l.Now().Before(r.Intended.Add(settle)) && !l.Now().Before(r.Intended) {
		l.Log.Infof("no PAT named %q yet; the request that mints may still take effect until %s", r.Name, stamp(r.Intended.Add(settle)))
		l.Sleep(ctx, look)
		if err := ctxErr(ctx); err != nil {
			return ended, err
		}
		if ended, err = l.endNamed(ctx, r.Name, ""); err != nil || len(ended) > 0 {
			return ended, err
		}
	}
	return ended, nil
}

// end revokes one PAT.
func (l *Lessor) end(ctx context.Context, id string) (gone bool, err error) {
	err = wire.Retry(ctx, l.Log, "revoking", func(ctx context.Context) (err error) {
		gone, err = l.PATs.Revoke(ctx, id)
		return err
	})
	return gone, err
}

// endNamed revokes every active PAT of exactly that name but one.
func (l *Lessor) endNamed(ctx context.Context, name, except string) ([]Ended, error) {
	var found []pat.Token
	err := wire.Retry(ctx, l.Log, "listing", func(ctx context.Context) error {
		found = found[:0]
		for t, err := range l.PATs.List(ctx, pat.Filter{}) {
			if err != nil {
				return err
			}
			if t.DisplayName == name && !strings.EqualFold(t.ID, except) {
				found = append(found, t)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var ended []Ended
	for _, t := range found {
		gone, err := l.end(ctx, t.ID)
		if err != nil {
			return ended, err
		}
		ended = append(ended, Ended{t.ID, t.ValidFrom, gone})
	}
	return ended, nil
}

// moment is a time that two goroutines share.
type moment struct {
	mu sync.Mutex
	at time.Time
}

func (m *moment) store(t time.Time) { m.mu.Lock(); m.at = t; m.mu.Unlock() }

func (m *moment) load() time.Time { m.mu.Lock(); defer m.mu.Unlock(); return m.at }
