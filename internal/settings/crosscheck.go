package settings

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/timefmt"
	"azdo-pat/internal/toolconfig"
)

// secretsWithheld names the two kinds of run to which GitHub passes no secrets of the
// repository.
const secretsWithheld = "a secret is empty in runs of Dependabot, which get Dependabot's secrets alone, and in runs of pull requests from forks"

// withheld explains why a secret that the workflow passes can be empty.
func (l *loader) withheld() string {
	if !l.src.Action || l.src.Saved != nil { // mint had it
		return ""
	}
	return "; " + secretsWithheld
}

// validate checks what depends on more than one setting, and what is missing.
func (l *loader) validate(s *Settings) {
	if !l.given("organization") {
		l.need("organization", OrganizationForms)
	}
	l.unknown(s)
	if l.command == Setup {
		l.setup(s)
		return
	}
	l.environment(s)
	if l.command == Login {
		l.login(s)
		return
	}
	l.tokenFile(s)
	application := l.identity(s)
	l.assertion(s, application)
	l.scopes(s)
	l.rotation(s)
	l.tools(s)
	l.gitHub(s)
	if l.given("policy") && l.given("policy-file") && slices.Contains(Describe("policy").For, l.command) {
		l.problem("policy", fmt.Sprintf("%s and %s: both are set; allowed: one of them", l.as("policy"), l.as("policy-file")))
	}
	l.rules(s)
	if l.command == Revoke && s.TokenType != EntraToken && !l.given("authorization-id") && !l.src.Lease {
		l.need("authorization-id", "the id of the PAT to revoke, which mint handed over as authorization-id")
	}
}

// environment checks the variables that configure proxies and roots of trust. In the
// post step a file of roots that mint used may be gone; that is not an error there.
func (l *loader) environment(s *Settings) {
	for _, f := range httpclient.EnvironmentFaults(l.src.LookupEnv) {
		found := "what cannot be read, and is not shown since it may hold a password"
		if f.Found != "" {
			found = show("ca-file", f.Found)
		}
		text := fmt.Sprintf("%s: found %s; allowed: %s", f.Name, found, f.Allowed)
		if l.command == Post && strings.HasPrefix(f.Name, "SSL_") {
			s.Warnings = append(s.Warnings, text)
			continue
		}
		l.problem("", text)
	}
	if l.command != Post { // mint has reported it
		s.Warnings = append(s.Warnings, httpclient.EnvironmentWarnings(l.src.LookupEnv)...)
	}
}

// GitHubTokenInherited reports whether the token for GitHub is from GITHUB_TOKEN, which was not
// set for this program and need not work.
func (s *Settings) GitHubTokenInherited() bool {
	const name = "github-token"
	return slices.Contains(Describe(name).AlsoRead, s.Origins[name])
}

// gitHub decides which GitHub API is asked about runs, and with which token. A
// GITHUB_TOKEN that was not set for this program may be unusable; that is not an error,
// and age alone then decides.
func (l *loader) gitHub(s *Settings) {
	const name = "github-token"
	if !slices.Contains(Describe(name).For, l.command) || !l.given(name) {
		return
	}
	address, _ := l.src.LookupEnv("GITHUB_API_URL")
	base, err := BaseURL(cmp.Or(strings.TrimSpace(address), "https://api.github.com"))
	if err != nil {
		l.problem(name, "GITHUB_API_URL, where github-token would go: not "+err.Error())
	}
	var wrong []string
	for _, p := range l.problems {
		if p.name == name {
			wrong = append(wrong, p.text)
		}
	}
	switch {
	case len(wrong) == 0:
		s.GitHubAPI = base
	case s.GitHubTokenInherited():
		l.ignore(name)
		s.GitHubToken = secret.Value{}
		without := "so older-than alone decides"
		if l.command == List {
			without = "so run-over is not looked for"
		}
		s.Warnings = append(s.Warnings, fmt.Sprintf("GITHUB_TOKEN cannot be used to ask which runs have ended, %s (%s)", without, strings.Join(wrong, "; ")))
	}
}

// tools checks the settings of the tools to set up. mint sets variables of later steps,
// so it needs a CI system.
func (l *loader) tools(s *Settings) {
	if l.command != Mint && l.command != Exec {
		return
	}
	if l.given("configure") && l.command == Mint && !l.src.LaterSteps {
		l.ignore("configure")
		l.wrong("configure", l.found["configure"], "nothing, since there are no later steps here whose tools mint could set up; "+execCommand+" sets them up for one command")
		return
	}
	if need := toolconfig.NeedFeed(s.Configure); len(need) > 0 && !l.given("feed") {
		l.need("feed", fmt.Sprintf("%s (%s) needs the feeds of Azure Artifacts to set up, as NAME or PROJECT/NAME", l.as("configure"), strings.Join(need, ", ")))
	}
	if l.given("feed") && len(toolconfig.NeedFeed(s.Configure)) == 0 && !slices.ContainsFunc(l.problems, func(p problem) bool { return p.name == "configure" }) {
		s.Warnings = append(s.Warnings, l.as("feed")+" is not used: configure names no tool that needs a feed")
	}
}

const execCommand = "azdo-pat exec --configure"

// scopes are required to mint a PAT; for Check they are optional.
func (l *loader) scopes(s *Settings) {
	if s.TokenType != PATToken {
		return
	}
	if !l.given("scopes") && slices.Contains(Describe("scopes").Required, l.command) {
		l.need("scopes", "the scopes that the job needs, such as vso.code vso.packaging_write; azdo-pat scopes lists them")
	}
	if slices.Contains(s.Scopes, pat.FullAccess) && !s.AllowFullAccess {
		l.wrong("scopes", pat.FullAccess, "scopes that start with vso.; app_token grants everything the user may do, and needs allow-full-access: true")
	}
}

