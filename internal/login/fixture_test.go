package login

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
)

// fixture is one sign-in against the emulator. A test changes it, then calls start.
type fixture struct {
	*testing.T
	*emulator.Emulator
	o      Options
	person *emulator.Person
	// az is what happens when the command that adds the certificate is shown. By
	// default it is run.
	az func(file string)
	// after replaces the clock's waits. By default, those for people never end, and
	// the emulator's clock moves by the others.
	after func(time.Duration) <-chan time.Time

	out     strings.Builder
	mu      sync.Mutex
	lines   []string // of the log
	copied  []string
	masked  []string
	address chan string // of Entra's page, when it is opened
	ended   chan struct{}
	cancel  context.CancelCauseFunc
	file    string // the certificate's
	result  Result
	err     error
}

var errCtrlC = errors.New("stopped by a signal (interrupt)")

func setUp(t *testing.T) *fixture {
	t.Helper()
	return setUpAt(t, emulator.Start(t))
}

func setUpAt(t *testing.T, e *emulator.Emulator) *fixture {
	t.Helper()
	file, err := e.CAFile()
	if err != nil {
		t.Fatal(err)
	}
	client, err := httpclient.NewClient(httpclient.Options{ConnsPerHost: 4, CAFile: file})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, Emulator: e, person: e.Person(), address: make(chan string, 1), ended: make(chan struct{})}
	f.az = func(file string) { f.add(file) }
	f.after = func(d time.Duration) <-chan time.Time {
		if d >= SignInWait {
			return nil
		}
		e.Advance(d)
		fired := make(chan time.Time, 1)
		fired <- time.Time{}
		return fired
	}
	f.o = Options{
		Settings: &settings.Settings{
			Organization: emulator.OrganizationName, ClientID: emulator.AppID, Timeout: time.Minute,
			AuthorityHost: e.URL(emulator.Entra), TokenServiceURL: e.URL(emulator.AzureDevOps),
		},
		HTTP: client, Log: f, Copy: f.copyLine, Out: &f.out, UserAgent: "azdo-pat/test",
		Browser: func(address string) error { f.address <- address; return nil },
		Now:     func() time.Time { return e.Now(emulator.Entra) },
		After:   func(d time.Duration) <-chan time.Time { return f.after(d) },
		Mask: func(v secret.Value) error {
			if v.IsZero() {
				return nil
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			f.masked = append(f.masked, v.Reveal())
			return nil
		},
	}
	return f
}

func (f *fixture) Infof(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, fmt.Sprintf(format, args...))
}
func (f *fixture) Debugf(format string, args ...any) { f.Infof(format, args...) }
func (f *fixture) Warning(title, text string)        { f.Infof("warning: %s: %s", title, text) }

func (f *fixture) Redact(text string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range f.masked {
		text = strings.ReplaceAll(text, v, "***")
	}
	return text
}

var addCommand = regexp.MustCompile(`^az ad app credential reset --id ` + emulator.AppID + ` --cert @(\S+) --append --display-name azdo-pat-login$`)

func (f *fixture) copyLine(line string) {
	f.mu.Lock()
	f.copied = append(f.copied, line)
	f.mu.Unlock()
	if m := addCommand.FindStringSubmatch(line); m != nil {
		f.file = m[1]
		f.az(m[1])
	}
}

// add adds the certificate in a file, as az does.
func (f *fixture) add(file string) {
	text, err := os.ReadFile(file)
	if err == nil {
		_, err = f.AddCertificate(emulator.AppID, string(text), displayName)
	}
	if err != nil {
		f.Error(err)
		f.cancel(err) // or it would wait for the certificate
	}
}

// start starts the sign-in. The caller waits for its end.
func (f *fixture) start() *fixture {
	ctx, cancel := context.WithCancelCause(f.Context())
	f.cancel = cancel
	go func() {
		defer close(f.ended)
		f.result, f.err = Run(ctx, f.o)
	}()
	return f
}

// page is the address of Entra's page, when it is opened.
func (f *fixture) page() string {
	f.Helper()
	select {
	case address := <-f.address:
		return address
	case <-f.ended:
		f.Fatalf("it ended before the browser was opened: %v", f.err)
		return ""
	}
}

