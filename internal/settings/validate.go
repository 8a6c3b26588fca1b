package settings

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// The shortest and the longest lifetime that can be asked for.
const (
	ShortestLifetime = 5 * time.Minute
	LongestLifetime  = 24 * time.Hour
)

// Problems is everything that is wrong with the settings.
type Problems struct{ List []string }

// Error implements error: a line a problem.
func (p *Problems) Error() string {
	if len(p.List) == 1 {
		return p.List[0]
	}
	return fmt.Sprintf("%d settings are wrong:\n  %s", len(p.List), strings.Join(p.List, "\n  "))
}

// check gathers what is wrong.
type validator struct {
	*lookup
	problems []string
	// application tells that an identity is set that needs an application and
	// an assertion.
	application bool
	// noRoots is why the post step goes on without ca-file; empty: it need not.
	noRoots string
}

// wrong says of a setting what was found and what is allowed.
func (c *validator) wrong(name, found, allowed string) {
	c.problems = append(c.problems, fmt.Sprintf("%s: found %s; allowed: %s", c.as(name), show(name, found), allowed))
}

func (c *validator) need(name, why string) {
	also := ""
	if !c.src.Action && !IsSecret(name) {
		also = " (or AZDO_PAT_" + key(name) + ")"
	}
	if IsSecret(name) {
		why += c.withheld()
	}
	c.problems = append(c.problems, fmt.Sprintf("%s%s: not set; %s", c.missing(name), also, why))
}

// withheld says why a secret that a workflow hands in can be empty.
func (c *validator) withheld() string {
	if !c.src.Action || c.src.Saved != nil { // mint had it
		return ""
	}
	return "; " + secretsWithheld
}

// secretsWithheld is about both kinds of run to which GitHub gives no secret of
// the repository.
const secretsWithheld = "a secret is empty in runs of Dependabot, which get Dependabot's secrets alone, and in runs of pull requests from forks"

func (c *validator) settings(r *raw) *Settings {
	s := &Settings{
		Organization: c.organization(r.Organization),
		TenantID:     c.tenant(r.TenantID),
		ClientID:     r.ClientID,
		AgentID:      r.AgentID, AgentUser: r.AgentUser,
		RefreshToken: c.credential("refresh-token", r.RefreshToken),
		Username:     r.Username,
		Password:     c.credential("password", r.Password),
		AccessToken:  c.credential("access-token", r.AccessToken),

		ServiceConnection: r.ServiceConnection,
		Name:              r.Name,
		Audience:          r.Audience,
		AuthorityHost:     c.url("authority-host", r.AuthorityHost),
		TokenServiceURL:   c.url("token-service-url", r.TokenServiceURL),
		CAFile:            c.roots(r.CAFile),
		Timeout:           c.duration("timeout", r.Timeout, 1, 365*day, "a duration above zero and up to 365d, such as 90s, 2m or 1d"),
		SkipRevoke:        c.bool("skip-revoke", r.SkipRevoke),
		OnRevokeFailure:   c.oneOf("on-revoke-failure", r.OnRevokeFailure, Warn, Fail),
	}
	if strings.ContainsFunc(s.Audience, func(r rune) bool { return r == ' ' || sanitize.Invisible(r) }) {
		c.wrong("audience", s.Audience, "the audience of the federated credential, without white space")
	}
	c.unknown(s)
	c.environment(s)
	c.tokenFile(s, r.FederatedTokenFile)
	if c.noRoots != "" {
		s.Warnings = append(s.Warnings, c.as("ca-file")+" is gone, and so it is tried without: "+c.noRoots)
	}
	c.identity(s)
	c.assertion(s)
	switch c.command {
	case Mint, Exec, Check:
		s.AllowFullAccess = c.bool("allow-full-access", r.AllowFullAccess)
		s.Scopes = c.scopes(r.Scopes, s.AllowFullAccess)
		s.Lifetime = c.duration("lifetime", r.Lifetime, ShortestLifetime, LongestLifetime, "a duration from 5m to 24h, such as 30m, 1h30m or 1d")
	}
	switch c.command {
	case Mint, Sweep, Check:
		s.Output = c.oneOf("output", r.Output, Text, JSON)
	}
	switch c.command {
	case Exec:
		s.Env = c.env(r.Env)
	case Sweep:
		s.OlderThan = c.duration("older-than", r.OlderThan, 0, math.MaxInt64, "a duration of zero or more, such as 6h, 90m or 2d")
		s.Repository = c.repository(r.Repository)
		s.DryRun = c.bool("dry-run", r.DryRun)
		c.gitHub(s, r.GitHubToken)
	case Revoke:
		s.AuthorizationID = r.AuthorizationID
		switch {
		case r.AuthorizationID == "" && c.src.Lease:
		case r.AuthorizationID == "":
			c.need("authorization-id", "the id of the PAT to revoke, which mint handed over as authorization-id")
		case !IsGUID(r.AuthorizationID):
			c.wrong("authorization-id", r.AuthorizationID, "the GUID that mint handed over as authorization-id")
		}
	}
	return s
}

