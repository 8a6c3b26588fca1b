// Package httpclient makes the program's HTTP requests: one client that limits
// the time and the size of everything, and one policy for retries.
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

// Limits of one request and its answer.
const (
	// RequestTimeout is how long one request may take, including the body of its
	// answer. Azure DevOps delays the requests of a throttled user by up to 30
	// seconds.
	RequestTimeout = 40 * time.Second
	// MaxBody is the largest body of an answer that is read, in bytes.
	MaxBody = 4 << 20

	dialTimeout = 10 * time.Second
	pingTimeout = 5 * time.Second
	// Firewalls and load balancers drop idle connections, sometimes without
	// closing them.
	idleTimeout    = time.Minute
	maxHeaderBytes = 64 << 10
)

// errSwitchingProtocols is the error of an answer that leaves HTTP. No deadline
// would apply to what follows it.
var errSwitchingProtocols = errors.New("the answer is 101 Switching Protocols, which was not requested")

// ErrTooLarge is the error of reading a body of more than [MaxBody] bytes.
var ErrTooLarge = errors.New("the answer is larger than 4 MiB")

// Options of [NewClient].
type Options struct {
	// CAFile is a PEM file of roots to trust in addition to the system's. Empty:
	// none.
	CAFile string
	// KeptRoots is the result of [KeepRoots] in an earlier process: further roots
	// to trust. Empty: none.
	KeptRoots string
	// ConnsPerHost is the largest number of concurrent connections to one host. A
	// caller that sends requests concurrently needs one for each, because HTTP/1.1
	// cannot share a connection. Zero: one.
	ConnsPerHost int
	// Dial opens a connection, as [net.Dialer.DialContext] does. Nil: over the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// NewClient returns the HTTP client for all requests. It follows no redirect and
// returns a 3xx like any other answer, so that no credential is sent to another
// host. It limits headers and bodies. It trusts the system's roots, or the
// embedded ones if the system has none, and those of CAFile. It uses the proxy
// that HTTPS_PROXY, HTTP_PROXY and NO_PROXY configure. It fails if CAFile or
// KeptRoots cannot be read.
func NewClient(o Options) (*http.Client, error) {
	trust, err := newTrust(o)
	if err != nil {
		return nil, err
	}
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	transport := &http.Transport{
		Proxy:                  proxyOf,
		OnProxyConnectResponse: onProxyConnect,
		DialContext:            dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trust.pool, Time: trust.now},
		TLSHandshakeTimeout:    dialTimeout,
		// A request waits for the connection that [Preconnect] is opening, because
		// it may not open another one.
		MaxConnsPerHost:        max(1, o.ConnsPerHost),
		MaxIdleConnsPerHost:    max(1, o.ConnsPerHost),
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      true,
		// Over HTTP/2 a request that times out leaves its connection open. Without
		// pings all later requests would use a dead connection.
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingTimeout, PingTimeout: pingTimeout},
		// A small compressed answer could become a large one.
		DisableCompression: true,
	}
	readTrust := sync.OnceFunc(func() { go trust.read() })
	p := newPreconnector(transport, readTrust)
	return &http.Client{
		Transport:     &bounded{&noReplay{p}, p},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// proxyError is the error of a proxy that refuses to open a connection. Its
// status decides whether a retry makes sense.
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

// bounded limits every request to RequestTimeout and every body to MaxBody.
type bounded struct {
	next         http.RoundTripper
	preconnector *preconnector // the last of the transports, for [Preconnect]
}

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
	// net/http fails if it cannot parse the Location. The answer would be lost.
	if _, err := r.URL.Parse(resp.Header.Get("Location")); err != nil {
		resp.Header.Del("Location")
	}
	resp.Body = &limitedBody{http.MaxBytesReader(nil, resp.Body, MaxBody), cancel}
	return resp, nil
}

// CloseIdleConnections implements the interface of [http.Client.CloseIdleConnections].
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
