package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/check"
	"azdo-pat/internal/entra"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
)

// userToken gets the assertion and the user's token, as mint does.
func (k *preflight) userToken(ctx context.Context) secret.Value {
	if k.s.Identity == settings.AccessToken {
		k.row.assertion.Skip("not needed: an access token is given")
		return k.s.AccessToken
	}
	if b := k.crossed("host-oidc"); b != nil {
		k.row.assertion.Skip("not tried: %s failed", b.Name)
		k.legsWait(b)
		return secret.Value{}
	}
	x := k.signin.Exchange(k.client)
	x.Tenant = k.job.Tenant
	source := &observedSource{next: x.Source, now: k.Now, saw: k.sawAssertion}
	x.Source = source
	b := k.crossed("host-entra", "tenant")
	if b == nil && x.Tenant == "" {
		b = k.row.tenant
	}
	if b != nil {
		err := httpclient.Retry(ctx, k.platform.Log(), "the assertion", func(ctx context.Context) error {
			v, err := x.Source.Assertion(ctx)
			if err == nil {
				err = x.Mask(v)
			}
			return err
		})
		k.assertionFailed(err)
		k.legsWait(b)
		return secret.Value{}
	}
	legs := 0 // of the current attempt, which begins with an assertion
	source.begin = func() {
		legs = 0
		k.legsWait(nil)
	}
	x.OnRequest = func(l entra.Request) {
		row := k.legs[min(legs, len(k.legs)-1)]
		legs++
		row.Took = l.Took
		if row.Pass("client %s", l.Client); l.Err != nil {
			row.Fail("", "%v", l.Err)
		}
	}
	token, err := x.Token(ctx)
	if err == nil {
		return token.Access
	}
	// What Token says of the error is more than the leg knew.
	for _, row := range k.legs {
		if row.Mark == check.Cross {
			row.Fail(k.job.Remedy(err), "%v", err)
			k.legsWait(row)
			return secret.Value{}
		}
	}
	k.assertionFailed(err)
	k.legsWait(k.row.assertion)
	return secret.Value{}
}

func (k *preflight) assertionFailed(err error) {
	if err != nil {
		k.row.assertion.Fail(k.job.Remedy(err), "%v", err)
	}
}

// legsWait says of the legs that were not tried why.
func (k *preflight) legsWait(why *check.Row) {
	for _, row := range k.legs {
		switch {
		case why == nil:
			*row = check.Row{Name: row.Name, Seen: "not tried"}
		case row.Mark == check.Untried && why.Mark == check.Untried:
			row.Skip("not tried: %s was not tried", why.Name)
		case row.Mark == check.Untried:
			row.Skip("not tried: %s failed", why.Name)
		}
	}
}

// observed is a source of assertions that is looked over the shoulder.
type observedSource struct {
	next  assertion.Source
	now   func() time.Time
	begin func()
	saw   func(v secret.Value, took time.Duration)
}

// Assertion implements [assertion.Source].
func (o *observedSource) Assertion(ctx context.Context) (secret.Value, error) {
	if o.begin != nil {
		o.begin()
	}
	start := o.now()
	v, err := o.next.Assertion(ctx)
	if err == nil {
		o.saw(v, o.now().Sub(start))
	}
	return v, err
}

// sawAssertion says what the CI system vouches for.
func (k *preflight) sawAssertion(v secret.Value, took time.Duration) {
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
	if assertion.Text(claims["aud"]) != k.s.Audience {
		seen += fmt.Sprintf("; the setting audience is %s", sanitize.Exact(k.s.Audience))
	}
	for _, name := range []string{"repository", "ref", "environment", "job_workflow_ref", "event_name", "runner_environment"} {
		if text := claim(name); text != "" {
			seen += fmt.Sprintf("; %s %s", name, text)
		}
	}
	from, note := k.signin.AssertionFrom()
	seen += "; from " + from + note
	if escaped {
		seen += " " + signin.EscapedNote
	}
	row.Pass("%s", seen)
}

// until says when a token ends, by the services' clock.
func (k *preflight) until(claims map[string]any) string {
	end, ok := expiry(claims)
	switch left := end.Sub(k.server()); {
	case !ok:
		return "without an end"
	case left <= 0:
		return "ended " + stamp(end)
	default:
		return fmt.Sprintf("good until %s (%s)", stamp(end), span(left))
	}
}

func expiry(claims map[string]any) (time.Time, bool) {
	seconds, ok := claims["exp"].(float64)
	return time.Unix(int64(seconds), 0), ok
}

// server is the services' clock.
func (k *preflight) server() time.Time { return k.Now().Add(-k.clock.Skew().Estimate()) }

func (k *preflight) sawClock() {
	skew := k.clock.Skew().Estimate().Truncate(time.Second)
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	switch {
	case !k.heard.dated():
		k.row.clock.Skip("no service told its time")
	case skew.Abs() > clockWarningFrom:
		// A warning to mint, too: what is refused for it has a row of its own.
		k.row.clock.Pass("%s %s the services': set this machine's clock", skew.Abs(), direction)
	default:
		k.row.clock.Pass("%s %s the services'", skew.Abs(), direction)
	}
}

// tokenClaims are those of the user's token.
type tokenClaims map[string]any

// text is the first of several claims that is there.
func (c tokenClaims) text(names ...string) (text string) {
	for _, name := range names {
		text = cmp.Or(text, assertion.Text(c[name]))
	}
	return text
}

func (c tokenClaims) user() string { return c.text("upn", "unique_name", "preferred_username") }

