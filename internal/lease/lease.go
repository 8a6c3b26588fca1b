// Package lease acquires, renews and releases PATs so that none outlives its
// use unseen.
//
// A lease is a PAT together with what is needed to end it. Before the request
// that mints is sent, the intent is on record: the display name that the PAT
// will have, which is enough to find it again. So whatever happens between that
// request and its answer, somebody can end what it made: this process, the post
// step, or somebody who looks for the name.
package lease

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/secret"
)

// PATs is the API that a [Client] needs.
type PATs interface {
	Create(context.Context, pat.Create) (pat.Token, error)
	Pages(context.Context, pat.Filter) iter.Seq2[[]pat.Token, error]
	Update(ctx context.Context, id string, p pat.Update) (pat.Token, error)
	Revoke(ctx context.Context, id string) (gone bool, err error)
	Listed(ctx context.Context, id string, show pat.Show) (bool, error)
}

// Log says what happens.
type Log interface {
	Infof(format string, args ...any)
	Warning(title, text string)
}

// The time that is left when the time is up.
const (
	// Cleanup is how long cleaning up after a failure may take.
	Cleanup = 5 * time.Second
	// StopCleanup is how long it may take after the process was told to stop. The
	// rest of Cleanup is for ending the process.
	StopCleanup = 4500 * time.Millisecond
	// grace is how long a request that mints is still waited for when the
	// process was told to stop: its answer names what there is to revoke.
	createGrace = 2 * time.Second
	// settle is how long after the intent a request that mints can take effect:
	// Azure DevOps holds it back for up to 30 seconds, and then carries it out
	// even if nobody waits for the answer any more.
	commitWindow = httpclient.RequestTimeout + 5*time.Second
	// look is how often it is looked for in that time.
	pollInterval = 2 * time.Second
	// lastLook is what is left of the time for the last of it.
	finalLookTime = 500 * time.Millisecond
)

// slack is how much later than asked a PAT may end before that counts as wider,
// and how much earlier before it is worth a warning.
const expiryTolerance = time.Second

// Client gives and ends leases.
type Client struct {
	PATs PATs
	// Record keeps the record where the post step finds it.
	Record func(Record) error
	// Mask keeps a PAT out of every log. It is called before the PAT goes
	// anywhere else.
	Mask func(secret.Value) error
	Log  Log
	// Now is this machine's clock, Server the server's as far as it is known.
	Now, Server func() time.Time
	// Sleep waits, or returns early with ctx.
	Sleep func(context.Context, time.Duration)
	// Ready waits for as long as Azure DevOps has asked for before the next
	// request; nil: it never asks.
	Ready func(context.Context) error
	// Last says that no later process looks for what is left: so a request to
	// mint that may still take effect is waited for here.
	Last bool
}

func (l *Client) ready(ctx context.Context) error {
	if l.Ready == nil {
		return nil
	}
	return l.Ready(ctx)
}

// Want is what is asked for.
type Want struct {
	Scopes   []string
	Lifetime time.Duration
}

// Lease is a PAT and what is needed to end it.
type Lease struct {
	Token  pat.Token
	Record Record
	// latest is the end that was asked for where the answer does not tell
	// whether the PAT has got it.
	latest time.Time
	// The PAT was made between sent and received, by this machine's clock.
	sent, received time.Time
}

// Acquire mints a PAT under r.Name. When it fails, no PAT is left, or the error
// and the record say that one may be.
func (l *Client) Acquire(ctx context.Context, r Record, want Want) (*Lease, error) {
	r.Stage = Intended
	a := &acquisition{Client: l, r: r, want: want, clock: l.Server}
	defer a.startGrace(ctx)()
	err := httpclient.Retry(ctx, l.Log, "minting", a.attempt)
	for range corrections {
		clock := a.betterClock(err)
		if clock == nil {
			break
		}
		err = a.again(ctx, clock)
	}
	if err == nil {
		err = a.verify()
	}
	if err == nil && a.r.Unsettled > 0 {
		// An earlier request may have taken effect after it was looked for.
		if err = a.lookAgain(ctx); err == nil {
			a.r.Stage = Minted
			err = l.Record(a.r)
		}
	}
	if err == nil {
		err = ctxErr(ctx)
	}
	if err != nil {
		return nil, a.undo(ctx, err)
	}
	return &Lease{Token: a.token, Record: a.r, sent: a.sent, received: a.received}, nil
}

// Undo ends a lease that could not be handed over because of cause. The error
// is cause, together with what is left, if anything.
func (l *Client) Undo(ctx context.Context, lease *Lease, cause error) error {
	a := &acquisition{Client: l, r: lease.Record, token: lease.Token, late: lease.Record.Unsettled > 0}
	defer a.startGrace(ctx)()
	return a.undo(ctx, cause)
}

