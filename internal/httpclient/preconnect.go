package httpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
)

// Open begins to open a connection to the host of each URL, as a request to it
// would, and returns at once. The first request to the host uses it; one that
// comes while it is being opened waits for it. Nothing is done for a host that
// was asked before, or for which Open was called before.
//
// That it fails is nobody's fault yet: the request that needs a connection opens
// one for itself, and fails with what that ends with. Only one that was waiting
// for it fails with it, if it could not be dialled.
//
// The client is [NewClient]'s, also with a [Traced] or a [Clock] in front.
func Open(client *http.Client, urls ...string) {
	next := client.Transport
	for {
		switch t := next.(type) {
		case *Traced:
			next = t.Next
		case *Paced:
			next = t.Next
		case *Clock:
			next = t.Next
		case *bounded:
			next = t.next
		case *noReplay:
			next = t.next
		case *preconnector:
			for _, u := range urls {
				t.open(u)
			}
			return
		default:
			return
		}
	}
}

// early opens connections before they are asked for, so that their handshakes
// take no time of their own.
//
// net/http has no call for that, but does it: a request that is given up while
// a connection is being dialled for it leaves that to go on, and the connection
// to whoever wants one next. So open makes a request that is given up before
// there is anything to send it on. And a request that finds a connection on its
// way does not dial another one: net/http hands it over as soon as it is there.
// Reuse, connections that have died, proxies and HTTP/2 stay net/http's.
type preconnector struct {
	next    *http.Transport
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	prepare func() // for TLS

	mu sync.Mutex
	// hosts are those that were asked, and those that will be; nil: there is no
	// connection to wait for.
	hosts map[string]*opening
}

func newPreconnector(t *http.Transport, prepare func()) *preconnector {
	e := &preconnector{next: t, dial: t.DialContext, prepare: prepare, hosts: map[string]*opening{}}
	t.DialContext = e.dialContext
	return e
}

// opening is a connection that is being opened.
type opening struct {
	begin func()        // returns when the request that opens it is gone
	over  chan struct{} // closed when nobody need wait for it any more
	once  sync.Once
	err   error // why it could not be dialled; to be read when it is over
}

func (o *opening) end(err error) {
	o.once.Do(func() {
		o.err = err
		close(o.over)
	})
}

// isOver is also true of none at all.
func (o *opening) isOver() bool {
	if o == nil {
		return true
	}
	select {
	case <-o.over:
		return true
	default:
		return false
	}
}

// inDial is where a dial finds, in its context, for whom it is: an *opening or
// a *waiter.
type inDial struct{}

func (e *preconnector) open(address string) {
	u, err := url.Parse(address)
	if err != nil {
		return
	}
	o := &opening{over: make(chan struct{})}
	e.mu.Lock()
	_, known := e.hosts[host(u)]
	if !known {
		e.hosts[host(u)] = o
	}
	e.mu.Unlock()
	if known {
		return
	}
	e.expect(u)

	ctx, giveUp := context.WithCancel(context.WithValue(context.Background(), inDial{}, o))
	gone := make(chan struct{})
	begun := false
	o.begin = func() {
		begun = true
		giveUp()
		<-gone
	}
	go func() {
		defer giveUp()
		// No header can hold this name, so that it could not be sent even if
		// there were something to send it on.
		r := &http.Request{Method: http.MethodHead, URL: &url.URL{Scheme: u.Scheme, Host: u.Host}, Host: "nobody asks", Header: http.Header{}}
		_, _ = e.next.RoundTrip(r.WithContext(ctx))
		close(gone)
		if !begun {
			o.end(nil)
		}
	}()
}

// host is what net/http keeps connections apart by, as far as the URL tells.
func host(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), port)
}

// expect is called when a connection to a host will be needed.
func (e *preconnector) expect(u *url.URL) {
	if u.Scheme == "https" {
		e.prepare()
	}
}

// waiter is a request for which a connection is on its way.
type waiter struct {
	ctx context.Context
	on  *opening
	// asked is how often it asked net/http for a connection, and served is what
	// asked was when it last got one.
	asked, served atomic.Int32
}

// RoundTrip implements [http.RoundTripper].
func (e *preconnector) RoundTrip(r *http.Request) (*http.Response, error) {
	e.expect(r.URL)
	o := e.wanted(r.URL)
	if o.isOver() {
		return e.next.RoundTrip(r)
	}
	w := &waiter{ctx: r.Context(), on: o}
	ctx := context.WithValue(r.Context(), inDial{}, w)
	return e.next.RoundTrip(r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { w.asked.Add(1) },
		GotConn: func(info httptrace.GotConnInfo) {
			w.served.Store(w.asked.Load())
			e.taken(r.URL)
			if !shared(info.Conn) {
				o.end(nil) // whoever waits, too, needs another one
			}
		},
	})))
}

// wanted returns the connection that is on its way to a host, and notes that the
// host was asked.
func (e *preconnector) wanted(u *url.URL) *opening {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.hosts[host(u)]
	e.hosts[host(u)] = o
	return o
}

// taken notes that no later request to a host need wait.
func (e *preconnector) taken(u *url.URL) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hosts[host(u)] = nil
}

// shared reports whether requests can use a connection at the same time.
func shared(c net.Conn) bool {
	t, ok := c.(*tls.Conn)
	return ok && t.ConnectionState().NegotiatedProtocol == "h2"
}

// CloseIdleConnections lets [http.Client.CloseIdleConnections] through.
func (e *preconnector) CloseIdleConnections() { e.next.CloseIdleConnections() }

// dialContext is the transport's.
func (e *preconnector) dialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	switch dial := ctx.Value(inDial{}).(type) {
	case *opening:
		dial.begin()
		conn, err := e.dial(ctx, network, addr)
		if err != nil {
			dial.end(err)
			return nil, err
		}
		return &opened{conn, dial}, nil
	case *waiter:
		if err := dial.wait(); err != nil {
			return nil, err
		}
	}
	return e.dial(ctx, network, addr)
}

// errServed ends a dial for a request that has a connection; nobody sees it.
var errServed = errors.New("the request has a connection")

// wait returns nil when a connection has to be dialled.
func (w *waiter) wait() error {
	if w.asked.Load() == 1 { // or what was on its way has come, and was of no use
		select {
		case <-w.on.over:
		case <-w.ctx.Done(): // it has its answer, or has given up
			w.on.end(nil)
			return context.Cause(w.ctx)
		}
	}
	if w.served.Load() == w.asked.Load() {
		return errServed
	}
	return w.on.err
}

// opened is a connection that was opened early. Where it is closed before a
// request got it, because its TLS failed or the server had enough, there is
// nothing to wait for.
type opened struct {
	net.Conn
	as *opening
}

// Close implements [net.Conn].
func (o *opened) Close() error {
	o.as.end(nil)
	return o.Conn.Close()
}
