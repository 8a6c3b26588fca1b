package cli

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"azdo-pat/internal/pat"
	"azdo-pat/internal/settings"
)

// session is the PAT API in the name of the user for longer than one token of
// Entra lives, about an hour: when the token has ended, it signs in again.
type session struct {
	call *app
	s    *settings.Settings

	mu     sync.Mutex
	conn   *connection
	worked bool // the token of conn has been good for something

	// vouched tells that the list has once confirmed what Azure DevOps said: that
	// a PAT is gone.
	vouched atomic.Bool
}

// signIn starts a session.
func (c *app) signIn(ctx context.Context, s *settings.Settings) (*session, error) {
	x := &session{call: c, s: s}
	return x, x.connect(ctx)
}

func (x *session) connect(ctx context.Context) error {
	conn, err := x.call.connect(ctx, x.s)
	if err == nil {
		x.conn, x.worked = conn, false
	}
	return err
}

// Next implements [sweep.Listing].
func (x *session) Next(ctx context.Context, at *pat.Cursor) (tokens []pat.Token, err error) {
	err = x.do(ctx, func(c *pat.Client) (err error) {
		tokens, err = c.Next(ctx, at)
		return err
	})
	return tokens, err
}

// Revoke implements [sweep.Listing]. The list confirms that a PAT is gone, until
// it has done so once: it can be long, and another sweep may be ahead of this one.
func (x *session) Revoke(ctx context.Context, id string) (gone bool, err error) {
	err = x.do(ctx, func(c *pat.Client) (err error) {
		revoke := c.Revoke
		if x.vouched.Load() {
			revoke = c.RevokeListed
		}
		gone, err = revoke(ctx, id)
		return err
	})
	if err == nil && gone {
		x.vouched.Store(true)
	}
	return gone, err
}

// Listed implements [sweep.Listing].
func (x *session) Listed(ctx context.Context, id string, show pat.Show) (listed bool, err error) {
	err = x.do(ctx, func(c *pat.Client) (err error) {
		listed, err = c.Listed(ctx, id, show)
		return err
	})
	return listed, err
}

// server is the server's clock, as far as it is known.
func (x *session) server() time.Time { return x.connection().server() }

// times are what the server's clock can show, the likeliest first.
func (x *session) times() (times []time.Time) {
	conn := x.connection()
	now := conn.now()
	for _, skew := range conn.clock.Skews() {
		times = append(times, now.Add(-skew.Estimate()))
	}
	return times
}

// ready waits for as long as Azure DevOps has asked for.
func (x *session) ready(ctx context.Context) error { return x.connection().ready(ctx) }

func (x *session) connection() *connection {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.conn
}

// do sends a request, and once more with a new token if that of the session has
// ended. One that was never good for anything has not ended.
func (x *session) do(ctx context.Context, send func(*pat.Client) error) error {
	conn := x.connection()
	err := send(conn.pats)
	var refused *pat.Error
	ended := errors.As(err, &refused) && refused.SignedOut()
	x.mu.Lock()
	if conn == x.conn && !ended {
		x.worked = x.worked || err == nil
	}
	if !ended || conn == x.conn && (!x.worked || x.s.Identity == settings.AccessToken) {
		x.mu.Unlock()
		return err
	}
	if conn == x.conn {
		x.call.platform.Log().Infof("%v; signing in again", err)
		if err := x.connect(ctx); err != nil {
			x.mu.Unlock()
			return err
		}
	}
	conn = x.conn
	x.mu.Unlock()
	return send(conn.pats)
}
