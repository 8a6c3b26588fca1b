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
)

// Renew gives the PAT of a lease another lifetime, from now by the server's
// clock, and notes its new end in the lease. A policy may grant less. A PAT that
// comes back wider than asked for is revoked, and the error is [ErrWider].
func (l *Client) Renew(ctx context.Context, lease *Lease, want Want) error {
	var until time.Time
	var t pat.Token
	err := httpclient.Retry(ctx, l.Log, "renewing", func(ctx context.Context) (err error) {
		if err := l.ready(ctx); err != nil {
			return err
		}
		until = lease.time(l).Add(want.Lifetime).Truncate(time.Second)
		t, err = l.PATs.Update(ctx, lease.Record.ID, pat.Update{ValidTo: until})
		var refused *pat.Error
		if err != nil && !(errors.As(err, &refused) && refused.Settled()) {
			lease.latest = until
		}
		return err
	})
	if err != nil {
		return err
	}
	if !strings.EqualFold(t.ID, lease.Record.ID) {
		lease.latest = until
		return fmt.Errorf("the answer speaks of the PAT %s instead of %s", t.ID, lease.Record.ID)
	}
	lease.Token.ValidTo, lease.latest = t.ValidTo, time.Time{}
	lease.Record.ValidTo = t.ValidTo
	_, latest := lease.bounds(l.Now())
	if err := wider(t, want.Scopes, until, t.ValidTo.Sub(latest)-want.Lifetime); err != nil {
		return l.endWider(ctx, lease, err)
	}
	return l.Record(lease.Record)
}

// bounds are what Azure DevOps' clock can show, by when the PAT began and the time
// that has passed here since: a machine that was suspended, or whose clock was
// set, may not know how much that is.
func (l *Lease) bounds(now time.Time) (earliest, latest time.Time) {
	r := l.Record
	if r.ValidFrom.IsZero() {
		return now.Add(-r.Skew.Max), now.Add(-r.Skew.Min)
	}
	passed := max(now.Sub(l.sent), now.Round(0).Sub(l.sent.Round(0)))
	return r.ValidFrom.Add(now.Sub(l.received)), r.ValidFrom.Add(passed)
}

// time is Azure DevOps' clock. A Date that contradicts the PAT's beginning is no
// clock.
func (l *Lease) time(by *Client) time.Time {
	earliest, latest := l.bounds(by.Now())
	if l.Record.ValidFrom.IsZero() {
		return by.Server()
	}
	switch t := by.Server(); {
	case t.Before(earliest):
		return earliest
	case t.After(latest):
		return latest
	default:
		return t
	}
}

// Expired reports whether it is certain that the PAT has ended by itself.
func (l *Lease) Expired(now time.Time) bool {
	earliest, _ := l.bounds(now)
	return earliest.After(l.Ends())
}

// endWider revokes the PAT at once.
func (l *Client) endWider(ctx context.Context, lease *Lease, cause error) error {
	ctx, cancel := context.WithTimeout(httpclient.Unpaced(context.WithoutCancel(ctx)), Cleanup)
	defer cancel()
	if _, err := l.end(ctx, lease.Record.ID); err != nil {
		return hint.Add(fmt.Errorf("%w; it could not be revoked: %w", cause, err), hint.Of(cause))
	}
	lease.Record.Stage = Closed
	return &undone{cause}
}

// Ends is when the PAT ends by itself at the latest, by the server's clock.
func (l *Lease) Ends() time.Time {
	if l.latest.After(l.Record.ValidTo) {
		return l.latest
	}
	return l.Record.ValidTo
}

const (
	// gain is how much later than before a renewed PAT must end for another
	// renewal to be worth it. It bounds how often one is asked for.
	minGain = 30 * time.Second
	// pause is how long a server is left alone that could not be reached within
	// the time that a renewal has.
	retryPause = 30 * time.Second
	// glance is how often it is looked whether a wait is over: timers stand
	// still while a machine sleeps, and its clock does not.
	sleepCheck = 30 * time.Second
)

// Renewer keeps a lease alive for as long as somebody uses its PAT.
type Renewer struct {
	Lease *Lease
	Want  Want
	// Timeout bounds each renewal, its retries included.
	Timeout time.Duration
	// Use calls a function with a Client that is signed in.
	Use func(context.Context, func(*Client) error) error
	Log Log
	// Now is this machine's clock; After is [time.After].
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
}

// Keep renews the lease whenever two thirds of what is left of it are over,
// until ctx ends or it cannot be renewed any more, of which it warns once. It
// returns an error, [ErrWider], only where the PAT had to be revoked.
func (k *Renewer) Run(ctx context.Context) error {
	warned := false
	for due := k.rest() * 2 / 3; k.wait(ctx, due); {
		before := k.Lease.Record.ValidTo
		err := k.renew(ctx)
		passing, _ := httpclient.Retryable(err)
		if throttled := (*httpclient.Throttled)(nil); errors.As(err, &throttled) {
			passing = true // after the pause
		}
		switch {
		case ctx.Err() != nil && !errors.Is(err, ErrWider):
			return nil
		case errors.Is(err, ErrWider):
			return err
		case err == nil && k.Lease.Record.ValidTo.Sub(before) >= minGain:
			k.Log.Infof("renewed PAT %s: valid until %s", k.Lease.Record.ID, stamp(k.Lease.Record.ValidTo))
			due, warned = k.rest()*2/3, false
		case err == nil:
			k.warn("it was asked for and not granted; a policy of the organization limits the lifetime", "")
			return nil
		case passing && k.rest() > minGain:
			if !warned {
				k.warn(err.Error()+"; it is tried again later", hint.Of(err))
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
	ends := "it ends at " + stamp(r.ValidTo)
	switch {
	case k.Lease.Ends().After(r.ValidTo):
		ends += fmt.Sprintf(", or at %s if the server has renewed it all the same", stamp(k.Lease.Ends()))
	case k.rest() <= 0:
		ends = "it ended at " + stamp(r.ValidTo)
	}
	k.Log.Warning("PAT not renewed", join(fmt.Sprintf("the PAT %s is not renewed: %s, whether the command still runs or not: %s", r.ID, ends, why), what))
}

func (k *Renewer) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, k.Timeout, fmt.Errorf("not renewed within %s", k.Timeout))
	defer cancel()
	return k.Use(ctx, func(l *Client) error { return l.Renew(ctx, k.Lease, k.Want) })
}

// rest is how long the PAT is certain to be good for.
func (k *Renewer) rest() time.Duration {
	_, latest := k.Lease.bounds(k.Now())
	return k.Lease.Record.ValidTo.Sub(latest)
}

// wait waits, and reports false if ctx ends meanwhile. The time that a machine
// sleeps counts, and so does what its clock does not show.
func (k *Renewer) wait(ctx context.Context, d time.Duration) bool {
	start := k.Now()
	for {
		now := k.Now()
		left := d - max(now.Sub(start), now.Round(0).Sub(start.Round(0)))
		if left <= 0 {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-k.After(min(left, sleepCheck)):
		}
	}
}
