package emulator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
)

// A Person signs in at Entra's page, with a browser that runs no
// scripts.
type Person struct {
	Username, Password string
	Code               string // the second factor; MFACode if empty
	// Cancel is the page on which the person presses "Cancel": signin, mfa or
	// consent. Empty: none.
	Cancel string
	jar    http.CookieJar
	roots  *x509.CertPool // nil: the system's
}

// A CallBack is Entra's answer as the browser sends it to the client.
type CallBack struct {
	Method string
	URL    string // of the client, with the answer if Method is GET
	Form   url.Values
}

// Page is what a browser shows at the end.
type Page struct {
	Status int
	Header http.Header
	Text   string
}

// ErrNoCallBack is the error of a sign-in that ends on one of Entra's own pages.
var ErrNoCallBack = errors.New("the sign-in ended on a page of Entra's")

// Visit signs in from the address on, and hands the answer to the client.
func (p *Person) Visit(ctx context.Context, address string) (Page, error) {
	c, page, err := p.SignIn(ctx, address)
	if err != nil {
		return page, err
	}
	return c.Send(ctx)
}

// SignIn signs in from the address on, up to the answer for the client. The page is
// the last one of Entra's.
func (p *Person) SignIn(ctx context.Context, address string) (CallBack, Page, error) {
	if p.jar == nil {
		p.jar, _ = cookiejar.New(nil)
	}
	client := &http.Client{Jar: p.jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.roots}, DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	start, err := url.Parse(address)
	if err != nil {
		return CallBack{}, Page{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	for range 6 { // pages
		if err != nil {
			return CallBack{}, Page{}, err
		}
		page, err := open(client, r)
		if err != nil {
			return CallBack{}, page, err
		}
		if location := page.Header.Get("Location"); page.Status == http.StatusFound {
			return CallBack{Method: http.MethodGet, URL: location}, page, nil
		}
		id, action, fields := p.fill(page.Text)
		switch {
		case id == "hiddenform":
			return CallBack{Method: http.MethodPost, URL: action, Form: fields}, page, nil
		case id == "" || strings.Contains(page.Text, `id="error"`):
			return CallBack{}, page, ErrNoCallBack
		}
		action = start.Scheme + "://" + start.Host + action
		r, err = http.NewRequestWithContext(ctx, http.MethodPost, action, strings.NewReader(fields.Encode()))
		if err == nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	return CallBack{}, Page{}, errors.New("too many pages")
}

// Send hands the answer to the client, as a browser does that comes from Entra's page.
func (c CallBack) Send(ctx context.Context) (Page, error) {
	r, err := http.NewRequestWithContext(ctx, c.Method, c.URL, strings.NewReader(c.Form.Encode()))
	if err != nil {
		return Page{}, err
	}
	if c.Method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://login.microsoftonline.com")
	}
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	return open(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, r)
}

func open(client *http.Client, r *http.Request) (Page, error) {
	w, err := client.Do(r)
	if err != nil {
		return Page{}, err
	}
	defer w.Body.Close()
	text, err := io.ReadAll(io.LimitReader(w.Body, maxBody))
	return Page{w.StatusCode, w.Header, string(text)}, err
}

var (
	formTag  = regexp.MustCompile(`<form id="([^"]*)" method="post" action="([^"]*)">`)
	inputTag = regexp.MustCompile(`<input [^>]*name="([^"]*)"[^>]*>`)
	valueOf  = regexp.MustCompile(` value="([^"]*)"`)
)

// fill fills in the last form of a page, whose other forms are shortcuts.
func (p *Person) fill(page string) (id, action string, fields url.Values) {
	all := formTag.FindAllStringSubmatchIndex(page, -1)
	if len(all) == 0 {
		return "", "", nil
	}
	at := all[len(all)-1]
	id, action = page[at[2]:at[3]], html.UnescapeString(page[at[4]:at[5]])
	fields = url.Values{}
	for _, input := range inputTag.FindAllStringSubmatch(page[at[1]:], -1) {
		value := ""
		if m := valueOf.FindStringSubmatch(input[0]); m != nil {
			value = html.UnescapeString(m[1])
		}
		fields.Set(html.UnescapeString(input[1]), value)
	}
	switch id {
	case "signin":
		if p.Username != "" {
			fields.Set("login", p.Username)
		}
		fields.Set("passwd", p.Password)
	case "mfa":
		fields.Set("otc", MFACode)
		if p.Code != "" {
			fields.Set("otc", p.Code)
		}
	case "consent":
		fields.Set("do", "accept")
	}
	if id == p.Cancel {
		fields.Set("do", "cancel")
	}
	return id, action, fields
}

// Person is the service account's, who knows the password.
func (e *Emulator) Person() *Person {
	p := &Person{Username: ServiceUserUPN}
	e.Change(func(w *State) { p.Password = w.User(ServiceUserID).Password })
	if e.authority != nil {
		p.roots = x509.NewCertPool()
		p.roots.AppendCertsFromPEM(e.authority.pem)
	}
	return p
}

// String implements [fmt.Stringer].
func (p Page) String() string { return fmt.Sprintf("%d %s", p.Status, p.Text) }