// sawToken says what the user's token is good for, once it was used for the list.
// Only Azure DevOps is meant to read it, so that one which cannot be read is none
// the worse.
func (k *preflight) sawToken(token secret.Value) {
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
	upn, scp, tid, aud := claims.user(), claim("scp"), claim("tid"), claim("aud")
	var parts []string
	for _, p := range [][2]string{
		{"idtyp", claim("idtyp")}, {"upn", upn}, {"oid", claim("oid")}, {"application", claim("appid", "azp")},
		{"scp", scp}, {"tid", tid}, {"aud", aud},
	} {
		parts = append(parts, p[0]+" "+cmp.Or(sanitize.Exact(p[1]), "not given"))
	}
	seen := strings.Join(parts, ", ") + ", " + k.until(claims)
	granted := strings.Fields(scp)
	var missing []string
	for _, want := range []string{"vso.pats", "vso.pats_manage"} {
		if !slices.Contains(granted, want) {
			missing = append(missing, want)
		}
	}
	end, ends := expiry(claims)
	tenant := cmp.Or(k.theirs, k.s.TenantID)
	switch {
	case claim("idtyp") == "app":
		row.Fail("Azure DevOps mints PATs for users only: configure an agent user or a service account", "an application's token, and no user's: %s", seen)
	case !slices.Contains([]string{check.AzureDevOps, "https://app.vssps.visualstudio.com"}, strings.TrimSuffix(aud, "/")):
		row.Fail("get the token for the scope "+check.AzureDevOps+"/.default", "not for Azure DevOps: %s", seen)
	case settings.IsGUID(tenant) && tid != "" && !strings.EqualFold(tid, tenant):
		row.Fail("get the token in the organization's tenant, "+tenant, "of another tenant than %s: %s", tenant, seen)
	case ends && !end.After(k.server()):
		row.Fail("bring a fresh token along", "over: %s", seen)
	// user_impersonation may do: the list tells, if anything does.
	case len(missing) > 0 && k.row.list.Mark != check.Tick && (k.listRefused || !slices.Contains(granted, "user_impersonation")):
		row.Fail(k.job.Scopes(missing...), "without %s: %s", strings.Join(missing, " and "), seen)
	default:
		row.Pass("%s", seen)
	}
}

// ours is what mint calls a PAT.
var ours = regexp.MustCompile(`^azdo-pat .* [0-9a-f]{16}$`)

// aPage is how many PATs are looked at, at most.
const aPage = 100

// askList asks Azure DevOps for the user's PATs, which it gives to nobody but
// those whom it lets manage them. Whatever the token seems to be, this decides.
func (k *preflight) askList(ctx context.Context, token secret.Value) {
	row := k.row.list
	if b := k.crossed("host-azure-devops"); b != nil {
		row.Skip("not tried: %s failed", b.Name)
		return
	}
	if token.IsZero() {
		row.Skip("not tried: there is no token")
		return
	}
	var claims tokenClaims
	if assertion.Decode(token, &claims) == nil {
		k.job.User = cmp.Or(claims.user(), k.job.User)
	}
	start := k.Now()
	pats := k.signin.PATs(k.client, token)
	var count, leases int
	var oldest time.Time
	err := httpclient.Retry(ctx, k.platform.Log(), "the list of PATs", func(ctx context.Context) error {
		count, leases, oldest = 0, 0, time.Time{}
		for t, err := range pats.List(ctx, pat.Filter{Ascending: true}) {
			if err != nil {
				return err
			}
			count++
			if ours.MatchString(t.DisplayName) {
				leases++
			}
			if from := t.ValidFrom; !from.IsZero() && (oldest.IsZero() || from.Before(oldest)) {
				oldest = from
			}
			if count == aPage {
				break
			}
		}
		return nil
	})
	row.Took = k.Now().Sub(start)
	support := k.heard.support(k.s.TokenServiceURL, err)
	if err != nil {
		refused := (*pat.Error)(nil)
		k.listRefused = errors.As(err, &refused) && refused.MayLackScope()
		row.Fail(k.job.Remedy(err), "%v%s", err, support)
		return
	}
	seen := fmt.Sprintf("list of PATs answered: %d active", count)
	if count == aPage {
		seen += " or more"
	}
	seen += fmt.Sprintf(", %d of azdo-pat's", leases)
	if !oldest.IsZero() {
		seen += ", the oldest from " + stamp(oldest)
	}
	row.Pass("%s%s", seen, support)
}

// heard remembers the headers of each host's last answer.
type headerRecorder struct {
	next http.RoundTripper

	mu   sync.Mutex
	last map[string]http.Header
}

// RoundTrip implements [http.RoundTripper].
func (h *headerRecorder) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := h.next.RoundTrip(r)
	if err == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.last[r.URL.Host] = resp.Header
	}
	return resp, err
}

// dated reports whether any answer told the time.
func (h *headerRecorder) dated() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, header := range h.last {
		if _, err := http.ParseTime(header.Get("Date")); err == nil {
			return true
		}
	}
	return false
}

// support is what Microsoft's support asks for, and whom Azure DevOps takes the
// caller for, as far as the last answer of the URL's host told and the error, if
// any, has not said it.
func (h *headerRecorder) support(of string, failed error) (text string) {
	u, err := url.Parse(of)
	if err != nil {
		return ""
	}
	said := ""
	if failed != nil {
		said = failed.Error()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range []string{"X-VSS-UserData", "ActivityId", "X-TFS-Session", "X-VSS-E2EID"} {
		if value := sanitize.Line(h.last[u.Host].Get(name), 120); value != "" && !strings.Contains(said, name+" "+value) {
			text += "; " + name + " " + value
		}
	}
	return text
}
