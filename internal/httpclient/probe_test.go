package httpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// childProbe makes the child process probe instead of get.
const childProbe = "WIRE_TEST_PROBE"

// probe returns an outcome whose body describes the path to the host.
func probe(to, caFile string) outcome {
	client, err := NewClient(Options{CAFile: caFile})
	if err != nil {
		return outcome{Err: err.Error()}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p, err := Probe(ctx, client, to)
	_, otherwise := roots()
	o := outcome{Body: fmt.Sprintf("proxy %q, TLS %q, issuer %q, roots %q, TCP %t, handshake %t; otherwise %s",
		p.Proxy, p.Version, p.Issuer, p.Roots, p.TCP > 0, p.TLS > 0, otherwise)}
	if err != nil {
		o.Err = err.Error()
	}
	return o
}

// Probe reports the proxy, the addresses, the TLS version, the issuer and the roots.
func TestProbe(t *testing.T) {
	t.Parallel()
	var asked []string
	server, root := secure(t, true, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, fmt.Sprint(r.Method, " ", r.URL, " ", len(r.Header["Authorization"])))
		w.WriteHeader(http.StatusTeapot)
	})
	for _, tc := range []struct {
		name, to, caFile, want, err string
	}{
		{"by ca-file", server.URL + "/secret?x=y", root, `proxy "", TLS "TLS 1.3", issuer "Acme Co", roots "ca-file", TCP true, handshake true`, ""},
		{"untrusted", server.URL, "", `proxy "", TLS "", issuer "Acme Co", roots ""`, "certificate signed by unknown authority"},
		{"no listener", "https://127.0.0.1:1", "", `issuer ""`, "connect: no answer from 127.0.0.1:1: "},
		{"no URL", "://", "", "", "not a URL with a host"},
		{"no host", "https:///x", "", "", "not a URL with a host"},
	} {
		got := probe(tc.to, tc.caFile)
		if !strings.Contains(got.Body, tc.want) || !strings.Contains(got.Err, tc.err) || (tc.err == "") != (got.Err == "") {
			t.Errorf("%s: got %+v, want %q, %q", tc.name, got, tc.want, tc.err)
		}
	}
	if want := "[HEAD / 0]"; fmt.Sprint(asked) != want {
		t.Errorf("asked %v, want %s", asked, want)
	}
}

// The environment configures proxies and the system's roots.
func TestProbeOfTheEnvironment(t *testing.T) {
	t.Parallel()
	server, root := secure(t, false, func(http.ResponseWriter, *http.Request) {})
	p := &proxyServer{to: server.Listener.Addr().String(), status: http.StatusOK}
	front := httptest.NewServer(p)
	defer front.Close()
	proxy := front.Listener.Addr().String()
	none := t.TempDir() + "/none"
	for _, tc := range []struct {
		name, to, caFile string
		env              []string
		want             string
	}{
		{"through a proxy", "https://example.com", root, []string{"HTTPS_PROXY=http://user:pass-word@" + proxy},
			`proxy "` + proxy + `", TLS "TLS 1.3", issuer "Acme Co", roots "ca-file", TCP true, handshake true`},
		{"by the system's roots", server.URL, "", []string{"SSL_CERT_FILE=" + root}, `roots "the system"`},
		{"by those, though ca-file has it too", server.URL, root, []string{"SSL_CERT_FILE=" + root}, `roots "the system"`},
		{"a machine with roots", server.URL, root, []string{"SSL_CERT_FILE=" + root}, "otherwise the system"},
		{"a machine without", server.URL, root, []string{"SSL_CERT_FILE=" + none, "SSL_CERT_DIR=" + none}, "otherwise the roots inside the binary"},
	} {
		got := elsewhere(t, tc.to, tc.caFile, append(tc.env, childProbe+"=1")...)
		if !strings.Contains(got.Body, tc.want) || got.Err != "" || strings.Contains(got.Body, "pass-word") {
			t.Errorf("%s: got %+v, want %q", tc.name, got, tc.want)
		}
	}
}

// A host that accepts connections but does not answer HEAD can be reached.
func TestProbeWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	if p, err := Probe(t.Context(), newClient(t, ""), "http://"+l.Addr().String()); err != nil || p.TCP == 0 {
		t.Errorf("got %+v, %v", p, err)
	}
}

// The name is resolved first; it is not in the certificate.
func TestProbeOfAName(t *testing.T) {
	t.Parallel()
	server, root := secure(t, true, func(http.ResponseWriter, *http.Request) {})
	to, _ := url.Parse(server.URL)
	p, err := Probe(t.Context(), newClient(t, root), "https://localhost:"+to.Port())
	var name *tls.CertificateVerificationError
	if !errors.As(err, &name) || len(p.Addresses) == 0 || p.DNS == 0 || p.Issuer != "Acme Co" {
		t.Errorf("got %+v, %v", p, err)
	}
}
