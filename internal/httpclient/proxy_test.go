package httpclient

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// proxyServer is an HTTP proxy.
type proxyServer struct {
	to     string                              // leads every CONNECT to one server
	dial   func(addr string) (net.Conn, error) // instead of to
	status int                                 // 200: connect

	mu    sync.Mutex
	asked []*http.Request
}

func (p *proxyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r)
	p.mu.Unlock()
	if p.status != http.StatusOK {
		w.Header().Set("Proxy-Authenticate", `Basic realm="the realm"`)
		http.Error(w, "a page of the proxy", p.status)
		return
	}
	in, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer in.Close()
	dial := p.dial
	if dial == nil {
		dial = func(string) (net.Conn, error) { return net.Dial("tcp", p.to) }
	}
	out, err := dial(r.Host)
	if err != nil {
		return
	}
	defer out.Close()
	fmt.Fprint(in, "HTTP/1.1 200 OK\r\n\r\n")
	go io.Copy(out, in)
	io.Copy(in, out)
}

func TestProxyOfTheEnvironment(t *testing.T) {
	t.Parallel()
	server, root := secure(t, true, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %v %v", r.Host, r.Header["Proxy-Authorization"], r.Header["Authorization"])
	})
	// The server's certificate is for example.com, which only the proxy can reach;
	// loopback addresses never use a proxy.
	const far = "https://example.com/?secret=query"
	for _, tc := range []struct {
		name     string
		variable string // with %s for the proxy's address
		url      string
		asked    bool
	}{
		{"HTTPS_PROXY", "HTTPS_PROXY=http://%s", far, true},
		{"https_proxy without a scheme", "https_proxy=%s", far, true},
		{"with a password", "HTTPS_PROXY=http://user:pass-word@%s", far, true},
		{"HTTP_PROXY is for http", "HTTP_PROXY=http://%s", server.URL, false},
		{"loopback", "HTTPS_PROXY=http://%s", server.URL, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := &proxyServer{to: server.Listener.Addr().String(), status: http.StatusOK}
			front := httptest.NewServer(p)
			defer front.Close()
			got := elsewhere(t, tc.url, root, fmt.Sprintf(tc.variable, front.Listener.Addr()))
			host := must(url.Parse(tc.url)).Host
			if want := host + " [] [Bearer the-credential]"; got.Body != want {
				t.Errorf("got %+v, want %q", got, want)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if tc.asked != (len(p.asked) == 1) {
				t.Errorf("the proxy was asked %d times", len(p.asked))
			}
			for _, r := range p.asked {
				if r.Method != http.MethodConnect || r.Host != "example.com:443" || r.Header.Get("Authorization") != "" {
					t.Errorf("the proxy was asked %s %s with %v", r.Method, r.Host, r.Header)
				}
				if user, password, _ := basicAuth(r.Header.Get("Proxy-Authorization")); strings.Contains(tc.variable, "@") != (user == "user" && password == "pass-word") {
					t.Errorf("the proxy was told %q, %q", user, password)
				}
			}
		})
	}
}

// A proxy that forbids a connection or requires a password is not retried until the
// deadline.
func TestProxyThatRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status  int // of the proxy's answer; zero: it is not there
		err     string
		passing bool
	}{
		{407, "the proxy answered 407 Proxy Authentication Required", false},
		{403, "the proxy answered 403 Forbidden", false},
		{302, "the proxy answered 302 Found", false},
		{204, "the proxy answered 204 No Content", false},
		{599, "the proxy answered 599", false},
		{429, "the proxy answered 429 Too Many Requests", true},
		{503, "the proxy answered 503 Service Unavailable", true},
		{0, "the proxy could not be reached", true},
	} {
		t.Run(tc.err, func(t *testing.T) {
			t.Parallel()
			front := httptest.NewServer(&proxyServer{status: tc.status})
			defer front.Close()
			if tc.status == 0 {
				front.Close()
			}
			client := newClient(t, "")
			at := must(url.Parse(front.URL))
			at.User = url.UserPassword("user", "pass-word")
			inside(client).Proxy = http.ProxyURL(at)
			resp, err := client.Get("https://example.com/?secret=query")
			if err == nil {
				resp.Body.Close()
				t.Fatalf("answered %d", resp.StatusCode)
			}
			e := TransportError("ask", "example.com", err)
			if want := "ask: no answer from example.com: " + tc.err; e.Error() != want {
				t.Errorf("error %q, want %q", e, want)
			}
			if e.Retryable() != tc.passing || !strings.Contains(e.Hint(), "HTTPS_PROXY") {
				t.Errorf("passing %t, hint %q", e.Retryable(), e.Hint())
			}
		})
	}
}

func basicAuth(header string) (user, password string, ok bool) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET / HTTP/1.0\r\nAuthorization: " + header + "\r\n\r\n")))
	if err != nil {
		return "", "", false
	}
	return r.BasicAuth()
}
