package httpclient

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func pemOf(cert *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

func TestTrustedRoots(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		server, root := secure(t, http2, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })
		port := ":" + must(url.Parse(server.URL)).Port()
		for _, tc := range []struct {
			name   string
			host   string
			caFile string
			err    string // a part of it
		}{
			{"its root in ca-file", "127.0.0.1", root, ""},
			{"among other things", "127.0.0.1", write(t, "# corporate roots\n\n"+privateKey(t)+read(t, root)+"\ntrailing"), ""},
			{"without ca-file", "127.0.0.1", "", "certificate signed by unknown authority"},
			{"by another name", "localhost", root, "not localhost"},
		} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %t", tc.name, http2), func(t *testing.T) {
				t.Parallel()
				resp, err := newClient(t, tc.caFile).Get("https://" + tc.host + port + "/?secret=query")
				if tc.err == "" {
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					if want := map[bool]int{false: 1, true: 2}[http2]; resp.ProtoMajor != want {
						t.Errorf("HTTP/%d, want HTTP/%d", resp.ProtoMajor, want)
					}
					return
				}
				if err == nil {
					resp.Body.Close()
					t.Fatalf("answered %d, want an error", resp.StatusCode)
				}
				e := TransportError("ask for a token", tc.host+port, err)
				if !strings.Contains(e.Error(), tc.err) || strings.Contains(e.Error(), "secret") {
					t.Errorf("error %q, want %q in it and no query", e, tc.err)
				}
				if e.Retryable() {
					t.Error("asked again, which will not help")
				}
				if !strings.Contains(e.Hint(), "ca-file") {
					t.Errorf("hint %q, want ca-file in it", e.Hint())
				}
			})
		}
	}
}

func TestCAFileThatIsNone(t *testing.T) {
	t.Parallel()
	noCAFile(t, []caFileCase{
		{"missing", t.TempDir() + "/missing", ""},
		{"empty", write(t, ""), "holds no PEM certificate"},
		{"no PEM", write(t, "MIIB certainly not"), "holds no PEM certificate"},
		{"a key and no certificate", write(t, privateKey(t)), "holds no PEM certificate"},
		{"invalid certificate", write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))), "holds no PEM certificate"},
		{"a directory", t.TempDir(), "is not a regular file"},
		{"too large", write(t, strings.Repeat("x", MaxBody+1)), "larger than 4 MiB"},
	})
}

// caFileCase is a file without roots, and a part of the error.
type caFileCase struct{ name, file, err string }

func noCAFile(t *testing.T, cases []caFileCase) {
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, err := NewClient(Options{CAFile: tc.file})
			if err == nil || !strings.Contains(err.Error(), tc.err) || !strings.Contains(err.Error(), tc.file) {
				t.Errorf("error %v, want %q and the file's name in it", err, tc.err)
			}
			if c != nil {
				t.Error("a client in spite of it")
			}
		})
	}
}

// A scratch image has only the embedded roots, to which ca-file adds. They are not used
// if the system has roots.
func TestRootsInsideTheBinary(t *testing.T) {
	t.Parallel()
	server, root := secure(t, true, func(http.ResponseWriter, *http.Request) {})
	none := t.TempDir()
	bare := []string{"SSL_CERT_FILE=" + none + "/none", "SSL_CERT_DIR=" + none}
	if got := elsewhere(t, server.URL, root, bare...); got.Status != http.StatusOK || !got.Embedded {
		t.Errorf("with ca-file: %+v", got)
	}
	if got := elsewhere(t, server.URL, "", bare...); !strings.Contains(got.Err, "signed by unknown authority") || !got.Embedded {
		t.Errorf("without ca-file: %+v", got)
	}
	if got := elsewhere(t, server.URL, "", "SSL_CERT_FILE="+root, "SSL_CERT_DIR="+none); got.Status != http.StatusOK || got.Embedded {
		t.Errorf("with roots of the system: %+v", got)
	}
	if got := elsewhere(t, server.URL, root, "SSL_CERT_FILE="+root, "SSL_CERT_DIR="+none); got.Status != http.StatusOK || got.Embedded {
		t.Errorf("with roots of the system and ca-file: %+v", got)
	}
}

// All embedded roots are used: each verifies itself.
func TestEmbeddedRoots(t *testing.T) {
	t.Parallel()
	pool, n := embeddedRoots(), 0
	for c := range bundle.Roots() {
		root := must(x509.ParseCertificate(c.Certificate))
		if _, err := root.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: root.NotAfter, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil && c.Constraint == nil {
			t.Errorf("%s: %v", root.Subject, err)
		}
		n++
	}
	if n < 100 {
		t.Errorf("only %d roots", n)
	}
}

// Without TLS no roots are read: that would take longer than a mint on loopback.
func TestRootsAreNotReadForNothing(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	_, root := secure(t, true, func(http.ResponseWriter, *http.Request) {})
	if got := elsewhere(t, server.URL, root); got.Status != http.StatusOK || !got.NoRoots {
		t.Errorf("got %+v", got)
	}
}

func privateKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
