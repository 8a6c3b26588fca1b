package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/entra"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/setup"
	"azdo-pat/internal/signin"
	"azdo-pat/internal/timefmt"
)

// userToken gets the assertion and the user's token, as mint does.
func (k *preflight) userToken(ctx context.Context) secret.Value {
	if k.Settings.Identity == settings.AccessToken {
		k.row.assertion.Skip("not needed: an access token is given")
		return k.Settings.AccessToken
	}
	if b := k.failed("host-oidc"); b != nil {
		k.row.assertion.Skip("not tried: %s failed", b.Name)
		k.skipExchanges(b)
		return secret.Value{}
	}
	x, stored := k.SignIn.Exchange(k.client)
	k.stored = stored
	x.Tenant = k.job.Tenant
	source := &observedSource{next: x.Source, saw: k.reportAssertion}
	x.Source = source
	b := k.failed("host-entra", "host-key-vault", "tenant")
	if b == nil && x.Tenant == "" {
		b = k.row.tenant
	}
	if b != nil {
		err := httpclient.Retry(ctx, k.Platform.Log(), "getting the assertion", func(ctx context.Context) error {
			v, err := x.Source.Assertion(ctx)
			if err == nil {
				err = x.Mask(v)
			}
			return err
		})
		k.assertionFailed(err)
		k.skipExchanges(b)
		return secret.Value{}
	}
	return k.exchange(ctx, x, source)
}

// exchange gets the user's token, with a row for each request to Entra.
func (k *preflight) exchange(ctx context.Context, x *entra.Exchange, source *observedSource) secret.Value {
	source.begin = k.beginAttempt
	x.OnRequest = func(r entra.Request) {
		row := k.nextExchange()
		row.Took = r.Took
		if r.Err != nil {
			row.Fail("", "%v", r.Err)
			return
		}
		row.Pass("client %s", r.Client)
	}
	k.observeVault(x)
	token, err := x.Token(ctx)
	if err == nil {
		k.stored.Redeemed(token.Refresh, k.serverTime())
		return token.Access
	}
	// The error of the whole exchange is more specific than that of the request.
	for _, row := range k.exchanges {
		if row.Mark == Cross {
			row.Fail(k.job.Remedy(err), "%v", err)
			k.skipExchanges(row)
			return secret.Value{}
		}
	}
	k.assertionFailed(err)
	k.skipExchanges(k.row.assertion)
	return secret.Value{}
}

func (k *preflight) assertionFailed(err error) {
	if err != nil {
		k.row.assertion.Fail(k.job.Remedy(err), "%v", err)
	}
}

// beginAttempt resets the rows of the exchange for another attempt, which begins with
// an assertion. The vault's token and answer are kept, since an attempt uses them
// again.
func (k *preflight) beginAttempt() {
	for _, row := range k.exchanges {
		if k.stored == nil || row.Mark != Tick {
			*row = Row{Name: row.Name, Seen: "not tried"}
		}
	}
}

// nextExchange is the row of the request that was just answered.
func (k *preflight) nextExchange() *Row {
	for _, row := range k.exchanges {
		if row.Mark != Tick {
			return row
		}
	}
	return k.exchanges[len(k.exchanges)-1]
}

// skipExchanges says why the remaining requests to Entra were not tried.
func (k *preflight) skipExchanges(why *Row) {
	for _, row := range k.exchanges {
		switch {
		case row.Mark == Untried && why.Mark == Untried:
			row.Skip("not tried: %s was not tried", why.Name)
		case row.Mark == Untried:
			row.Skip("not tried: %s failed", why.Name)
		}
	}
}

// observedSource times a source of assertions and reports what it returns.
type observedSource struct {
	next  assertion.Source
	begin func()
	saw   func(v secret.Value, took time.Duration)
}

// Assertion implements [assertion.Source].
func (o *observedSource) Assertion(ctx context.Context) (secret.Value, error) {
	if o.begin != nil {
		o.begin()
	}
	start := time.Now()
	v, err := o.next.Assertion(ctx)
	if err == nil {
		o.saw(v, time.Since(start))
	}
	return v, err
}

// reportAssertion reports the claims of the assertion.
func (k *preflight) reportAssertion(v secret.Value, took time.Duration) {
	row := k.row.assertion
	row.Took = took
	var claims map[string]any
	if err := assertion.Decode(v, &claims); err != nil {
		row.Pass("not readable: %v", err)
		return
	}
	escaped := false
	claim := func(name string) string {
		text := assertion.Text(claims[name])
		escaped = escaped || sanitize.NeedsEscape(text)
		return sanitize.Exact(text)
	}
	k.issuer = claim("iss")
	seen := fmt.Sprintf("issuer %s, subject %s, audience %s, %s", k.issuer, claim("sub"), claim("aud"), k.until(claims))
	if assertion.Text(claims["aud"]) != k.Settings.Audience {
		seen += fmt.Sprintf("; the setting audience is %s", sanitize.Exact(k.Settings.Audience))
	}
	for _, name := range []string{"repository", "repository_id", "repository_owner_id", "ref", "environment", "job_workflow_ref", "event_name", "runner_environment"} {
		if text := claim(name); text != "" {
			seen += fmt.Sprintf("; %s %s", name, text)
		}
	}
	from, note := k.SignIn.AssertionFrom()
	seen += "; from " + from + note
	if escaped {
		seen += " " + signin.EscapedNote
	}
	row.Pass("%s", seen)
}

