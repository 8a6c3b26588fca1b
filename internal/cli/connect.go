package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/ci"
	"azdo-pat/internal/entra"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
)

// connection is the PAT API in the name of the user, with the server's clock.
type connection struct {
	pats   *pat.Client
	tenant string
	// clock is Azure DevOps' once it has answered, and until then Entra's if that
	// was asked.
	clock *httpclient.Clock
	// user is the object id of the user, and tokenEnds the end of the user's
	// token, where the token tells them.
	user      string
	tokenEnds time.Time
	// ready waits for as long as Azure DevOps has asked for.
	ready func(context.Context) error
	// refresh is the refresh token that Entra gave instead of the stored one.
	refresh secret.Value
	now     func() time.Time
}

// server is the server's clock, as far as it is known.
func (c *connection) server() time.Time { return c.now().Add(-c.clock.Skew().Estimate()) }

// tooMuch is the skew from which on it is worth a warning.
const clockWarningFrom = time.Minute

// connect goes from the settings to the PAT API: assertion, exchange, client.
func (c *app) connect(ctx context.Context, s *settings.Settings) (*connection, error) {
	log, _ := c.quietLog()
	identity := log.Infof
	if c.connected { // it is said already
		identity = log.Debugf
	}
	c.connected = true
	azureDevOps := hostOf(s.TokenServiceURL)
	clock := &httpclient.Clock{Next: &httpclient.Traced{Next: c.http.Transport, Debugf: log.Debugf}, Now: c.Now, Host: azureDevOps}
	c.clock.Store(clock)
	pacer := c.pacer(s)
	// What waits does so before its time is taken.
	client := &http.Client{Transport: &httpclient.Paced{Next: clock, Pacer: pacer, Log: log}, CheckRedirect: c.http.CheckRedirect}
	conn := &connection{tenant: s.TenantID, now: c.Now, clock: clock}
	conn.ready = func(ctx context.Context) error { return pacer.Wait(ctx, azureDevOps, log) }
	access, pats := s.AccessToken, client
	if s.Identity != settings.AccessToken {
		x := c.exchange(s, client)
		if _, file := x.Source.(*assertion.File); file {
			// It takes no time to read, and may not be there.
			x.Source = opening{x.Source, func() { openEarly(client, s) }}
		} else {
			openEarly(client, s)
		}
		identity("identity: %s%s", s.Identity, who(s))
		x.Source = &announced{Source: x.Source, say: func(v secret.Value) {
			identity("assertion: from %s, issuer %s%s", c.vouchedBy(s), issuer(v), unused(s))
		}}
		token, err := x.Token(ctx)
		if err != nil {
			return nil, c.presented(err)
		}
		conn.tenant = x.Tenant
		access = token.Access
		conn.refresh = token.Refresh
		pats = &http.Client{CheckRedirect: client.CheckRedirect, Transport: &httpclient.Reauthorize{Next: client.Transport, Token: func(ctx context.Context, claims string) (secret.Value, error) {
			return c.anotherToken(ctx, s, conn.tenant, client, claims)
		}}}
	} else {
		identity("identity: %s", s.Identity)
	}
	conn.readToken(access)
	conn.pats = c.pats(s, pats, access)
	return conn, nil
}

// anotherTokenTimeout bounds how long a request waits for the token that the
// service demands for it.
const anotherTokenTimeout = 30 * time.Second

// anotherToken gets a token with the claims that Azure DevOps demands.
func (c *app) anotherToken(ctx context.Context, s *settings.Settings, tenant string, client *http.Client, claims string) (secret.Value, error) {
	log, _ := c.quietLog()
	log.Infof("Azure DevOps demands another token (continuous access evaluation); signing in again")
	ctx, cancel := context.WithTimeout(ctx, min(anotherTokenTimeout, s.Timeout))
	defer cancel()
	x := c.exchange(s, client)
	x.Tenant, x.Claims = tenant, claims
	token, err := x.Token(ctx)
	if err != nil {
		log.Infof("%v", err)
	}
	return token.Access, err
}

// tokenSlack is how far the times in a token may be off: Entra dates tokens back
// by five minutes, and services accept them for that much longer.
const tokenSlack = 5 * time.Minute

// readToken notes what the user's token tells, where it can be read: only Azure
// DevOps is meant to. It is valid now, which confines what the time can be.
func (c *connection) readToken(access secret.Value) {
	var claims struct {
		User      string  `json:"oid"`
		Issued    float64 `json:"iat"`
		NotBefore float64 `json:"nbf"`
	}
	if assertion.Decode(access, &claims) != nil {
		return
	}
	if settings.IsGUID(claims.User) {
		c.user = strings.ToLower(claims.User)
	}
	c.tokenEnds = tokenEnd(access)
	if from := max(claims.Issued, claims.NotBefore); from > 0 && !c.tokenEnds.IsZero() {
		c.clock.Confine(time.Unix(int64(from), 0).Add(-tokenSlack), c.tokenEnds.Add(tokenSlack))
	}
}

