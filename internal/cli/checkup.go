package cli

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

	"azdo-pat/internal/check"
	"azdo-pat/internal/entra"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
)

// checkup is one run of check. Each step is done by what does it for mint, and
// fills in its row.
type preflight struct {
	*app
	s      *settings.Settings
	report *check.Report
	job    check.Job
	client *http.Client // what all requests go through
	clock  *httpclient.Clock
	heard  *headerRecorder
	theirs string // the organization's tenant, where it is known
	issuer string // of the assertion
	// listRefused tells that Azure DevOps refused to list the user's PATs.
	listRefused bool

	hosts []*host
	row   struct{ settings, platform, clock, tenant, assertion, user, list, scopes *check.Row }
	legs  []*check.Row
}

// host is one of the services, by a URL on it.
type host struct {
	*check.Row
	url string
}

// newCheckup lays out the rows of the report: those that the identity needs.
func newPreflight(c *app, s *settings.Settings) *preflight {
	k := &preflight{app: c, s: s, report: &check.Report{
		Version: version, Commit: commit, OS: runtime.GOOS, Arch: runtime.GOARCH,
		Platform: c.platform.Info().Name, Identity: string(s.Identity), Organization: s.Organization,
	}}
	add := k.report.Add
	k.row.settings, k.row.platform = add("settings"), add("platform")
	application := s.Identity != settings.AccessToken
	if u := c.platform.Provider().URL; u != "" && application && s.FederatedTokenFile == "" {
		k.hosts = append(k.hosts, &host{add("host-oidc"), u})
	}
	if application {
		k.hosts = append(k.hosts, &host{add("host-entra"), s.AuthorityHost})
	}
	k.hosts = append(k.hosts, &host{add("host-azure-devops"), s.TokenServiceURL})
	k.row.clock, k.row.tenant, k.row.assertion = add("clock"), add("tenant"), add("assertion")
	for _, name := range map[settings.Identity][]string{
		settings.AgentUser:    {"exchange-blueprint", "exchange-agent", "exchange-user"},
		settings.RefreshToken: {"exchange-refresh-token"},
		settings.Password:     {"exchange-password"},
	}[s.Identity] {
		k.legs = append(k.legs, add(name))
	}
	k.row.user, k.row.list, k.row.scopes = add("user-token"), add("azure-devops"), add("scopes")
	k.job = check.Job{
		Organization: s.Organization, Tenant: s.TenantID, Client: s.ClientID,
		Agent: s.AgentID, User: cmp.Or(s.AgentUser, s.Username), TokenFile: s.FederatedTokenFile,
	}
	return k
}

// sawSettings says which settings there are and where each was found.
func (k *preflight) sawSettings(wrong *settings.Problems) {
	if wrong != nil {
		k.row.settings.Fail("set right what is listed; azdo-pat check --help lists the settings\n"+strings.Join(wrong.List, "\n"), "%s", howMany(wrong))
		return
	}
	var from []string
	for _, d := range settings.Descriptions {
		switch where := k.s.Origins[d.Name]; where {
		case "":
		case d.Name:
			from = append(from, d.Name+" (input)")
		default:
			from = append(from, fmt.Sprintf("%s (%s)", d.Name, where))
		}
	}
	k.row.settings.Pass("%s; given: %s", signin.Describe(k.s), strings.Join(from, ", "))
}

func howMany(wrong *settings.Problems) string {
	if len(wrong.List) == 1 {
		return "a setting is wrong"
	}
	return fmt.Sprintf("%d settings are wrong", len(wrong.List))
}

// sawPlatform says what the CI system is, and whether mint has there what it
// needs.
func (k *preflight) sawPlatform(unvouched error) {
	name, p := k.platform.Info().Name, k.platform.Status()
	switch {
	case unvouched != nil:
		fix := strings.TrimSpace(hint.Of(unvouched) + "\n\n" + k.platform.Provider().Permission)
		k.row.platform.Fail(fix, "%s, %s: %v", name, p.Seen, unvouched)
	case p.Err != nil:
		k.row.platform.Fail(hint.Of(p.Err), "%s, %s: %v", name, p.Seen, p.Err)
	default:
		k.row.platform.Pass("%s, %s; %s", name, p.Seen, p.Ready)
	}
}

