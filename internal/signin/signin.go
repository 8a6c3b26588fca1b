// Package signin goes from the settings of a job to a client for the user's PATs:
// an assertion from the CI system or a file, an access token from Microsoft Entra
// in exchange for it, and requests to Azure DevOps with that token. With token-type
// entra it stops at the access token.
package signin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/entra"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
)

// Options are what a [Client] needs.
type Options struct {
	Settings *settings.Settings
	// HTTP reaches the services. The client adds pacing, the server's clock and
	// tracing to its transport.
	HTTP *http.Client
	// Provider issues assertions, where the settings name no token file.
	Provider assertion.Provider
	// ProviderFallback: if the token file cannot be read, ask Provider. The post step
	// must not depend on a file that another step can remove.
	ProviderFallback bool
	// Mask keeps a credential out of the log. It is called as soon as one arrives.
	Mask func(secret.Value) error
	// Authorize is called with each assertion before anything is sent to Entra or Azure
	// DevOps, and with a zero one if a given access token takes its place. Its error ends
	// the sign-in. Nil: every job may sign in.
	Authorize func(assertion secret.Value) error
	Log       Log
	UserAgent string
}

// Log is the log of the job.
type Log interface {
	Infof(format string, args ...any)
	Debugf(format string, args ...any)
	Warning(title, text string)
	// Redact replaces every credential in a text.
	Redact(text string) string
}

// Session is the result of one sign-in.
type Session struct {
	PATs   *pat.Client
	Tenant string
	// User is the user's object id, and TokenEnds the expiry of the user's token; both
	// are zero if the token cannot be parsed.
	User      string
	TokenEnds time.Time
	// RefreshToken is the one that Entra returned to replace the stored one. Zero:
	// none.
	RefreshToken secret.Value
	// Stored is the refresh token in Key Vault; nil: it is not kept there.
	Stored *StoredToken
	// Clock is the server's: Entra's until Azure DevOps has answered.
	Clock *httpclient.Clock

	wait func(context.Context) error
}

// ServerTime is the time by the server's clock, as far as it is known.
func (s *Session) ServerTime() time.Time { return time.Now().Add(-s.Clock.Skew().Estimate()) }

// Wait waits for as long as Azure DevOps has asked for.
func (s *Session) Wait(ctx context.Context) error { return s.wait(ctx) }

// signIn makes one sign-in.
func (c *Client) signIn(ctx context.Context) (*Session, error) {
	s := c.Settings
	azureDevOps := httpclient.HostOf(s.TokenServiceURL)
	logIdentity := c.identityLog()
	client, clock := c.measured(azureDevOps)
	session := &Session{
		Tenant: s.TenantID, Clock: clock,
		wait: func(ctx context.Context) error { return c.Pacer().Wait(ctx, azureDevOps, c.Log) },
	}
	logIdentity("identity: %s", Describe(s))
	if s.Identity == settings.AccessToken {
		if c.Authorize != nil {
			if err := c.Authorize(secret.Value{}); err != nil {
				return nil, err
			}
		}
		session.readToken(s.AccessToken)
		session.PATs = c.PATs(client, s.AccessToken)
		return session, nil
	}
	x, stored := c.Exchange(client)
	if c.session != nil { // the first sign-in has looked it up
		x.Tenant = c.session.Tenant
	}
	token, err := c.exchange(ctx, x, logIdentity)
	if err != nil {
		return nil, err
	}
	session.Tenant, session.RefreshToken = x.Tenant, token.Refresh
	session.readToken(token.Access)
	session.Stored = stored
	stored.Redeemed(token.Refresh, session.ServerTime())
	renewing := &httpclient.Reauthorize{Next: client.Transport, Token: func(ctx context.Context, claims string) (secret.Value, error) {
		return c.answerChallenge(ctx, client, session.Tenant, claims)
	}}
	session.PATs = c.PATs(&http.Client{Transport: renewing, CheckRedirect: client.CheckRedirect}, token.Access)
	return session, nil
}

// identityLog is where the identity and its assertion are logged: for people the first
// time, later in the debug log.
func (c *Client) identityLog() func(format string, args ...any) {
	if c.announced.Swap(true) {
		return c.Log.Debugf
	}
	return c.Log.Infof
}

// measured is the HTTP client of one sign-in, and the clock that it measures: that of a
// host, as soon as it has answered.
func (c *Client) measured(host string) (*http.Client, *httpclient.Clock) {
	clock := &httpclient.Clock{Next: &httpclient.Traced{Next: c.HTTP.Transport, Debugf: c.Log.Debugf}, Host: host}
	c.clock.Store(clock)
	// Pacing is outermost, so that the clock does not count the time spent waiting.
	return &http.Client{Transport: &httpclient.Paced{Next: clock, Pacer: c.Pacer(), Log: c.Log}, CheckRedirect: c.HTTP.CheckRedirect}, clock
}

