package emulator_test

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

// TestProxy: through the proxy the services have their real names, and other hosts are not
// reached.
func TestProxy(t *testing.T) {
	t.Parallel()
	c := startWith(t, emulator.Options{Proxy: true})
	proxy, err := url.Parse(c.e.ProxyURL())
	if err != nil {
		t.Fatal(err)
	}
	transport := c.http.Transport.(*http.Transport).Clone()
	transport.Proxy = http.ProxyURL(proxy)
	t.Cleanup(transport.CloseIdleConnections)
	c.http = &http.Client{Transport: transport, CheckRedirect: noRedirects.CheckRedirect}

	graph, devOps := "Bearer "+c.e.AzureCLIToken("https://graph.microsoft.com"), "Bearer "+c.e.AzureCLIToken(emulator.AzureDevOpsResource)
	for _, test := range []struct {
		target, token string
		service       emulator.Service
	}{
		{"https://graph.microsoft.com/v1.0/me", graph, emulator.Graph},
		{"https://management.azure.com/tenants?api-version=2020-01-01", "Bearer " + c.e.AzureCLIToken("https://management.azure.com"), emulator.ARM},
		{"https://login.microsoftonline.com/" + emulator.TenantID + "/v2.0/.well-known/openid-configuration", "", emulator.Entra},
		{"https://vsaex.dev.azure.com/contoso/_apis/userentitlements?api-version=7.1", devOps, emulator.AzureDevOps},
	} {
		a := c.send("GET", test.target, "", "Authorization", test.token)
		requests := c.e.Requests()
		if a.Status != 200 || requests[len(requests)-1].Service != test.service {
			t.Errorf("%s: %d %s", test.target, a.Status, a.Text)
		}
	}
	config := c.send("GET", "https://login.microsoftonline.com/"+emulator.TenantID+"/v2.0/.well-known/openid-configuration", "")
	if endpoint, _ := config.JSON["token_endpoint"].(string); !strings.HasPrefix(endpoint, "https://login.microsoftonline.com/") {
		t.Errorf("the token endpoint is %q", endpoint)
	}
	for _, target := range []string{"https://example.com/", "https://graph.microsoft.com:8443/", "http://graph.microsoft.com/"} {
		if a, err := c.try("GET", target, ""); err == nil && a.Status != http.StatusForbidden {
			t.Errorf("%s: %d %s", target, a.Status, a.Text)
		}
	}
	if refused := c.e.ProxyRefused(); !slices.Equal(refused, []string{"example.com:443", "graph.microsoft.com:8443", "graph.microsoft.com"}) {
		t.Errorf("refused: %q", refused)
	}
}

// TestProxyEnds: closing the emulator ends what is open through the proxy.
func TestProxyEnds(t *testing.T) {
	t.Parallel()
	e, err := emulator.New(emulator.Options{Proxy: true})
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := url.Parse(e.ProxyURL())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", proxy.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "CONNECT graph.microsoft.com:443 HTTP/1.1\r\nHost: graph.microsoft.com:443\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 200" {
		t.Fatalf("%q %v", answer, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the connection: %v", err)
	}
}
