package httpclient

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The environment's proxies and roots are read once in a process. So their tests run
// this binary again, as a program that makes one request.
const childURL, childCA = "WIRE_TEST_URL", "WIRE_TEST_CA_FILE"

func TestMain(m *testing.M) {
	if os.Getenv(childProbe) != "" {
		_ = json.NewEncoder(os.Stdout).Encode(probe(os.Getenv(childURL), os.Getenv(childCA)))
		return
	}
	if url := os.Getenv(childURL); url != "" {
		_ = json.NewEncoder(os.Stdout).Encode(get(url, os.Getenv(childCA)))
		return
	}
	os.Exit(m.Run())
}

// outcome is the result of one request.
type outcome struct {
	Status    int
	Body      string
	Err       string // of NewClient, or of NoAnswer with its whole text
	Hint      string
	Retryable bool
	// Embedded: the embedded roots and those of ca-file were trusted. NoRoots: no
	// roots were read, because nothing was encrypted.
	Embedded, NoRoots bool
}

func get(url, caFile string) outcome {
	client, err := NewClient(Options{CAFile: caFile})
	if err != nil {
		return outcome{Err: err.Error()}
	}
	Preconnect(client, url)
	o := do(client, url)
	roots := embeddedRoots()
	if pem, err := os.ReadFile(caFile); err == nil {
		roots.AppendCertsFromPEM(pem)
	}
	pool := inside(client).TLSClientConfig.RootCAs
	o.Embedded, o.NoRoots = pool.Equal(roots), pool.Equal(x509.NewCertPool())
	return o
}

func do(client *http.Client, url string) outcome {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return outcome{Err: err.Error()}
	}
	req.Header.Set("Authorization", "Bearer the-credential")
	resp, err := client.Do(req)
	if err != nil {
		e := TransportError("ask", req.URL.Host, err)
		return outcome{Err: e.Error(), Hint: e.Hint(), Retryable: e.Retryable()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return outcome{Err: err.Error()}
	}
	return outcome{Status: resp.StatusCode, Body: string(body)}
}

// elsewhere calls get in another process whose environment is env.
func elsewhere(t *testing.T, url, caFile string, env ...string) outcome {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(env, childURL+"="+url, childCA+"="+caFile,
		"GORACE=atexit_sleep_ms=0") // or it would sleep a second at its end
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var o outcome
	if err := json.Unmarshal(out, &o); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return o
}

// secure starts an HTTPS server and returns it and the file of its root.
func secure(t *testing.T, http2 bool, h http.HandlerFunc) (s *httptest.Server, caFile string) {
	t.Helper()
	s = httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = http2
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, write(t, pemOf(s.Certificate()))
}

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// inside returns the preconnector of a client.
func inside(c *http.Client) *preconnector {
	return c.Transport.(*bounded).preconnector
}

func newClient(t *testing.T, caFile string) *http.Client {
	t.Helper()
	c, err := NewClient(Options{CAFile: caFile})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}