// walk goes the way to the PAT. What needs a step that failed is not tried.
func (k *preflight) walk(ctx context.Context) {
	k.client = k.http
	k.heard = &headerRecorder{next: k.client.Transport, last: map[string]http.Header{}}
	k.clock = &httpclient.Clock{Next: k.heard, Now: k.Now}
	k.client.Transport = &httpclient.Paced{
		Next:  &httpclient.Traced{Next: k.clock, Debugf: k.platform.Log().Debugf},
		Pacer: k.signin.Pacer(), Log: k.platform.Log(),
	}

	k.probe(ctx)
	k.askTenant(ctx)
	token := k.userToken(ctx)
	k.sawClock()
	k.askList(ctx, token)
	k.sawToken(token)
	k.sawScopes()
}

// crossed is the first of the rows of those names that failed, or nil.
func (k *preflight) crossed(names ...string) *check.Row {
	for _, row := range k.report.Rows {
		if row.Mark == check.Cross && slices.Contains(names, row.Name) {
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
			start := k.Now()
			path, err := httpclient.Probe(ctx, k.client, h.url)
			h.Took = k.Now().Sub(start)
			if err != nil {
				h.Fail(k.job.Remedy(err), "%v (%s)", err, way(path))
				return
			}
			u, _ := url.Parse(h.url) // what Probe could read
			h.Pass("%s: %s", u.Host, way(path))
		})
	}
	all.Wait()
}

// way describes the way to a host.
func way(p httpclient.Path) string {
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

// askTenant asks the organization for its tenant, where it is given too: another
// one than the organization's is a common mistake.
func (k *preflight) askTenant(ctx context.Context) {
	row, given := k.row.tenant, k.s.TenantID
	if b := k.crossed("host-azure-devops"); b != nil {
		if row.Skip("not tried: %s failed", b.Name); given != "" {
			row.Skip("given as %s; not compared with the organization's: %s failed", given, b.Name)
		}
		return
	}
	start := k.Now()
	o := &entra.Organization{HTTP: k.client, BaseURL: k.s.TokenServiceURL, Name: k.s.Organization}
	err := httpclient.Retry(ctx, k.platform.Log(), "the tenant", func(ctx context.Context) (err error) {
		k.theirs, err = o.Tenant(ctx)
		return err
	})
	row.Took = k.Now().Sub(start)
	switch {
	case err != nil && (given == "" || errors.Is(err, entra.ErrNoTenant)):
		row.Fail(k.job.Remedy(err), "%v", err)
	case err != nil:
		row.Pass("given as %s; the organization does not tell its own: %v", given, err)
	case given == "":
		k.job.Tenant = k.theirs
		row.Pass("%s, as the organization says", k.theirs)
	case !settings.IsGUID(given):
		row.Pass("given as %s; the organization is in %s", given, k.theirs)
	case !strings.EqualFold(given, k.theirs):
		row.Fail("set tenant-id to "+k.theirs+", or leave it out", "given as %s, but the organization is in %s", given, k.theirs)
	default:
		row.Pass("%s, which is the organization's", k.theirs)
	}
}

func (k *preflight) sawScopes() {
	row := k.row.scopes
	if len(k.s.Scopes) == 0 {
		row.Skip("not given; mint needs them")
		return
	}
	seen := strings.Join(k.s.Scopes, " ")
	for _, u := range pat.Unknown(k.s.Scopes) {
		seen += fmt.Sprintf("; %s is none that azdo-pat knows, Azure DevOps decides", u.Name)
		if len(u.Nearest) > 0 {
			seen += " (did you mean " + strings.Join(u.Nearest, " or ") + "?)"
		}
	}
	row.Pass("%s; nothing was minted", seen)
}

// findings answers, for an agent user, what no documentation does.
func (k *preflight) findings() {
	if k.s.Identity != settings.AgentUser {
		return
	}
	answer := func(name, question string, row *check.Row, yes string) {
		f := check.Finding{Name: name, Question: question, Text: "not answered: " + row.Seen}
		if row.Mark == check.Tick {
			f.Answered, f.Text = true, "yes: "+yes
		}
		k.report.Findings = append(k.report.Findings, f)
	}
	answer("issuer-on-blueprint", "does a blueprint take an assertion of this issuer", k.legs[0],
		fmt.Sprintf("Entra took one of %s for client %s (say whether the federated credential is a flexible one)", k.issuer, k.s.ClientID))
	answer("agent-user-as-member", "does Azure DevOps take an agent user as a member", k.row.list, "it listed the agent user's PATs")
	k.report.Findings = append(k.report.Findings, check.Finding{
		Name: "agent-user-may-mint", Question: "may an agent user mint",
		Text: "not answered, since check mints nothing; to find out, mint a PAT that reads and is soon over, with scopes vso.project and lifetime 5m, and say what came",
	})
}