// acquisition is one call of Acquire.
type acquisition struct {
	*Client
	r     Record
	want  Want
	clock func() time.Time // by which the PAT's end is reckoned
	asked pat.Create
	// The request was sent and answered then, by this machine's clock.
	sent, received time.Time

	token pat.Token
	ended []Revoked // what unsettled requests had made
	lost  time.Time // when the last request was sent that is not settled; zero: not known
	late  bool      // one of them may yet take effect
	named bool      // the answer to the last one names its PAT, a.token

	lookFailed bool // the last look for what unsettled requests made
	// cleanup is the context for cleaning up, which goes on after the process was
	// told to stop.
	cleanup context.Context
}

// startGrace sets a.cleanup. It must be called before anything is sent, so that the
// time counts from when the process is told to stop.
func (a *acquisition) startGrace(ctx context.Context) (stop func()) {
	a.cleanup, stop = httpclient.WithGracePeriod(httpclient.Unpaced(ctx), StopCleanup)
	return stop
}

// attempt sends one request that mints, after its intent is on record.
func (a *acquisition) attempt(ctx context.Context) error {
	// Before the clock is read: what is asked for counts from when it is sent.
	if err := a.ready(ctx); err != nil {
		return httpclient.Permanent(fmt.Errorf("mint a PAT: %w", err))
	}
	a.r.Intended = a.Now()
	sent := a.r
	sent.Unsettled++ // until there is an answer
	if err := a.Record(sent); err != nil {
		return httpclient.Permanent(fmt.Errorf("record the intent to mint: %w; nothing was minted", err))
	}
	if err := ctxErr(ctx); err != nil {
		return httpclient.Permanent(err)
	}
	a.asked = pat.Create{
		DisplayName: a.r.Name, Scopes: a.want.Scopes,
		ValidTo: a.clock().Add(a.want.Lifetime).Truncate(time.Second),
	}
	a.sent = a.Now()
	token, err := a.create(ctx)
	a.received = a.Now()
	misnamed := err == nil && token.DisplayName != a.r.Name
	if misnamed {
		err = renamed(token, a.r.Name)
	}
	var refused *pat.Error
	unsettled := err != nil && !(errors.As(err, &refused) && refused.Settled())
	// An answer that cannot be read is one all the same: what it is about has
	// been done, or has not.
	unanswered := unsettled && (refused == nil || refused.Unanswered() || refused.Status >= 500)
	if unsettled {
		// Whether a PAT was made is not known, and what the answer names need
		// not be it.
		a.r.Unsettled++
		a.lost = a.r.Intended
		a.late = a.late || unanswered
	}
	if e := a.Mask(token.Secret); e != nil {
		err = httpclient.Permanent(and(e, err))
	}
	// Nothing is revoked by an id that does not come with our name.
	if token.ID != "" && displayname.Compare(token.DisplayName, a.r.Name) != displayname.Different {
		a.token, a.named = token, unsettled && (misnamed || !unanswered)
		a.r.ID, a.r.ValidFrom, a.r.ValidTo = token.ID, token.ValidFrom, token.ValidTo
		if from := token.ValidFrom; !from.IsZero() {
			a.r.Skew = httpclient.MeasureSkew(a.sent, a.received, from, from)
		}
		if a.r.Unsettled == 0 {
			a.r.Stage = Minted
		}
		if e := a.Record(a.r); e != nil {
			err = and(fmt.Errorf("record the PAT's id: %w", e), err)
		}
		return httpclient.Permanent(err)
	}
	if !unsettled {
		return err
	}
	if e := a.Record(a.r); e != nil {
		return httpclient.Permanent(and(fmt.Errorf("record that the answer is open: %w", e), err))
	}
	if ctx.Err() != nil {
		return err
	}
	// Look before anything else is done.
	a.Log.Infof("%v; looking for what it may have made", err)
	if e := a.lookAgain(ctx); e != nil {
		return httpclient.Permanent(and(err, e))
	}
	return err
}

// lookAgain ends what unsettled requests have made. When each of them is
// accounted for, or too old to take effect any more, there is no doubt left.
func (a *acquisition) lookAgain(ctx context.Context) error {
	lost := a.lost
	if lost.IsZero() {
		lost = a.r.Intended
	}
	late := a.Now().Sub(lost) >= commitWindow
	ended, err := a.endNamed(ctx, a.r.Name, append(ids(a.ended), a.r.ID), a.r.Unsettled)
	a.ended = append(a.ended, ended...)
	a.r.Unsettled = max(0, a.r.Unsettled-news(ended))
	if err == nil && late {
		a.r.Unsettled = 0
	}
	a.lookFailed = err != nil
	return err
}

