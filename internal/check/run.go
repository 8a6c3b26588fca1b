package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/entra"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
)

// Options are what a check needs.
type Options struct {
	Settings *settings.Settings
	// Wrong holds the problems of the settings, and Unavailable the reason why the CI
	// system issues no assertion for the job. With either, nothing is sent.
	Wrong       *settings.Problems
	Unavailable error

	Platform        ci.Platform
	SignIn          *signin.Client
	HTTP            *http.Client
	Version, Commit string
}

// Run takes every step up to the mint and reports on each. With token-type entra it gets
// the token, which it does not hand over.
func Run(ctx context.Context, o Options) *Report {
	k := newPreflight(o)
	k.reportSettings()
	k.reportPlatform()
	if o.Wrong == nil && o.Unavailable == nil {
		k.takeSteps(ctx)
		k.addWarnings()
		k.addFindings()
	}
	return k.report
}

// preflight is one run of check. Each step runs the same code as mint does, and fills in
// its row.
type preflight struct {
	Options
	report  *Report
	job     Job
	client  *http.Client // sends all requests
	clock   *httpclient.Clock
	headers *headerRecorder
	// organizationTenant is the tenant of the organization, where it is known.
	organizationTenant string
	issuer             string // of the assertion
	// listRefused: Azure DevOps refused to list the user's PATs.
	listRefused bool

	hosts     []*host
	row       struct{ settings, platform, clock, tenant, assertion, user, list, stored, scopes *Row }
	exchanges []*Row // one for each request to Entra, and for the one to the vault
	// stored is the refresh token in Key Vault; nil: it is not kept there.
	stored *signin.StoredToken
}

// host is one of the services, by a URL on it.
type host struct {
	*Row
	url string
}

// newPreflight adds the rows that the identity needs to an empty report.
func newPreflight(o Options) *preflight {
	s := o.Settings
	k := &preflight{Options: o, report: &Report{
		Version: o.Version, Commit: o.Commit, OS: runtime.GOOS, Arch: runtime.GOARCH,
		Platform: o.Platform.Info().Name, Identity: string(s.Identity), Organization: s.Organization,
	}}
	add := k.report.Add
	k.row.settings, k.row.platform = add("settings"), add("platform")
	application := s.Identity != settings.AccessToken
	if u := o.Platform.Provider().URL; u != "" && application && s.FederatedTokenFile == "" {
		k.hosts = append(k.hosts, &host{add("host-oidc"), u})
	}
	if application {
		k.hosts = append(k.hosts, &host{add("host-entra"), s.AuthorityHost})
	}
	k.hosts = append(k.hosts, &host{add("host-azure-devops"), s.TokenServiceURL})
	if s.Identity == settings.VaultToken {
		k.hosts = append(k.hosts, &host{add("host-key-vault"), s.RefreshTokenVault})
	}
	k.row.clock, k.row.tenant, k.row.assertion = add("clock"), add("tenant"), add("assertion")
	for _, name := range map[settings.Identity][]string{
		settings.AgentUser:        {"exchange-blueprint", "exchange-agent", "exchange-user"},
		settings.RefreshToken:     {"exchange-refresh-token"},
		settings.VaultToken:       {"exchange-vault", "key-vault", "exchange-refresh-token"},
		settings.Password:         {"exchange-password"},
		settings.ServicePrincipal: {"exchange-service-principal"},
	}[s.Identity] {
		k.exchanges = append(k.exchanges, add(name))
	}
	k.addTokenRows()
	k.job = Job{
		Organization: s.Organization, Tenant: s.TenantID, Client: s.ClientID,
		Agent: s.AgentID, User: cmp.Or(s.AgentUser, s.Username), TokenFile: s.FederatedTokenFile,
		ServicePrincipal: s.Identity == settings.ServicePrincipal,
	}
	return k
}

// addTokenRows adds the rows for the token and its use.
func (k *preflight) addTokenRows() {
	add := k.report.Add
	if k.Settings.TokenType == settings.EntraToken {
		k.row.user, k.row.list = add("entra-token"), add("azure-devops")
		return
	}
	k.row.user, k.row.list = add("user-token"), add("azure-devops")
	if k.Settings.Identity == settings.VaultToken {
		k.row.stored = add("refresh-token")
	}
	k.row.scopes = add("scopes")
}

