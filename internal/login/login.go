// Package login signs a person in as the service account, once, and stores the refresh
// token with which jobs sign in from then on.
//
// It is the authorization code flow with PKCE in the person's own browser, on a
// confidential client without a stored secret:
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow
//
// The rules:
//
//   - The application's credential is proven before the browser is opened: a code works
//     once, and a wrong credential may use it up.
//   - The key of the certificate never leaves the memory of this process.
//   - The answer is taken on the loopback addresses alone, and counts only with the
//     state of this sign-in. Anything else is refused and does not end the wait.
//   - The browser is answered after the refresh token was stored, or was not, so that
//     its page tells the truth.
//   - Nothing is stored unless every check of the token has passed.
package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/entra"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/timefmt"
)

// How long to wait for people. Nothing else here takes longer than the setting timeout.
const (
	// SignInWait is for signing in, from when the browser is opened.
	SignInWait = 5 * time.Minute
	// CertificateWait is for adding the certificate, and for Entra to know it.
	CertificateWait = 30 * time.Minute
)

// Options are what [Run] needs.
type Options struct {
	Settings *settings.Settings
	// HTTP reaches the services.
	HTTP *http.Client
	// Mask keeps a credential out of the log. It is called as soon as one arrives.
	Mask func(secret.Value) error
	Log  Log
	// Copy shows a line that the person copies: it is written exactly as it is.
	Copy func(line string)
	// Browser opens an address in the person's browser. Nil: the person does.
	Browser func(address string) error
	// Out gets the refresh token and a newline if no vault is set.
	Out       io.Writer
	UserAgent string
	// Windows: commands are printed for PowerShell, not for a POSIX shell.
	Windows bool
	// Now and After are [time.Now] and [time.After] if nil.
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
}

// Log is where progress is shown.
type Log interface {
	Infof(format string, args ...any)
	Debugf(format string, args ...any)
	Warning(title, text string)
	// Redact replaces every credential in a text.
	Redact(text string) string
}

// Result is the result of a sign-in.
type Result struct {
	// Person is who signed in, also if the sign-in failed after that.
	Person Person
	// Stored says where the refresh token went, as in "was written to standard output".
	Stored string
}

// run is one sign-in.
type run struct {
	Options
	client *http.Client // with tracing and pauses
	tenant string
	source assertion.Source
	// certificate is the temporary one; nil: source is a token file.
	certificate *certificate
	vault       *vault // nil: the refresh token goes to standard output
}

// Run signs a person in and stores the refresh token. If it fails, nothing is stored, or
// the error says that this is not known.
func Run(ctx context.Context, o Options) (Result, error) {
	r := &run{Options: o, tenant: o.Settings.TenantID}
	if r.Now == nil {
		r.Now = time.Now
	}
	if r.After == nil {
		r.After = time.After
	}
	pacer := &httpclient.Pacer{}
	pacer.Name(httpclient.HostOf(o.Settings.AuthorityHost), "Microsoft Entra", false)
	pacer.Name(httpclient.HostOf(o.Settings.TokenServiceURL), "Azure DevOps", true)
	pacer.Name(httpclient.HostOf(o.Settings.RefreshTokenVault), "Azure Key Vault", false)
	r.client = &http.Client{CheckRedirect: o.HTTP.CheckRedirect, Transport: &httpclient.Paced{
		Next: &httpclient.Traced{Next: o.HTTP.Transport, Debugf: o.Log.Debugf}, Pacer: pacer, Log: o.Log}}

	server, err := listen()
	if err != nil {
		return Result{}, err
	}
	defer server.close()
	if err := r.findTenant(ctx); err != nil {
		return Result{}, err
	}
	if err := r.chooseCredential(); err != nil {
		return Result{}, err
	}
	if r.certificate != nil {
		defer r.removeCertificate()
		if err := r.showCertificate(); err != nil {
			return Result{}, err
		}
	}
	if err := r.proveCredential(ctx); err != nil {
		return Result{}, err
	}
	if err := r.openVault(ctx); err != nil {
		return Result{}, err
	}
	return r.signIn(ctx, server)
}

// findTenant looks the tenant up if it is not set: the page and the token endpoint must
// be those of one tenant, never /common.
func (r *run) findTenant(ctx context.Context) error {
	if r.tenant != "" {
		return nil
	}
	ctx, cancel := r.withTimeout(ctx)
	defer cancel()
	organization := &entra.Organization{HTTP: r.client, BaseURL: r.Settings.TokenServiceURL, Name: r.Settings.Organization}
	return httpclient.Retry(ctx, r.Log, "looking up the tenant", func(ctx context.Context) (err error) {
		r.tenant, err = organization.Tenant(ctx)
		return err
	})
}

