package lease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/timefmt"
)

// Renew extends the PAT of a lease by another lifetime from now, by the server's
// clock, and records its new end. A policy may grant less. A PAT that comes back
// wider than requested is revoked, and the error is [ErrWider].
func (l *Client) Renew(ctx context.Context, lease *Lease, want Want) error {
	var until time.Time
	var t pat.Token
	err := httpclient.Retry(ctx, l.Log, "renewing", func(ctx context.Context) (err error) {
		err = l.ready(ctx)
		if err != nil {
			return err
		}
		until = lease.serverTime(l).Add(want.Lifetime).Truncate(time.Second)
		t, err = l.PATs.Update(ctx, lease.Record.ID, pat.Update{ValidTo: until})
		var refused *pat.Error
		if err != nil && !(errors.As(err, &refused) && refused.Settled()) {
			lease.possibleEnd = until
		}
		return err
	})
	if err != nil {
		return err
	}
	if !strings.EqualFold(t.ID, lease.Record.ID) {
		lease.possibleEnd = until
		return fmt.Errorf("the answer is about PAT %s instead of %s", t.ID, lease.Record.ID)
	}
	lease.Token.ValidTo, lease.possibleEnd = t.ValidTo, time.Time{}
	lease.Record.ValidTo = t.ValidTo
	_, latest := lease.serverTimeBounds()
	if err := wider(t, want.Scopes, until, t.ValidTo.Sub(latest)-want.Lifetime); err != nil {
		return l.revokeWider(ctx, lease, err)
	}
	return l.Record(lease.Record)
}

// serverTimeBounds are the bounds of Azure DevOps' clock: the PAT's validFrom plus the
// time that has passed here since. After this machine was suspended, or its clock was
// set, that time is not known exactly.
func (l *Lease) serverTimeBounds() (earliest, latest time.Time) {
	r, wall := l.Record, l.wall()
	if r.ValidFrom.IsZero() {
		return wall.Add(-r.Skew.Max), wall.Add(-r.Skew.Min)
	}
	passed := max(time.Since(l.sent), wall.Sub(l.sent.Round(0)))
	return r.ValidFrom.Add(time.Since(l.received)), r.ValidFrom.Add(passed)
}

// serverTime is the time by Azure DevOps' clock. A Date header that contradicts the
// PAT's validFrom is ignored.
func (l *Lease) serverTime(c *Client) time.Time {
	earliest, latest := l.serverTimeBounds()
	if l.Record.ValidFrom.IsZero() {
		return c.Server()
	}
	switch t := c.Server(); {
	case t.Before(earliest):
		return earliest
	case t.After(latest):
		return latest
	default:
		return t
	}
}

// Expired reports whether the PAT has certainly expired.
func (l *Lease) Expired() bool {
	earliest, _ := l.serverTimeBounds()
	return earliest.After(l.Ends())
}

// revokeWider revokes the PAT at once.
func (l *Client) revokeWider(ctx context.Context, lease *Lease, cause error) error {
	ctx, cancel := context.WithTimeout(httpclient.Unpaced(context.WithoutCancel(ctx)), Cleanup)
	defer cancel()
	if _, err := l.revokeID(ctx, lease.Record.ID); err != nil {
		return hint.Add(fmt.Errorf("%w; it could not be revoked: %w", cause, err), hint.Of(cause))
	}
	lease.Record.Stage = Closed
	return &revokedError{cause}
}

// Ends is when the PAT expires at the latest, by the server's clock.
func (l *Lease) Ends() time.Time {
	if l.possibleEnd.After(l.Record.ValidTo) {
		return l.possibleEnd
	}
	return l.Record.ValidTo
}

const (
	// minGain is how much later than before a renewed PAT must end for another
	// renewal to be worthwhile. It bounds the number of renewals.
	minGain = 30 * time.Second
	// retryPause is how long to wait after a renewal that failed within its time
	// limit.
	retryPause = 30 * time.Second
	// sleepCheck is how often wait compares the clocks: timers stop while the machine
	// sleeps.
	sleepCheck = 30 * time.Second
)

// Renewer renews a lease while its PAT is in use.
type Renewer struct {
	Lease *Lease
	Want  Want
	// Timeout is the time limit of each renewal, retries included.
	Timeout time.Duration
	// Use calls a function with a signed-in Client.
	Use func(context.Context, func(*Client) error) error
	Log Log
}

// Run renews the lease each time two thirds of its remaining time have passed, until
// ctx ends or the lease cannot be renewed, which it warns of once. It returns an error
// only if the PAT had to be revoked: [ErrWider].
func (k *Renewer) Run(ctx context.Context) error {
	warned := false
	for due := k.remaining() * 2 / 3; k.wait(ctx, due); {
		before := k.Lease.Record.ValidTo
		err := k.renew(ctx)
		retryable, _ := httpclient.Retryable(err)
		if throttled := (*httpclient.Throttled)(nil); errors.As(err, &throttled) {
			retryable = true // after retryPause
		}
		switch {
		case ctx.Err() != nil && !errors.Is(err, ErrWider):
			return nil
		case errors.Is(err, ErrWider):
			return err
		case err == nil && k.Lease.Record.ValidTo.Sub(before) >= minGain:
			k.Log.Infof("renewed PAT %s: valid until %s", k.Lease.Record.ID, timefmt.Time(k.Lease.Record.ValidTo))
			due, warned = k.remaining()*2/3, false
		case err == nil:
			k.warn("the renewal was not granted; a policy of the organization limits the lifetime", "")
			return nil
		case retryable && k.remaining() > minGain:
			if !warned {
				k.warn(err.Error()+"; trying again later", hint.Of(err))
			}
			due, warned = retryPause, true
		case !warned:
			k.warn(err.Error(), hint.Of(err))
			return nil
		default:
			k.Log.Infof("PAT %s is still not renewed: %v", k.Lease.Record.ID, err)
			return nil
		}
	}
	return nil
}

func (k *Renewer) warn(why, what string) {
	r := k.Lease.Record
	ends := "it ends at " + timefmt.Time(r.ValidTo)
	switch {
	case k.Lease.Ends().After(r.ValidTo):
		ends += fmt.Sprintf(", or at %s if the server has renewed it", timefmt.Time(k.Lease.Ends()))
	case k.remaining() <= 0:
		ends = "it ended at " + timefmt.Time(r.ValidTo)
	}
	k.Log.Warning("PAT not renewed", joinLines(fmt.Sprintf("the PAT %s is not renewed: %s, even if the command is still running: %s", r.ID, ends, why), what))
}

func (k *Renewer) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, k.Timeout, fmt.Errorf("not renewed within %s", timefmt.Duration(k.Timeout)))
	defer cancel()
	return k.Use(ctx, func(l *Client) error { return l.Renew(ctx, k.Lease, k.Want) })
}

// remaining is how long the PAT is certain to be valid.
func (k *Renewer) remaining() time.Duration {
	_, latest := k.Lease.serverTimeBounds()
	return k.Lease.Record.ValidTo.Sub(latest)
}

// wait waits for d, and returns false if ctx ends first. It compares both the monotonic
// and the wall clock, since one of them may stop or be set while the machine sleeps.
func (k *Renewer) wait(ctx context.Context, d time.Duration) bool {
	start, wall := time.Now(), k.Lease.wall()
	for ctx.Err() == nil {
		left := d - max(time.Since(start), k.Lease.wall().Sub(wall))
		if left <= 0 {
			return true
		}
		httpclient.Sleep(ctx, min(left, sleepCheck))
	}
	return false
}
