// Package azurehosts is Azure Repos and Azure Artifacts on loopback under the real names
// of their hosts, and the real tools that use them. The tools find the server by a hosts
// file ([Hosts]) in a namespace or a container, and trust its CA ([Server.Env]).
//
// The organization is contoso. It takes the PATs of an emulator that work, and nothing
// else. There is a host of the caller's besides, elsewhere.example, which takes the
// password "mine" alone.
package azurehosts

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

const (
	reposHost    = "dev.azure.com"
	packagesHost = "pkgs.dev.azure.com"
	oldReposHost = "contoso.visualstudio.com"
	callersHost  = "elsewhere.example"
)

// Hosts are the names that the server answers to.
func Hosts() []string { return []string{reposHost, packagesHost, oldReposHost, callersHost} }

// A Server serves all of [Hosts].
type Server struct {
	// Dir has the CA's certificate in ca.pem, and hosts, a hosts file for this server.
	// Everybody can read it.
	Dir string

	e            *emulator.Emulator
	repositories string

	mu       sync.Mutex
	expired  bool
	requests []request
	crates   map[string]string // the uploaded ones, with their line of the index
}

// A request is what a tool sent.
type request struct {
	method, host, path, user string
	basic                    bool
	ours                     bool // it has a PAT of the emulator's
	contoso                  bool // it is for the organization
	allowed                  bool
}

func (r request) String() string {
	return fmt.Sprintf("%s %s%s: credential %v, user %q, a PAT %v, allowed %v", r.method, r.host, r.path, r.basic, r.user, r.ours, r.allowed)
}

// Start starts a server on an IP address of loopback, port 443. It makes a repository,
// contoso/P/_git/app. The URL of all others, and of packages, is served as it is asked for.
func Start(t *testing.T, e *emulator.Emulator, ip string) *Server {
	t.Helper()
	s := &Server{Dir: t.TempDir(), e: e, repositories: t.TempDir(), crates: map[string]string{}}
	// The folder of a test is its user's alone.
	for dir := s.Dir; dir != filepath.Dir(os.TempDir()) && dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range [][]string{
		{"git", "init", "--quiet", "--bare", "--initial-branch=main", s.repositories + "/contoso/P/_git/app"},
		{"git", "-C", s.repositories + "/contoso/P/_git/app", "config", "http.receivepack", "true"},
		{"sh", "-c", `cd "$1"/contoso/P/_git/app && git update-ref refs/heads/main "$(git -c user.name=N -c user.email=n@example.com commit-tree -m first "$(git mktree </dev/null)")"`, "sh", s.repositories},
	} {
		if output, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
	}
	hosts := ip + " " + strings.Join(Hosts(), " ") + "\n127.0.0.1 localhost\n"
	if err := os.WriteFile(filepath.Join(s.Dir, "hosts"), []byte(hosts), 0o644); err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(ip, "443"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{Certificates: []tls.Certificate{s.certificate(t)}}}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { server.Close() })
	return s
}

// certificate is one for all hosts, of a CA in ca.pem.
func (s *Server) certificate(t *testing.T) tls.Certificate {
	sign := func(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if parent == nil {
			parent, parentKey = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c, key
	}
	from, to := time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	ca, caKey := sign(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	leaf, key := sign(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: reposHost}, NotBefore: from, NotAfter: to, DNSNames: Hosts(), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, ca, caKey)
	if err := os.WriteFile(filepath.Join(s.Dir, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
}

// Expire refuses all PATs, or accepts them again.
func (s *Server) Expire(expired bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expired = expired
}

// Take returns what was asked since the last call.
func (s *Server) Take() Requests {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.requests
	s.requests = nil
	return taken
}

// Requests are what tools asked.
type Requests []request

// String lists the latest ones, without credentials.
func (all Requests) String() string {
	var b strings.Builder
	for _, r := range all[max(0, len(all)-30):] {
		b.WriteString(r.String() + "\n")
	}
	return b.String()
}

// Leaked are those that have a PAT and are not for the organization.
func (all Requests) Leaked() (leaked []string) {
	for _, r := range all {
		if r.ours && !r.contoso {
			leaked = append(leaked, r.host+r.path)
		}
	}
	return leaked
}

// Refused reports whether PATs were refused by the organization.
func (all Requests) Refused() bool {
	return slices.ContainsFunc(all, func(r request) bool { return r.ours && r.contoso && !r.allowed })
}

// Elsewhere reports whether something was asked that is not the organization's.
func (all Requests) Elsewhere() bool {
	return slices.ContainsFunc(all, func(r request) bool { return !r.contoso })
}

// look records a request, and reports whether its credential is the right one.
func (s *Server) look(r *http.Request) bool {
	host, _, _ := strings.Cut(strings.ToLower(r.Host), ":")
	q := request{method: r.Method, host: host, path: r.URL.Path}
	var password string
	q.user, password, q.basic = r.BasicAuth()
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && !q.basic {
		password = token
		q.user = scheme
	} else if !ok && !q.basic {
		password = r.Header.Get("Authorization")
	}
	if password == "" {
		password = r.Header.Get("X-NuGet-ApiKey")
	}
	q.ours = slices.ContainsFunc(s.e.PATs(), func(p emulator.PAT) bool { return p.Token == password })
	q.contoso = host == oldReposHost || (host == reposHost || host == packagesHost) && strings.HasPrefix(r.URL.Path, "/contoso/")
	valid := slices.ContainsFunc(s.e.Active(), func(p emulator.PAT) bool { return p.Token == password })
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case host == callersHost:
		q.allowed = password == "mine"
	default:
		q.allowed = q.basic && valid && q.contoso && !s.expired
	}
	s.requests = append(s.requests, q)
	return q.allowed
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.look(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		http.Error(w, "sign in", http.StatusUnauthorized)
		return
	}
	host, _, _ := strings.Cut(strings.ToLower(r.Host), ":")
	if host == reposHost || host == oldReposHost || strings.HasPrefix(r.URL.Path, "/contoso/P/") {
		s.repository(w, r, host)
		return
	}
	// /contoso/_packaging/FEED/PROTOCOL/…, and on the caller's host /PROTOCOL/…
	mine, path := host == callersHost, strings.TrimPrefix(r.URL.Path, "/")
	if !mine {
		_, path, _ = strings.Cut(path, "_packaging/")
		_, path, _ = strings.Cut(path, "/")
	}
	f := feed{ResponseWriter: w, s: s, r: r, base: "https://" + host + strings.TrimSuffix(r.URL.Path, path), name: "demo"}
	if mine {
		f.name = "mine"
	}
	protocol, rest, _ := strings.Cut(path, "/")
	serve := map[string]func(string){"npm": f.npm, "pypi": f.pypi, "maven": f.maven, "Cargo": f.cargo, "nuget": f.nuget}[protocol]
	if serve == nil {
		http.NotFound(w, r)
		return
	}
	serve(rest)
}
