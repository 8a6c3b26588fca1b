package link

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

const rtt = 40 * time.Millisecond

// relayed returns the ends of a connection through a relay, and the time since its start.
// It must be called in a synctest bubble.
func relayed(t *testing.T) (client, server net.Conn, clock func() time.Duration) {
	t.Helper()
	client, near := net.Pipe()
	far, server := net.Pipe()
	start := time.Now()
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		pass(near, far, start, rtt, func(due time.Time) { time.Sleep(time.Until(due)) })
	}()
	t.Cleanup(func() {
		client.Close()
		server.Close()
		<-passed
	})
	return client, server, func() time.Duration { return time.Since(start) }
}

// send writes without waiting for a reader.
func send(c net.Conn, text string) { go io.WriteString(c, text) }

// arrives checks that want is the next to be read, and when it can be.
func arrives(t *testing.T, c net.Conn, want string, at time.Duration, clock func() time.Duration) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("read %q, %v, want %q", got, err, want)
	}
	if now := clock(); now != at {
		t.Errorf("read %q at %s, want %s", want, now, at)
	}
}

func TestFirstBytesWaitForTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server, clock := relayed(t)
		send(client, "hello")
		arrives(t, server, "hello", rtt+rtt/2, clock)
		send(server, "good day")
		arrives(t, client, "good day", 2*rtt, clock)
		send(client, "and?")
		arrives(t, server, "and?", 2*rtt+rtt/2, clock)
	})
}

// Data that is sent long after the connection was opened is delayed by half a round trip.
func TestLateBytesDoNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server, clock := relayed(t)
		time.Sleep(5 * rtt)
		send(client, "hello")
		arrives(t, server, "hello", 5*rtt+rtt/2, clock)
	})
}

// A relay delays data but does not limit how much is in flight.
func TestBytesDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server, clock := relayed(t)
		time.Sleep(rtt)
		for range 3 {
			send(client, "x")
			time.Sleep(time.Millisecond)
		}
		for i := range 3 {
			arrives(t, server, "x", rtt+rtt/2+time.Duration(i)*time.Millisecond, clock)
		}
	})
}

func TestEndIsDelayedToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server, clock := relayed(t)
		time.Sleep(rtt)
		send(server, "bye")
		time.Sleep(time.Millisecond)
		server.Close()
		arrives(t, client, "bye", rtt+rtt/2, clock)
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
		if now, want := clock(), rtt+rtt/2+time.Millisecond; now != want {
			t.Errorf("the end came at %s, want %s", now, want)
		}
	})
}

// Once the server has closed the connection, the client's writes fail.
func TestClosedServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server, _ := relayed(t)
		server.Close()
		send(client, "anybody?")
		time.Sleep(10 * rtt)
		if _, err := client.Write([]byte("?")); err == nil {
			t.Error("a write succeeds after the server has closed the connection")
		}
	})
}

// The lower bounds consist of two round trips for a handshake (TCP and TLS 1.3) and one
// for a request, over HTTP/1.1 and HTTP/2.
func TestRoundTripsOfARequest(t *testing.T) {
	t.Parallel()
	cert, roots := certificate(t)
	for _, http2 := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			client, server, clock := relayed(t)
			served := make(chan error, 1)
			l := &oneConn{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
			l.conns <- server
			s := &http.Server{
				TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
				Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }),
			}
			s.Protocols = new(http.Protocols)
			s.Protocols.SetHTTP1(!http2)
			s.Protocols.SetHTTP2(http2)
			go func() { served <- s.ServeTLS(l, "", "") }()
			transport := &http.Transport{
				TLSClientConfig:   &tls.Config{RootCAs: roots, ServerName: "far.example"},
				ForceAttemptHTTP2: true,
				DialContext:       func(context.Context, string, string) (net.Conn, error) { return client, nil },
			}
			var at []time.Duration
			for range 3 {
				resp, err := (&http.Client{Transport: transport}).Get("https://far.example/")
				if err != nil {
					t.Fatal(err)
				}
				body, err := bufio.NewReader(resp.Body).ReadString(0)
				if want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[http2]; body != want {
					t.Errorf("answered %q, %v, want %q", body, err, want)
				}
				resp.Body.Close()
				at = append(at, clock())
			}
			if want := []time.Duration{3 * rtt, 4 * rtt, 5 * rtt}; !slices.Equal(at, want) {
				t.Errorf("HTTP/2 %t: answered at %s, want %s", http2, at, want)
			}
			transport.CloseIdleConnections()
			s.Close()
			<-served
		})
	}
}

// With real sockets, data and the end of the stream are passed on.
func TestListen(t *testing.T) {
	t.Parallel()
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	go func() {
		c, err := target.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.Copy(c, c)
	}()
	l, err := Listen("127.0.0.1:0", target.Addr().String(), 2*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute)) // so that a failure does not block the test
	io.WriteString(c, "hello")
	c.(*net.TCPConn).CloseWrite()
	if b, err := io.ReadAll(c); err != nil || string(b) != "hello" {
		t.Errorf("came back: %q, %v", b, err)
	}
}

// oneConn is a listener of one connection.
type oneConn struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error   { close(l.closed); return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// certificate is one for far.example, and the roots by which to trust it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"far.example"},
		// The clock of a test's bubble stands at the beginning of 2000.
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
