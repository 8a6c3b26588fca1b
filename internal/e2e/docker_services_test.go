//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"maps"
	"math/big"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// This file makes the emulator, which listens on this machine's loopback, reachable
// from a container: through relays on an address of the container's network, and over
// TLS, since plain http is allowed on the loopback only.

var allServices = []emulator.Service{emulator.GitHub, emulator.Entra, emulator.AzureDevOps}

// A world is a job and the services that it reaches.
type world struct {
	*emulator.Emulator
	*job
}

// newWorld makes a job whose action uses an identity, in Docker's default bridge
// network, as the runner has it.
func newWorld(t *testing.T, id emulator.Identity) *world {
	t.Helper()
	gateway, err := defaultGateway()
	if err != nil {
		t.Fatal(err)
	}
	return newWorldAt(t, id, "", gateway)
}

// newWorldAt is newWorld in a network in which this machine has an address.
func newWorldAt(t *testing.T, id emulator.Identity, network, address string) *world {
	t.Helper()
	e := emulator.Start(t)
	ca := newAuthority(t)
	urls := map[emulator.Service]string{}
	for _, s := range allServices {
		at := startRelay(t, net.JoinHostPort(address, "0"), host(e, s), func(c net.Conn) net.Conn {
			return tlsServer(c, ca, address)
		})
		urls[s] = "https://" + at.String()
	}
	w := &world{e, newJob(t, moved(e, e.Env(id), urls))}
	w.network = network
	w.env["INPUT_CA-FILE"] = w.tempFile("ca.pem", ca.pem)
	return w
}

// newWorldIn is newWorld in a network of the job's own.
func newWorldIn(t *testing.T, network string) *world {
	t.Helper()
	gateway := engine(t, "network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", network)
	return newWorldAt(t, emulator.AgentUser, network, gateway)
}

// newHostWorld makes a job whose containers are in this machine's own network.
func newHostWorld(t *testing.T, id emulator.Identity) *world {
	t.Helper()
	e := emulator.Start(t)
	w := &world{e, newJob(t, e.Env(id))}
	w.network = "host"
	return w
}

// left checks how many PATs work.
func (w *world) left(want int) {
	w.t.Helper()
	if got := len(w.Active()); got != want {
		w.t.Errorf("%d of %d PATs left, want %d", got, len(w.PATs()), want)
	}
	if v := w.Violations(); len(v) > 0 {
		w.t.Errorf("the program did what it must not: %v", v)
	}
}

// host is where a service listens.
func host(e *emulator.Emulator, s emulator.Service) string {
	_, address, _ := strings.Cut(e.URL(s), "://")
	return address
}

// moved is an environment in which the services have other URLs.
func moved(e *emulator.Emulator, env map[string]string, urls map[emulator.Service]string) map[string]string {
	env = maps.Clone(env)
	for name, value := range env {
		for s, url := range urls {
			value = strings.ReplaceAll(value, e.URL(s), url)
		}
		env[name] = value
	}
	return env
}

// startRelay listens on an address and passes each connection on to the target,
// after wrap has had a look at it.
func startRelay(t *testing.T, address, target string, wrap func(net.Conn) net.Conn) net.Addr {
	t.Helper()
	return serveConns(t, address, func(ctx context.Context, c net.Conn) {
		if onward, err := net.Dial("tcp", target); err == nil {
			join(ctx, wrap(c), onward)
		}
	})
}

// serveConns listens on an address and handles each connection until the end of the
// test, which cancels ctx.
func serveConns(t *testing.T, address string, handle func(ctx context.Context, c net.Conn)) net.Addr {
	t.Helper()
	// A bridge without containers has no carrier, and its IPv6 address is not
	// settled before it has: listening does not wait for that.
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if e := raw.Control(func(fd uintptr) {
			const freebind = 15 // IP_FREEBIND, good for both families
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_IP, freebind, 1)
		}); e != nil {
			return e
		}
		return err
	}}
	l, err := config.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.Close() })()
				handle(ctx, c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		cancel()
		running.Wait()
	})
	return l.Addr()
}

// join copies between two connections until both directions have ended, one of
// them is broken, or ctx ends, and closes them.
func join(ctx context.Context, a, b net.Conn) {
	shut := func() {
		a.Close()
		b.Close()
	}
	defer shut()
	defer context.AfterFunc(ctx, shut)()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, err := io.Copy(way[1], way[0])
			if half, ok := way[1].(interface{ CloseWrite() error }); ok && err == nil {
				half.CloseWrite()
			} else {
				shut()
			}
		})
	}
	both.Wait()
}

// An authority is a certificate authority that only this test knows, such as a
// company's.
type authority struct {
	pem  []byte
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root of a test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), cert, key}
}

// tlsServer is the server's side of TLS, under a name or an address.
func tlsServer(c net.Conn, a *authority, name string) net.Conn {
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		leaf.IPAddresses = []net.IP{ip}
	} else {
		leaf.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.cert, a.key.Public(), a.key)
	if err != nil {
		panic(err) // of a template of this file's own
	}
	return tls.Server(c, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: a.key}}})
}
