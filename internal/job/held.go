package job

import (
	"context"
	"io"
	"time"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
)

// Held is a lease that this process keeps: it mints the PAT, renews it while a command
// uses it, and revokes it. No other process knows of it.
type Held struct {
	*Job
	Lease *lease.Lease

	leftover     string    // see [lease.Client.Leftover]
	log          lease.Log // of the renewals
	stopRenewing context.CancelFunc
	renewed      chan struct{} // closed when renewing has ended
	wider        error         // why renewing ended with the PAT revoked; set before renewed is closed
}

// Hold mints a PAT. If it fails, no PAT is left.
func (j *Job) Hold(ctx context.Context, random io.Reader) (*Held, error) {
	ctx, cancel := settings.WithTimeout(ctx, j.Settings.Timeout)
	defer cancel()
	// A random name: no later process looks for this PAT, and another exec in the same
	// step must not revoke it as its own.
	name := displayname.Random(j.Platform.Origin(j.Settings.Name).Source, random)
	leftover := byHand(j.Settings.Organization)
	_, minted, err := j.mint(ctx, mintOptions{origin: name, record: unrecorded, last: true, leftover: leftover})
	if err != nil {
		return nil, err
	}
	return &Held{Job: j, Lease: minted, log: j.Platform.Log(), leftover: leftover}, nil
}

// unrecorded keeps no record, because no later process would read it. If this process
// is killed, the PAT is not renewed and expires.
func unrecorded(lease.Record) error { return nil }

// Undo revokes a PAT that the command could not be started with because of cause. It
// returns cause, together with what is left, if anything.
func (h *Held) Undo(ctx context.Context, cause error) error {
	return h.leaseClient().Undo(ctx, h.Lease, cause)
}

// Secret is the PAT.
func (h *Held) Secret() secret.Value { return h.Lease.Token.Secret }

// leaseClient uses the current session.
func (h *Held) leaseClient() *lease.Client {
	l := h.Job.leaseClient(h.SignIn.Session())
	l.Record, l.Log, l.NoLaterProcess, l.Leftover = unrecorded, h.log, true, h.leftover
	return l
}

// use calls f with a signed-in client. Unlike [signin.Client.Do], it signs in again
// even if the last session never worked, since the PAT is in use.
func (h *Held) use(ctx context.Context, f func(*lease.Client) error) error {
	if !h.SignIn.Interrupted() {
		if err := f(h.leaseClient()); !signin.TokenExpired(err) {
			return err
		}
	}
	h.SignIn.HTTP.CloseIdleConnections()
	if _, err := h.SignIn.SignIn(ctx); err != nil {
		return err
	}
	return f(h.leaseClient())
}

// Renew renews the PAT in the background until [Held.Release]. From then on, progress goes
// to log. onRevoked is called if the PAT had to be revoked: see [lease.ErrWider].
func (h *Held) Renew(ctx context.Context, log lease.Log, onRevoked func(error)) {
	ctx, h.stopRenewing = context.WithCancel(context.WithoutCancel(ctx))
	h.log, h.renewed = log, make(chan struct{})
	renewer := &lease.Renewer{
		Lease: h.Lease, Want: lease.Want{Scopes: h.Settings.Scopes, Lifetime: h.Settings.Lifetime},
		Timeout: h.Settings.Timeout, Use: h.use, Log: log,
	}
	go func() {
		defer close(h.renewed)
		h.wider = renewer.Run(ctx)
		if h.wider != nil {
			onRevoked(h.wider)
		}
	}()
}

// Ending is how a held lease ended.
type Ending struct {
	Released
	// Wider is why the PAT was revoked before the command ended; nil: it was not.
	Wider error
	// Expired: the PAT could not be revoked, and has expired by itself.
	Expired bool
	// Left: skip-revoke is set, so the PAT stays valid until Record.ValidTo.
	Left bool
	// EntraEnds is when an Entra token ends, which cannot be revoked. Zero: it was a PAT.
	EntraEnds time.Time
	// Err: a PAT may be left.
	Err error
}

// Release stops renewing and revokes the PAT, unless skip-revoke is set.
func (h *Held) Release(ctx context.Context) Ending {
	h.stopRenewing()
	<-h.renewed
	e := Ending{Wider: h.wider, Released: Released{Record: h.Lease.Record}}
	switch {
	case e.Record.Stage == lease.Closed:
	case h.Settings.SkipRevoke && e.Wider == nil:
		h.leave(ctx, &e)
	default:
		h.revoke(ctx, &e)
	}
	return e
}

// Discard revokes the PAT, which the command could not use.
func (h *Held) Discard(ctx context.Context) Ending {
	e := Ending{Released: Released{Record: h.Lease.Record}}
	h.revoke(ctx, &e)
	return e
}

// leave does not revoke the PAT. It revokes only others that an unanswered request to
// mint may have created.
func (h *Held) leave(ctx context.Context, e *Ending) {
	e.Left = true
	if e.Record.Unsettled > 0 {
		err := h.useForRelease(ctx, func(ctx context.Context, l *lease.Client) error { return l.Settle(ctx, h.Lease) })
		if err != nil {
			e.Err = h.NotRevoked(err, lease.Record{Name: e.Record.Name})
		}
	}
	e.MayMint = h.Lease.Record.Unsettled > 0
	e.Record.ValidTo = h.Lease.Ends()
}

func (h *Held) revoke(ctx context.Context, e *Ending) {
	sought := e.Record
	if sought.Unsettled == 0 {
		sought.Name = "" // the id is enough
	}
	err := h.useForRelease(ctx, func(ctx context.Context, l *lease.Client) (err error) {
		e.PATs, e.MayMint, err = l.Release(ctx, sought)
		return err
	})
	e.Record.ValidTo = h.Lease.Ends()
	e.ServerTime = h.serverTime(e.Record)
	switch {
	case err == nil:
	case h.Lease.Expired() && h.SignIn.Clock().After(e.Record.ValidTo) && e.Record.Unsettled == 0:
		e.Expired = true
	default:
		sought.ValidTo = e.Record.ValidTo
		e.Err = h.NotRevoked(err, sought, e.PATs...)
	}
}

// useForRelease calls use with the setting timeout as its time limit, and with a grace
// period after a signal to stop.
func (h *Held) useForRelease(ctx context.Context, f func(context.Context, *lease.Client) error) error {
	ctx, stopGrace := httpclient.WithGracePeriod(ctx, lease.StopCleanup)
	defer stopGrace()
	ctx, cancel := settings.WithTimeout(ctx, h.Settings.Timeout)
	defer cancel()
	return h.use(ctx, func(l *lease.Client) error { return f(ctx, l) })
}