// reportSettings lists the settings, and where each was found.
func (k *preflight) reportSettings() {
	if wrong := k.Wrong; wrong != nil {
		k.row.settings.Fail("set right what is listed; azdo-pat check --help lists the settings\n"+strings.Join(wrong.List, "\n"), "%s", CountWrong(wrong))
		return
	}
	var from []string
	for _, d := range settings.Descriptions {
		switch where := k.Settings.Origins[d.Name]; where {
		case "":
		case d.Name:
			from = append(from, d.Name+" (input)")
		default:
			from = append(from, fmt.Sprintf("%s (%s)", d.Name, where))
		}
	}
	k.row.settings.Pass("%s; given: %s", signin.Describe(k.Settings), strings.Join(from, ", "))
}

// CountWrong says how many settings are wrong.
func CountWrong(wrong *settings.Problems) string {
	if len(wrong.List) == 1 {
		return "a setting is wrong"
	}
	return fmt.Sprintf("%d settings are wrong", len(wrong.List))
}

// reportPlatform names the CI system and says whether mint has what it needs there.
func (k *preflight) reportPlatform() {
	name, p := k.Platform.Info().Name, k.Platform.Status()
	switch {
	case k.Unavailable != nil:
		fix := strings.TrimSpace(hint.Of(k.Unavailable) + "\n\n" + k.Platform.Provider().Permission)
		k.row.platform.Fail(fix, "%s, %s: %v", name, p.Seen, k.Unavailable)
	case p.Err != nil:
		k.row.platform.Fail(hint.Of(p.Err), "%s, %s: %v", name, p.Seen, p.Err)
	default:
		k.row.platform.Pass("%s, %s; %s", name, p.Seen, p.Ready)
	}
}

// takeSteps takes the steps to the PAT. A step that needs one that failed is skipped.
func (k *preflight) takeSteps(ctx context.Context) {
	client := *k.HTTP
	k.client = &client
	k.headers = &headerRecorder{next: k.HTTP.Transport, last: map[string]http.Header{}}
	k.clock = &httpclient.Clock{Next: k.headers}
	k.client.Transport = &httpclient.Paced{
		Next:  &httpclient.Traced{Next: k.clock, Debugf: k.Platform.Log().Debugf},
		Pacer: k.SignIn.Pacer(), Log: k.Platform.Log(),
	}

	k.probe(ctx)
	k.askTenant(ctx)
	token := k.userToken(ctx)
	k.reportClock()
	if k.Settings.TokenType == settings.EntraToken {
		k.reportEntraToken(token)
		k.askCaller(ctx, token)
		return
	}
	k.askList(ctx, token)
	k.reportToken(token)
	k.renewStored(ctx)
	k.reportScopes()
}

// failed is the first of the rows of those names that failed, or nil.
func (k *preflight) failed(names ...string) *Row {
	for _, row := range k.report.Rows {
		if row.Mark == Cross && slices.Contains(names, row.Name) {
			return row
		}
	}
	return nil
}

// probe opens a connection to each host, to all of them at once.
func (k *preflight) probe(ctx context.Context) {
	var all sync.WaitGroup
	for _, h := range k.hosts {
		all.Go(func() {
			start := time.Now()
			path, err := httpclient.Probe(ctx, k.client, h.url)
			h.Took = time.Since(start)
			if err != nil {
				h.Fail(k.job.Remedy(err), "%v (%s)", err, describePath(path))
				return
			}
			u, _ := url.Parse(h.url) // what Probe could read
			h.Pass("%s: %s", u.Host, describePath(path))
		})
	}
	all.Wait()
}

