package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/timefmt"
)

// Acquire mints a PAT named r.Name. If it fails, no PAT is left, or both the error and
// the record say that one may be.
func (l *Client) Acquire(ctx context.Context, r Record, want Want) (*Lease, error) {
	r.Stage = Intended
	a := &acquisition{Client: l, r: r, want: want, clock: l.Server}
	defer a.startGrace(ctx)()
	err := httpclient.Retry(ctx, l.Log, "minting", a.attempt)
	for range maxCorrections {
		clock := a.betterClock(err)
		if clock == nil {
			break
		}
		err = a.mintAgain(ctx, clock)
	}
	if err == nil {
		err = a.verify()
	}
	if err == nil && a.r.Unsettled > 0 {
		// An earlier request may have taken effect since.
		err = a.revokeUnsettled(ctx)
		if err == nil {
			a.r.Stage = Minted
			err = l.Record(a.r)
		}
	}
	if err == nil {
		err = contextError(ctx)
	}
	if err != nil {
		return nil, a.undo(ctx, err)
	}
	return &Lease{Token: a.token, Record: a.r, sent: a.sent, received: a.received, wall: wallClock}, nil
}

// Undo revokes a lease that could not be handed over because of cause. The error is
// cause, together with what is left, if anything.
func (l *Client) Undo(ctx context.Context, lease *Lease, cause error) error {
	a := &acquisition{Client: l, r: lease.Record, token: lease.Token, mayCommit: lease.Record.Unsettled > 0}
	defer a.startGrace(ctx)()
	return a.undo(ctx, cause)
}

// acquisition is one call of [Client.Acquire] or [Client.Undo].
type acquisition struct {
	*Client
	r     Record
	want  Want
	clock func() time.Time // used to compute the PAT's end
	asked pat.Create
	// sent and received are of the last create request, by this machine's clock.
	sent, received time.Time

	token         pat.Token
	ended         []Revoked // revoked PATs that unsettled requests had created
	lastUnsettled time.Time // the intent of the last unsettled request; zero: unknown
	mayCommit     bool      // an unsettled request may still take effect
	answered      bool      // the answer to the last unsettled request is about a.token
	lookFailed    bool      // the last search for PATs of unsettled requests failed
	// cleanup is the context for cleaning up; it has a grace period after a signal to
	// stop.
	cleanup context.Context
}

// startGrace sets a.cleanup. It must be called before the first request, so that the
// grace period starts at the signal and not later.
func (a *acquisition) startGrace(ctx context.Context) (stop func()) {
	a.cleanup, stop = httpclient.WithGracePeriod(httpclient.Unpaced(ctx), StopCleanup)
	return stop
}

// attempt sends one request to mint, after it has recorded the intent.
func (a *acquisition) attempt(ctx context.Context) error {
	if err := a.recordIntent(ctx); err != nil {
		return httpclient.Permanent(err)
	}
	a.asked = pat.Create{
		DisplayName: a.r.Name, Scopes: a.want.Scopes,
		ValidTo: a.clock().Add(a.want.Lifetime).Truncate(time.Second),
	}
	a.sent = time.Now()
	token, err := a.create(ctx)
	a.received = time.Now()
	misnamed := err == nil && token.DisplayName != a.r.Name
	if misnamed {
		err = otherNameError(token, a.r.Name)
	}
	outcome := outcomeOf(err)
	if outcome != settled {
		// The request may have created a PAT, not necessarily the one in the answer.
		a.r.Unsettled++
		a.lastUnsettled = a.r.Intended
		a.mayCommit = a.mayCommit || outcome == pending
	}
	if e := a.Mask(token.Secret); e != nil {
		err = httpclient.Permanent(joinErrors(e, err))
	}
	// Never revoke by an id from the answer if the PAT's name is not ours.
	if token.ID != "" && displayname.Compare(token.DisplayName, a.r.Name) != displayname.Different {
		a.answered = misnamed || outcome == unreadable
		return httpclient.Permanent(joinErrors(a.recordToken(token), err))
	}
	if outcome == settled {
		return err
	}
	return a.search(ctx, err)
}

// outcome is what the answer to a create request says about its PAT.
type outcome int

const (
	settled    outcome = iota // it was minted or refused
	unreadable                // it was minted or refused, but the answer does not tell which
	pending                   // no conclusive answer: it may still be minted
)

func outcomeOf(err error) outcome {
	var refused *pat.Error
	switch {
	case err == nil:
		return settled
	case !errors.As(err, &refused):
		return pending
	case refused.Settled():
		return settled
	case refused.Unanswered() || refused.Status >= 500:
		return pending
	}
	return unreadable
}

// search looks for the PAT of the request that failed with cause before another request
// is sent, and revokes it. The error is cause, together with what else failed.
func (a *acquisition) search(ctx context.Context, cause error) error {
	if err := a.Record(a.r); err != nil {
		return httpclient.Permanent(joinErrors(fmt.Errorf("record that the request is unsettled: %w", err), cause))
	}
	if ctx.Err() != nil {
		return cause
	}
	a.Log.Infof("%v; looking for a PAT that the request may have created", cause)
	if err := a.revokeUnsettled(ctx); err != nil {
		return httpclient.Permanent(joinErrors(cause, err))
	}
	return cause
}