// outwait waits until no request to mint that is not settled can take effect any
// more, as far as there is time.
func (a *acquisition) outwait(ctx context.Context) error {
	ended, open, err := a.await(ctx, a.r, append(ids(a.ended), a.r.ID), a.r.Unsettled, true)
	a.ended = append(a.ended, ended...)
	a.r.Unsettled = open
	return err
}

// Settle waits until no earlier request to mint can take effect any more, as far
// as there is time, where no later process would look for what it makes.
func (l *Client) Settle(ctx context.Context, lease *Lease) error {
	if lease.Record.Unsettled == 0 {
		return nil
	}
	a := &acquisition{Client: l, r: lease.Record}
	err := a.outwait(ctx)
	lease.Record = a.r
	return err
}

// create sends the request. When the process is told to stop meanwhile, the
// answer is waited for a little longer.
func (a *acquisition) create(ctx context.Context) (pat.Token, error) {
	ctx, cancel := httpclient.WithGracePeriod(httpclient.Unpaced(ctx), createGrace) // attempt has waited
	defer cancel()
	return a.PATs.Create(ctx, a.asked)
}

// corrections is how often a PAT is minted again because its end was reckoned by
// a wrong clock.
const corrections = 2

// betterClock returns the clock by which the PAT is to be minted again, if that
// by which its end was reckoned has turned out to be wrong; or nil.
//
// Azure DevOps' clock is known for sure only when it has answered. It tells the
// time twice: by when the PAT begins, which decides how long it lives, and by
// the Date, which a proxy can change. Neither is believed alone: the beginning
// must agree with the Date or with this machine's clock.
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
		if off(begin) && (confirmed(a.Server()) || confirmed(a.Now())) {
			received := a.received
			return func() time.Time { return begin.Add(a.Now().Sub(received)) }
		}
	case endRefused(err):
		for _, clock := range []func() time.Time{a.Server, a.Now} {
			if off(clock()) {
				return clock
			}
		}
	}
	return nil
}

// endRefused reports whether a create failed for the end that it asked for.
func endRefused(err error) bool {
	var refused *pat.Error
	return errors.As(err, &refused) && refused.Code == "invalidValidTo"
}

// again ends the PAT, if there is one, and mints another one whose end is
// reckoned by that clock.
func (a *acquisition) again(ctx context.Context, clock func() time.Time) error {
	a.Log.Infof("the PAT was asked to end at %s, which by the server's clock is %s from now instead of %s; minting it again",
		stamp(a.asked.ValidTo), a.asked.ValidTo.Sub(clock()).Round(time.Second), a.want.Lifetime)
	if a.r.ID != "" {
		if _, err := a.end(ctx, a.r.ID); err != nil {
			return err
		}
		a.ended = append(a.ended, Revoked{ID: a.r.ID})
	}
	a.token, a.r.ID, a.r.Stage = pat.Token{}, "", Intended
	a.clock = clock
	return httpclient.Retry(ctx, a.Log, "minting", a.attempt)
}

// verify compares what was granted with what was asked for.
func (a *acquisition) verify() error {
	t := a.token
	life := t.ValidTo.Sub(t.ValidFrom)
	if t.ValidFrom.IsZero() {
		life = t.ValidTo.Sub(a.Server())
	}
	if err := wider(t, a.asked.Scopes, a.asked.ValidTo, life-a.want.Lifetime); err != nil {
		return err
	}
	if life <= 0 {
		return fmt.Errorf("the PAT ended at %s, before it could be used", stamp(t.ValidTo))
	}
	if early := a.asked.ValidTo.Sub(t.ValidTo); early > expiryTolerance {
		a.Log.Warning("PAT ends early", fmt.Sprintf("the PAT ends at %s, %s earlier than asked: a policy of the organization limits its lifetime",
			stamp(t.ValidTo), early.Round(time.Second)))
	}
	if missing := slices.DeleteFunc(slices.Clone(a.asked.Scopes), func(s string) bool { return pat.Covers(t.Scopes, s) }); len(missing) > 0 {
		a.Log.Warning("PAT lacks scopes", fmt.Sprintf("the PAT was granted without %s", strings.Join(missing, " ")))
	}
	return nil
}

// ErrWider is the error of a PAT that is good for more than was asked for.
var ErrWider = errors.New("the PAT is wider than asked for")

