package cli

import (
	"fmt"
	"time"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
)

// newSignIn makes the client by which a command signs in.
func (c *app) newSignIn(command settings.Command, s *settings.Settings) *signin.Client {
	return signin.New(signin.Options{
		Settings: s, HTTP: c.http,
		Provider: c.platform.Provider(), ProviderFallback: command == settings.Post,
		Mask: c.maskFetched, Log: signInLog{c.platform.Log(), c.started.Load},
		UserAgent: "azdo-pat/" + version, Now: c.Now,
	})
}

// signInLog is the job's log. While the command of exec runs, progress goes to the debug
// log, so that it does not interrupt the command's output.
type signInLog struct {
	*ci.Log
	quiet func() bool
}

// Infof implements [signin.Log].
func (l signInLog) Infof(format string, args ...any) {
	if l.quiet() {
		l.Debugf(format, args...)
		return
	}
	l.Log.Infof(format, args...)
}

// maskFetched keeps a credential that was received while signing in out of the log. Once
// the command of exec has been started, no mask is written: the command may have turned
// off logging commands (stop-commands), and the mask would show the credential.
func (c *app) maskFetched(v secret.Value) error {
	if c.started.Load() || c.ran.Load() {
		return c.platform.Log().Hide(v)
	}
	return c.mask(v)
}

// clockWarning warns of a clock that is off.
func (c *app) clockWarning(skew time.Duration) {
	skew = skew.Truncate(time.Second)
	if skew.Abs() <= signin.ClockTolerance {
		return
	}
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	c.platform.Log().Warning("clock is off", fmt.Sprintf(
		"this runner's clock is %s %s the server's; the PAT's expiry is computed from the server's. Set the runner's clock: assertions are refused when it is far off", skew.Abs(), direction))
}

// refreshTokenLife is how long a refresh token lives from its issue.
const refreshTokenLife = 90 * 24 * time.Hour

// refreshTokenNotice says when the stored refresh token expires, if Entra returned
// another one.
func (c *app) refreshTokenNotice(session *signin.Session) {
	if session.RefreshToken.IsZero() {
		return
	}
	c.platform.Log().Notice("refresh token", fmt.Sprintf(
		"Entra gave a new refresh token, which is not stored. The stored one is valid for 90 days from its issue, so it expires on %s at the latest: sign in as the service account and store a new one before then",
		session.ServerTime().Add(refreshTokenLife).UTC().Format(time.DateOnly)))
}

// leaseClient mints and revokes as the signed-in user.
func (c *app) leaseClient(session *signin.Session) *lease.Client {
	return &lease.Client{
		PATs:   session.PATs,
		Record: func(r lease.Record) error { return c.platform.Record(r.String()) },
		Mask:   func(v secret.Value) error { return ci.MaskPAT(c.platform, v) },
		Log:    c.platform.Log(),
		Now:    c.Now, Server: session.ServerTime, Ready: session.Wait,
	}
}

// tokenPage is where a user sees and revokes tokens by hand.
func tokenPage(organization string) string {
	return "https://dev.azure.com/" + organization + "/_usersSettings/tokens"
}
