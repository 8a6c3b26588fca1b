package emulator

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// publicNames are the services' real names. Those that begin with "*." stand for
// every name with one label in its place.
var publicNames = map[string]Service{
	"token.actions.githubusercontent.com": GitHub,
	"api.github.com":                      GitHub,
	"login.microsoftonline.com":           Entra,
	"graph.microsoft.com":                 Graph,
	"management.azure.com":                ARM,
	"dev.azure.com":                       AzureDevOps,
	"vssps.dev.azure.com":                 AzureDevOps,
	"vsaex.dev.azure.com":                 AzureDevOps,
	"*.vault.azure.net":                   KeyVault,
}

// A proxy is an HTTP proxy that knows the method CONNECT and the services' real
// names, and nothing else: a program that uses it reaches no other host.
type proxy struct {
	address string
	server  *http.Server
	targets map[Service]string

	mu      sync.Mutex
	refused []string
}

// startProxy starts the proxy on a free loopback port.
func (e *Emulator) startProxy() (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the proxy: %w", err)
	}
	p := &proxy{address: l.Addr().String(), targets: map[Service]string{}}
	for s, url := range e.urls {
		p.targets[s] = strings.TrimPrefix(url, "https://")
	}
	p.server = &http.Server{Handler: p, ErrorLog: e.options.ErrorLog}
	go p.server.Serve(l)
	return p, nil
}

// ProxyURL is the address for HTTPS_PROXY; "" without [Options.Proxy].
func (e *Emulator) ProxyURL() string {
	if e.proxy == nil {
		return ""
	}
	return "http://" + e.proxy.address
}

// ProxyRefused returns the hosts that programs have asked the proxy for and that
// are no service's.
func (e *Emulator) ProxyRefused() []string {
	if e.proxy == nil {
		return nil
	}
	e.proxy.mu.Lock()
	defer e.proxy.mu.Unlock()
	return append([]string(nil), e.proxy.refused...)
}

// serviceNamed finds the service behind one of the real names.
func serviceNamed(host string) (Service, bool) {
	host = strings.ToLower(host)
	s, known := publicNames[host]
	if !known {
		_, parent, _ := strings.Cut(host, ".")
		s, known = publicNames["*."+parent]
	}
	return s, known
}

// hostOf is a request's host without its port.
func hostOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		return r.Host
	}
	return host
}

// publicName reports whether a request came to one of the real names.
func publicName(r *http.Request) bool {
	_, public := serviceNamed(hostOf(r))
	return public
}

// cameTo reports whether a request came to the real name, or to the loopback
// address, where names do not matter.
func cameTo(r *http.Request, name string) bool {
	return !publicName(r) || strings.EqualFold(hostOf(r), name)
}

// ServeHTTP implements [http.Handler].
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, port, err := net.SplitHostPort(r.Host)
	s, known := serviceNamed(host)
	if r.Method != http.MethodConnect || err != nil || port != "443" || !known {
		p.mu.Lock()
		p.refused = append(p.refused, r.Host)
		p.mu.Unlock()
		http.Error(w, "the emulator plays no "+r.Host, http.StatusForbidden)
		return
	}
	upstream, err := net.Dial("tcp", p.targets[s])
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		upstream.Close()
		return
	}
	// Closing the service ends upstream, and with it this.
	io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		io.Copy(upstream, buffered)
		upstream.Close()
	}()
	io.Copy(client, upstream)
	client.Close()
}
