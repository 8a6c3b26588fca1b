package acceptance

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// toolServer is Azure Repos and Azure Artifacts of the organization contoso, as far as
// the tools ask, and a host of the caller's, elsewhere.example. Azure DevOps takes the
// PATs of the job alone, and elsewhere.example only the password "mine".
type toolServer struct {
	caFile, repositories string

	mu       sync.Mutex
	pats     []string
	expired  bool
	requests []string
	leaks    []string
}

func newToolServer(t *testing.T) *toolServer {
	s := &toolServer{caFile: filepath.Join(t.TempDir(), "ca.pem"), repositories: t.TempDir()}
	for _, command := range [][]string{
		{"git", "init", "--quiet", "--bare", "--initial-branch=main", s.repositories + "/contoso/P/_git/app"},
		{"git", "-C", s.repositories + "/contoso/P/_git/app", "config", "http.receivepack", "true"},
		{"sh", "-c", `cd "$1"/contoso/P/_git/app && git update-ref refs/heads/main "$(git -c user.name=N -c user.email=n@example.com commit-tree -m first "$(git mktree </dev/null)")"`, "sh", s.repositories},
	} {
		if output, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:443")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{Certificates: []tls.Certificate{s.certificate(t)}}}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { server.Close() })
	return s
}

// certificate is one for all hosts, of a CA in caFile.
func (s *toolServer) certificate(t *testing.T) tls.Certificate {
	names := []string{"dev.azure.com", "pkgs.dev.azure.com", "contoso.visualstudio.com", "elsewhere.example"}
	make := func(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
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
	ca, caKey := make(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	leaf, key := make(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]}, NotBefore: from, NotAfter: to, DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, ca, caKey)
	if err := os.WriteFile(s.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
}

// accept makes a PAT valid.
func (s *toolServer) accept(pat string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pats = append(s.pats, pat)
}

// expire refuses all PATs, or accepts them again.
func (s *toolServer) expire(expired bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expired = expired
}

// String lists the latest requests, without credentials.
func (s *toolServer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.requests[max(0, len(s.requests)-20):], "\n")
}

// noLeak fails if a PAT came where it does not belong.
func (s *toolServer) noLeak(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, leak := range s.leaks {
		t.Errorf("a PAT was sent to %s", leak)
	}
}

// allowed reports whether the credential of a request is the right one.
func (s *toolServer) allowed(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	user, password, basic := r.BasicAuth()
	if r.Host == "elsewhere.example" && strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") == "mine" {
		basic, password = true, "mine"
	}
	ours := slices.Contains(s.pats, password)
	contoso := r.Host == "contoso.visualstudio.com" || strings.HasSuffix(r.Host, "dev.azure.com") && strings.HasPrefix(r.URL.Path, "/contoso/")
	s.requests = append(s.requests, fmt.Sprintf("%s %s%s: credential %v, user %q, ours %v", r.Method, r.Host, r.URL.Path, basic, user, ours))
	if ours && !contoso {
		s.leaks = append(s.leaks, r.Host+r.URL.Path)
	}
	if r.Host == "elsewhere.example" {
		return password == "mine"
	}
	return basic && ours && contoso && !s.expired
}