// environment checks what the network's variables say of proxies and roots. In
// the post step a file of roots may be gone that was there for the mint: then it
// is tried without.
func (c *validator) environment(s *Settings) {
	for _, f := range httpclient.EnvironmentFaults(c.src.LookupEnv) {
		found := "what cannot be read, and is not shown since it may hold a password"
		if f.Found != "" {
			found = show("ca-file", f.Found)
		}
		text := fmt.Sprintf("%s: found %s; allowed: %s", f.Name, found, f.Allowed)
		if c.command == Post && strings.HasPrefix(f.Name, "SSL_") {
			s.Warnings = append(s.Warnings, text)
			continue
		}
		c.problems = append(c.problems, text)
	}
	if c.command != Post { // main has said it
		s.Warnings = append(s.Warnings, httpclient.EnvironmentWarnings(c.src.LookupEnv)...)
	}
}

// organization takes the bare name or one of the two URL forms.
func (c *validator) organization(text string) string {
	const forms = "contoso, https://dev.azure.com/contoso or https://contoso.visualstudio.com"
	if text == "" {
		c.need("organization", forms)
		return ""
	}
	name, err := Organization(text)
	if err != nil {
		c.wrong("organization", text, forms)
	}
	return name
}

// Organization returns the bare name of an Azure DevOps organization, given as
// such, as https://dev.azure.com/NAME or as https://NAME.visualstudio.com. A
// name has 1 to 50 letters, digits and hyphens, and starts and ends with a
// letter or digit.
func Organization(text string) (string, error) {
	name := text
	if strings.Contains(text, "/") {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.User != nil || strings.ContainsAny(text, "?#") {
			return "", errors.New("not the URL of an organization")
		}
		host := sanitize.LowerASCII(u.Host)
		path := strings.TrimSuffix(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
		if sub, ok := strings.CutSuffix(host, ".visualstudio.com"); ok && path == "" {
			name = sub
		} else if host == "dev.azure.com" {
			name = path
		} else {
			return "", errors.New("not the URL of an organization")
		}
	}
	if !organization.matches(name) {
		return "", errors.New("not the name of an organization")
	}
	return name, nil
}

func (c *validator) tenant(text string) string {
	if text != "" && !guid.matches(text) && (isToken(text) || !domain.matches(text)) {
		c.wrong("tenant-id", text, "the tenant's GUID or one of its domains, such as contoso.onmicrosoft.com")
	}
	return text
}

// credential refuses what can be no credential. The service's "wrong password"
// would not tell of a slip in storing it. The value is never repeated; what is
// returned of a wrong one is what must be masked.
func (c *validator) credential(name string, v secret.Value) secret.Value {
	fault := credentialFault(name, v)
	if fault == "" {
		return v
	}
	c.problems = append(c.problems, c.as(name)+": "+fault)
	return bare(v)
}

// credentialFault says what is wrong with a credential; empty: nothing.
func credentialFault(name string, v secret.Value) string {
	fault := v.Fault
	if name == "password" {
		fault = v.PasswordFault
	}
	if text := fault(); text != "" {
		return text + "; store it again as it was issued"
	}
	return ""
}

// bare is what of a wrong credential may be a right one, for a mask of it hides
// the whole too. Of several lines it is the longest.
func bare(v secret.Value) secret.Value {
	longest := ""
	for _, line := range strings.FieldsFunc(strings.ToValidUTF8(v.Reveal(), "\n"), unicode.IsControl) {
		line = strings.TrimFunc(line, func(r rune) bool { return sanitize.Invisible(r) || strings.ContainsRune(" \"'`", r) })
		if len(line) > len("bearer ") && strings.EqualFold(line[:len("bearer ")], "bearer ") {
			line = strings.TrimSpace(line[len("bearer "):])
		}
		if len(line) > len(longest) {
			longest = line
		}
	}
	if short := secret.New(longest); !short.TooShort() {
		return short
	}
	return secret.Value{}
}

func (c *validator) path(name, text string) string {
	if isToken(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
		c.wrong(name, text, "the path of a file")
	}
	return text
}

// roots tries the file, so that a wrong one is told with all else that is wrong.
func (c *validator) roots(file string) string {
	file = c.path("ca-file", file)
	if c.src.Roots == nil {
		return file
	}
	err := c.src.Roots(file)
	if err != nil && c.command == Post && c.src.Roots("") == nil {
		c.noRoots = sanitize.Line(err.Error(), 200)
		return ""
	}
	if err != nil {
		c.wrong("ca-file", file, fmt.Sprintf("a PEM file of certificates (%s)", sanitize.Line(err.Error(), 200)))
	}
	return file
}

// url takes https, or http on this machine alone.
func (c *validator) url(name, text string) string {
	u, err := BaseURL(text)
	if err != nil {
		c.wrong(name, text, err.Error())
	}
	return u
}

// BaseURL checks the base of a service's URLs: https, or http on 127.0.0.0/8,
// ::1 or localhost; no user, query or fragment. It returns it without a slash
// at the end.
func BaseURL(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Hostname() == "", u.User != nil, strings.ContainsAny(text, "?#"), strings.ContainsFunc(text, hidden):
		return "", errors.New("an https URL without user, query and fragment")
	case !httpclient.ValidPort(u):
		return "", errors.New("an https URL with a port from 1 to 65535, or none")
	case u.Scheme == "https", u.Scheme == "http" && httpclient.IsLoopback(u.Hostname()):
		return strings.TrimRight(text, "/"), nil
	}
	return "", errors.New("an https URL (http only on 127.0.0.0/8, ::1 or localhost)")
}

