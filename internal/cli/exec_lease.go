package cli

import (
	"context"
	"fmt"
	"strings"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/signin"
)

// tenure is the lease of a command that runs.
type execLease struct {
	lease       *lease.Lease
	stopKeeping context.CancelFunc
	kept        chan struct{} // closed when nobody renews any more
	revoked     error         // why the PAT had to be ended early; read it when kept is closed
}

func (x *execution) acquire(ctx context.Context) error {
	ctx, cancel := withTimeout(ctx, x.s.Timeout)
	defer cancel()
	// No later process looks for this lease, but another one of the same step
	// must not take it for its own.
	_, minted, err := x.mintPAT(ctx, x.s, displayname.Random(x.platform.Origin(x.s.Name).Source, x.Random), unrecorded)
	if err != nil {
		return err
	}
	x.lease = minted
	end := "revoked when it ends"
	if x.s.SkipRevoke {
		end = "then left to its expiry (skip-revoke)"
	}
	t := minted.Token
	x.platform.Log().Infof("%s gets the PAT %s for %s with %s in %s: valid until %s, renewed while it runs, %s",
		x.shown(), t.ID, x.s.Organization, strings.Join(t.Scopes, " "), strings.Join(x.s.Env, " and "), stamp(t.ValidTo), end)
	return nil
}

// unrecorded keeps no record: no later process would read it. What this one leaves
// behind if it is killed is not renewed any more.
func unrecorded(lease.Record) error { return nil }

// leaseClient uses the current session.
func (x *execution) leaseClient() *lease.Client {
	l := x.app.leaseClient(x.signin.Session())
	l.Record, l.Log, l.Last = unrecorded, x.log(), true
	return l
}

// log is where to say what happens on the way. A terminal is the command's as long
// as it runs.
func (x *execution) log() lease.Log {
	if x.started.Load() && x.shared == nil {
		return signInLog{x.platform.Log(), x.started.Load}
	}
	return x.platform.Log()
}

// use calls f with a client that is signed in. It signs in again even if the last
// session never worked: renewing is worth another try.
func (x *execution) use(ctx context.Context, f func(*lease.Client) error) error {
	if !x.signin.Interrupted() {
		if err := f(x.leaseClient()); !signin.Ended(err) {
			return err
		}
	}
	x.http.CloseIdleConnections()
	if _, err := x.signin.SignIn(ctx); err != nil {
		return err
	}
	return f(x.leaseClient())
}

// keep renews the lease until it is released.
func (x *execution) keep(ctx context.Context) {
	ctx, x.stopKeeping = context.WithCancel(context.WithoutCancel(ctx))
	x.kept = make(chan struct{})
	keeper := &lease.Renewer{
		Lease: x.lease, Want: lease.Want{Scopes: x.s.Scopes, Lifetime: x.s.Lifetime},
		Timeout: x.s.Timeout, Use: x.use, Log: x.log(), Now: x.Now, After: x.After,
	}
	go func() {
		defer close(x.kept)
		if x.revoked = keeper.Run(ctx); x.revoked != nil {
			x.platform.Log().Error("azdo-pat exec: PAT ended", fmt.Errorf("renew the PAT %s: %w; %s goes on with a PAT that is not good any more", x.lease.Record.ID, x.revoked, x.shown()))
		}
	}()
}

// release ends the lease and returns what says how that went and makes an exit
// status of it.
func (x *execution) release(ctx context.Context) (report func() int) {
	x.stopKeeping()
	<-x.kept
	x.ending.Store(true)
	record := x.lease.Record
	log := x.platform.Log()
	switch {
	case record.Stage == lease.Closed:
		return func() int { return exitOK }
	case x.s.SkipRevoke && x.revoked == nil:
		err := x.settle(ctx)
		return func() int {
			if err != nil {
				return x.ended("exec", x.s, describe(err, x.s, lease.Record{Name: record.Name}))
			}
			if x.lease.Record.Unsettled > 0 {
				x.anotherMayBeMade(record.Name)
			}
			log.Infof("the PAT %s is left to its expiry, as skip-revoke says: it ends at %s", record.ID, stamp(x.lease.Ends()))
			return exitOK
		}
	}
	if record.Unsettled == 0 {
		record.Name = "" // another exec of the same step may have the same
	}
	ctx, enough := withGracePeriod(ctx)
	defer enough()
	ctx, cancel := withTimeout(ctx, x.s.Timeout)
	defer cancel()
	var ended []lease.Revoked
	var open bool
	err := x.use(ctx, func(l *lease.Client) (err error) {
		ended, open, err = l.Release(ctx, record)
		return err
	})
	record.ValidTo = x.lease.Ends()
	return func() int {
		switch {
		case err != nil && x.lease.Expired(x.Now()) && x.signin.Clock().After(record.ValidTo) && record.Unsettled == 0:
			log.Infof("the PAT %s expired by itself at %s", record.ID, stamp(record.ValidTo))
		case err != nil:
			return x.ended("exec", x.s, describe(err, x.s, record, ended...))
		}
		for _, e := range ended {
			log.Infof("PAT %s is revoked%s", e.ID, lived(e, x.serverTime(record)))
		}
		if open {
			x.anotherMayBeMade(record.Name)
		}
		return exitOK
	}
}

// settle ends what a request to mint that was not answered has made besides the
// PAT that is left to its expiry.
func (x *execution) settle(ctx context.Context) error {
	if x.lease.Record.Unsettled == 0 {
		return nil
	}
	ctx, enough := withGracePeriod(ctx)
	defer enough()
	ctx, cancel := withTimeout(ctx, x.s.Timeout)
	defer cancel()
	return x.use(ctx, func(l *lease.Client) error { return l.Settle(ctx, x.lease) })
}
