package emulator

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// A Platform is the kind of a redirect URI in an application's registration. It
// decides what the client is that uses it.
type Platform string

// The platforms. With Native ("Mobile and desktop applications") the client is
// public.
const (
	Web    Platform = "web"
	Native Platform = "publicClient"
	SPA    Platform = "spa"
)

// A Redirect is a redirect URI of an application.
type Redirect struct {
	URI      string
	Platform Platform
}

// A flow is one sign-in at the page. Until the client and its redirect URI have been
// checked, errors are shown to the person alone.
type flow struct {
	app          *App
	query        url.Values
	platform     Platform
	user         *User // nil until the password was right
	secondFactor bool
	consented    bool // at this sign-in
}

// authorizeParameters are those of the request for a code.
var authorizeParameters = []string{
	"client_id", "response_type", "redirect_uri", "response_mode", "scope", "state", "nonce",
	"code_challenge", "code_challenge_method", "login_hint", "domain_hint", "prompt",
}

// authorize is GET /{tenant}/oauth2/v2.0/authorize: the page for signing in.
func (e *Emulator) authorize(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := &flow{query: r.URL.Query()}
	if refused := e.authorizeClient(r, f); refused != nil {
		e.pageError(w, r, refused)
		return
	}
	if refused := e.authorizeRequest(f); refused != nil {
		e.callBack(w, r, f, refused.answer())
		return
	}
	id := random(40)
	e.flows[id] = f
	var user *User
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		user = e.world.User(e.browsers[cookie.Value])
	}
	switch prompt := f.query.Get("prompt"); {
	case prompt == "none":
		e.callBack(w, r, f, refusal(50058, "A silent sign-in request was sent but no user is signed in.").answer())
	case user != nil && (prompt == "" || prompt == "consent"):
		f.user = user
		e.proceed(w, r, id, f)
	default:
		e.signInPage(w, id, f, user, "")
	}
}

// authorizeClient finds the client and its redirect URI.
func (e *Emulator) authorizeClient(r *http.Request, f *flow) *entraError {
	if r.Method != http.MethodGet {
		return refusal(900561, "The emulator's endpoint only accepts GET requests. Received a %s request.", r.Method)
	}
	id := f.query.Get("client_id")
	f.app = e.world.App(id)
	tenant, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case tenant == "common" || tenant == "organizations":
		return refusal(50194, "Application '%s' is not configured as a multi-tenant application. Usage of the /common endpoint is not supported for such apps.", id)
	case e.tenantLocked(r) != nil:
		return e.tenantLocked(r)
	case id == "":
		return missing("client_id")
	case f.app == nil:
		return refusal(700016, "Application with identifier '%s' was not found in the directory '%s'.", id, e.world.TenantDomain)
	case f.app.Kind != AppRegistration:
		return refusal(82001, "Agentic application '%s' is not permitted to sign users in.", id)
	case len(f.app.redirects()) == 0:
		return refusal(500113, "No reply address is registered for the application.")
	case !f.query.Has("redirect_uri"):
		return refusal(900971, "No reply address provided.")
	}
	var ok bool
	f.platform, ok = f.app.platformOf(f.query.Get("redirect_uri"))
	if !ok {
		return refusal(50011, "The redirect URI '%s' specified in the request does not match the redirect URIs configured for the application '%s'.", f.query.Get("redirect_uri"), id)
	}
	return nil
}

// redirects are those of an application, also those that it got through Microsoft Graph.
func (a *App) redirects() []Redirect {
	all := slices.Clone(a.Redirects)
	for _, p := range []Platform{Web, Native, SPA} {
		platform, _ := a.properties[string(p)].(map[string]any)
		uris, _ := platform["redirectUris"].([]any)
		for _, uri := range uris {
			all = append(all, Redirect{stringOf(uri), p})
		}
	}
	return all
}

