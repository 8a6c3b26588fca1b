package acceptance

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	stdlog "log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// A server without a valid certificate gets no request, and so no credential.
func TestWrongCertificate(t *testing.T) {
	t.Parallel()
	known, unknown := newAuthority(t), newAuthority(t)
	day := 24 * time.Hour
	for _, tc := range []struct {
		name  string
		by    *authority
		leaf  func(*x509.Certificate)
		serve func(*tls.Config)
		says  string
		// The request may be tried again: with TLS 1.3 the server refuses after the
		// client has ended its handshake, and the client may notice that the connection
		// is closed before it reads why.
		again bool
	}{
		{name: "the wrong name", by: known, leaf: func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"dev.azure.com"} }, says: "certificate"},
		{name: "only a common name", by: known, leaf: func(c *x509.Certificate) { c.IPAddresses, c.Subject.CommonName = nil, "127.0.0.1" }, says: "certificate"},
		{name: "expired", by: known, leaf: func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(-2*day), time.Now().Add(-day) }, says: "expired"},
		{name: "not yet valid", by: known, leaf: func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(day), time.Now().Add(2*day) }, says: "not yet valid"},
		{name: "an unknown authority", by: unknown, says: "unknown authority"},
		{name: "a client certificate", by: known, leaf: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, says: "certificate"},
		{name: "old TLS", by: known, serve: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, says: "protocol version"},
		{name: "client certificate required", by: known, serve: func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, says: "certificate required", again: true},
		{name: "client certificate required, TLS 1.2", by: known, serve: func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }, says: "has no client certificate"},
		{name: "no TLS", says: "HTTP response to HTTPS client"},
	} {
		for _, at := range targets[:4] {
			t.Run(at.step+", "+tc.name, func(t *testing.T) {
				t.Parallel()
				var requests atomic.Int32
				front := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
				front.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
				if tc.by == nil {
					front.Start()
				} else {
					front.TLS = &tls.Config{Certificates: []tls.Certificate{tc.by.leaf(t, tc.leaf)}}
					if tc.serve != nil {
						tc.serve(front.TLS)
					}
					front.StartTLS()
				}
				defer front.Close()
				host := front.Listener.Addr().String()

				e := emulator.Start(t)
				env := e.Env(emulator.AgentUser)
				env["INPUT_CA-FILE"] = known.file
				switch at.op {
				case emulator.OpGitHubOIDC:
					u, err := url.Parse(env["ACTIONS_ID_TOKEN_REQUEST_URL"])
					if err != nil {
						t.Fatal(err)
					}
					u.Scheme, u.Host = "https", host
					env["ACTIONS_ID_TOKEN_REQUEST_URL"] = u.String()
				case emulator.OpT1:
					env["INPUT_AUTHORITY-HOST"] = "https://" + host
				default:
					env["INPUT_TOKEN-SERVICE-URL"] = "https://" + host
				}
				if at.op == emulator.OpTenant {
					delete(env, "INPUT_TENANT-ID")
				}
				mintFails(t, env, at.step, host, tc.says, !tc.again)
				// Without TLS, net/http answers the handshake with 400.
				if n := requests.Load(); n > 0 {
					t.Errorf("%d requests were sent", n)
				}
			})
		}
	}
}