// chooseCredential decides how the application authenticates.
func (r *run) chooseCredential() (err error) {
	if file := r.Settings.FederatedTokenFile; file != "" {
		r.source = &assertion.File{Path: file}
		return nil
	}
	audience := r.Settings.AuthorityHost + "/" + r.tenant + "/oauth2/v2.0/token"
	r.certificate, err = newCertificate(r.Settings.ClientID, audience, r.Now)
	r.source = r.certificate
	return err
}

// exchange gets a token for the application.
func (r *run) exchange(ctx context.Context, credentials entra.Credentials) (entra.Token, error) {
	x := &entra.Exchange{
		HTTP: r.client, AuthorityHost: r.Settings.AuthorityHost, Tenant: r.tenant,
		Source: r.source, Credentials: credentials, Mask: r.Mask, Log: r.Log,
	}
	return x.Token(ctx)
}

// proveCredential waits until Entra knows the application's credential.
func (r *run) proveCredential(ctx context.Context) error {
	limit := r.After(CertificateWait)
	pause := time.Second
	for attempt := 0; ; attempt++ {
		err := r.tryCredential(ctx)
		if !r.unknownCertificate(err) {
			return err
		}
		if attempt%12 == 0 {
			r.Log.Infof("waiting until Entra knows the certificate (up to %s; Ctrl-C stops)", timefmt.Duration(CertificateWait))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-limit:
			return hint.Add(fmt.Errorf("after %s Entra does not know the certificate: %w", timefmt.Duration(CertificateWait), err),
				"run the printed command while azdo-pat login waits, for the application "+r.Settings.ClientID)
		case <-r.After(pause):
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// tryCredential asks for a token of the application. It returns nil if Entra knows the
// credential, even if it refuses the token for another reason.
func (r *run) tryCredential(ctx context.Context) error {
	ctx, cancel := r.withTimeout(ctx)
	defer cancel()
	_, err := r.exchange(ctx, &entra.Application{Client: r.Settings.ClientID})
	if refused := (*entra.Error)(nil); errors.As(err, &refused) && !refused.BadApplication() {
		r.Log.Debugf("the application's credential is known: %v", err)
		return nil
	}
	return err
}

// unknownCertificate reports whether Entra does not know the certificate yet.
func (r *run) unknownCertificate(err error) bool {
	refused := (*entra.Error)(nil)
	return r.certificate != nil && errors.As(err, &refused) && refused.UnknownCertificate()
}

// signIn has the person sign in, and stores the refresh token.
func (r *run) signIn(ctx context.Context, server *server) (Result, error) {
	a := entra.NewAuthorization(r.Settings.ClientID, server.redirectURI(), r.Settings.Username)
	server.serve(a.State)
	r.open(a.URL(r.Settings.AuthorityHost, r.tenant))
	var answer *callback
	select {
	case <-ctx.Done():
		return Result{}, context.Cause(ctx)
	case <-r.After(SignInWait):
		return Result{}, hint.Add(fmt.Errorf("no answer from the browser within %s", timefmt.Duration(SignInWait)), r.timeoutHint(server))
	case answer = <-server.answers:
	}
	result, err := r.finish(ctx, a, answer)
	answer.page <- r.outcome(result, err)
	return result, err
}

// timeoutHint names what Entra shows in the browser alone.
func (r *run) timeoutHint(server *server) string {
	text := "if Entra's page in the browser showed an error, it says why: AADSTS50011: register the redirect URI http://localhost of the application under the platform Web; " +
		"AADSTS700016: check client-id and tenant-id; AADSTS50105: assign the user to the application (Enterprise applications, Users and groups), or switch the requirement off"
	if n := server.refused.Load(); n > 0 {
		text += fmt.Sprintf("; %d other requests to %s were refused", n, server.redirectURI())
	}
	return text
}

// open shows the address of Entra's page and opens it.
func (r *run) open(address string) {
	r.Log.Infof("sign in at this address, in a browser on this machine, within %s:", timefmt.Duration(SignInWait))
	r.Copy(address)
	if r.Browser == nil {
		return
	}
	if err := r.Browser(address); err != nil {
		r.Log.Warning("no browser", fmt.Sprintf("%v; open the address yourself", err))
	}
}

func (r *run) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return settings.WithTimeout(ctx, r.Settings.Timeout)
}