// pacer keeps requests back where a service has asked for it; it knows what the
// services are called.
func (c *app) pacer(s *settings.Settings) *httpclient.Pacer {
	if c.paces == nil {
		c.paces = &httpclient.Pacer{}
	}
	if p := c.platform.Provider(); p.Name != "" {
		c.paces.Name(hostOf(p.URL), p.Service, p.AzureDevOps)
	}
	c.paces.Name(hostOf(s.AuthorityHost), "Microsoft Entra", false)
	c.paces.Name(hostOf(s.TokenServiceURL), "Azure DevOps", true)
	return c.paces
}

// hostOf is the host of a URL, with the port where there is one.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// exchange is the way from this job to the user's token.
func (c *app) exchange(s *settings.Settings, client *http.Client) *entra.Exchange {
	log, keep := c.quietLog()
	x := &entra.Exchange{
		HTTP: client, AuthorityHost: s.AuthorityHost, Tenant: s.TenantID,
		Discover:    (&entra.Organization{HTTP: client, BaseURL: s.TokenServiceURL, Name: s.Organization}).Tenant,
		Credentials: credentials(s),
		Keep:        keep, Log: log, Now: c.Now,
	}
	provider := c.platform.Provider()
	if provider.Source != nil {
		x.Source = provider.Source(client, s.Audience, s.ServiceConnection)
	}
	if s.FederatedTokenFile == "" {
		return x
	}
	file := &assertion.File{Path: s.FederatedTokenFile}
	if c.posting && x.Source != nil && provider.Unavailable == nil {
		x.Source = &insteadOf{file, x.Source, log, func() { s.FederatedTokenFile = "" }}
	} else {
		x.Source = file
	}
	return x
}

// vouchedBy says where the assertion comes from.
func (c *app) vouchedBy(s *settings.Settings) string {
	if s.FederatedTokenFile != "" {
		return "the file " + sanitize.Exact(s.FederatedTokenFile)
	}
	return c.platform.Provider().Name
}

// issuer is that of an assertion, as far as it can be read.
func issuer(v secret.Value) string {
	claims, err := assertion.Parse(v)
	if err != nil || claims.Issuer == "" {
		return "not readable"
	}
	return sanitize.Exact(claims.Issuer)
}

// unused says which file was left aside for the CI system's assertion.
func unused(s *settings.Settings) string {
	if s.UnusedTokenFile == "" {
		return ""
	}
	return "; the file in " + s.UnusedTokenFile + " is not used (to use it, set federated-token-file)"
}

// announced is a source of which the first assertion is spoken about.
type announced struct {
	assertion.Source
	say  func(secret.Value)
	once sync.Once
}

// Assertion implements [assertion.Source].
func (a *announced) Assertion(ctx context.Context) (secret.Value, error) {
	v, err := a.Source.Assertion(ctx)
	if err == nil {
		a.once.Do(func() { a.say(v) })
	}
	return v, err
}

// insteadOf is for the post step, which must not depend on a file that another
// step can take away: where the file brings no assertion, GitHub is asked for one.
type insteadOf struct {
	file, github assertion.Source
	log          lease.Log
	used         func() // called when GitHub was asked
}

// Assertion implements [assertion.Source].
func (i *insteadOf) Assertion(ctx context.Context) (secret.Value, error) {
	v, err := i.file.Assertion(ctx)
	if err == nil || ctx.Err() != nil {
		return v, err
	}
	i.log.Warning("token file", fmt.Sprintf("%v; asking GitHub for an assertion instead", err))
	i.used()
	v, instead := i.github.Assertion(ctx)
	if instead != nil {
		return v, fmt.Errorf("%w; nor does GitHub give one: %w", err, instead)
	}
	return v, nil
}

// pats is the PAT API in the name of the user whose token it is.
func (c *app) pats(s *settings.Settings, client *http.Client, access secret.Value) *pat.Client {
	return pat.New(pat.Options{
		HTTP: client, BaseURL: s.TokenServiceURL, Organization: s.Organization,
		Token: access, UserAgent: "azdo-pat/" + version, Now: c.Now,
	})
}

// openEarly begins to open the connections that are needed once there is an
// assertion.
func openEarly(client *http.Client, s *settings.Settings) {
	httpclient.Preconnect(client, s.AuthorityHost)
	if s.TenantID != "" { // or Azure DevOps is asked for it, at once
		httpclient.Preconnect(client, s.TokenServiceURL)
	}
}

// opening is a source that opens connections when it has brought an assertion.
type opening struct {
	assertion.Source
	open func()
}

// Assertion implements [assertion.Source].
func (o opening) Assertion(ctx context.Context) (secret.Value, error) {
	v, err := o.Source.Assertion(ctx)
	if err == nil {
		o.open()
	}
	return v, err
}

// speaker is a [ci.Log], or one that says less.
type logger interface {
	lease.Log
	Debugf(format string, args ...any)
}

