package httpclient

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// network is a network inside a synctest bubble, where time passes only while all
// goroutines wait, so one round trip takes exactly rtt. Every name is a machine with a
// server for each port.
type network struct {
	t      *testing.T
	rtt    time.Duration
	cert   tls.Certificate
	caFile string

	mu      sync.Mutex
	servers map[string]*server // by host:port
	running sync.WaitGroup
	closed  bool
}

// server is one that listens on a network.
type server struct {
	*network
	conns   chan net.Conn
	done    chan struct{}
	dials   atomic.Int32 // the attempts to connect
	refuses error        // their error; nil: none
	serve   func(net.Conn)
	ends    []net.Conn    // the server's ends of the connections
	lost    chan struct{} // closed when the connections so far are dead
}

// newNetwork must be called outside the bubble.
func newNetwork(t *testing.T) *network {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS() // for its certificate, which is good for example.com and 127.0.0.1
	defer s.Close()
	return &network{
		t: t, rtt: 100 * time.Millisecond,
		cert: s.TLS.Certificates[0], caFile: write(t, pemOf(s.Certificate())),
		servers: map[string]*server{},
	}
}

// client returns a client on the network, and a function that ends both.
func (n *network) client() (c *http.Client, shut func()) {
	n.t.Helper()
	c, err := NewClient(Options{CAFile: n.caFile, Dial: n.dial})
	if err != nil {
		n.t.Fatal(err)
	}
	inside(c).Proxy = nil
	return c, func() {
		c.CloseIdleConnections()
		n.mu.Lock()
		defer n.running.Wait()
		defer n.mu.Unlock()
		n.closed = true
		for _, s := range n.servers {
			close(s.done)
			for _, c := range s.ends {
				c.Close()
			}
		}
	}
}

// listen starts a server; serve is called with each connection.
func (n *network) listen(addr string, serve func(net.Conn)) *server {
	s := &server{network: n, conns: make(chan net.Conn), done: make(chan struct{}), lost: make(chan struct{}), serve: serve}
	n.servers[addr] = s
	return s
}

// http starts an HTTP server: "http", or over TLS "http/1.1" or "h2".
func (n *network) http(addr, protocol string, h http.HandlerFunc) *server {
	s := n.listen(addr, nil)
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	n.running.Go(func() {
		if protocol == "http" {
			_ = server.Serve(s)
			return
		}
		server.Protocols = new(http.Protocols)
		server.Protocols.SetHTTP1(protocol == "http/1.1")
		server.Protocols.SetHTTP2(protocol == "h2")
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{n.cert}}
		_ = server.ServeTLS(s, "", "")
	})
	n.running.Go(func() {
		<-s.done
		server.Close()
	})
	return s
}

// lose silently drops everything on the connections so far.
func (n *network) lose(s *server) {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(s.lost)
	s.lost = make(chan struct{})
}

// Accept, Close and Addr make a server a [net.Listener].
func (s *server) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

func (s *server) Close() error   { return nil }
func (s *server) Addr() net.Addr { return &net.TCPAddr{} }

// tls is a server's side of a TLS connection.
func (n *network) tls(c net.Conn, protocols ...string) *tls.Conn {
	return tls.Server(c, &tls.Config{Certificates: []tls.Certificate{n.cert}, NextProtos: protocols})
}

// dial takes one round trip, as a TCP handshake does.
func (n *network) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	return n.dialOver(ctx, addr, n.rtt)
}

func (n *network) dialOver(ctx context.Context, addr string, rtt time.Duration) (net.Conn, error) {
	n.mu.Lock()
	s := n.servers[addr]
	s.dials.Add(1)
	refuses, lost := s.refuses, s.lost
	n.mu.Unlock()
	if rtt > 0 {
		select {
		case <-time.After(rtt):
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
		}
	}
	if refuses != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: refuses}
	}
	here, a := net.Pipe()
	b, there := net.Pipe()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, net.ErrClosed
	}
	s.ends = append(s.ends, there)
	n.running.Go(func() { n.carry(a, b, rtt/2, lost) })
	n.running.Go(func() { n.carry(b, a, rtt/2, lost) })
	n.running.Go(func() {
		if s.serve != nil {
			defer there.Close()
			s.serve(there)
			return
		}
		select {
		case s.conns <- there:
		case <-s.done:
			there.Close()
		}
	})
	return here, nil
}

// carry copies one direction of a connection with a delay.
func (n *network) carry(from, to net.Conn, d time.Duration, lost chan struct{}) {
	type piece struct {
		data []byte
		due  time.Time
	}
	pieces := make(chan piece, 1000)
	n.running.Go(func() {
		defer to.Close()
		for p := range pieces {
			time.Sleep(time.Until(p.due))
			select {
			case <-lost:
				continue
			default:
			}
			if _, err := to.Write(p.data); err != nil {
				from.Close()
			}
		}
	})
	defer close(pieces)
	for {
		buffer := make([]byte, 64<<10)
		k, err := from.Read(buffer)
		if k > 0 {
			pieces <- piece{buffer[:k], time.Now().Add(d)}
		}
		if err != nil {
			// The end of the stream is delayed too.
			pieces <- piece{nil, time.Now().Add(d)}
			return
		}
	}
}
