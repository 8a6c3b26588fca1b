package httpclient

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// Kept roots are trusted without their file.
func TestKeptRoots(t *testing.T) {
	t.Setenv("SSL_CERT_FILE", "")
	t.Setenv("SSL_CERT_DIR", "")
	server, root := secure(t, false, func(http.ResponseWriter, *http.Request) {})
	get := func(kept string) error {
		c, err := NewClient(Options{KeptRoots: kept})
		if err != nil {
			return err
		}
		t.Cleanup(c.CloseIdleConnections)
		resp, err := c.Get(server.URL)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if err := get(""); err == nil {
		t.Fatal("the server is trusted anyway")
	}
	kept, err := KeepRoots(write(t, "words\n"+privateKey(t)+read(t, root)+read(t, root)))
	if err != nil || len(kept) > 2000 || strings.ContainsAny(kept, "\r\n ") {
		t.Fatalf("%d bytes, %v", len(kept), err)
	}
	if err := get(kept); err != nil {
		t.Error(err)
	}
	for _, broken := range []string{"x", kept[:len(kept)/2/4*4], "AAAA"} {
		if err := get(broken); err == nil || !strings.HasPrefix(err.Error(), "the roots that were kept cannot be read: ") {
			t.Errorf("%.10q: %v", broken, err)
		}
	}

	// Roots that the environment names are kept too, but not a whole bundle.
	var all strings.Builder
	for c := range bundle.Roots() {
		_ = pem.Encode(&all, &pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate})
	}
	t.Setenv("SSL_CERT_FILE", write(t, all.String()+read(t, root)))
	fromEnvironment, err := KeepRoots("")
	if err != nil || fromEnvironment != kept {
		t.Errorf("of SSL_CERT_FILE %d bytes are kept, %v, want %d", len(fromEnvironment), err, len(kept))
	}
	t.Setenv("SSL_CERT_DIR", "/nowhere:"+filepath.Dir(root))
	if again, err := KeepRoots(""); err != nil || again != kept {
		t.Errorf("of SSL_CERT_DIR beside it %d bytes are kept, %v, want %d", len(again), err, len(kept))
	}
	t.Setenv("SSL_CERT_FILE", "")
	t.Setenv("SSL_CERT_DIR", "")
	if none, err := KeepRoots(""); none != "" || err != nil {
		t.Errorf("%q, %v", none, err)
	}
}

// The result is limited in size.
func TestTooManyRootsToKeep(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var some, many strings.Builder
	for n := range 400 {
		name := make([]byte, 400)
		_, _ = rand.Read(name)
		root := &x509.Certificate{SerialNumber: big.NewInt(int64(n)), Subject: pkix.Name{CommonName: fmt.Sprintf("%x", name)}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		if n < 40 {
			some.WriteString(text)
		}
		many.WriteString(text)
	}
	if kept, err := KeepRoots(write(t, some.String())); err != nil || len(kept) > maxKeptRoots {
		t.Errorf("%d bytes, %v", len(kept), err)
	}
	if _, err := KeepRoots(write(t, many.String())); err == nil || !strings.Contains(err.Error(), "holds 400 certificates, too many to keep for the post step") {
		t.Error(err)
	}
}
