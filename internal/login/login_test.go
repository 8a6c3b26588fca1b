package login

import (
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// The answer comes by POST, and is taken by GET too. Everything on the way is right: the
// order of the requests, the page, the token.
func TestPostAndGet(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			f := setUp(t)
			f.Change(func(w *emulator.State) {
				w.User(emulator.ServiceUserID).MFARequired = true
				w.App(emulator.AppID).Consented = nil // so that the page asks for it
			})
			f.o.Settings.Username = strings.ToUpper(emulator.ServiceUserUPN)
			f.start()
			answer := f.signIn()
			if answer.Method != http.MethodPost {
				t.Fatalf("the answer comes by %s: the code would be kept in the browser's history", answer.Method)
			}
			if method == http.MethodGet {
				answer = emulator.CallBack{Method: method, URL: answer.URL + "/?" + answer.Form.Encode()}
			}
			page := f.send(answer)
			f.wait()
			if f.err != nil {
				t.Fatal(f.err)
			}
			if f.result.Person != (Person{emulator.ServiceUserUPN, emulator.ServiceUserID}) {
				t.Errorf("got %+v", f.result)
			}
			token, rest, _ := strings.Cut(f.out.String(), "\n")
			if token == "" || rest != "" {
				t.Fatalf("standard output has %q", f.out.String())
			}
			f.refreshes(token)
			if page.Status != http.StatusOK {
				t.Errorf("the page has the status %d", page.Status)
			}
			f.shows(page, "<h1 class=\"ok\">Signed in</h1>", "Signed in as "+emulator.ServiceUserUPN+" (object id "+emulator.ServiceUserID+").",
				"The refresh token was written to standard output.", "command that removes the temporary certificate", "You can close this window.")
			want := []string{emulator.OpTenant, emulator.OpClientCredentials, emulator.OpAuthorize, emulator.OpSignIn, emulator.OpSignIn,
				emulator.OpSignIn, emulator.OpAuthorizationCode, emulator.OpList}
			if got := ops(f.Requests()); !slices.Equal(got[:len(want)], want) {
				t.Errorf("requests %q, want %q", got, want)
			}
		})
	}
}

// Without a certificate nothing has to be added to the application.
func TestTokenFile(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.Change(func(w *emulator.State) { w.AllowReusedAssertions = true })
	f.o.Settings.FederatedTokenFile = filepath.Join(t.TempDir(), "token.jwt")
	if err := os.WriteFile(f.o.Settings.FederatedTokenFile, []byte(f.Assertion()), 0o600); err != nil {
		t.Fatal(err)
	}
	page := f.start().send(f.signIn())
	f.wait()
	if f.err != nil || len(f.copied) != 1 || !strings.Contains(f.copied[0], "/oauth2/v2.0/authorize?") {
		t.Fatalf("got %v; to be copied: %q", f.err, f.copied)
	}
	f.shows(page, "Signed in as")
	f.refreshes(strings.TrimSpace(f.out.String()))
}

// A wrong credential is found before the person signs in.
func TestCredentialIsProvenFirst(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*emulator.State)
		says   []string
	}{
		"no application": {func(w *emulator.State) { w.Apps = nil }, []string{"AADSTS700016", "check client-id and tenant-id"}},
		"public": {func(w *emulator.State) { w.App(emulator.AppID).Public = true },
			[]string{"AADSTS700025", "register http://localhost under the platform Web"}},
		"no Azure DevOps": {func(w *emulator.State) { w.NoAzureDevOps = true }, []string{"AADSTS500011", "connect the organization"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setUp(t)
			f.Change(test.change)
			if name == "no application" { // so that there is nothing to add the certificate to
				f.az = func(string) {}
			}
			f.start().failed(test.says...)
			if n := len(f.Requests(emulator.OpAuthorize)); n > 0 {
				t.Errorf("the browser was opened")
			}
		})
	}
}

// The browser is opened only when Entra knows the certificate.
func TestCertificateIsNotKnownYet(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.Change(func(w *emulator.State) { w.CredentialDelay = 18 * time.Second })
	page := f.start().send(f.signIn())
	f.wait()
	if f.err != nil {
		t.Fatal(f.err)
	}
	f.shows(page, "Signed in as")
	if n := len(f.Requests(emulator.OpClientCredentials)); n != 6 { // after 0, 1, 3, 7, 12, 17, 22 s
		t.Logf("asked %d times", n)
	}
	if !slices.ContainsFunc(f.lines, func(line string) bool {
		return strings.HasPrefix(line, "waiting until Entra knows the certificate (up to 30m;")
	}) {
		t.Errorf("the wait is not shown: %q", f.lines)
	}
}

