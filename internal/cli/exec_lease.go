package cli

import (
	"context"
	"fmt"
	"strings"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/signin"
)

// execLease is the lease of the command's PAT.
type execLease struct {
	lease        *lease.Lease
	stopRenewing context.CancelFunc
	renewed      chan struct{} // closed when renewing has ended
	revoked      error         // why renewing ended with the PAT revoked; set before renewed is closed
}

func (x *execution) mint(ctx context.Context) error {
	ctx, cancel := withTimeout(ctx, x.s.Timeout)
	defer cancel()
	// A random name: no later process looks for this PAT, and another exec in the same
	// step must not revoke it as its own.
	name := displayname.Random(x.platform.Origin(x.s.Name).Source, x.Random)
	_, minted, err := x.mintPAT(ctx, mintOptions{settings: x.s, origin: name, record: unrecorded, last: true})
	if err != nil {
		return err
	}
	x.lease = minted
	end := "revoked when it ends"
	if x.s.SkipRevoke {
		end = "then valid until it expires (skip-revoke)"
	}
	t := minted.Token
	x.platform.Log().Infof("running %s with PAT %s for %s with %s in %s: valid until %s, renewed while it runs, %s",
		x.shown(), t.ID, x.s.Organization, strings.Join(t.Scopes, " "), strings.Join(x.s.Env, " and "), stamp(t.ValidTo), end)
	return nil
}

// unrecorded keeps no record, because no later process would read it. If this process
// is killed, the PAT is not renewed and expires.
func unrecorded(lease.Record) error { return nil }

// leaseClient uses the current session.
func (x *execution) leaseClient() *lease.Client {
	l := x.app.leaseClient(x.signin.Session())
	l.Record, l.Log, l.NoLaterProcess = unrecorded, x.log(), true
	return l
}

// log is the log for the lease's progress. While the command has the terminal, progress
// goes to the debug log.
func (x *execution) log() lease.Log {
	if x.started.Load() && x.shared == nil {
		return signInLog{x.platform.Log(), x.started.Load}
	}
	return x.platform.Log()
}

// use calls f with a signed-in client. Unlike [signin.Client.Do], it signs in again
// even if the last session never worked, since the PAT is in use.
func (x *execution) use(ctx context.Context, f func(*lease.Client) error) error {
	if !x.signin.Interrupted() {
		if err := f(x.leaseClient()); !signin.TokenExpired(err) {
			return err
		}
	}
	x.http.CloseIdleConnections()
	if _, err := x.signin.SignIn(ctx); err != nil {
		return err
	}
	return f(x.leaseClient())
}

// startRenewing renews the lease until it is released.
func (x *execution) startRenewing(ctx context.Context) {
	ctx, x.stopRenewing = context.WithCancel(context.WithoutCancel(ctx))
	x.renewed = make(chan struct{})
	renewer := &lease.Renewer{
		Lease: x.lease, Want: lease.Want{Scopes: x.s.Scopes, Lifetime: x.s.Lifetime},
		Timeout: x.s.Timeout, Use: x.use, Log: x.log(), Now: x.Now, After: x.After,
	}
	go func() {
		defer close(x.renewed)
		if x.revoked = renewer.Run(ctx); x.revoked != nil {
			x.platform.Log().Error("azdo-pat exec: PAT ended", fmt.Errorf("renew the PAT %s: %w; %s keeps running with a PAT that is no longer valid", x.lease.Record.ID, x.revoked, x.shown()))
		}
	}()
}

// release revokes the PAT, unless skip-revoke is set. The returned function logs the
// result and returns the exit status; the caller delays it while the command has the
// terminal.
func (x *execution) release(ctx context.Context) (report func() int) {
	x.stopRenewing()
	<-x.renewed
	x.ending.Store(true)
	switch {
	case x.lease.Record.Stage == lease.Closed:
		return func() int { return exitOK }
	case x.s.SkipRevoke && x.revoked == nil:
		return x.leave(ctx)
	}
	return x.revoke(ctx)
}

// leave does not revoke the PAT. It revokes only others that an unanswered request to
// mint may have created.
func (x *execution) leave(ctx context.Context) (report func() int) {
	record := x.lease.Record
	var err error
	if record.Unsettled > 0 {
		err = x.useForRelease(ctx, func(ctx context.Context, l *lease.Client) error { return l.Settle(ctx, x.lease) })
	}
	return func() int {
		if err != nil {
			return x.releaser().finish(notRevoked(err, x.s, lease.Record{Name: record.Name}))
		}
		if x.lease.Record.Unsettled > 0 {
			x.anotherMayBeMade(record.Name)
		}
		x.platform.Log().Infof("skip-revoke is set: the PAT %s stays valid until %s", record.ID, stamp(x.lease.Ends()))
		return exitOK
	}
}

func (x *execution) revoke(ctx context.Context) (report func() int) {
	record := x.lease.Record
	if record.Unsettled == 0 {
		record.Name = "" // the id is enough
	}
	var ended []lease.Revoked
	var open bool
	err := x.useForRelease(ctx, func(ctx context.Context, l *lease.Client) (err error) {
		ended, open, err = l.Release(ctx, record)
		return err
	})
	record.ValidTo = x.lease.Ends()
	return func() int {
		log := x.platform.Log()
		switch {
		case err != nil && x.lease.Expired(x.Now()) && x.signin.Clock().After(record.ValidTo) && record.Unsettled == 0:
			log.Infof("the PAT %s expired by itself at %s", record.ID, stamp(record.ValidTo))
		case err != nil:
			return x.releaser().finish(notRevoked(err, x.s, record, ended...))
		}
		for _, e := range ended {
			log.Infof("PAT %s is revoked%s", e.ID, lived(e, x.releaser().serverTime(record)))
		}
		if open {
			x.anotherMayBeMade(record.Name)
		}
		return exitOK
	}
}

// useForRelease calls use with the setting timeout as its time limit, and with a grace
// period after a signal to stop.
func (x *execution) useForRelease(ctx context.Context, f func(context.Context, *lease.Client) error) error {
	ctx, stopGrace := httpclient.WithGracePeriod(ctx, lease.StopCleanup)
	defer stopGrace()
	ctx, cancel := withTimeout(ctx, x.s.Timeout)
	defer cancel()
	return x.use(ctx, func(l *lease.Client) error { return f(ctx, l) })
}

// releaser reports how the lease ended.
func (x *execution) releaser() *releaser {
	return &releaser{app: x.app, command: "exec", settings: x.s}
}
