// Package memnet is a network in memory, for clients and servers that run in a
// [testing/synctest] bubble. With real sockets the bubble's clock would not advance.
package memnet

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// Network is a set of listeners and what connects to them. The zero Network is ready to
// use, in one bubble.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener // by HOST:PORT
	lastPort  int
}

// Listen returns a new listener. It has a loopback address, to which clients send
// credentials over plain HTTP and never through a proxy.
func (n *Network) Listen() net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = map[string]*listener{}
	}
	n.lastPort++
	l := &listener{
		address: net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: n.lastPort},
		conns:   make(chan net.Conn), closed: make(chan struct{}),
	}
	n.listeners[l.address.String()] = l
	return l
}

// DialContext connects to a listener, as [net.Dialer.DialContext] does. The connection
// is refused if nothing listens on the address.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	if l == nil {
		return nil, refused
	}
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
}

// Serve starts an HTTP server for the length of a test and returns its base URL.
func (n *Network) Serve(t interface{ Cleanup(func()) }, h http.Handler) string {
	l := n.Listen()
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(l) //nolint:errcheck // it returns when the test closes it
	t.Cleanup(func() { server.Close() })
	return fmt.Sprintf("http://%s", l.Addr())
}

// listener implements [net.Listener].
type listener struct {
	address net.TCPAddr
	conns   chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &l.address }