// signIn has the person sign in, up to the answer.
func (f *fixture) signIn() emulator.CallBack {
	f.Helper()
	answer, page, err := f.person.SignIn(f.Context(), f.page())
	if err != nil {
		f.Fatalf("%v: %s", err, page)
	}
	return answer
}

func (f *fixture) send(c emulator.CallBack) emulator.Page {
	f.Helper()
	page, err := c.Send(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	return page
}

// wait waits for the end. Whatever happened, the file is gone, the command that removes
// the certificate was shown if there is one, and the log holds no credential.
func (f *fixture) wait() {
	f.Helper()
	<-f.ended
	if f.file != "" {
		if _, err := os.Stat(filepath.Dir(f.file)); !os.IsNotExist(err) {
			f.Errorf("the file of the certificate is left: %v", err)
		}
		if last := f.copied[len(f.copied)-1]; !strings.HasPrefix(last, "az ad app credential list --id "+emulator.AppID) ||
			!strings.HasSuffix(last, "az ad app credential delete --id "+emulator.AppID+" --key-id KEY --cert") {
			f.Errorf("the last command is %q", last)
		}
	}
	said := strings.Join(append(slices.Clone(f.lines), f.copied...), "\n")
	if f.err != nil {
		said += f.Redact(f.err.Error() + hint.Of(f.err))
	}
	for _, s := range f.Secrets() {
		if strings.Contains(said, s) {
			f.Errorf("the log holds the credential %s:\n%s", s, said)
		}
		if f.err != nil && strings.Contains(f.out.String(), s) {
			f.Errorf("standard output holds a credential, although it failed: %s", f.out.String())
		}
	}
	if v := f.Violations(); len(v) > 0 {
		f.Errorf("a rule of the services was broken: %v", v)
	}
}

// failed waits for an end with an error that says, with its hint, all of that.
func (f *fixture) failed(says ...string) {
	f.Helper()
	f.wait()
	text := ""
	if f.err != nil {
		text = f.err.Error() + "\n" + hint.Of(f.err)
	}
	for _, part := range says {
		if !strings.Contains(text, part) {
			f.Errorf("got %q; want it to say %q", text, part)
		}
	}
	if f.out.Len() > 0 {
		f.Errorf("standard output has %q", f.out.String())
	}
}

// shows checks what the browser shows at the end.
func (f *fixture) shows(p emulator.Page, parts ...string) {
	f.Helper()
	for _, part := range parts {
		if !strings.Contains(p.Text, part) {
			f.Errorf("the page does not say %q: %s", part, p.Text)
		}
	}
	for _, s := range f.Secrets() {
		if strings.Contains(p.Text, s) {
			f.Errorf("the page holds a credential: %s", p.Text)
		}
	}
	if policy := p.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") {
		f.Errorf("the policy of the page is %q", policy)
	}
	for name, want := range map[string]string{
		"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
	} {
		if got := p.Header.Get(name); got != want {
			f.Errorf("%s of the page is %q, want %q", name, got, want)
		}
	}
	if strings.Contains(p.Text, "<script") || regexp.MustCompile(`(src|href)=`).MatchString(p.Text) {
		f.Errorf("the page has a script or something from elsewhere: %s", p.Text)
	}
}

func ops(requests []emulator.Request) (list []string) {
	for _, q := range requests {
		list = append(list, q.Op)
	}
	return list
}

// refreshes shows that a job can sign in with the refresh token and its own assertion.
func (f *fixture) refreshes(token string) {
	f.Helper()
	r, err := http.PostForm(f.URL(emulator.Entra)+"/"+emulator.TenantID+"/oauth2/v2.0/token", map[string][]string{
		"grant_type": {"refresh_token"}, "client_id": {emulator.AppID}, "refresh_token": {token},
		"scope":                 {emulator.AzureDevOpsResource + "/.default"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {f.Assertion()},
	})
	if err != nil {
		f.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		f.Errorf("a job cannot sign in with the refresh token: %s", r.Status)
	}
}