// hidden are the characters that no URL has, and that a reader does not see.
func hidden(r rune) bool { return r == ' ' || sanitize.Invisible(r) }

// SafeURL reports whether a request with a credential may go to a URL: https,
// or http on this machine.
func SafeURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Hostname() != "" && httpclient.ValidPort(u) && !strings.ContainsFunc(text, hidden) && (u.Scheme == "https" || u.Scheme == "http" && httpclient.IsLoopback(u.Hostname()))
}

func (c *validator) duration(name, text string, least, most time.Duration, allowed string) time.Duration {
	d, err := parseDuration(text)
	if err != nil || d < least || d > most {
		c.wrong(name, text, allowed)
	}
	return d
}

// day is that of a duration such as "30d", which has nothing to do with a calendar.
const day = 24 * time.Hour

// parseDuration reads a Go duration, or whole days.
func parseDuration(text string) (time.Duration, error) {
	digits, ok := strings.CutSuffix(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	days, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || days > uint64(math.MaxInt64/day) {
		return 0, errors.New("not a number of days")
	}
	return time.Duration(days) * day, nil
}

// bool takes what YAML writes for a boolean.
func (c *validator) bool(name, text string) bool {
	switch text {
	case "true", "True", "TRUE":
		return true
	case "false", "False", "FALSE":
		return false
	}
	c.wrong(name, text, "true or false")
	return false
}

func (c *validator) oneOf(name, text string, allowed ...string) string {
	for _, a := range allowed {
		if text == a {
			return text
		}
	}
	c.wrong(name, text, strings.Join(allowed, " or "))
	return text
}

// env takes the names of variables, separated as scopes are.
func (c *validator) env(text string) []string {
	names := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	for _, name := range names {
		if !variable.matches(name) {
			c.wrong("env", text, "names of variables, separated by white space or commas, such as AZURE_DEVOPS_EXT_PAT")
			return nil
		}
	}
	if len(names) == 0 {
		c.wrong("env", text, "at least one name of a variable, such as AZURE_DEVOPS_EXT_PAT")
	}
	return names
}

func (c *validator) repository(text string) string {
	if text != "" && !repository.matches(text) {
		c.wrong("repository", text, "a GitHub repository as OWNER/REPO")
	}
	return text
}

// gitHub decides where GitHub is asked about runs, and with which token. A token
// that is there without being set for this program, as in every job of GitHub
// Actions, need not be usable: without it the age decides.
func (c *validator) gitHub(s *Settings, token secret.Value) {
	if token.IsZero() {
		return
	}
	const name = "github-token"
	var wrong []string
	if fault := credentialFault(name, token); fault != "" {
		wrong = append(wrong, c.as(name)+": "+fault)
	}
	address, _ := c.src.LookupEnv("GITHUB_API_URL")
	base, err := BaseURL(cmp.Or(strings.TrimSpace(address), "https://api.github.com"))
	if err != nil {
		wrong = append(wrong, "GITHUB_API_URL, where github-token would go: not "+err.Error())
	}
	switch {
	case len(wrong) == 0:
		s.GitHubToken, s.GitHubAPI = token, base
	case slices.Contains(AlsoRead(name), c.found[key(name)]):
		s.Warnings = append(s.Warnings, fmt.Sprintf("GITHUB_TOKEN cannot be used to ask which runs have ended, so older-than alone decides (%s)", strings.Join(wrong, "; ")))
	default:
		s.GitHubToken = bare(token)
		c.problems = append(c.problems, wrong...)
	}
}

// scopes are needed to mint; Check looks at them only where they are set.
func (c *validator) scopes(text string, allowFullAccess bool) []string {
	if text == "" && c.command == Check {
		return nil
	}
	if text == "" {
		c.need("scopes", "the scopes that the job needs, such as vso.code vso.packaging_write; azdo-pat scopes lists them")
		return nil
	}
	scopes, err := pat.ParseScopes(text)
	if err != nil {
		c.wrong("scopes", text, fmt.Sprintf("PAT scopes separated by white space or commas, such as vso.code vso.packaging_write, which azdo-pat scopes lists (%v)", err))
		return nil
	}
	for _, scope := range scopes {
		if scope == pat.FullAccess && !allowFullAccess {
			c.wrong("scopes", scope, "scopes that start with vso.; app_token is everything the user may do, and needs allow-full-access: true")
		}
	}
	return scopes
}

// tokenFile decides between a file and the CI system. What is set for this program
// decides; a variable of other tools, which on a cluster's runners names the
// token of their pod, is read only where the CI system offers none of the job's.
func (c *validator) tokenFile(s *Settings, file string) {
	const name = "federated-token-file"
	from := c.found[key(name)]
	offered := c.src.Offered && (!c.src.ServiceConnection || s.ServiceConnection != "")
	if offered && slices.Contains(AlsoRead(name), from) {
		delete(c.found, key(name))
		s.UnusedTokenFile = from
		return
	}
	s.FederatedTokenFile = c.path(name, file)
}

// identities are the four ways to a user, as a caller sets them.
var identities = []struct {
	identity Identity
	names    []string
}{
	{AgentUser, []string{"agent-id", "agent-user"}},
	{RefreshToken, []string{"refresh-token"}},
	{Password, []string{"username", "password"}},
	{AccessToken, []string{"access-token"}},
}

// identity finds out which one is configured; it must be exactly one. What is
// wrong with any that is begun is reported too, so that nothing is left for a
// second try.
func (c *validator) identity(s *Settings) {
	var all, given []string
	for _, i := range identities {
		var names, set, missing []string
		for _, name := range i.names {
			names = append(names, c.as(name))
			if _, ok := c.found[key(name)]; ok {
				set = append(set, c.as(name))
			} else {
				missing = append(missing, name)
			}
		}
		all = append(all, fmt.Sprintf("%s (%s)", strings.Join(names, " with "), i.identity))
		// What was recorded decides, though its secret may not be there now.
		if c.src.Saved != nil && i.identity != c.src.Saved.Identity || c.src.Saved == nil && len(set) == 0 {
			continue
		}
		s.Identity = i.identity
		given = append(given, strings.Join(set, " with "))
		for _, name := range missing {
			c.need(name, fmt.Sprintf("the identity %q needs it", i.identity))
		}
		if i.identity != AccessToken {
			c.application = true
		}
	}
	switch {
	case c.src.Saved != nil && len(given) == 0:
		c.problems = append(c.problems, "saved identity: found "+show("", string(c.src.Saved.Identity))+"; allowed: one that mint recorded")
	case len(given) == 0:
		c.problems = append(c.problems, "no identity is set; set one of "+strings.Join(all, ", ")+c.withheld())
	case len(given) > 1:
		c.problems = append(c.problems, fmt.Sprintf("%d identities are set, by %s; set exactly one of %s",
			len(given), strings.Join(given, " and by "), strings.Join(all, ", ")))
		s.Identity = ""
	}
	if s.AgentID != "" && !clientID.matches(s.AgentID) {
		c.wrong("agent-id", s.AgentID, "the client id of the agent identity, a GUID")
	}
	if s.AgentUser != "" && !guid.matches(s.AgentUser) && !upn.matches(s.AgentUser) {
		c.wrong("agent-user", s.AgentUser, "the agent's user account, as user principal name (agent@contoso.com) or object id (a GUID)")
	}
	if strings.ContainsFunc(s.Username, sanitize.Invisible) {
		c.wrong("username", s.Username, "the user principal name of the service account")
	}
}

// assertion checks what stands behind the identity: the application and who
// vouches for the job to it.
func (c *validator) assertion(s *Settings) {
	if !c.application {
		return
	}
	switch {
	case s.ClientID == "":
		c.need("client-id", "the application that trusts this job's assertion: the agent identity blueprint, or the app registration")
	case !clientID.matches(s.ClientID):
		c.wrong("client-id", s.ClientID, "the client id of an application, a GUID")
	}
	if s.FederatedTokenFile != "" {
		return
	}
	if c.src.Assertion == nil {
		c.need("federated-token-file", "outside GitHub Actions and Azure Pipelines the assertion (an OIDC token of the CI system) is read from a file")
		return
	}
	if c.src.ServiceConnection {
		switch {
		case s.ServiceConnection == "":
			c.need("service-connection-id", "the id of the service connection with workload identity federation in whose name Azure Pipelines vouches for the job")
		case !guid.matches(s.ServiceConnection):
			c.wrong("service-connection-id", s.ServiceConnection, "the id (a GUID) of a service connection, which is in the address of its page")
		}
	}
	if err := c.src.Assertion(); err != nil {
		text := err.Error()
		if h := hint.Of(err); h != "" {
			text += "; " + h
		}
		c.problems = append(c.problems, text)
	}
}