// exchange gets the assertion and, in exchange for it, the token. Meanwhile it opens the
// connections that are needed next.
func (c *Client) exchange(ctx context.Context, x *entra.Exchange, logIdentity func(string, ...any)) (entra.Token, error) {
	tenantKnown := x.Tenant != ""
	connect := func() { preconnect(c.HTTP, c.Settings, tenantKnown) }
	if c.Authorize != nil {
		x.Authorize = func(v secret.Value) error {
			err := c.Authorize(v)
			if err == nil {
				connect()
			}
			return err
		}
	} else if _, isFile := x.Source.(*assertion.File); isFile {
		// Reading the file takes no time, so connect only when it was read: it may be missing.
		x.Source = &observedSource{Source: x.Source, then: func(secret.Value) { connect() }}
	} else {
		connect()
	}
	x.Source = &observedSource{Source: x.Source, then: onFirst(func(v secret.Value) {
		from, note := c.AssertionFrom()
		logIdentity("assertion: from %s, issuer %s%s", from, issuer(v), note)
	})}
	token, err := x.Token(ctx)
	return token, addPresented(err, c.Log.Redact)
}

// challengeTimeout limits how long a request waits for the token that the service
// demands for it.
const challengeTimeout = 30 * time.Second

// answerChallenge gets a token with the claims that Azure DevOps demands.
func (c *Client) answerChallenge(ctx context.Context, client *http.Client, tenant, claims string) (secret.Value, error) {
	c.Log.Infof("Azure DevOps demands another token (continuous access evaluation); signing in again")
	ctx, cancel := context.WithTimeout(ctx, min(challengeTimeout, c.Settings.Timeout))
	defer cancel()
	x, _ := c.Exchange(client)
	x.Tenant, x.Claims = tenant, claims
	token, err := x.Token(ctx)
	if err != nil {
		c.Log.Infof("%v", err)
	}
	return token.Access, err
}

// tokenTolerance is how far the times in a token may be off: Entra dates tokens back
// by five minutes, and services accept them for that much longer.
const tokenTolerance = 5 * time.Minute

// readToken reads the user and the expiry from the user's access token. Clients should
// treat access tokens as opaque, so failing to parse it is not an error. Since the token
// is valid now, its times also bound the server's clock.
func (s *Session) readToken(access secret.Value) {
	var claims struct {
		User      string  `json:"oid"`
		Issued    float64 `json:"iat"`
		NotBefore float64 `json:"nbf"`
	}
	if assertion.Decode(access, &claims) != nil {
		return
	}
	if settings.IsGUID(claims.User) {
		s.User = strings.ToLower(claims.User)
	}
	s.TokenEnds = assertion.Expiry(access)
	if from := max(claims.Issued, claims.NotBefore); from > 0 && !s.TokenEnds.IsZero() {
		s.Clock.Confine(time.Unix(int64(from), 0).Add(-tokenTolerance), s.TokenEnds.Add(tokenTolerance))
	}
}

// Exchange returns the exchange of this job's assertion for the user's token, and the
// refresh token in Key Vault that it reads; nil: it reads none.
func (c *Client) Exchange(client *http.Client) (*entra.Exchange, *StoredToken) {
	s := c.Settings
	stored := c.storedToken(client)
	return &entra.Exchange{
		HTTP: client, AuthorityHost: s.AuthorityHost, Tenant: s.TenantID,
		Discover:    (&entra.Organization{HTTP: client, BaseURL: s.TokenServiceURL, Name: s.Organization}).Tenant,
		Source:      c.source(client),
		Authorize:   c.Authorize,
		Credentials: credentials(s, stored),
		Mask:        c.Mask, Log: c.Log,
	}, stored
}

// PATs returns a client for the PATs of the user with that access token.
func (c *Client) PATs(client *http.Client, access secret.Value) *pat.Client {
	return pat.New(pat.Options{
		HTTP: client, BaseURL: c.Settings.TokenServiceURL, Organization: c.Settings.Organization,
		Token: access, UserAgent: c.UserAgent,
	})
}

// preconnect starts opening the connections that are needed after the assertion.
func preconnect(client *http.Client, s *settings.Settings, tenantKnown bool) {
	httpclient.Preconnect(client, s.AuthorityHost)
	if s.Identity == settings.VaultToken {
		httpclient.Preconnect(client, s.RefreshTokenVault)
	}
	if s.TokenType == settings.EntraToken { // it is not sent to Azure DevOps
		return
	}
	if tenantKnown { // otherwise a request to Azure DevOps for the tenant is already opening one
		httpclient.Preconnect(client, s.TokenServiceURL)
	}
}