// describePath describes the way to a host.
func describePath(p httpclient.Path) string {
	parts := []string{"direct"}
	if p.Proxy != "" {
		parts = []string{"through the proxy " + p.Proxy}
	}
	if len(p.Addresses) > 0 {
		parts = append(parts, fmt.Sprintf("DNS %s in %s", strings.Join(p.Addresses[:min(len(p.Addresses), 4)], " "), ms(p.DNS)))
	}
	if p.TCP > 0 {
		parts = append(parts, "TCP in "+ms(p.TCP))
	}
	switch {
	case p.Version != "":
		parts = append(parts, fmt.Sprintf("%s in %s, certificate issued by %q, trusted by %s", p.Version, ms(p.TLS), p.Issuer, p.Roots))
	case p.Issuer != "":
		parts = append(parts, fmt.Sprintf("certificate issued by %q", p.Issuer))
	}
	return strings.Join(parts, ", ")
}

func ms(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

// askTenant asks the organization for its tenant, even where a tenant is given: a wrong
// one is a common mistake.
func (k *preflight) askTenant(ctx context.Context) {
	row, given := k.row.tenant, k.Settings.TenantID
	if b := k.failed("host-azure-devops"); b != nil {
		if given == "" {
			row.Skip("not tried: %s failed", b.Name)
		} else {
			row.Skip("given as %s; not compared with the organization's: %s failed", given, b.Name)
		}
		return
	}
	start := time.Now()
	o := &entra.Organization{HTTP: k.client, BaseURL: k.Settings.TokenServiceURL, Name: k.Settings.Organization}
	err := httpclient.Retry(ctx, k.Platform.Log(), "looking up the tenant", func(ctx context.Context) (err error) {
		k.organizationTenant, err = o.Tenant(ctx)
		return err
	})
	row.Took = time.Since(start)
	switch {
	case err != nil && (given == "" || errors.Is(err, entra.ErrNoTenant)):
		row.Fail(k.job.Remedy(err), "%v", err)
	case err != nil:
		row.Pass("given as %s; the organization does not say which is its own: %v", given, err)
	case given == "":
		k.job.Tenant = k.organizationTenant
		row.Pass("%s, as the organization says", k.organizationTenant)
	case !settings.IsGUID(given):
		row.Pass("given as %s; the organization is in %s", given, k.organizationTenant)
	case !strings.EqualFold(given, k.organizationTenant):
		row.Fail("set tenant-id to "+k.organizationTenant+", or leave it out", "given as %s, but the organization is in %s", given, k.organizationTenant)
	default:
		row.Pass("%s, which is the organization's", k.organizationTenant)
	}
}

func (k *preflight) reportScopes() {
	row := k.row.scopes
	if len(k.Settings.Scopes) == 0 {
		row.Skip("not given; mint needs them")
		return
	}
	seen := strings.Join(k.Settings.Scopes, " ")
	for _, u := range pat.Unknown(k.Settings.Scopes) {
		seen += fmt.Sprintf("; azdo-pat does not know %s, so Azure DevOps decides about it", u.Name)
		if len(u.Nearest) > 0 {
			seen += " (did you mean " + strings.Join(u.Nearest, " or ") + "?)"
		}
	}
	row.Pass("%s; nothing was minted", seen)
}

// addFindings answers what Microsoft does not document about agent users.
func (k *preflight) addFindings() {
	if k.Settings.Identity != settings.AgentUser {
		return
	}
	answer := func(name, question string, row *Row, yes string) {
		f := Finding{Name: name, Question: question, Text: "not answered: " + row.Seen}
		if row.Mark == Tick {
			f.Answered, f.Text = true, "yes: "+yes
		}
		k.report.Findings = append(k.report.Findings, f)
	}
	answer("issuer-on-blueprint", "does a blueprint take an assertion of this issuer", k.exchanges[0],
		fmt.Sprintf("Entra took one of %s for client %s (say whether the federated credential is a flexible one)", k.issuer, k.Settings.ClientID))
	answer("agent-user-as-member", "does Azure DevOps take an agent user as a member", k.row.list, "it listed the agent user's PATs")
	k.report.Findings = append(k.report.Findings, Finding{
		Name: "agent-user-may-mint", Question: "may an agent user mint",
		Text: "not answered, since check mints nothing; to find out, mint a short-lived PAT that can only read (scopes vso.project, lifetime 5m) and add the result to the report",
	})
}