func TestCertificateIsNeverAdded(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.az = func(string) {}
	passed := time.Duration(0)
	next, limit := f.after, make(chan time.Time, 1)
	f.after = func(d time.Duration) <-chan time.Time {
		if d == CertificateWait {
			return limit
		}
		if passed += d; passed > CertificateWait {
			limit <- time.Time{}
			return nil
		}
		return next(time.Minute)
	}
	f.start().failed("after 30m Entra does not know the certificate", "AADSTS700027", "run the printed command while azdo-pat login waits")
}

// One of Entra's servers may know the certificate earlier than another.
func TestCertificateIsKnownToOneServer(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.Intercept(emulator.OpAuthorizationCode, emulator.Times(2, emulator.EntraError(700027)))
	page := f.start().send(f.signIn())
	f.wait()
	if f.err != nil {
		t.Fatal(f.err)
	}
	f.shows(page, "Signed in as")
}

// What is on disk is the public half alone, for no other user.
func TestKeyIsNeverOnDisk(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.az = func(file string) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		if block, rest := pem.Decode(text); block == nil || block.Type != "CERTIFICATE" || len(rest) > 0 {
			t.Errorf("the file has %s", text)
		}
		dir := filepath.Dir(file)
		if all, _ := os.ReadDir(dir); len(all) != 1 {
			t.Errorf("beside the file there are %v", all)
		}
		for path, want := range map[string]os.FileMode{file: 0o600, dir: 0o700} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s has the mode %v, %v; want %v", path, info.Mode(), err, want)
			}
		}
		f.add(file)
	}
	f.start().send(f.signIn())
	f.wait()
}

// failures are the ways in which a sign-in ends without a refresh token, after the
// person has done something in the browser.
var failures = map[string]struct {
	change func(*fixture)
	says   []string
}{
	"another user": {func(f *fixture) { f.o.Settings.Username = "someone@contoso.onmicrosoft.com" },
		[]string{"signed in as " + emulator.ServiceUserUPN + " (object id " + emulator.ServiceUserID + ") and not as someone@contoso.onmicrosoft.com", "choose the account"}},
	"consent declined": {func(f *fixture) {
		f.person.Cancel = "consent"
		f.Change(func(w *emulator.State) { w.App(emulator.AppID).Consented = nil })
	}, []string{"access_denied", "AADSTS65004", "sign in again and accept it"}},
	"canceled": {func(f *fixture) { f.person.Cancel = "signin" }, []string{"access_denied", "the user canceled the authentication"}},
	"only an administrator may consent": {func(f *fixture) {
		f.Change(func(w *emulator.State) { app := w.App(emulator.AppID); app.AdminConsent, app.Consented = true, nil })
	}, []string{"AADSTS90094", "only an administrator may consent"}},
	"one permission is missing": {func(f *fixture) {
		f.Change(func(w *emulator.State) { w.App(emulator.AppID).Consented = []string{"vso.pats"} })
	}, []string{"lacks the permission vso.pats_manage", "an administrator must grant it"}},
	"one permission is missing in the token alone": {func(f *fixture) {
		f.Change(func(w *emulator.State) { w.App(emulator.AppID).Consented = []string{"vso.pats"} })
		f.Intercept(emulator.OpAuthorizationCode, emulator.Rewrite(func(answer map[string]any) { answer["scope"] = "vso.pats vso.pats_manage" }))
	}, []string{"lacks the permission vso.pats_manage"}},
	"no refresh token": {func(f *fixture) {
		f.Change(func(w *emulator.State) { w.App(emulator.AppID).NoOfflineAccess = true })
	}, []string{"no refresh token came from Entra", "offline_access"}},
	"no id_token": {func(f *fixture) {
		f.o.Settings.Username = emulator.ServiceUserUPN
		f.Intercept(emulator.OpAuthorizationCode, emulator.Rewrite(func(answer map[string]any) { delete(answer, "id_token") }))
	}, []string{"does not tell who signed in"}},
	"code used": {func(f *fixture) { f.Intercept(emulator.OpAuthorizationCode, emulator.Times(1, emulator.CommitAndDrop)) },
		[]string{"AADSTS54005", "sign in again"}},
	"code too old": {func(f *fixture) {
		f.Intercept(emulator.OpAuthorizationCode, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			f.Advance(10 * time.Minute)
			next.ServeHTTP(w, r)
		})
	}, []string{"AADSTS700024"}},
	"Mobile and desktop": {func(f *fixture) {
		f.Change(func(w *emulator.State) {
			app := w.App(emulator.AppID)
			app.Redirects = append(app.Redirects, emulator.Redirect{URI: "http://localhost", Platform: emulator.Native})
		})
	}, []string{"AADSTS700025", "under the platform Web and not under"}},
	"single-page application": {func(f *fixture) {
		f.Change(func(w *emulator.State) { w.App(emulator.AppID).Redirects[0].Platform = emulator.SPA })
	}, []string{"AADSTS9002327", "move it to the platform Web"}},
	"not a member": {func(f *fixture) {
		f.Change(func(w *emulator.State) { w.Organization(emulator.OrganizationName).Members = nil })
	}, []string{"signed in as " + emulator.ServiceUserUPN, "the organization contoso does not answer"}},
	"the reader of standard output has gone": {func(f *fixture) {
		r, w := io.Pipe()
		r.Close()
		f.o.Out = w
	}, []string{"could not be stored", "standard output"}},
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for name, test := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setUp(t)
			test.change(f)
			page := f.start().send(f.signIn())
			f.failed(test.says...)
			f.shows(page, "<h1>Not signed in</h1>", "Nothing was stored. You can close this window.")
			if page.Status != http.StatusOK {
				t.Errorf("the page has the status %d", page.Status)
			}
		})
	}
}

