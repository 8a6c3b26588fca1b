package httpclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"azdo-pat/internal/sanitize"
)

// The roots that a server's certificate was verified with.
const (
	SystemRoots   = "the system"
	EmbeddedRoots = "the roots inside the binary"
	CAFileRoots   = "ca-file"
)

// Path is the way to a host, as [Probe] saw it. What was not gone is zero.
type Path struct {
	Proxy     string        // HOST:PORT; empty: none
	Addresses []string      // what the name, or that of the proxy, resolves to
	DNS       time.Duration // how long that took
	TCP       time.Duration
	TLS       time.Duration
	Version   string // of TLS; empty: plain http
	// Issuer is who issued the server's certificate, trusted or not: a proxy
	// that inspects TLS shows itself by it. Others wrote it; it is one line.
	Issuer string
	Roots  string // by which it is trusted
}

// Probe opens a connection to the host of a URL with the client that all
// requests go through, and says how that went. It asks for nothing but the
// headers of "/", without a credential, and what the answer to that is does not
// matter.
func Probe(ctx context.Context, client *http.Client, to string) (Path, error) {
	u, err := url.Parse(to)
	if err != nil || u.Host == "" {
		return Path{}, fmt.Errorf("connect: not a URL with a host")
	}
	doing, host := "connect", u.Host
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}).String(), nil)
	if err != nil {
		return Path{}, TransportError(doing, host, err)
	}
	var seen tracer
	if proxy, err := proxyOf(req); err == nil && proxy != nil {
		seen.path.Proxy = sanitize.Line(proxy.Host, 200) // and never its user and password
	}
	resp, err := client.Do(req.WithContext(httptrace.WithClientTrace(ctx, seen.trace())))
	if err == nil {
		resp.Body.Close()
	}
	path, connected := seen.done()
	var refused *tls.CertificateVerificationError
	if errors.As(err, &refused) && len(refused.UnverifiedCertificates) > 0 {
		path.Issuer = issuer(refused.UnverifiedCertificates[0])
	}
	// A host that answers no HEAD is one that can be reached.
	if err != nil && !connected {
		failed := TransportError(doing, host, err)
		failed.Proxy = "" // the path has it
		return path, failed
	}
	return path, nil
}

// tracer gathers what net/http tells of a connection. It may go on telling when
// the request is over.
type tracer struct {
	mu                  sync.Mutex
	path                Path
	dns, tcp, handshake time.Time
	connected           bool
}

func (t *tracer) trace() *httptrace.ClientTrace {
	locked := func(f func()) {
		t.mu.Lock()
		defer t.mu.Unlock()
		f()
	}
	return &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { locked(func() { t.dns = time.Now() }) },
		DNSDone: func(info httptrace.DNSDoneInfo) {
			locked(func() {
				t.path.DNS = time.Since(t.dns)
				for _, a := range info.Addrs {
					t.path.Addresses = append(t.path.Addresses, a.String())
				}
			})
		},
		// Several addresses may be tried at once: what counts is the way from
		// the first try to the first success.
		ConnectStart: func(string, string) {
			locked(func() {
				if t.tcp.IsZero() {
					t.tcp = time.Now()
				}
			})
		},
		ConnectDone: func(_, _ string, err error) {
			locked(func() {
				if err == nil && t.path.TCP == 0 {
					t.path.TCP = time.Since(t.tcp)
				}
			})
		},
		TLSHandshakeStart: func() { locked(func() { t.handshake = time.Now() }) },
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			locked(func() {
				t.path.TLS = time.Since(t.handshake)
				if err != nil || len(s.PeerCertificates) == 0 {
					return
				}
				t.path.Version = tls.VersionName(s.Version)
				t.path.Issuer = issuer(s.PeerCertificates[0])
				t.path.Roots = trustedBy(s)
			})
		},
		GotConn: func(httptrace.GotConnInfo) { locked(func() { t.connected = true }) },
	}
}

func (t *tracer) done() (Path, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.path
	p.Addresses = slices.Clone(p.Addresses)
	return p, t.connected
}

// issuer names who issued a certificate.
func issuer(leaf *x509.Certificate) string {
	names := append([]string{leaf.Issuer.CommonName}, leaf.Issuer.Organization...)
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	return sanitize.Line(strings.Join(slices.Compact(names), ", "), 120)
}

// trustedBy says whose roots a certificate was verified with: ca-file's only
// where the others would not have done.
func trustedBy(s tls.ConnectionState) string {
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	pool, whose := roots()
	if _, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: between}); err != nil {
		return CAFileRoots
	}
	return whose
}