// until says when a token ends, by the services' clock.
func (k *preflight) until(claims map[string]any) string {
	end, ok := expiry(claims)
	switch left := end.Sub(k.serverTime()); {
	case !ok:
		return "without an end"
	case left <= 0:
		return "ended " + timefmt.Time(end)
	default:
		return fmt.Sprintf("valid until %s (%s)", timefmt.Time(end), timefmt.Rough(left))
	}
}

func expiry(claims map[string]any) (time.Time, bool) {
	seconds, ok := claims["exp"].(float64)
	return time.Unix(int64(seconds), 0), ok
}

// serverTime is the time by the services' clock.
func (k *preflight) serverTime() time.Time { return time.Now().Add(-k.clock.Skew().Estimate()) }

func (k *preflight) reportClock() {
	skew := k.clock.Skew().Estimate().Truncate(time.Second)
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	switch {
	case !k.headers.dated():
		k.row.clock.Skip("no service sent its time")
	case skew.Abs() > signin.ClockTolerance:
		// For mint this is a warning too. A refusal because of it has its own row.
		k.row.clock.Pass("%s %s the services': set this machine's clock", timefmt.Rough(skew.Abs()), direction)
	case skew == 0:
		k.row.clock.Pass("agrees with the services' clocks")
	default:
		k.row.clock.Pass("%s %s the services'", skew.Abs(), direction)
	}
}

// tokenClaims are those of the user's token.
type tokenClaims map[string]any

// text is the first of several claims that is present.
func (c tokenClaims) text(names ...string) (text string) {
	for _, name := range names {
		text = cmp.Or(text, assertion.Text(c[name]))
	}
	return text
}

func (c tokenClaims) user() string { return c.text("upn", "unique_name", "preferred_username") }

// forAzureDevOps reports whether the audience is Azure DevOps, which has two names.
func (c tokenClaims) forAzureDevOps() bool {
	return slices.Contains([]string{setup.AzureDevOps, "https://app.vssps.visualstudio.com"}, strings.TrimSuffix(c.text("aud"), "/"))
}

// otherTenant is the organization's tenant if the token is of another one, or "".
func (k *preflight) otherTenant(c tokenClaims) string {
	tenant, tid := cmp.Or(k.organizationTenant, k.Settings.TenantID), c.text("tid")
	if settings.IsGUID(tenant) && tid != "" && !strings.EqualFold(tid, tenant) {
		return tenant
	}
	return ""
}

// listed shows claims, each with its name.
func listed(claims ...[2]string) string {
	var parts []string
	for _, c := range claims {
		parts = append(parts, c[0]+" "+cmp.Or(sanitize.Exact(c[1]), "not given"))
	}
	return strings.Join(parts, ", ")
}

// reportToken reports the claims of the user's token, after it was used for the list.
// Access tokens are opaque to clients, so one that cannot be parsed is not a failure.
func (k *preflight) reportToken(token secret.Value) {
	row := k.row.user
	if token.IsZero() {
		row.Skip("not tried: there is no token")
		return
	}
	var claims tokenClaims
	if err := assertion.Decode(token, &claims); err != nil {
		row.Skip("not readable; only Azure DevOps is meant to read it")
		return
	}
	claim := claims.text
	seen := listed(
		[2]string{"idtyp", claim("idtyp")}, [2]string{"upn", claims.user()}, [2]string{"oid", claim("oid")},
		[2]string{"application", claim("appid", "azp")}, [2]string{"scp", claim("scp")}, [2]string{"tid", claim("tid")}, [2]string{"aud", claim("aud")},
	) + ", " + k.until(claims)
	granted := strings.Fields(claim("scp"))
	var missing []string
	for _, want := range []string{"vso.pats", "vso.pats_manage"} {
		if !slices.Contains(granted, want) {
			missing = append(missing, want)
		}
	}
	end, expires := expiry(claims)
	switch tenant := k.otherTenant(claims); {
	case claim("idtyp") == "app":
		row.Fail("Azure DevOps mints PATs for users only: configure a service account or an agent user", "it is an application's token, not a user's: %s", seen)
	case !claims.forAzureDevOps():
		row.Fail("get the token for the scope "+setup.AzureDevOps+"/.default", "it is not for Azure DevOps: %s", seen)
	case tenant != "":
		row.Fail("get the token in the organization's tenant, "+tenant, "it is of another tenant than %s: %s", tenant, seen)
	case expires && !end.After(k.serverTime()):
		row.Fail("use a newer access token", "it has ended: %s", seen)
	// user_impersonation may be enough: only the list shows whether it is.
	case len(missing) > 0 && k.row.list.Mark != Tick && (k.listRefused || !slices.Contains(granted, "user_impersonation")):
		row.Fail(k.job.Scopes(missing...), "it lacks %s: %s", strings.Join(missing, " and "), seen)
	default:
		row.Pass("%s", seen)
	}
}
