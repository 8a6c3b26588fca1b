package emulator_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"azdo-pat/internal/fakes/emulator"
)

const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // of RFC 7636, appendix B

// authorizing is the request for a code; a value of "-" takes a parameter away.
func (c *client) authorizing(edits ...map[string]string) string {
	query := url.Values{}
	all := map[string]string{
		"client_id": emulator.AppID, "response_type": "code", "redirect_uri": "http://localhost:8765",
		"response_mode": "form_post", "scope": azureDevOpsScope + " offline_access openid profile",
		"state": "a-state-of-more-than-22-characters", "code_challenge_method": "S256",
		"code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
	}
	for _, edit := range edits {
		maps.Copy(all, edit)
	}
	for name, value := range all {
		if value != "-" {
			query.Set(name, value)
		}
	}
	return c.e.URL(emulator.Entra) + "/" + emulator.TenantID + "/oauth2/v2.0/authorize?" + query.Encode()
}

// redeeming is the request that redeems a code.
func (c *client) redeeming(code string) map[string]string {
	return map[string]string{
		"client_id": emulator.AppID, "grant_type": "authorization_code", "scope": azureDevOpsScope + " offline_access openid profile",
		"client_assertion": c.assertion(), "code": code, "redirect_uri": "http://localhost:8765", "code_verifier": verifier,
	}
}

func (c *client) signIn(edits ...map[string]string) emulator.CallBack {
	c.Helper()
	got, page, err := c.e.Person().SignIn(c.Context(), c.authorizing(edits...))
	if err != nil {
		c.Fatalf("%v: %s", err, page)
	}
	return got
}

func TestAuthorizationCode(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Change(func(w *emulator.State) {
		w.App(emulator.AppID).Consented = nil
		w.User(emulator.ServiceUserID).MFARequired = true
	})
	for _, mode := range []string{"form_post", "query", "fragment", "-"} {
		got := c.signIn(map[string]string{"response_mode": mode, "prompt": "consent"})
		answer := got.Form
		if mode != "form_post" {
			u, _ := url.Parse(got.URL)
			if u.Path != "/" {
				t.Errorf("%s: the URI came back without a slash: %s", mode, got.URL)
			}
			if answer = u.Query(); mode == "fragment" {
				answer, _ = url.ParseQuery(u.Fragment)
			}
		}
		if answer.Get("state") != "a-state-of-more-than-22-characters" || answer.Get("code") == "" {
			t.Fatalf("%s: got %+v", mode, got)
		}
		a := c.exchange(form(c.redeeming(answer.Get("code"))))
		refresh, _ := a.JSON["refresh_token"].(string)
		if a.JSON["id_token"] == nil || refresh == "" {
			t.Fatalf("got %s", a.Text)
		}
		// The second factor is in the refresh token.
		c.mustExchange(form(c.refreshing(), map[string]string{"refresh_token": refresh}))
	}
	if v := c.e.Violations(); len(v) > 0 {
		t.Errorf("violations %v", v)
	}
}

