package rotate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/timefmt"
)

// Replaced is a PAT that the next one has replaced.
type Replaced struct {
	ID string
	// Ends is when it ends; zero: it has ended.
	Ends time.Time
}

// ErrOvertaken is the error of a rotation whose PAT another rotation of the same
// consumer, which ran at the same time, has ended or may end. The consumer needs
// another PAT.
var ErrOvertaken = errors.New("another rotation ran at the same time")

// pollInterval is how often the list is read while another rotation is under way.
const pollInterval = 2 * time.Second

// Replace ends the PATs before own, once the consumer has own: at once, or with an
// overlap by moving their ends, never to a later time. before are the PATs that were
// active before own was minted. A PAT that another rotation has minted since is left
// alone, because its consumer may have been given it.
//
// Replace ends nothing if own does not last; see [ErrOvertaken]. If one PAT cannot be
// ended, the others still are.
func (c *Consumer) Replace(ctx context.Context, l *lease.Client, own *lease.Lease, before []pat.Token) (done []Replaced, err error) {
	active, err := c.settled(ctx, l, own, before)
	if err != nil {
		return nil, err
	}
	for _, t := range active {
		twin := t.DisplayName == own.Record.Name && !strings.EqualFold(t.ID, own.Token.ID) // of a lost answer
		if !contains(before, t.ID) && !twin {
			continue
		}
		ends, failed := c.end(ctx, l, own, t)
		switch {
		case failed == nil:
			done = append(done, Replaced{t.ID, ends})
		case err == nil:
			err = failed
		default:
			err = fmt.Errorf("%w; %w", err, failed)
		}
	}
	return done, err
}

// end ends one PAT and returns when it ends; zero: it has ended.
func (c *Consumer) end(ctx context.Context, l *lease.Client, own *lease.Lease, t pat.Token) (ends time.Time, err error) {
	if c.Overlap < 2*time.Second { // the server takes no end in the past
		err = l.Revoke(ctx, t)
	} else {
		ends, err = l.Shorten(ctx, t, l.ServerTime(own).Add(c.Overlap))
	}
	switch {
	case errors.Is(err, lease.ErrWider): // it says whether the PAT was revoked
		err = fmt.Errorf("move the end of PAT %s: %w", t.ID, err)
	case err != nil:
		err = fmt.Errorf("PAT %s, valid until %s, is not known to have ended: %w", t.ID, timefmt.Time(t.ValidTo), err)
	}
	return ends, err
}

// settled returns the consumer's active PATs once own is certain to last. If there is a
// newer PAT, another rotation is under way: it ends every PAT that it found, and it may
// have found own. It is unknown which of the two the consumer was given last, so
// settled waits until the other rotation has ended, or for half of the time that is
// left.
func (c *Consumer) settled(ctx context.Context, l *lease.Client, own *lease.Lease, before []pat.Token) ([]pat.Token, error) {
	until := time.Now().Add(pollInterval)
	if deadline, ok := ctx.Deadline(); ok {
		until = time.Now().Add(time.Until(deadline) / 2)
	}
	last := before
	for reads := 1; ; reads++ {
		active, err := c.List(ctx, l)
		if err != nil {
			return nil, err
		}
		if err := c.lasts(ctx, l, own, active); err != nil {
			return nil, err
		}
		other := newer(active, own, before)
		switch {
		case other == nil:
			return active, nil
		case endedOf(last, active, before):
			return nil, fmt.Errorf("%w: it minted the PAT %s and has ended", ErrOvertaken, other.ID)
		case !time.Now().Before(until):
			return nil, fmt.Errorf("%w: it minted the PAT %s", ErrOvertaken, other.ID)
		case reads == 1:
			c.Log.Infof("another rotation of %s is under way: it minted the PAT %s; waiting for its end", c.Name, other.ID)
		}
		last = active
		if httpclient.Sleep(ctx, pollInterval); ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// lasts returns an error if another rotation has ended own, or has moved its end.
func (c *Consumer) lasts(ctx context.Context, l *lease.Client, own *lease.Lease, active []pat.Token) error {
	id := own.Token.ID
	i := index(active, id)
	if i < 0 { // it was revoked, or the list does not show it yet
		revoked, err := l.IsRevoked(ctx, id)
		if revoked {
			err = fmt.Errorf("%w: the PAT %s was revoked", ErrOvertaken, id)
		}
		return err
	}
	if ends := active[i].ValidTo; own.Token.ValidTo.Sub(ends) > time.Second {
		return fmt.Errorf("%w: the PAT %s now ends at %s", ErrOvertaken, id, timefmt.Time(ends))
	}
	return nil
}

// newer returns a PAT that another rotation has minted after own; nil: there is none.
func newer(active []pat.Token, own *lease.Lease, before []pat.Token) *pat.Token {
	for _, t := range active {
		mine := t.DisplayName == own.Record.Name || contains(before, t.ID)
		if !mine && !t.ValidFrom.Before(own.Token.ValidFrom) {
			return &t
		}
	}
	return nil
}

// endedOf reports whether one of those PATs was active at the last reading and is not any
// more, or ends earlier.
func endedOf(last, active, those []pat.Token) bool {
	for _, t := range those {
		i, j := index(last, t.ID), index(active, t.ID)
		if i >= 0 && (j < 0 || active[j].ValidTo.Before(last[i].ValidTo)) {
			return true
		}
	}
	return false
}
