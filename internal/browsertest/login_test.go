package browsertest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"

	"azdo-pat/internal/fakes/emulator"
)

// open opens Entra's page and fills in the first form.
func (l *login) open(ctx context.Context, address string) {
	l.Helper()
	p := l.Person()
	do(l.T, ctx, chromedp.Navigate(address), chromedp.WaitVisible(chromedp.ID("passwd")),
		chromedp.SetValue(chromedp.ID("login"), p.Username), chromedp.SendKeys(chromedp.ID("passwd"), p.Password),
		press("signin"))
}

// press waits for a button and presses it.
func press(id string) step {
	return chromedp.Steps(chromedp.WaitVisible(chromedp.ID("do-"+id)), chromedp.Click(chromedp.ID("do-"+id)))
}

// last waits for the page of azdo-pat and returns its text.
func last(t *testing.T, ctx context.Context) string {
	t.Helper()
	do(t, ctx, chromedp.WaitVisible(chromedp.CSS("main h1")))
	return get(t, ctx, chromedp.Text(chromedp.CSS("main")))
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("the page lacks %q:\n%s", part, text)
		}
	}
}

// complaints collects what the browser complains of.
func complaints(t *testing.T, ctx context.Context) func() []string {
	t.Helper()
	var mu sync.Mutex
	var all []string
	if err := chromedp.Listen(ctx, func(event any) {
		if e, ok := event.(*cdplog.EventEntryAdded); ok {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, e.Entry.Text+" "+e.Entry.URL)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, cdplog.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// A person signs in, gives a second factor and consents. The answer comes by POST from
// Entra's page, by its script.
func TestSignIn(t *testing.T) {
	l := start(t, "--username", emulator.ServiceUserUPN)
	l.Change(func(w *emulator.State) {
		w.User(emulator.ServiceUserID).MFARequired = true
		w.App(emulator.AppID).Consented = nil
	})
	ctx := browser(t)
	said := complaints(t, ctx)
	page := l.page()
	do(t, ctx, chromedp.Navigate(page), chromedp.WaitVisible(chromedp.ID("login")))
	hint := get(t, ctx, chromedp.Value(chromedp.ID("login")))
	l.open(ctx, page)
	do(t, ctx, chromedp.WaitVisible(chromedp.ID("otc")), chromedp.SendKeys(chromedp.ID("otc"), emulator.MFACode), press("verify"), press("accept"))
	text, address := last(t, ctx), get(t, ctx, chromedp.Location())
	l.end(0)
	contains(t, text, "Signed in", "Signed in as "+emulator.ServiceUserUPN, emulator.ServiceUserID, "You can close this window.")
	if hint != emulator.ServiceUserUPN {
		t.Errorf("the page was filled in with %q", hint)
	}
	if u, err := url.Parse(address); err != nil || u.Hostname() != "localhost" || u.RawQuery != "" || u.Path != "/" {
		t.Errorf("the code is in the address, and so in the history: %s", address)
	}
	for _, text := range said() {
		if !strings.Contains(text, l.URL(emulator.Entra)) { // that is the emulator's page
			t.Errorf("the browser complains: %s", text)
		}
	}
	pictures(t, ctx, "signed-in")
}

func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		do   func(*login, context.Context)
		says []string
	}{
		"consent-declined": {nil, func(l *login, ctx context.Context) {
			l.Change(func(w *emulator.State) { w.App(emulator.AppID).Consented = nil })
			l.open(ctx, l.page())
			do(l.T, ctx, chromedp.WaitVisible(chromedp.ID("do-accept")), press("cancel"))
		}, []string{"AADSTS65004", "sign in again and accept it"}},
		"another-user": {[]string{"--username", "someone@contoso.onmicrosoft.com"}, func(l *login, ctx context.Context) { l.open(ctx, l.page()) },
			[]string{"Signed in as " + emulator.ServiceUserUPN, "not as someone@contoso.onmicrosoft.com", "choose the account"}},
		"no-refresh-token": {nil, func(l *login, ctx context.Context) {
			l.Change(func(w *emulator.State) { w.App(emulator.AppID).NoOfflineAccess = true })
			l.open(ctx, l.page())
		}, []string{"no refresh token came from Entra", "offline_access"}},
		"code-used": {nil, func(l *login, ctx context.Context) {
			l.Intercept(emulator.OpAuthorizationCode, emulator.Times(1, emulator.CommitAndDrop))
			l.open(ctx, l.page())
		}, []string{"AADSTS54005", "sign in again"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := start(t, test.args...)
			ctx := browser(t)
			test.do(l, ctx)
			text := last(t, ctx)
			l.end(1)
			contains(t, text, append(test.says, "Not signed in", "Nothing was stored.", "You can close this window.")...)
			pictures(t, ctx, name)
		})
	}
}

// A window that is closed does not end the wait: the address works again.
func TestWindowIsClosed(t *testing.T) {
	l := start(t)
	ctx := browser(t)
	address := l.page()
	first, closeWindow := window(t, ctx)
	do(t, first, chromedp.Navigate(address), chromedp.WaitVisible(chromedp.ID("passwd")))
	closeWindow()
	l.open(ctx, address)
	text := last(t, ctx)
	l.end(0)
	contains(t, text, "Signed in as")
}

// The page of another site can neither end the wait nor answer in Entra's place.
func TestOtherSite(t *testing.T) {
	l := start(t)
	address, err := url.Parse(l.page())
	if err != nil {
		t.Fatal(err)
	}
	target := address.Query().Get("redirect_uri") + "/"
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!DOCTYPE html><p id="result">waiting</p><iframe name="inside"></iframe>
<form method="post" action="%[1]s" target="inside"><input name="code" value="planted"><input name="state" value="guessed"></form>
<script>
const all = [
  fetch("%[1]s?code=planted&state=guessed", {mode: "no-cors"}),
  fetch("%[1]s", {method: "POST", mode: "no-cors", body: new URLSearchParams({error: "access_denied", state: "guessed"})}),
  fetch("%[1]s").then(() => { throw "readable" }, () => {}),
];
const image = new Image();
const loaded = new Promise(done => { image.onerror = image.onload = done });
image.src = "%[1]s?error=access_denied&state=guessed";
const framed = new Promise(done => { document.querySelector("iframe").addEventListener("load", done) });
document.forms[0].submit();
Promise.allSettled([...all, loaded, framed]).then(r => {
  document.getElementById("result").textContent = r.some(x => x.reason === "readable") ? "readable" : "tried";
});
</script>`, target)
	}))
	defer site.Close()
	ctx := browser(t)
	do(t, ctx, chromedp.Navigate(site.URL))
	get(t, ctx, chromedp.Poll[bool](`document.getElementById("result").textContent !== "waiting"`))
	if result := get(t, ctx, chromedp.Text(chromedp.ID("result"))); result != "tried" {
		t.Errorf("the other site: %s", result)
	}
	// A window that is sent there with another state is told so.
	do(t, ctx, chromedp.Navigate(target+"?code=planted&state=guessed"))
	contains(t, last(t, ctx), "Not taken", "not the answer to the sign-in")
	pictures(t, ctx, "not-taken")
	if n := len(l.Requests(emulator.OpAuthorizationCode)); n > 0 {
		t.Errorf("%d codes were redeemed", n)
	}
	l.open(ctx, address.String())
	text := last(t, ctx)
	l.end(0)
	contains(t, text, "Signed in as")
}

// pictures takes pictures of the page: light and dark, on a screen and on a phone, and
// checks that no line is cut and that the colours differ.
func pictures(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	backgrounds := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		for size, width := range map[string]int64{"screen": 1280, "phone": 360} {
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			})
			if err != nil {
				t.Fatal(err)
			}
			do(t, ctx, chromedp.EmulateViewport(width, 640))
			overflow := get(t, ctx, chromedp.Evaluate[bool](`document.documentElement.scrollWidth > window.innerWidth`))
			background := get(t, ctx, chromedp.Evaluate[string](`getComputedStyle(document.body).backgroundColor`))
			color := get(t, ctx, chromedp.Evaluate[string](`getComputedStyle(document.body).color`))
			png := get(t, ctx, chromedp.FullScreenshot(100))
			if overflow {
				t.Errorf("%s, %s: wider than the screen", name, size)
			}
			backgrounds[background] = true
			if background == color {
				t.Errorf("%s, %s: %s on %s", name, scheme, color, background)
			}
			if dir := os.Getenv(screenshotsVariable); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, name+"-"+scheme+"-"+size+".png"), png, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if len(backgrounds) != 2 {
		t.Errorf("%s: light and dark look the same: %v", name, backgrounds)
	}
}
