package httpclient

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"azdo-pat/internal/hint"
)

// answers starts a server that sends the same bytes on every connection and goes on
// reading, so that they arrive.
func answers(t *testing.T, bytes string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 64<<10))
				_, _ = io.WriteString(c, bytes)
				_ = c.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	return l.Addr().String()
}

// alert is a fatal TLS alert, unencrypted, as at the start of a handshake.
func alert(number byte) string { return "\x15\x03\x01\x00\x02\x02" + string([]byte{number}) }

// A permanent error is not retried, and its text names the cause.
func TestMismatch(t *testing.T) {
	t.Parallel()
	served := func(f func(*httptest.Server)) func(*testing.T) (string, string) {
		return func(t *testing.T) (addr, root string) {
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			f(s)
			t.Cleanup(s.Close)
			if s.TLS != nil {
				root = write(t, pemOf(s.Certificate()))
			}
			return s.Listener.Addr().String(), root
		}
	}
	secured := func(f func(*tls.Config)) func(*testing.T) (string, string) {
		return served(func(s *httptest.Server) {
			s.TLS = new(tls.Config)
			f(s.TLS)
			s.StartTLS()
		})
	}
	says := func(bytes string) func(*testing.T) (string, string) {
		return func(t *testing.T) (string, string) { return answers(t, bytes), "" }
	}
	plain := served((*httptest.Server).Start)
	const (
		noTLS   = "speaks plain HTTP, not TLS (http: server gave HTTP response to HTTPS client)"
		refuses = "the host refuses the TLS connection (remote error: tls: "
		client  = "the host asks for a client certificate, and azdo-pat has none"
	)
	for _, tc := range []struct {
		name   string
		scheme string // of the host, or of the proxy
		proxy  bool
		server func(*testing.T) (addr, root string)
		err    string
		hint   string
		passes bool
	}{
		{"plain http", "https", false, plain, "the host " + noTLS, "check the URL", false},
		{"another protocol", "https", false, says("SSH-2.0-OpenSSH_9.6\r\n"), "the host does not speak TLS (tls: first record", "check the URL", false},
		{"TLS of yesterday", "https", false, secured(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }),
			refuses + "protocol version not supported)", "TLS 1.2 and 1.3", false},
		{"TLS of yesterday, without an alert", "https", false, says("\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01" + strings.Repeat("\x01", 32) + "\x00\xc0\x14\x00"),
			"the host violates the TLS protocol (tls: ", "TLS 1.2 and 1.3", false},
		{"a client certificate, TLS 1.2", "https", false, secured(func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }),
			refuses, "no client certificate", false},
		{"a client certificate, TLS 1.3", "https", false, secured(func(c *tls.Config) { c.ClientAuth = tls.RequireAndVerifyClientCert; c.ClientCAs = x509.NewCertPool() }),
			refuses + "certificate required)", client, false},
		{"no protocol in common", "https", false, secured(func(c *tls.Config) { c.NextProtos = []string{"imap"} }), refuses + "no application protocol)", "check the URL", false},
		{"handshake failure", "https", false, says(alert(40)), refuses + "handshake failure)", "TLS 1.2 and 1.3", false},
		{"unknown CA", "https", false, says(alert(48)), refuses + "unknown certificate authority)", client, false},
		{"access denied", "https", false, says(alert(49)), refuses + "access denied)", client, false},
		{"unrecognized name", "https", false, says(alert(112)), refuses + "unrecognized name)", "does not know the requested host name", false},
		{"an alert of later", "https", false, says(alert(199)), refuses + "alert(199))", "check the URL", false},
		{"a fault of the server's", "https", false, says(alert(80)), "remote error: tls: internal error", "", true},
		{"nothing", "https", false, says(""), "EOF", "", true},
		{"no HTTP", "http", false, says("SSH-2.0-OpenSSH_9.6\r\n"), `the host does not speak HTTP (malformed HTTP response "SSH-2.0-OpenSSH_9.6")`, "check the URL", false},
		{"HTTP of tomorrow", "http", false, says("HTTP/x.y 200 OK\r\n\r\n"), `the host does not speak HTTP (malformed HTTP version "HTTP/x.y")`, "check the URL", false},
		{"TLS", "http", false, says(alert(70)), "the host speaks TLS, not plain HTTP (malformed HTTP response ", "needs https://", false},
		{"nothing", "http", false, says(""), "EOF", "", true},

		{"plain http", "https", true, plain, "the proxy " + strings.Replace(noTLS, "http: server gave HTTP response to HTTPS client", "tls: first record does not look like a TLS handshake", 1), "check HTTPS_PROXY", false},
		{"TLS of yesterday", "https", true, secured(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }),
			strings.Replace(refuses, "host", "proxy", 1) + "protocol version not supported)", "check HTTPS_PROXY", false},
		{"a client certificate", "https", true, says(alert(116)), strings.Replace(refuses, "host", "proxy", 1) + "certificate required)", "the proxy asks for a client certificate", false},
		{"a fault of the proxy's", "https", true, says(alert(80)), "the proxy could not be reached", "HTTPS_PROXY", true},
		{"TLS", "http", true, says(alert(70)), "the proxy speaks TLS, not plain HTTP (malformed HTTP response ", "check HTTPS_PROXY: a port that speaks TLS needs https://", false},
		{"no proxy's protocol", "http", true, says("SSH-2.0-OpenSSH_9.6\r\n"), "does not speak HTTP", "proxy settings", false},
		{"plain http", "socks5", true, says("HTTP/1.1 400 Bad Request\r\n\r\n"), "the proxy does not speak SOCKS 5 (unexpected protocol version 72)", "check HTTPS_PROXY: socks5://", false},
		{"no authentication in common", "socks5", true, says("\x05\xff"), "the proxy does not accept the user and password (no acceptable authentication methods)", "user and password in HTTPS_PROXY", false},
		{"a wrong password", "socks5", true, says("\x05\x02\x01\x01"), "the proxy does not accept the user and password (username/password authentication failed)", "user and password in HTTPS_PROXY", false},
		{"a rule", "socks5", true, says("\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"), "the proxy does not allow the connection (unknown error connection not allowed by ruleset)", "NO_PROXY", false},
		{"nothing behind it", "socks5", true, says("\x05\x00\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00"), "host unreachable", "", true},
		{"a password", "http", true, says("HTTP/1.1 407 No\r\n\r\n"), "the proxy answered 407", "HTTPS_PROXY", false},
	} {
		name := tc.name + ", " + tc.scheme
		if tc.proxy {
			name += " proxy"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, root := tc.server(t)
			c := newClient(t, root)
			to := tc.scheme + "://" + addr + "/"
			inside(c).Proxy = nil
			if tc.proxy {
				inside(c).Proxy = http.ProxyURL(must(url.Parse(tc.scheme + "://user:pass-word@" + addr)))
				to = "https://host.test/"
			}
			resp, err := c.Get(to)
			if err == nil {
				resp.Body.Close()
				t.Fatalf("answered %d", resp.StatusCode)
			}
			e := TransportError("ask", "host.test", err)
			if !strings.Contains(e.Error(), tc.err) || strings.ContainsAny(e.Error(), "\n\x15") || strings.Contains(e.Error()+e.Hint(), "pass-word") {
				t.Errorf("error %q, want %q in it", e, tc.err)
			}
			if passes, _ := Retryable(e); passes != tc.passes {
				t.Errorf("passes %t", passes)
			}
			if got := hint.Of(e); !strings.Contains(got, tc.hint) || (got == "") != (tc.hint == "") {
				t.Errorf("hint %q, want %q in it", got, tc.hint)
			}
			if _, _, ok := Mismatch(err); ok != !tc.passes && !strings.Contains(tc.err, "407") {
				t.Errorf("a mismatch: %t", ok)
			}
		})
	}
}