// wider compares a PAT with the scopes and the end that were asked for. Longer is
// how much longer than asked it lives, whatever any clock says.
func wider(t pat.Token, scopes []string, until time.Time, longer time.Duration) error {
	var how []string
	if len(t.Scopes) == 0 {
		how = append(how, "the answer does not say what it is good for")
	}
	for _, scope := range t.Scopes {
		if !pat.Covers(scopes, scope) {
			how = append(how, fmt.Sprintf("the scope %q was not asked for", scope))
		}
	}
	switch n := len(t.TargetAccounts); {
	case t.TargetAccounts == nil:
		how = append(how, "it is good for all organizations of the user")
	case n != 1:
		how = append(how, fmt.Sprintf("it is good for %d organizations", n))
	}
	if late := t.ValidTo.Sub(until); late > expiryTolerance {
		how = append(how, fmt.Sprintf("it ends at %s, %s later than asked", stamp(t.ValidTo), late.Round(100*time.Millisecond)))
	}
	if longer > httpclient.Tolerance {
		how = append(how, fmt.Sprintf("it lives %s longer than asked, until %s", longer.Round(time.Second), stamp(t.ValidTo)))
	}
	if len(how) == 0 {
		return nil
	}
	return hint.Add(fmt.Errorf("%w: %s", ErrWider, strings.Join(how, "; ")),
		"this is not how Azure DevOps answers: check token-service-url and who is in between")
}

// undo makes sure that nothing is left of a lease that failed with cause.
func (a *acquisition) undo(ctx context.Context, cause error) error {
	look := a.r.Unsettled > 0 || a.lookFailed
	if a.r.ID == "" && !look {
		return a.undone(cause)
	}
	if look && a.r.Stage != Intended {
		a.r.Stage = Intended // so that the post step waits for what may come
		_ = a.Record(a.r)
	}
	cleanup, cancel := context.WithTimeout(a.cleanup, Cleanup)
	defer cancel()

	var left []string
	var failed error
	if a.r.ID != "" {
		switch gone, err := a.end(cleanup, a.r.ID); {
		case err != nil:
			left, failed = append(left, "the PAT "+a.r.ID+" could not be revoked"), err
		case a.named && !gone:
			a.r.Unsettled = max(0, a.r.Unsettled-1) // that request made this PAT and no other
		}
	}
	if look {
		// Once more, even where somebody has looked: it may have come since.
		if err := a.lookAgain(cleanup); err != nil {
			left, failed = append(left, fmt.Sprintf("a PAT named %q may exist", a.r.Name)), and(failed, err)
		}
	}
	if a.r.Unsettled > 0 && a.late && failed == nil && a.Last && ctx.Err() == nil {
		if failed = a.outwait(httpclient.Unpaced(ctx)); failed != nil {
			left = append(left, fmt.Sprintf("a PAT named %q may exist", a.r.Name))
		}
	}
	if failed != nil {
		return hint.Add(fmt.Errorf("%w; %s: %w", cause, strings.Join(left, ", and "), failed),
			join(hint.Of(cause), "the post step tries again, in Azure Pipelines azdo-pat revoke; where there is neither, revoke it in the user's token list"))
	}
	if a.r.Unsettled > 0 {
		// Nothing is said to be revoked before all that was sent is accounted for.
		return hint.Add(fmt.Errorf("%w; a PAT named %q may still be made until %s", cause, a.r.Name, stamp(a.r.Intended.Add(commitWindow))),
			join(hint.Of(cause), "the post step waits for it, in Azure Pipelines azdo-pat revoke; where there is neither, look for it in the user's token list"))
	}
	return a.undone(cause)
}

// undone notes that nothing is left, and returns cause with what became of the PAT
// that there was, which may have been revoked before the last request.
func (a *acquisition) undone(cause error) error {
	if a.r.ID != "" || len(a.ended) > 0 {
		cause = &undone{cause}
	}
	a.over()
	return cause
}

// over notes that nothing is left. If it cannot be noted, the post step looks
// for itself.
func (a *acquisition) over() {
	a.r.Stage = Closed
	_ = a.Record(a.r)
}

// undone says what became of the PAT.
type undone struct{ error }

func (u *undone) Error() string { return u.error.Error() + "; the PAT was revoked" }
func (u *undone) Unwrap() error { return u.error }

func join(lines ...string) string {
	return strings.Join(slices.DeleteFunc(lines, func(s string) bool { return s == "" }), "\n")
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// and makes one error of two, in one line.
func and(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return fmt.Errorf("%w; %w", a, b)
}

// ctxErr is why ctx ended, or nil.
func ctxErr(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}
