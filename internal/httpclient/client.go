// Package wire is how the program talks to the network: one HTTP client with
// bounds on everything, and one policy for trying again.
package httpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Bounds on one request and its answer.
const (
	// RequestTimeout is how long one request may take, its answer's body
	// included, before it counts as failed. Azure DevOps holds the requests of a
	// throttled user back for up to 30 seconds.
	RequestTimeout = 40 * time.Second
	// MaxBody is how many bytes of an answer's body are read at most.
	MaxBody = 4 << 20

	dialTimeout = 10 * time.Second
	pingTimeout = 5 * time.Second
	// What is between us and a server forgets a connection that nobody uses, at
	// times without a word.
	idleTimeout    = time.Minute
	maxHeaderBytes = 64 << 10
)

// errSwitched is the error of an answer that leaves HTTP, which nobody asked for:
// what follows it ends with no deadline.
var errSwitchingProtocols = errors.New("the answer is 101 Switching Protocols, which was not asked for")

// ErrTooLarge is what reading a body of more than [MaxBody] bytes ends with.
var ErrTooLarge = errors.New("the answer is larger than 4 MiB")

// Options of [NewClient].
type Options struct {
	// CAFile is a PEM file of roots to trust beside the system's. Empty: none.
	CAFile string
	// KeptRoots is what [KeepRoots] returned, of further roots. Empty: none.
	KeptRoots string
	// ConnsPerHost is how many connections to one host there may be at once: as
	// many as the caller makes requests at once, which HTTP/1.1 cannot put on one
	// connection. Zero: one.
	ConnsPerHost int
}

// NewClient returns the HTTP client for all requests. It follows no redirect
// (a 3xx is an answer like any other), so that no credential travels to a host
// that was not asked; it bounds headers and bodies; it trusts the system's
// roots, or those inside the binary where the system has none, and CAFile's;
// it goes through the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name.
func NewClient(o Options) (*http.Client, error) {
	trust, err := newTrust(o)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                  proxyOf,
		OnProxyConnectResponse: onProxyConnect,
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trust.pool, Time: trust.now},
		TLSHandshakeTimeout:    dialTimeout,
		// A request waits for the connection that [Preconnect] is opening, because
		// it may not open another one.
		MaxConnsPerHost:        max(1, o.ConnsPerHost),
		MaxIdleConnsPerHost:    max(1, o.ConnsPerHost),
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      true,
		// Over HTTP/2 a request that times out leaves its connection to the next
		// one, and all of them to a connection on which nothing comes any more.
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingTimeout, PingTimeout: pingTimeout},
		// An answer is small; unpacking could make it large.
		DisableCompression: true,
	}
	readTrust := sync.OnceFunc(func() { go trust.read() })
	return &http.Client{
		Transport:     &bounded{&noReplay{newPreconnector(transport, readTrust)}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// proxyRefused is what a proxy answered that was to open a connection. Whether
// it passes is for its status to say.
type proxyError struct{ status int }

func (p *proxyError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the proxy answered %d %s", p.status, http.StatusText(p.status)))
}

func onProxyConnect(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return &proxyError{resp.StatusCode}
	}
	return nil
}

// bounded ends every request after RequestTimeout and every body at MaxBody.
type bounded struct{ next http.RoundTripper }

func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), RequestTimeout)
	resp, err := b.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body.Close()
		cancel()
		return nil, errSwitchingProtocols
	}
	// net/http makes an error of a Location that it cannot read, which would
	// pass for no answer.
	if _, err := r.URL.Parse(resp.Header.Get("Location")); err != nil {
		resp.Header.Del("Location")
	}
	resp.Body = &limitedBody{http.MaxBytesReader(nil, resp.Body, MaxBody), cancel}
	return resp, nil
}

// CloseIdleConnections lets [http.Client.CloseIdleConnections] through.
func (b *bounded) CloseIdleConnections() { closeIdle(b.next) }

func closeIdle(t http.RoundTripper) {
	if c, ok := t.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// limitedBody is the body of an answer, at most MaxBody bytes of it.
type limitedBody struct {
	io.ReadCloser // by http.MaxBytesReader
	cancel        context.CancelFunc
}

func (l *limitedBody) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		err = ErrTooLarge
	}
	return n, err
}

func (l *limitedBody) Close() error {
	defer l.cancel()
	return l.ReadCloser.Close()
}