func TestAuthorizeRefused(t *testing.T) {
	t.Parallel()
	app := func(f func(*emulator.App)) func(*emulator.State) {
		return func(w *emulator.State) { f(w.App(emulator.AppID)) }
	}
	redirects := func(all ...emulator.Redirect) func(*emulator.State) {
		return app(func(a *emulator.App) { a.Redirects = all })
	}
	for name, test := range map[string]struct {
		edit   map[string]string
		change func(*emulator.State)
		page   string // the code on Entra's page
		back   string // the code that the client gets
	}{
		"unknown client":       {edit: map[string]string{"client_id": emulator.TenantID}, page: "700016"},
		"no redirect URI":      {edit: map[string]string{"redirect_uri": "-"}, page: "900971"},
		"none registered":      {change: redirects(), page: "500113"},
		"another path":         {edit: map[string]string{"redirect_uri": "http://localhost:8765/a"}, page: "50011"},
		"a slash":              {edit: map[string]string{"redirect_uri": "http://localhost:8765/"}, page: "50011"},
		"127.0.0.1":            {edit: map[string]string{"redirect_uri": "http://127.0.0.1:8765"}, page: "50011"},
		"::1":                  {edit: map[string]string{"redirect_uri": "http://[::1]:8765"}, page: "50011"},
		"case of the path":     {edit: map[string]string{"redirect_uri": "http://localhost:1/a"}, change: redirects(emulator.Redirect{"http://localhost/A", emulator.Web}), page: "50011"},
		"https":                {edit: map[string]string{"redirect_uri": "https://localhost:8765"}, page: "50011"},
		"agent":                {edit: map[string]string{"client_id": emulator.AgentID}, page: "82001"},
		"assignment required":  {change: app(func(a *emulator.App) { a.AssignmentRequired = true }), page: "50105"},
		"no PKCE":              {edit: map[string]string{"code_challenge": "-"}, back: "501491"},
		"plain PKCE":           {edit: map[string]string{"code_challenge_method": "plain"}, back: "501491"},
		"no state":             {edit: map[string]string{"state": "-"}, back: "90100"},
		"another type":         {edit: map[string]string{"response_type": "token"}, back: "700051"},
		"another mode":         {edit: map[string]string{"response_mode": "web_message"}, back: "70007"},
		"single permissions":   {edit: map[string]string{"scope": azureDevOpsScope + " " + emulator.AzureDevOpsResource + "/vso.pats"}, back: "70011"},
		"no API":               {edit: map[string]string{"scope": "openid"}, back: "70011"},
		"prompt none":          {edit: map[string]string{"prompt": "none"}, back: "50058"},
		"an unknown parameter": {edit: map[string]string{"resource": "x"}, back: "90100"},
		"administrator":        {change: app(func(a *emulator.App) { a.AdminConsent, a.Consented = true, nil }), back: "90094"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			if test.change != nil {
				c.e.Change(test.change)
			}
			got, page, err := c.e.Person().SignIn(t.Context(), c.authorizing(test.edit))
			if test.page != "" {
				if !errors.Is(err, emulator.ErrNoCallBack) || !strings.Contains(page.Text, "AADSTS"+test.page+":") {
					t.Errorf("got %+v, %s, %v; want the page of %s", got, page, err, test.page)
				}
				return
			}
			description := got.Form.Get("error_description")
			if u, _ := url.Parse(got.URL); u != nil && description == "" {
				description = u.Query().Get("error_description")
			}
			if err != nil || !strings.HasPrefix(description, "AADSTS"+test.back+":") {
				t.Errorf("got %+v, %v; want %s", got, err, test.back)
			}
		})
	}
}

