package emulator

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	signInPath    = "login"
	sessionCookie = "ESTSAUTH"
)

// signInForm is POST /{tenant}/login: a form of one of the pages. The field do says
// which button was pressed.
func (e *Emulator) signInForm(w http.ResponseWriter, r *http.Request, form url.Values) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id := form.Get("ctx")
	f := e.flows[id]
	switch {
	case r.Method != http.MethodPost || f == nil:
		e.pageError(w, r, refusal(165000, "Invalid Request: the request tokens do not match the user context."))
	case form.Get("do") == "cancel" && f.user != nil && (!f.user.MFARequired || f.secondFactor):
		delete(e.flows, id)
		e.callBack(w, r, f, refusal(65004, "User declined to consent to access the app.").answer())
	case form.Get("do") == "cancel":
		delete(e.flows, id)
		e.callBack(w, r, f, url.Values{"error": {"access_denied"}, "error_description": {"the user canceled the authentication"}})
	case f.user == nil:
		e.password(w, r, id, f, form)
	case f.user.MFARequired && !f.secondFactor:
		if form.Get("otc") != MFACode {
			e.mfaPage(w, id, f, "AADSTS50076: that code is not right.")
			return
		}
		f.secondFactor = true
		e.proceed(w, r, id, f)
	case form.Get("do") == "accept":
		f.consented = true
		for _, p := range f.app.Permissions {
			if !slices.Contains(f.app.Consented, p) {
				f.app.Consented = append(f.app.Consented, p)
			}
		}
		e.proceed(w, r, id, f)
	default:
		e.pageError(w, r, refusal(165000, "Invalid Request: no button was pressed."))
	}
}

// password signs a user in who gave name and password, or chose a signed-in account.
func (e *Emulator) password(w http.ResponseWriter, r *http.Request, id string, f *flow, form url.Values) {
	name := strings.TrimSpace(form.Get("login"))
	user := e.world.User(name)
	cookie, err := r.Cookie(sessionCookie)
	chosen := err == nil && user != nil && form.Get("do") == "choose" && e.browsers[cookie.Value] == user.ID && f.query.Get("prompt") != "login"
	switch {
	case user == nil && strings.Contains(name, "@") && !strings.HasSuffix(strings.ToLower(name), "@"+e.world.TenantDomain):
		e.pageError(w, r, refusal(50020, "User account '%s' from identity provider 'live.com' does not exist in tenant '%s'.", name, e.world.TenantDomain))
		return
	case user == nil || user.Agent != "":
		e.signInPage(w, id, f, nil, "AADSTS50034: The user account "+name+" does not exist.")
		return
	case user.Locked || user.Disabled:
		e.pageError(w, r, refusal(50057, "The user account is disabled or locked."))
		return
	case !chosen && (user.Password == "" || user.Password != form.Get("passwd")):
		e.signInPage(w, id, f, nil, "AADSTS50126: The account or password is incorrect.")
		return
	}
	f.user = user
	session := random(40)
	e.browsers[session] = user.ID
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: session, Path: "/", HttpOnly: true})
	e.proceed(w, r, id, f)
}

// proceed shows the next page, or answers the client with a code.
func (e *Emulator) proceed(w http.ResponseWriter, r *http.Request, id string, f *flow) {
	consent := len(e.consentedLocked(f.app, f.user)) == 0 || f.query.Get("prompt") == "consent"
	switch {
	case f.user.MFARequired && !f.secondFactor:
		e.mfaPage(w, id, f, "")
		return
	case f.user.BlockedByPolicy:
		e.pageError(w, r, refusal(53003, "Access has been blocked by Conditional Access policies."))
		return
	case f.app.AssignmentRequired && !slices.Contains(f.app.Assigned, f.user.ID):
		e.pageError(w, r, refusal(50105, "The signed in user '%s' is not assigned to a role for the application '%s'.", f.user.UPN, f.app.ClientID))
		return
	case consent && !f.consented && f.app.AdminConsent:
		delete(e.flows, id)
		e.callBack(w, r, f, refusal(90094, "An administrator must grant the permissions of the application.").answer())
		return
	case consent && !f.consented:
		e.consentPage(w, id, f)
		return
	}
	delete(e.flows, id)
	_, openID := splitScope(f.query.Get("scope"))
	code := "1.A" + random(300)
	e.codes[e.keepLocked(code)] = &authorizationCode{
		clientID: f.app.ClientID, userID: f.user.ID, redirect: f.query.Get("redirect_uri"), platform: f.platform,
		challenge: f.query.Get("code_challenge"), scope: openID, nonce: f.query.Get("nonce"),
		expires: e.Now(Entra).Add(codeLife), secondFactor: f.secondFactor,
	}
	e.callBack(w, r, f, url.Values{"code": {code}})
}