// ServeHTTP implements [http.Handler].
func (s *toolServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.allowed(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		http.Error(w, "sign in", http.StatusUnauthorized)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/contoso")
	if i := strings.Index(path, "/_packaging/"); i >= 0 {
		_, path, _ = strings.Cut(path[i+len("/_packaging/"):], "/")
	} else if r.Host == "elsewhere.example" {
		path = strings.TrimPrefix(path, "/")
	} else {
		s.repository(w, r)
		return
	}
	base := "https://" + r.Host + strings.TrimSuffix(r.URL.Path, path)
	protocol, rest, _ := strings.Cut(path, "/")
	switch protocol {
	case "npm":
		serveNPM(w, base, strings.TrimPrefix(rest, "registry/"))
	case "pypi":
		servePyPI(w, r, rest)
	case "maven":
		serveMaven(w, rest)
	case "Cargo":
		serveCargo(w, base, rest)
	default:
		http.NotFound(w, r)
	}
}

func (s *toolServer) repository(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/contoso/_apis/") {
		fmt.Fprint(w, "{}")
		return
	}
	if r.Host == "contoso.visualstudio.com" {
		r.URL.Path = "/contoso" + r.URL.Path
	}
	out, err := exec.CommandContext(r.Context(), "git", "--exec-path").Output()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	(&cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"), Root: "/",
		Env: []string{"GIT_PROJECT_ROOT=" + s.repositories, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=job", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	}).ServeHTTP(w, r)
}

func serveNPM(w http.ResponseWriter, base, name string) {
	name = strings.ReplaceAll(strings.ReplaceAll(name, "%2f", "/"), "%2F", "/")
	tarball := tarOf("package/package.json", `{"name":"`+strings.TrimSuffix(name, "/-.tgz")+`","version":"1.0.0"}`)
	if strings.HasSuffix(name, "/-.tgz") {
		_, _ = w.Write(tarball)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"name":%q,"dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":%q,"version":"1.0.0","dist":{"tarball":%q,"shasum":"%x"}}}}`,
		name, name, base+"npm/registry/"+name+"/-.tgz", sha1.Sum(tarball))
}

func servePyPI(w http.ResponseWriter, r *http.Request, rest string) {
	if rest == "upload/" && r.Method == http.MethodPost {
		_, _ = io.Copy(io.Discard, r.Body)
		return
	}
	name := strings.Trim(strings.TrimPrefix(rest, "simple/"), "/")
	if before, file, ok := strings.Cut(name, "/"); ok && strings.HasSuffix(file, ".whl") {
		_, _ = w.Write(wheelOf(before))
		return
	}
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprintf(w, `<!DOCTYPE html><html><body><a href="%s-1.0-py3-none-any.whl">%s-1.0-py3-none-any.whl</a></body></html>`, name, name)
}

func serveMaven(w http.ResponseWriter, rest string) {
	const pom = `<project><modelVersion>4.0.0</modelVersion><groupId>demo</groupId><artifactId>parent</artifactId><version>1</version><packaging>pom</packaging></project>`
	switch rest {
	case "v1/demo/parent/1/parent-1.pom":
		fmt.Fprint(w, pom)
	case "v1/demo/parent/1/parent-1.pom.sha1":
		fmt.Fprintf(w, "%x", sha1.Sum([]byte(pom)))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func serveCargo(w http.ResponseWriter, base, rest string) {
	crate := tarOf("demo_crate-1.0.0/Cargo.toml", "[package]\nname = \"demo_crate\"\nversion = \"1.0.0\"\nedition = \"2021\"\n", "demo_crate-1.0.0/src/lib.rs", "")
	switch rest {
	case "index/config.json":
		fmt.Fprintf(w, `{"dl":%q,"api":%q,"auth-required":true}`, base+"Cargo/dl", base+"Cargo")
	case "index/de/mo/demo_crate":
		fmt.Fprintf(w, `{"name":"demo_crate","vers":"1.0.0","deps":[],"cksum":"%x","features":{},"yanked":false}`+"\n", sha256.Sum256(crate))
	case "dl/demo_crate/1.0.0/download":
		_, _ = w.Write(crate)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// tarOf is a compressed archive of files, as names and texts in turn.
func tarOf(files ...string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	a := tar.NewWriter(z)
	for i := 0; i < len(files); i += 2 {
		_ = a.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))})
		_, _ = io.WriteString(a, files[i+1])
	}
	_ = a.Close()
	_ = z.Close()
	return b.Bytes()
}

// wheelOf is a Python package without code.
func wheelOf(name string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	info := name + "-1.0.dist-info/"
	var record strings.Builder
	add := func(file, text string) {
		f, _ := z.Create(file)
		_, _ = io.WriteString(f, text)
		sum := sha256.Sum256([]byte(text))
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", file, base64.RawURLEncoding.EncodeToString(sum[:]), len(text))
	}
	add(name+".py", "")
	add(info+"METADATA", "Metadata-Version: 2.1\nName: "+name+"\nVersion: 1.0\n")
	add(info+"WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
	f, _ := z.Create(info + "RECORD")
	_, _ = io.WriteString(f, record.String()+info+"RECORD,,\n")
	_ = z.Close()
	return b.Bytes()
}