func TestSignInPages(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		person func(*emulator.Person)
		change func(*emulator.State)
		page   string
		back   string
	}{
		"unknown account": {func(p *emulator.Person) { p.Username = "nobody@" + emulator.TenantDomain }, nil, "AADSTS50034", ""},
		"another tenant":  {func(p *emulator.Person) { p.Username = "me@outlook.com" }, nil, "AADSTS50020", ""},
		"an agent's":      {func(p *emulator.Person) { p.Username = emulator.AgentUserUPN }, nil, "AADSTS50034", ""},
		"wrong password":  {func(p *emulator.Person) { p.Password = "guess" }, nil, "AADSTS50126", ""},
		"wrong code": {func(p *emulator.Person) { p.Code = "1" }, func(w *emulator.State) {
			w.User(emulator.ServiceUserID).MFARequired = true
		}, "AADSTS50076", ""},
		"policy":   {nil, func(w *emulator.State) { w.User(emulator.ServiceUserID).BlockedByPolicy = true }, "AADSTS53003", ""},
		"canceled": {func(p *emulator.Person) { p.Cancel = "signin" }, nil, "", "the user canceled"},
		"declined": {func(p *emulator.Person) { p.Cancel = "consent" }, func(w *emulator.State) {
			w.App(emulator.AppID).Consented = nil
		}, "", "AADSTS65004"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			if test.change != nil {
				c.e.Change(test.change)
			}
			p := c.e.Person()
			if test.person != nil {
				test.person(p)
			}
			got, page, err := p.SignIn(t.Context(), c.authorizing())
			if test.page != "" && (err == nil || !strings.Contains(page.Text, test.page)) {
				t.Errorf("got %+v, %s, %v", got, page, err)
			}
			if test.back != "" && (err != nil || got.Form.Get("error") != "access_denied" || !strings.Contains(got.Form.Get("error_description"), test.back)) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// A signed-in user is not asked again, unless the client demands it.
func TestSelectAccount(t *testing.T) {
	t.Parallel()
	c := start(t)
	p := c.e.Person()
	if _, _, err := p.SignIn(t.Context(), c.authorizing()); err != nil {
		t.Fatal(err)
	}
	p.Username, p.Password = "nobody", ""
	if _, page, err := p.SignIn(t.Context(), c.authorizing()); err != nil {
		t.Errorf("asked again: %s, %v", page, err)
	}
	if _, page, err := p.SignIn(t.Context(), c.authorizing(map[string]string{"prompt": "select_account"})); err == nil {
		t.Errorf("not asked: %s", page)
	}
}

func TestAuthorizationCodeRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*client)
		edit   map[string]string
		code   string
	}{
		"unknown code":           {nil, map[string]string{"code": "1.x"}, "70000"},
		"no verifier":            {nil, map[string]string{"code_verifier": "-"}, "501481"},
		"another verifier":       {nil, map[string]string{"code_verifier": strings.Repeat("a", 43)}, "501481"},
		"another redirect URI":   {nil, map[string]string{"redirect_uri": "http://localhost:1"}, "70000"},
		"no assertion":           {nil, map[string]string{"client_assertion": "-"}, "7000218"},
		"after ten minutes":      {func(c *client) { c.e.Advance(10 * time.Minute) }, nil, "70008"},
		"a single-page redirect": {func(c *client) { c.platform(emulator.SPA) }, nil, "9002327"},
		"a public redirect":      {func(c *client) { c.platform(emulator.Native) }, nil, "700025"},
		"another scope":          {nil, map[string]string{"scope": "openid"}, "500011"},
		"no consent": {func(c *client) {
			c.e.Change(func(w *emulator.State) { w.App(emulator.AppID).Consented = nil })
		}, nil, "65001"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			if strings.HasSuffix(name, "redirect") {
				test.change(c)
			}
			code := c.signIn().Form.Get("code")
			if test.change != nil {
				test.change(c)
			}
			a := c.exchange(form(c.redeeming(code), test.edit))
			if !strings.Contains(a.Text, `"error_codes":[`+test.code+`]`) {
				t.Errorf("got %d %s, want %s", a.Status, a.Text, test.code)
			}
		})
	}
}

// platform registers http://localhost for another platform too: that one is taken.
func (c *client) platform(p emulator.Platform) {
	c.e.Change(func(w *emulator.State) {
		app := w.App(emulator.AppID)
		app.Redirects = append(app.Redirects, emulator.Redirect{"http://localhost", p})
	})
}

func TestCodeWorksOnce(t *testing.T) {
	t.Parallel()
	c := start(t)
	code := c.signIn().Form.Get("code")
	c.mustExchange(form(c.redeeming(code)))
	if a := c.exchange(form(c.redeeming(code))); !strings.Contains(a.Text, "AADSTS54005") {
		t.Errorf("got %s", a.Text)
	}
}

func TestNoRefreshToken(t *testing.T) {
	t.Parallel()
	c := start(t)
	code := c.signIn(map[string]string{"scope": azureDevOpsScope}).Form.Get("code")
	a := c.exchange(form(c.redeeming(code)))
	if a.JSON["access_token"] == nil || a.JSON["refresh_token"] != nil || a.JSON["id_token"] != nil {
		t.Errorf("got %s", a.Text)
	}
}

var certificateKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// certificate makes a certificate that is valid for an hour, and adds it.
func (c *client) certificate() *x509.Certificate {
	c.Helper()
	now := c.e.Now(emulator.Entra)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: now, NotAfter: now.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, certificateKey().Public(), certificateKey())
	if err != nil {
		c.Fatal(err)
	}
	if _, err := c.e.AddCertificate(emulator.AppID, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), "test"); err != nil {
		c.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		c.Fatal(err)
	}
	return parsed
}