// quiet says in the debug log what would disturb a command that runs.
type quietLogger struct{ *ci.Log }

func (q quietLogger) Infof(format string, args ...any) { q.Debugf(format, args...) }

// aside returns where to say what happens on the way, and how to keep what is
// fetched there out of the log. Once a command of the caller's runs, and when it
// has run, no mask is written: the command may have told the runner to heed no
// logging commands (stop-commands), to which a mask is text like any other.
func (c *app) quietLog() (logger, func(secret.Value) error) {
	log := c.platform.Log()
	switch {
	case c.started.Load():
		return quietLogger{log}, log.Hide
	case c.ran.Load():
		return log, log.Hide
	}
	return log, c.mask
}

// credentials makes the identity that the settings name.
func credentials(s *settings.Settings) entra.Credentials {
	switch s.Identity {
	case settings.AgentUser:
		return &entra.AgentUser{Blueprint: s.ClientID, Agent: s.AgentID, User: s.AgentUser}
	case settings.RefreshToken:
		return &entra.RefreshToken{Client: s.ClientID, Token: s.RefreshToken}
	default:
		return &entra.Password{Client: s.ClientID, Username: s.Username, Password: s.Password}
	}
}

// who names the user, as far as the settings tell, and the application.
func who(s *settings.Settings) string {
	switch s.Identity {
	case settings.AgentUser:
		return fmt.Sprintf(" %s of agent %s, by way of blueprint %s", s.AgentUser, s.AgentID, s.ClientID)
	case settings.Password:
		return fmt.Sprintf(" %s, by way of application %s", s.Username, s.ClientID)
	}
	if s.Identity == settings.RefreshToken {
		return fmt.Sprintf(", by way of application %s", s.ClientID)
	}
	return ""
}

// presented adds to Entra's refusal of the job's assertion what the job presented,
// as values to paste into a federated credential.
func (c *app) presented(err error) error {
	var refused *entra.Error
	if !errors.As(err, &refused) || !refused.CredentialMismatch() || refused.Presented == (assertion.Claims{}) {
		return err
	}
	p := refused.Presented
	text := fmt.Sprintf("the job presented (to be copied into a federated credential):\n  issuer: %s\n  subject: %s\n  audience: %s",
		sanitize.Exact(p.Issuer), sanitize.Exact(p.Subject), sanitize.Exact(p.Audience))
	if p.JobWorkflowRef != "" {
		text += "\n  job_workflow_ref: " + sanitize.Exact(p.JobWorkflowRef)
	}
	if slices.ContainsFunc([]string{p.Issuer, p.Subject, p.Audience, p.JobWorkflowRef}, sanitize.NeedsEscape) {
		text += "\n" + escapedNote
	}
	if c.platform.Log().Scrub(text) != text {
		text += "\n" + maskedNote
	}
	if h := hint.Of(err); h != "" {
		text = h + "\n" + text
	}
	return hint.Add(err, text)
}

// What is said where a value is not shown as it is.
const (
	escapedNote = `(a value in double quotes is a JSON string: characters that a log cannot show are escaped, as in \u200d)`
	maskedNote  = "(*** stands for what equals or looks like a credential: take the value from the assertion itself)"
)

func (c *app) clockWarning(skew time.Duration) {
	skew = skew.Truncate(time.Second)
	if skew.Abs() <= clockWarningFrom {
		return
	}
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	c.platform.Log().Warning("clock is off", fmt.Sprintf(
		"this runner's clock is %s %s the server's; the PAT's expiry is reckoned from the server's. Set the runner's clock: assertions are refused when it is far off", skew.Abs(), direction))
}

// refreshTokenLife is how long a refresh token lives from its issue.
const refreshTokenLife = 90 * 24 * time.Hour

// replaced says when the stored refresh token dies, if Entra gave another.
func (c *app) replaced(refresh secret.Value, server time.Time) {
	if refresh.IsZero() {
		return
	}
	c.platform.Log().Notice("refresh token", fmt.Sprintf(
		"Entra gave a new refresh token, which is not kept. The stored one stays valid for 90 days from its issue, so it dies on %s at the latest: sign in as the service account and store a new one before then",
		server.Add(refreshTokenLife).UTC().Format(time.DateOnly)))
}

// lessor is who mints and revokes over a connection.
func (c *app) lessor(conn *connection) *lease.Client {
	return &lease.Client{
		PATs:   conn.pats,
		Record: func(r lease.Record) error { return c.platform.Record(r.String()) },
		Mask:   func(v secret.Value) error { return ci.MaskPAT(c.platform, v) },
		Log:    c.platform.Log(),
		Now:    c.Now, Server: conn.server, Ready: conn.ready,
		Sleep: sleep,
	}
}

// sleep waits, or returns early with ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// tokenPage is where a user sees and revokes tokens by hand.
func tokenPage(organization string) string {
	return "https://dev.azure.com/" + organization + "/_usersSettings/tokens"
}