// rotation checks the settings of rotate. Durations are compared with each other only
// if all of them are valid.
func (l *loader) rotation(s *Settings) {
	if l.command != Rotate {
		return
	}
	if !l.given("name") {
		l.need("name", "the name of the consumer that keeps the PAT, such as sonarqube, which all of its PATs share")
	}
	for _, name := range []string{"lifetime", "when-left", "overlap"} {
		if slices.ContainsFunc(l.problems, func(p problem) bool { return p.name == name }) {
			return
		}
	}
	if !l.given("when-left") {
		s.WhenLeft = s.Lifetime / 3
	}
	switch {
	case s.Overlap > s.WhenLeft:
		l.wrong("overlap", l.found["overlap"], fmt.Sprintf("a duration of at most when-left, %s: the previous PAT lives no longer than that", timefmt.Duration(s.WhenLeft)))
	case s.Overlap >= s.Lifetime:
		l.wrong("overlap", l.found["overlap"], fmt.Sprintf("a duration shorter than lifetime, %s", timefmt.Duration(s.Lifetime)))
	}
}

// tokenFile decides between a token file and the CI system. A file that is set for this
// program wins. One in a variable of other tools, which on a cluster's runner is the
// pod's token, is used only if the CI system issues no assertion for the job.
func (l *loader) tokenFile(s *Settings) {
	const name = "federated-token-file"
	ci := l.src.CI
	offered := ci != nil && ci.Offered && (!ci.ServiceConnection || l.given("service-connection-id"))
	if from := l.origins[name]; offered && slices.Contains(Describe(name).AlsoRead, from) {
		delete(l.origins, name)
		l.ignore(name)
		s.FederatedTokenFile, s.UnusedTokenFile = "", from
	}
}

// identity finds out which identity is configured; it must be exactly one. For each that
// is partly configured it reports what is missing, so that the caller can fix everything
// at once. It returns whether the identity needs an application and an assertion.
func (l *loader) identity(s *Settings) (application bool) {
	if s.TokenType == EntraToken && l.planted() {
		s.TokenType = PATToken
	}
	if s.TokenType == EntraToken && l.src.Saved == nil {
		return l.servicePrincipal(s)
	}
	var all, given []string
	if l.takesEntraToken() {
		all = append(all, fmt.Sprintf("%s (%s)", l.entraToken(), ServicePrincipal))
	}
	for _, identity := range identities() {
		var names, set, missing []string
		for _, d := range Descriptions {
			if d.identity != identity {
				continue
			}
			names = append(names, l.as(d.Name))
			if l.given(d.Name) {
				set = append(set, l.as(d.Name))
			} else {
				missing = append(missing, d.Name)
			}
		}
		all = append(all, fmt.Sprintf("%s (%s)", strings.Join(names, " with "), identity))
		// The recorded identity decides, even if its secret is missing now.
		if l.src.Saved != nil && identity != l.src.Saved.Identity || l.src.Saved == nil && len(set) == 0 {
			continue
		}
		s.Identity = identity
		given = append(given, strings.Join(set, " with "))
		for _, name := range missing {
			l.need(name, fmt.Sprintf("the identity %q needs it", identity))
		}
		application = application || identity != AccessToken
	}
	switch {
	case l.src.Saved != nil && len(given) == 0:
		l.problem("", "saved identity: found "+show("", string(l.src.Saved.Identity))+"; allowed: one that mint recorded")
	case len(given) == 0 && s.TokenType == "": // a wrong token-type; it may stand for entra
	case len(given) == 0:
		l.problem("", "no identity is set; set one of "+strings.Join(all, ", ")+l.withheld())
	case len(given) > 1:
		l.problem("", fmt.Sprintf("%d identities are set, by %s; set exactly one of %s",
			len(given), strings.Join(given, " and by "), strings.Join(all, ", ")))
		s.Identity = ""
	}
	return application
}

// identities lists the identities in the order of their settings.
func identities() (all []Identity) {
	for _, d := range Descriptions {
		if d.identity != "" && !slices.Contains(all, d.identity) {
			all = append(all, d.identity)
		}
	}
	return all
}

// assertion checks that there is an application and an assertion for it, if the
// identity needs them. If not, what other tools' variables say about them does not
// matter.
func (l *loader) assertion(s *Settings, application bool) {
	s.AsksCI = application && !l.given("federated-token-file") && l.src.CI != nil
	if !application {
		l.ignore("client-id")
	}
	if !s.AsksCI || !l.src.CI.ServiceConnection {
		l.ignore("service-connection-id")
	}
	if !application {
		return
	}
	if !l.given("client-id") {
		l.need("client-id", "the application that trusts this job's assertion: the agent identity blueprint, or the app registration")
	}
	if !l.given("federated-token-file") && l.src.CI == nil {
		l.need("federated-token-file", "outside GitHub Actions and Azure Pipelines the assertion (an OIDC token of the CI system) is read from a file")
	}
	if !s.AsksCI {
		return
	}
	if l.src.CI.ServiceConnection && !l.given("service-connection-id") {
		l.need("service-connection-id", "the id of the service connection with workload identity federation for which Azure Pipelines issues the OIDC token")
	}
	if err := l.src.CI.Unavailable; err != nil {
		text := err.Error()
		if h := hint.Of(err); h != "" {
			text += "; " + h
		}
		l.problem("", text)
	}
}
