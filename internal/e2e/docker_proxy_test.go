//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// A company's proxy: the only way out, it knows the services' names, which
// nothing else does, and signs their certificates anew with a root of its own.
type proxy struct {
	url         string
	ca          *authority
	credentials string // user:password, or "" if it asks for none
	tunnels     atomic.Int32
	refused     atomic.Int32
}

// behindProxy makes a job whose services can only be reached through a proxy.
func behindProxy(t *testing.T, credentials string) (*world, *proxy) {
	t.Helper()
	gateway, err := defaultGateway()
	if err != nil {
		t.Fatal(err)
	}
	e := emulator.Start(t)
	p := &proxy{ca: newAuthority(t), credentials: credentials}
	urls, targets := map[emulator.Service]string{}, map[string]string{}
	for _, s := range allServices {
		name := string(s) + ".contoso.example"
		urls[s] = "https://" + name
		targets[name+":443"] = host(e, s)
	}
	at := serveConns(t, net.JoinHostPort(gateway, "0"), func(ctx context.Context, c net.Conn) {
		p.serve(ctx, c, targets)
	})
	p.url = at.String()
	return &world{e, newJob(t, moved(e, e.Env(emulator.AgentUser), urls))}, p
}

// serve answers one CONNECT.
func (p *proxy) serve(ctx context.Context, c net.Conn, targets map[string]string) {
	buffered := bufio.NewReader(c)
	req, err := http.ReadRequest(buffered)
	if err != nil {
		return
	}
	target, known := targets[req.Host]
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.credentials))
	switch {
	case p.credentials != "" && req.Header.Get("Proxy-Authorization") != want:
		p.refused.Add(1)
		io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"contoso\"\r\nContent-Length: 0\r\n\r\n")
		return
	case req.Method != http.MethodConnect || !known:
		io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		return
	}
	p.tunnels.Add(1)
	io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	onward, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	name, _, _ := strings.Cut(req.Host, ":")
	// The client speaks first only after the answer: nothing is buffered.
	join(ctx, tlsServer(c, p.ca, name), onward)
}

func TestDockerProxy(t *testing.T) {
	const credentials = "runner:s3cret-0f-the-pr0xy"
	for _, tt := range []struct {
		name, credentials string
		trust             string // by what the job trusts the proxy's root
	}{
		{"its root in ca-file", "", "INPUT_CA-FILE"},
		{"its root in SSL_CERT_FILE", "", "SSL_CERT_FILE"},
		{"with credentials", credentials, "AZDO_PAT_CA_FILE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, p := behindProxy(t, tt.credentials)
			w.env[tt.trust] = w.tempFile("proxy.pem", p.ca.pem)
			w.env["HTTPS_PROXY"] = "http://" + strings.TrimPrefix(tt.credentials+"@", "@") + p.url
			main := w.main().ends(0).quiet()
			w.left(1)
			post := w.post(main).ends(0).quiet()
			w.left(0)
			if p.tunnels.Load() == 0 || p.refused.Load() != 0 {
				t.Errorf("%d tunnels, %d refused", p.tunnels.Load(), p.refused.Load())
			}
			if tt.credentials != "" {
				_, password, _ := strings.Cut(tt.credentials, ":")
				for _, said := range []string{main.stdout.String(), main.stderr.String(), post.stdout.String(), post.stderr.String()} {
					if strings.Contains(said, password) || strings.Contains(said, base64.StdEncoding.EncodeToString([]byte(tt.credentials))) {
						t.Error("the proxy's password is in the log")
					}
				}
			}
			discreet(w, main, post)
		})
	}
}

// A wrong proxy is reported by name and at once: a retry would not help.
func TestDockerProxyRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, credentials, given string
		trusted                  bool
		want                     string
	}{
		{"without credentials", "runner:right-one", "", true, "407 Proxy Authentication Required"},
		{"with wrong credentials", "runner:right-one", "runner:wr0ng-one", true, "407 Proxy Authentication Required"},
		{"with an unknown root", "", "", false, "ca-file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, p := behindProxy(t, tt.credentials)
			if tt.trusted {
				w.env["INPUT_CA-FILE"] = w.tempFile("proxy.pem", p.ca.pem)
			}
			w.env["HTTPS_PROXY"] = "http://" + strings.TrimPrefix(tt.given+"@", "@") + p.url
			main := w.main().ends(1)
			if took := time.Since(main.began); took > harness.StopLimit { // retries go on for two minutes
				t.Errorf("the error took %s", took)
			}
			if errors := strings.Join(main.annotations("error"), "\n"); !strings.Contains(errors, tt.want) {
				t.Errorf("no %q in the error: %s", tt.want, errors)
			}
			if said := main.stdout.String() + main.stderr.String(); strings.Contains(said, "wr0ng") {
				t.Error("the proxy's password is in the log")
			}
			if n := len(w.Requests()); n != 0 {
				t.Errorf("%d requests reached a service", n)
			}
			w.post(main).ends(0).quiet()
		})
	}
}
