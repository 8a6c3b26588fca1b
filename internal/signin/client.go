package signin

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/settings"
)

// Client signs in, and signs in again when the user's token has expired, after about an
// hour. It does not do so earlier, because a token file may hold no valid assertion any
// more.
type Client struct {
	Options
	pacer *httpclient.Pacer
	clock atomic.Pointer[httpclient.Clock]
	// announced: the identity was logged. fellBack: the provider was asked because the
	// token file could not be read.
	announced, fellBack atomic.Bool

	mu      sync.Mutex
	session *Session
	// since and sinceWall are when it was made, with and without the monotonic reading.
	since, sinceWall time.Time
	worked           bool // a request of session succeeded

	// listConfirmed: when Azure DevOps answered once that a PAT is gone, the list
	// confirmed it.
	listConfirmed atomic.Bool
}

// New makes a client. It sends nothing before the first sign-in.
func New(o Options) *Client {
	c := &Client{Options: o, pacer: &httpclient.Pacer{}}
	if p := o.Provider; p.Name != "" {
		c.pacer.Name(httpclient.HostOf(p.URL), p.Service, p.AzureDevOps)
	}
	c.pacer.Name(httpclient.HostOf(o.Settings.AuthorityHost), "Microsoft Entra", false)
	c.pacer.Name(httpclient.HostOf(o.Settings.TokenServiceURL), "Azure DevOps", true)
	if u := o.Settings.RefreshTokenVault; u != "" {
		c.pacer.Name(httpclient.HostOf(u), keyVault, false)
	}
	return c
}

// Pacer delays requests where a service has asked for it.
func (c *Client) Pacer() *httpclient.Pacer { return c.pacer }

// SignIn signs in, even if there is a session.
func (c *Client) SignIn(ctx context.Context) (*Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.replaceSession(ctx)
}

// replaceSession signs in; the caller holds mu.
func (c *Client) replaceSession(ctx context.Context) (*Session, error) {
	session, err := c.signIn(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	c.session, c.since, c.sinceWall, c.worked = session, now, now.Round(0), false
	return session, nil
}

// Worked reports whether Azure DevOps has answered a request of the current session.
func (c *Client) Worked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.worked
}

// Session is the result of the last sign-in that succeeded.
func (c *Client) Session() *Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// Clock is the server clock as measured since the last sign-in started, even if that
// failed. It is nil before the first.
func (c *Client) Clock() *httpclient.Clock { return c.clock.Load() }

// ClockTolerance is how far this machine's clock may be off before it is worth a
// warning, or jump before the session is replaced.
const ClockTolerance = time.Minute

// Interrupted reports whether the machine slept or its clock was set since the last
// sign-in: the connections may be dead, and the skew may have changed.
func (c *Client) Interrupted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	step := time.Since(c.sinceWall) - time.Since(c.since)
	return step.Abs() >= ClockTolerance
}

// Do calls send, and if the token has expired, once more with a new session. If the
// token never worked, signing in again would not help.
func (c *Client) Do(ctx context.Context, send func(*Session) error) error {
	session := c.Session()
	err := send(session)
	ended := TokenExpired(err)
	c.mu.Lock()
	current := session == c.session
	if current && !ended {
		c.worked = c.worked || err == nil
	}
	if !ended || current && (!c.worked || c.Settings.Identity == settings.AccessToken) {
		c.mu.Unlock()
		return err
	}
	if current {
		c.Log.Infof("%v; signing in again", err)
		if _, err := c.replaceSession(ctx); err != nil {
			c.mu.Unlock()
			return err
		}
	}
	session = c.session
	c.mu.Unlock()
	return send(session)
}

// TokenExpired reports whether a request failed because the user's token is no longer
// accepted.
func TokenExpired(err error) bool {
	var refused *pat.Error
	return errors.As(err, &refused) && refused.SignedOut()
}

// ServerTime is the time by the server's clock, as far as it is known.
func (c *Client) ServerTime() time.Time { return c.Session().ServerTime() }

// Times are what the server's clock may show, the most likely first.
func (c *Client) Times() (times []time.Time) {
	now := time.Now()
	for _, skew := range c.Session().Clock.Skews() {
		times = append(times, now.Add(-skew.Estimate()))
	}
	return times
}

// Wait waits for as long as Azure DevOps has asked for.
func (c *Client) Wait(ctx context.Context) error { return c.Session().Wait(ctx) }

// Next returns the next page of the user's PATs.
func (c *Client) Next(ctx context.Context, at *pat.Cursor) (tokens []pat.Token, err error) {
	err = c.Do(ctx, func(s *Session) (err error) {
		tokens, err = s.PATs.Next(ctx, at)
		return err
	})
	return tokens, err
}

// Revoke revokes a PAT. The first time that Azure DevOps answers that a PAT is gone, the
// list must confirm it; after that the answer is trusted. The list can be long, and
// another sweep may be revoking the same PATs.
func (c *Client) Revoke(ctx context.Context, id string) (gone bool, err error) {
	err = c.Do(ctx, func(s *Session) (err error) {
		revoke := s.PATs.Revoke
		if c.listConfirmed.Load() {
			revoke = s.PATs.RevokeListed
		}
		gone, err = revoke(ctx, id)
		return err
	})
	if err == nil && gone {
		c.listConfirmed.Store(true)
	}
	return gone, err
}

// Listed reports whether the list shows a PAT.
func (c *Client) Listed(ctx context.Context, id string, show pat.Show) (listed bool, err error) {
	err = c.Do(ctx, func(s *Session) (err error) {
		listed, err = s.PATs.Listed(ctx, id, show)
		return err
	})
	return listed, err
}
