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

// The values of [Path].Roots.
const (
	SystemRoots   = "the system"
	EmbeddedRoots = "the roots inside the binary"
	CAFileRoots   = "ca-file"
)

// Path describes how [Probe] reached a host. Fields of steps that were not reached
// are zero.
type Path struct {
	Proxy     string        // HOST:PORT; empty: none
	Addresses []string      // the addresses of the host, or of the proxy
	DNS       time.Duration // the duration of name resolution
	TCP       time.Duration
	TLS       time.Duration
	Version   string // of TLS; empty: plain HTTP
	// Issuer is the issuer of the server's certificate, trusted or not. It shows
	// whether a proxy inspects TLS. It is one line of untrusted text.
	Issuer string
	Roots  string // the roots that verified it: SystemRoots, EmbeddedRoots or CAFileRoots
}

// Probe opens a connection to the host of a URL and reports how that went. client
// is the one for all requests. Probe sends a HEAD request for "/" without a
// credential and ignores the answer. The error is an [*Error], unless the URL
// cannot be read.
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
	proxy, err := proxyOf(req)
	if err == nil && proxy != nil {
		seen.path.Proxy = sanitize.Line(proxy.Host, 200) // without its user and password
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
	// A host that does not answer a HEAD request can still be reached.
	if err != nil && !connected {
		failed := TransportError(doing, host, err)
		failed.Proxy = "" // the path names it
		return path, failed
	}
	return path, nil
}

// tracer collects what net/http reports about a connection. net/http may call it
// even after the request has ended.
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
		// Several addresses may be tried concurrently. The time from the first
		// attempt to the first success is measured.
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

// issuer returns the common name and organization of a certificate's issuer.
func issuer(leaf *x509.Certificate) string {
	names := append([]string{leaf.Issuer.CommonName}, leaf.Issuer.Organization...)
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	return sanitize.Line(strings.Join(slices.Compact(names), ", "), 120)
}

// trustedBy returns the roots that verified a certificate: CAFileRoots only if the
// others do not verify it.
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