// A proxy requires credentials, gives wrong answers, or does not answer. Only the
// proxy sees the services' real names: nothing leaves this machine.
func TestBrokenProxy(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, answer string
		stall        bool
		says         string
		once         bool
	}{
		{name: "requires credentials", answer: "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"proxy\"\r\nContent-Length: 0\r\n\r\n", says: "the proxy answered 407 Proxy Authentication Required", once: true},
		{name: "requires credentials, with an endless page", answer: "HTTP/1.1 407 No\r\n\r\n" + strings.Repeat("a", 1<<20), says: "the proxy answered 407", once: true},
		{name: "refuses the host", answer: "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", says: "the proxy answered 403", once: true},
		{name: "cannot reach the host", answer: "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", says: "the proxy answered 502"},
		{name: "redirects", answer: "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", says: "the proxy answered 302", once: true},
		{name: "answers for the host", answer: "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"},
		{name: "speaks TLS", answer: "\x15\x03\x01\x00\x02\x02\x46", says: "the proxy speaks TLS, not plain HTTP", once: true},
		{name: "is not a proxy", answer: "SSH-2.0-OpenSSH_9.6\r\n", says: "does not speak HTTP", once: true},
		{name: "has an endless header", answer: "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 1<<20)},
		{name: "does not answer", stall: true, says: "not done within"},
		{name: "stalls after CONNECT", answer: "HTTP/1.1 200 OK\r\n\r\n", stall: true, says: "not done within"},
	} {
		for _, at := range []struct {
			target
			identity emulator.Identity
			host     string
		}{
			{targets[0], emulator.AgentUser, "pipelines.actions.githubusercontent.com"},
			{targets[2], emulator.AgentUser, "login.microsoftonline.com"},
			{targets[3], emulator.AccessToken, "vssps.dev.azure.com"},
		} {
			t.Run(at.step+", "+tc.name, func(t *testing.T) {
				t.Parallel()
				proxy := newProxy(t, tc.answer, tc.stall)
				e := emulator.Start(t)
				env := e.Env(at.identity)
				env["HTTPS_PROXY"] = "http://user:opensesame@" + proxy.Addr().String()
				switch at.op {
				case emulator.OpGitHubOIDC:
					env["ACTIONS_ID_TOKEN_REQUEST_URL"] = "https://" + at.host + "/x?api-version=2.0"
				case emulator.OpT1:
					delete(env, "INPUT_AUTHORITY-HOST")
				default:
					delete(env, "INPUT_TOKEN-SERVICE-URL")
				}
				text := mintFails(t, env, at.step, at.host, tc.says, tc.once)
				if !strings.Contains(text, " through the proxy "+proxy.Addr().String()) {
					t.Errorf("it does not name the proxy:\n%s", text)
				}
				if strings.Contains(text, "opensesame") {
					t.Errorf("the proxy's password is in the log:\n%s", text)
				}
				heard := proxy.heard()
				if !strings.Contains(heard, "CONNECT "+at.host+":443 HTTP/1.1") {
					t.Errorf("the proxy was asked\n%s", heard)
				}
				for _, secret := range e.Secrets() {
					if strings.Contains(heard, secret) {
						t.Errorf("the proxy got a credential:\n%s", heard)
					}
				}
			})
		}
	}
}

// mintFails checks that a mint fails in time, without another attempt if once is set,
// and that the error names the step, the host and says. It returns the log. A machine that
// is too slow to get there within the time limit is given a longer one.
func mintFails(t *testing.T, env map[string]string, step, host, says string, once bool) string {
	t.Helper()
	timeout := 4 * time.Second
	if once {
		timeout = time.Minute // the error does not wait for it
	}
	for ; ; timeout *= 3 {
		env["INPUT_TIMEOUT"] = timeout.String()
		mint := harness.Command(t, env, harness.NewStep(t), "azdo-pat", "mint")
		begin := time.Now()
		if status, err := harness.ExitStatus(mint.Run()); err != nil || status != 1 {
			t.Errorf("mint ended with %d, %v", status, err)
		}
		took, text := time.Since(begin), harness.Output(mint)
		_, complaint, _ := strings.Cut(text, "::error ")
		missing := slices.DeleteFunc([]string{step, host, says}, func(part string) bool { return strings.Contains(complaint, part) })
		if len(missing) > 0 && timeout < 30*time.Second {
			continue
		}
		if len(missing) > 0 {
			t.Errorf("the error does not say %q:\n%s", missing, text)
		}
		if once && took > harness.StopLimit || took > timeout+harness.StopLimit {
			t.Errorf("it took %s", took)
		}
		if once && strings.Contains(text, "attempt 2") {
			t.Errorf("it was tried again:\n%s", text)
		}
		return text
	}
}

// proxy is a proxy that gives every client the same answer.
type proxy struct {
	net.Listener
	mu   sync.Mutex
	text strings.Builder
}

func newProxy(t *testing.T, answer string, stall bool) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &proxy{Listener: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				p.mu.Lock()
				fmt.Fprintf(&p.text, "%s %s %s\n%v\n", r.Method, r.Host, r.Proto, r.Header)
				p.mu.Unlock()
				io.WriteString(c, answer)
				if stall {
					io.Copy(io.Discard, c)
				}
			}()
		}
	}()
	return p
}

func (p *proxy) heard() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// authority is a certificate authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its certificate, as PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "some authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, file}
}

// leaf makes the certificate of a server at 127.0.0.1, changed by edit.
func (a *authority) leaf(t *testing.T, edit func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