// byCertificate is the request of an application for a token of its own.
func (c *client) byCertificate(certificate *x509.Certificate, edit func(claims map[string]any, header map[jose.HeaderKey]any)) string {
	sum := sha256.Sum256(certificate.Raw)
	now := c.e.Now(emulator.Entra).Unix()
	claims := map[string]any{
		"aud": c.tokenURL(), "iss": emulator.AppID, "sub": emulator.AppID, "jti": uuid.New().String(), "iat": now, "nbf": now, "exp": now + 600,
	}
	header := map[jose.HeaderKey]any{"typ": "JWT", "x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}
	if edit != nil {
		edit(claims, header)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.PS256, Key: certificateKey()}, &jose.SignerOptions{ExtraHeaders: header})
	if err != nil {
		c.Fatal(err)
	}
	raw, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		c.Fatal(err)
	}
	return form(map[string]string{"client_id": emulator.AppID, "grant_type": "client_credentials", "scope": azureDevOpsScope, "client_assertion": raw})
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Change(func(w *emulator.State) { w.CredentialDelay = 10 * time.Second })
	certificate := c.certificate()
	if a := c.exchange(c.byCertificate(certificate, nil)); !strings.Contains(a.Text, "AADSTS700027") {
		t.Errorf("at once: %s", a.Text)
	}
	c.e.Advance(10 * time.Second)
	body := c.byCertificate(certificate, nil)
	c.mustExchange(body)
	if a := c.exchange(body); !strings.Contains(a.Text, "AADSTS7009999") || len(c.e.Violations()) != 1 {
		t.Errorf("twice: %s", a.Text)
	}
	c.e.Advance(time.Hour)
	if a := c.exchange(c.byCertificate(certificate, nil)); !strings.Contains(a.Text, "AADSTS1000502") {
		t.Errorf("at its end: %s", a.Text)
	}
}

func TestCertificateRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		edit func(claims map[string]any, header map[jose.HeaderKey]any)
		code string
	}{
		"another certificate": {func(_ map[string]any, h map[jose.HeaderKey]any) { h["x5t#S256"] = "abc" }, "700027"},
		"no thumbprint":       {func(_ map[string]any, h map[jose.HeaderKey]any) { delete(h, "x5t#S256") }, "50027"},
		"no type":             {func(_ map[string]any, h map[jose.HeaderKey]any) { delete(h, "typ") }, "50027"},
		"another audience":    {func(c map[string]any, _ map[jose.HeaderKey]any) { c["aud"] = "https://login.microsoftonline.com" }, "700023"},
		"another issuer":      {func(c map[string]any, _ map[jose.HeaderKey]any) { c["iss"] = emulator.AgentID }, "700021"},
		"another subject":     {func(c map[string]any, _ map[jose.HeaderKey]any) { c["sub"] = emulator.AgentID }, "700021"},
		"expired":             {func(c map[string]any, _ map[jose.HeaderKey]any) { c["exp"] = c["iat"] }, "700024"},
		"no id":               {func(c map[string]any, _ map[jose.HeaderKey]any) { delete(c, "jti") }, "90100"},
		"for too long":        {func(c map[string]any, _ map[jose.HeaderKey]any) { c["exp"] = c["iat"].(int64) + 601 }, "90100"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			a := c.exchange(c.byCertificate(c.certificate(), test.edit))
			if !strings.Contains(a.Text, `"error_codes":[`+test.code+`]`) {
				t.Errorf("got %d %s, want %s", a.Status, a.Text, test.code)
			}
		})
	}
}

func TestRemovedCertificate(t *testing.T) {
	t.Parallel()
	c := start(t)
	certificate := c.certificate()
	var id string
	c.e.Change(func(w *emulator.State) { id = w.App(emulator.AppID).Keys[0].KeyID })
	if !c.e.RemoveCertificate(emulator.AppID, id) {
		t.Fatal("not removed")
	}
	if a := c.exchange(c.byCertificate(certificate, nil)); !strings.Contains(a.Text, "AADSTS700027") {
		t.Errorf("got %s", a.Text)
	}
}