// recordIntent waits out any throttling, and records that a create request is about to
// be sent.
func (a *acquisition) recordIntent(ctx context.Context) error {
	// Wait before the clock is read: the lifetime starts when the request is sent.
	if err := a.ready(ctx); err != nil {
		return fmt.Errorf("mint a PAT: %w", err)
	}
	a.r.Intended = time.Now()
	sent := a.r
	sent.Unsettled++ // until the answer is known
	if err := a.Record(sent); err != nil {
		return fmt.Errorf("record the intent to mint: %w; nothing was minted", err)
	}
	return contextError(ctx)
}

// recordToken records the id and the life of the PAT in an answer.
func (a *acquisition) recordToken(token pat.Token) error {
	a.token = token
	a.r.ID, a.r.ValidFrom, a.r.ValidTo = token.ID, token.ValidFrom, token.ValidTo
	if from := token.ValidFrom; !from.IsZero() {
		a.r.Skew = httpclient.MeasureSkew(a.sent, a.received, from, from)
	}
	if a.r.Unsettled == 0 {
		a.r.Stage = Minted
	}
	if err := a.Record(a.r); err != nil {
		return fmt.Errorf("record the PAT's id: %w", err)
	}
	return nil
}

// revokeUnsettled revokes the PATs of unsettled requests and updates the number that
// remains: zero after commitWindow, when none can take effect any more.
func (a *acquisition) revokeUnsettled(ctx context.Context) error {
	lost := a.lastUnsettled
	if lost.IsZero() {
		lost = a.r.Intended
	}
	late := time.Since(lost) >= commitWindow
	ended, err := a.revokeNamed(ctx, a.r.Name, append(revokedIDs(a.ended), a.r.ID), a.r.Unsettled)
	a.ended = append(a.ended, ended...)
	a.r.Unsettled = max(0, a.r.Unsettled-countRevoked(ended))
	if err == nil && late {
		a.r.Unsettled = 0
	}
	a.lookFailed = err != nil
	return err
}

// waitForUnsettled waits, within the time limit, until no unsettled request can take
// effect any more, and revokes the PATs that they create.
func (a *acquisition) waitForUnsettled(ctx context.Context) error {
	ended, open, err := a.revokeUntilSettled(ctx, a.r, append(revokedIDs(a.ended), a.r.ID), a.r.Unsettled)
	a.ended = append(a.ended, ended...)
	a.r.Unsettled = open
	return err
}

// Settle waits, within the time limit, until no unsettled request to mint can take
// effect any more. Call it if no later process would revoke a late PAT.
func (l *Client) Settle(ctx context.Context, lease *Lease) error {
	if lease.Record.Unsettled == 0 {
		return nil
	}
	a := &acquisition{Client: l, r: lease.Record}
	err := a.waitForUnsettled(ctx)
	lease.Record = a.r
	return err
}

// create sends the request. After a signal to stop it waits createGrace for the
// answer.
func (a *acquisition) create(ctx context.Context) (pat.Token, error) {
	ctx, cancel := httpclient.WithGracePeriod(httpclient.Unpaced(ctx), createGrace) // recordIntent has waited already
	defer cancel()
	return a.PATs.Create(ctx, a.asked)
}

// maxCorrections is how often a PAT is minted again because its end was computed from
// a wrong clock.
const maxCorrections = 2

// betterClock returns a better clock if the PAT's end was computed from a wrong one and
// the PAT must be minted again; otherwise nil.
//
// Azure DevOps' clock is known for certain only after an answer. The answer shows it
// twice: in the PAT's validFrom, which decides how long it lives, and in the Date
// header, which a proxy can change. validFrom alone is not enough: it must agree with
// the Date or with this machine's clock.
func (a *acquisition) betterClock(err error) func() time.Time {
	off := func(now time.Time) bool {
		return (a.asked.ValidTo.Sub(now) - a.want.Lifetime).Abs() > httpclient.Tolerance
	}
	begin := a.token.ValidFrom
	switch {
	case err == nil && begin.IsZero():
		if off(a.Server()) {
			return a.Server
		}
	case err == nil:
		took := a.received.Sub(a.sent)
		confirmed := func(now time.Time) bool {
			since := now.Sub(begin)
			return since >= -httpclient.Tolerance && since <= took+httpclient.Tolerance
		}
		if off(begin) && (confirmed(a.Server()) || confirmed(time.Now())) {
			received := a.received
			return func() time.Time { return begin.Add(time.Since(received)) }
		}
	case endRefused(err):
		for _, clock := range []func() time.Time{a.Server, time.Now} {
			if off(clock()) {
				return clock
			}
		}
	}
	return nil
}

// endRefused reports whether a create request was refused because of its validTo.
func endRefused(err error) bool {
	var refused *pat.Error
	return errors.As(err, &refused) && refused.Code == "invalidValidTo"
}

// mintAgain revokes the PAT, if there is one, and mints another whose end is computed
// from clock.
func (a *acquisition) mintAgain(ctx context.Context, clock func() time.Time) error {
	a.Log.Infof("the requested end, %s, is %s from now by the server's clock instead of %s; minting again",
		timefmt.Time(a.asked.ValidTo), timefmt.Duration(a.asked.ValidTo.Sub(clock()).Round(time.Second)), timefmt.Duration(a.want.Lifetime))
	if a.r.ID != "" {
		if _, err := a.revokeID(ctx, a.r.ID); err != nil {
			return err
		}
		a.ended = append(a.ended, Revoked{ID: a.r.ID})
	}
	a.token, a.r.ID, a.r.Stage = pat.Token{}, "", Intended
	a.clock = clock
	return httpclient.Retry(ctx, a.Log, "minting", a.attempt)
}