// signInPage asks who signs in. signedIn, if not nil, is offered as a choice.
func (e *Emulator) signInPage(w http.ResponseWriter, id string, f *flow, signedIn *User, problem string) {
	body := ""
	if signedIn != nil && f.query.Get("prompt") != "login" {
		body = e.form("choose", id, `<input type="hidden" name="login" value="`+html.EscapeString(signedIn.UPN)+`">`+button("choose", signedIn.UPN))
	}
	body += e.form("signin", id,
		`<label>User name <input name="login" id="login" value="`+html.EscapeString(f.query.Get("login_hint"))+`"></label>`+
			`<label>Password <input name="passwd" id="passwd" type="password"></label>`+button("signin", "Sign in")+button("cancel", "Cancel"))
	writePage(w, http.StatusOK, "Sign in to "+f.app.ClientID, problem, body)
}

func (e *Emulator) mfaPage(w http.ResponseWriter, id string, f *flow, problem string) {
	writePage(w, http.StatusOK, "Enter code for "+f.user.UPN, problem,
		e.form("mfa", id, `<label>Code <input name="otc" id="otc"></label>`+button("verify", "Verify")+button("cancel", "Cancel")))
}

func (e *Emulator) consentPage(w http.ResponseWriter, id string, f *flow) {
	writePage(w, http.StatusOK, "Permissions requested", "",
		"<p>"+html.EscapeString(strings.Join(f.app.Permissions, ", "))+"</p>"+
			e.form("consent", id, button("accept", "Accept")+button("cancel", "Cancel")))
}

// pageError is a page that ends the sign-in: the client hears nothing of it.
func (e *Emulator) pageError(w http.ResponseWriter, r *http.Request, x *entraError) {
	recordOf(r).Refusal = x.name()
	writePage(w, http.StatusOK, "Sorry, but we're having trouble signing you in.", x.name()+": "+x.detail, "")
}

// formPost is the page that sends the answer to the client by POST, by itself where
// scripts run.
func (e *Emulator) formPost(w http.ResponseWriter, action string, answer url.Values) {
	var fields strings.Builder
	for name, values := range answer {
		fmt.Fprintf(&fields, `<input type="hidden" name="%s" value="%s">`, html.EscapeString(name), html.EscapeString(values[0]))
	}
	writePage(w, http.StatusOK, "Working...", "",
		`<form id="hiddenform" method="post" action="`+html.EscapeString(action)+`">`+fields.String()+
			`<noscript><button>Continue</button></noscript></form><script>document.forms[0].submit()</script>`)
}

func (e *Emulator) form(name, id, fields string) string {
	return `<form id="` + name + `" method="post" action="/` + e.world.TenantID + "/" + signInPath + `">` +
		`<input type="hidden" name="ctx" value="` + id + `">` + fields + "</form>"
}

func button(value, text string) string {
	return `<button name="do" id="do-` + value + `" value="` + value + `">` + html.EscapeString(text) + "</button>"
}

func writePage(w http.ResponseWriter, status int, title, problem, body string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if problem != "" {
		problem = `<p id="error">` + html.EscapeString(problem) + "</p>"
	}
	fmt.Fprintf(w, "<!DOCTYPE html><html><head><title>%s</title></head><body><h1>%s</h1>%s%s</body></html>",
		html.EscapeString(title), html.EscapeString(title), problem, body)
}