// platformOf matches a redirect URI: the port of localhost is ignored, and everything
// else is compared to the last character. Where several match, Entra takes any; the
// emulator takes one that is not Web.
func (a *App) platformOf(uri string) (found Platform, ok bool) {
	if len(uri) > 256 || strings.ContainsAny(uri, "!$'(),;") {
		return "", false
	}
	asked, err := url.Parse(uri)
	if err != nil || asked.User != nil || asked.RawQuery != "" || asked.Fragment != "" {
		return "", false
	}
	for _, r := range a.redirects() {
		registered, err := url.Parse(r.URI)
		if err != nil || asked.Scheme != registered.Scheme || !strings.EqualFold(asked.Hostname(), registered.Hostname()) || asked.Path != registered.Path {
			continue
		}
		if registered.Hostname() != "localhost" && asked.Port() != registered.Port() {
			continue
		}
		if !ok || r.Platform != Web {
			found, ok = r.Platform, true
		}
	}
	return found, ok
}

var challengeForm = regexp.MustCompile(`^[A-Za-z0-9_.~-]{43,128}$`)

// authorizeRequest checks the rest of a request, whose refusal the client gets.
func (e *Emulator) authorizeRequest(f *flow) *entraError {
	for name, values := range f.query {
		switch {
		case len(values) > 1:
			return refusal(9000411, "The request is not properly formatted. The parameter '%s' is duplicated.", name)
		case !slices.Contains(authorizeParameters, name):
			return refusal(90100, "%s parameter is not one of this endpoint's.", name)
		}
	}
	api, _ := splitScope(f.query.Get("scope"))
	switch {
	case f.query.Get("response_type") != "code":
		return refusal(700051, "response_type '%s' is not enabled for the application.", f.query.Get("response_type"))
	case !slices.Contains([]string{"", "query", "fragment", "form_post"}, f.query.Get("response_mode")):
		return refusal(70007, "'%s' is not a supported value of 'response_mode'.", f.query.Get("response_mode"))
	case !slices.Contains([]string{"", "none", "login", "consent", "select_account"}, f.query.Get("prompt")):
		return refusal(90023, "The 'prompt' parameter is not valid.")
	case !f.query.Has("scope"):
		return missing("scope")
	case api != azureDevOpsScope:
		return refusal(70011, "The provided value for the input parameter 'scope' is not valid. The emulator takes %s, and %q beside it.", azureDevOpsScope, openIDScopes)
	case e.world.NoAzureDevOps:
		return refusal(500011, "The resource principal named %s was not found in the tenant named %s.", AzureDevOpsResource, e.world.TenantDomain)
	case f.query.Get("code_challenge_method") != "S256" || !challengeForm.MatchString(f.query.Get("code_challenge")):
		return refusal(501491, "The emulator takes requests with a code_challenge of 43 to 128 characters, by S256, alone.")
	case len(f.query.Get("state")) < 22:
		return refusal(90100, "The emulator takes requests with a state of at least 128 bits alone.")
	}
	return nil
}

// answer is a refusal as the client gets it.
func (x *entraError) answer() url.Values {
	_, name, _ := x.oauth()
	return url.Values{"error": {name}, "error_description": {x.name() + ": " + x.detail}}
}

// callBack answers the client by way of the browser.
func (e *Emulator) callBack(w http.ResponseWriter, r *http.Request, f *flow, answer url.Values) {
	if answer.Has("error") {
		description := answer.Get("error_description")
		code, _, _ := strings.Cut(description, ":")
		recordOf(r).Refusal = code
	}
	answer.Set("state", f.query.Get("state"))
	answer.Set("session_state", guid())
	redirect := f.query.Get("redirect_uri")
	switch f.query.Get("response_mode") {
	case "form_post":
		e.formPost(w, redirect, answer)
	case "fragment":
		w.Header().Set("Location", withPath(redirect)+"#"+answer.Encode())
		w.WriteHeader(http.StatusFound)
	default:
		w.Header().Set("Location", withPath(redirect)+"?"+answer.Encode())
		w.WriteHeader(http.StatusFound)
	}
}

// withPath is a redirect URI as it comes back: one without a path gets a slash.
func withPath(uri string) string {
	if u, err := url.Parse(uri); err == nil && u.Path == "" {
		return uri + "/"
	}
	return uri
}