// Some faults are shown in the browser alone.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*emulator.State){
		"AADSTS50011:": func(w *emulator.State) { w.App(emulator.AppID).Redirects[0].URI = "http://localhost/callback" },
		"AADSTS50105:": func(w *emulator.State) { w.App(emulator.AppID).AssignmentRequired = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setUp(t)
			f.Change(change)
			over := make(chan time.Time, 1)
			next := f.after
			f.after = func(d time.Duration) <-chan time.Time {
				if d == SignInWait {
					return over
				}
				return next(d)
			}
			_, page, err := f.start().person.SignIn(t.Context(), f.page())
			if !errors.Is(err, emulator.ErrNoCallBack) || !strings.Contains(page.Text, name) {
				t.Fatalf("got %s, %v", page, err)
			}
			over <- time.Time{}
			f.failed("no answer from the browser within 5m", name, "AADSTS700016:", "platform Web")
		})
	}
}

// A signal ends it at any moment; the browser is told.
func TestStoppedBySignal(t *testing.T) {
	t.Parallel()
	for stage, op := range map[string]string{
		"look-up of the tenant": emulator.OpTenant, "waiting for the certificate": emulator.OpClientCredentials,
		"waiting for the person": "", "redeeming": emulator.OpAuthorizationCode, "asking the organization": emulator.OpList,
	} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			f := setUp(t)
			gate := emulator.NewGate()
			if op != "" {
				f.Intercept(op, gate.Before)
			}
			f.start()
			shown := make(chan emulator.Page, 1)
			switch op {
			case emulator.OpTenant, emulator.OpClientCredentials:
				<-gate.Arrived()
			case "":
				f.page()
			default:
				answer := f.signIn()
				go func() {
					page, err := answer.Send(t.Context())
					if err != nil {
						t.Error(err)
					}
					shown <- page
				}()
				<-gate.Arrived()
			}
			f.cancel(errCtrlC)
			f.failed(errCtrlC.Error())
			if op == emulator.OpAuthorizationCode || op == emulator.OpList {
				f.shows(<-shown, "Not signed in", errCtrlC.Error(), "Nothing was stored.")
			}
		})
	}
}

// Hostile text is text, on the page and in the log.
func TestHostileText(t *testing.T) {
	t.Parallel()
	const hostile = `<script>alert(1)</script>` + "\n::add-mask::x"
	f := setUp(t)
	f.Intercept(emulator.OpAuthorizationCode, emulator.Rewrite(func(answer map[string]any) {
		answer["id_token"] = f.AccessToken(func(claims map[string]any) { claims["preferred_username"] = hostile })
	}))
	page := f.start().send(f.signIn())
	f.wait()
	f.shows(page, "Signed in as &lt;script&gt;alert(1)&lt;/script&gt; ::add-mask::x (object id")

	f = setUp(t)
	f.start()
	at, _ := url.Parse(f.page())
	page = f.send(emulator.CallBack{Method: http.MethodPost, URL: at.Query().Get("redirect_uri") + "/", Form: url.Values{
		"state": {at.Query().Get("state")}, "error": {hostile}, "error_description": {hostile},
	}})
	f.failed("sign in at Entra's page for client " + emulator.AppID)
	f.shows(page, "&lt;script&gt;")
	if strings.Contains(f.err.Error(), "\n") {
		t.Errorf("the error has more than a line: %q", f.err)
	}
}
