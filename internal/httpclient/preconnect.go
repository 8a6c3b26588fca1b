package httpclient

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/url"
	"sync"
)

// Preconnect starts opening a connection to the host of each URL, so that its
// handshakes take place while something else is waited for. The first request to the
// host uses the connection, and waits for it if it is still being opened. A host that
// was requested or preconnected before is skipped, and so is a URL that cannot be read.
//
// It reports no error: a request that finds no connection opens one itself, and fails
// for the same reason.
//
// The client is [NewClient]'s. Two first calls for the same host must not overlap.
func Preconnect(client *http.Client, urls ...string) {
	if t, ok := client.Transport.(*bounded); ok {
		for _, u := range urls {
			t.preconnector.preconnect(u)
		}
	}
}

// preconnector opens connections before they are needed. It saves the two round trips
// of a handshake for each host except the first.
//
// net/http has no call for that. But when a request is cancelled while a connection is
// being opened for it, net/http finishes the connection and keeps it for the next
// request. So preconnect makes a request and cancels it as soon as dialling starts.
// MaxConnsPerHost makes the next request wait for that connection instead of opening a
// second one.
type preconnector struct {
	*http.Transport
	prepare func()   // called when a host needs TLS
	hosts   sync.Map // the hosts that were requested or preconnected
}

// dialStartedKey is the context key of a func() to call when dialling starts.
type dialStartedKey struct{}

func newPreconnector(t *http.Transport, prepare func()) *preconnector {
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if started, ok := ctx.Value(dialStartedKey{}).(func()); ok {
			started()
		}
		return dial(ctx, network, addr)
	}
	return &preconnector{Transport: t, prepare: prepare}
}

// unsendable is a Host that net/http refuses to write, because it cannot be encoded as an
// international domain name. So nothing is sent even if the request is given a connection that another request
// has just opened.
const unsendable = "xn--\u00e9"

func (p *preconnector) preconnect(address string) {
	u, err := url.Parse(address)
	if err != nil || !p.isNew(u) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	returned := make(chan struct{})
	defer close(returned)
	ctx = context.WithValue(ctx, dialStartedKey{}, func() {
		cancel()
		<-returned // from here on the connection cannot be given to this request
	})
	r := &http.Request{Method: http.MethodHead, URL: &url.URL{Scheme: u.Scheme, Host: u.Host}, Host: unsendable, Header: http.Header{}}
	_, _ = p.Transport.RoundTrip(r.WithContext(ctx))
}

// isNew reports whether a host is neither requested nor preconnected yet, and
// remembers it.
func (p *preconnector) isNew(u *url.URL) bool {
	port := cmp.Or(u.Port(), map[string]string{"https": "443", "http": "80"}[u.Scheme])
	_, known := p.hosts.LoadOrStore(u.Scheme+"://"+net.JoinHostPort(u.Hostname(), port), true)
	if u.Scheme == "https" {
		p.prepare()
	}
	return !known
}

// RoundTrip implements [http.RoundTripper].
func (p *preconnector) RoundTrip(r *http.Request) (*http.Response, error) {
	p.isNew(r.URL)
	return p.Transport.RoundTrip(r)
}
