package httpclient

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

type environment map[string]string

func (e environment) lookup(name string) (string, bool) { v, ok := e[name]; return v, ok }

// net/http ignores each of these and sends the request without a proxy or to another
// host, or returns an error that contains the user and password.
func TestProxyThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"http://svc-ci:p%ss@proxy.contoso.com:3128", "http://svc-ci:pa#ss@proxy.contoso.com:3128", "http://svc-ci:pa/ss@proxy.contoso.com:3128",
		"http://svc-ci:pa?ss@proxy.contoso.com:3128", "http://svc-ci:12#ss@proxy.contoso.com:3128", "http://svc-ci:12/ss@proxy.contoso.com:3128",
		"svc-ci:pa#ss@proxy.contoso.com:3128", "svc-ci:12#ss@proxy.contoso.com", "svc-ci:12/ss@proxy.contoso.com:3128", "svc-ci:p%ss@proxy:3128",
		`http://svc-ci:pa\ss@proxy:3128`, "http://svc-ci:pa ss@proxy:3128", "http://svc-ci:pa\"ss@proxy:3128", "http://svc-ci:pass@proxy:3128\n", " http://proxy:3128", "http://proxy:3128 ",
		"http://proxy:port", "http://proxy:99999", "http://proxy:0", "http://proxy:-1", "http://:3128", "http://", "http:///proxy", "://proxy", "http:proxy:3128", "http//proxy:3128",
		"http://proxy:3128/wpad.pac", "http://proxy:3128//", "http://proxy:3128?", "http://proxy:3128#",
		"http://[::1", "http://pro\u200bxy:3128", "http://proxy\ufeff", "\ufeffhttp://proxy:3128", "http://proxy\x00:3128", " ", "/proxy",
		"http://http://proxy:3128", "http:", "https:", "http:/", "http", "http:8080", "HTTP:", "socks5:", "proxy:", "http://proxy:", "http://[::1]:", `"http://proxy:3128"`,
	} {
		for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
			got := EnvironmentFaults(environment{name: value}.lookup)
			if len(got) != 1 || got[0] != (Fault{Name: name, Allowed: proxies}) {
				t.Errorf("%s=%q: %+v", name, value, got)
			}
		}
	}
	for _, value := range []string{"ftp://proxy:21", "socks4://proxy:1080", "socks://proxy", "file://proxy"} {
		if got := EnvironmentFaults(environment{"HTTPS_PROXY": value}.lookup); len(got) != 1 || got[0] != (Fault{Name: "HTTPS_PROXY", Allowed: schemes}) {
			t.Errorf("%q: %+v", value, got)
		}
	}
}

// Valid values, which net/http reads as they are meant.
func TestProxyThatCanBeRead(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"", "http://proxy", "http://proxy.contoso.com:3128", "http://proxy:3128/", "HTTP://proxy:3128", "https://proxy:443", "socks5://proxy:1080", "socks5h://proxy", "proxy", "proxy:3128",
		"127.0.0.1:3128", "http://[::1]:3128", "http://svc-ci:p%25ss%23%2F%40@proxy:3128", "svc-ci:pass@proxy:3128", "http://svc-ci:p@ss@proxy:3128", "http://svc-ci@proxy", "http://svc-ci:a:b!$&'()*+,;=@proxy", "http://my_proxy:1", "http://http:3128",
	} {
		if got := EnvironmentFaults(environment{"HTTPS_PROXY": value, "http_proxy": value}.lookup); len(got) > 0 {
			t.Errorf("%q: %+v", value, got)
		}
	}
	// The lower-case name is ignored if the upper-case name is set.
	if got := EnvironmentFaults(environment{"HTTPS_PROXY": "http://proxy", "https_proxy": "http://"}.lookup); len(got) > 0 {
		t.Errorf("%+v", got)
	}
	both := EnvironmentFaults(environment{"HTTP_PROXY": "http://", "https_proxy": "ftp://proxy"}.lookup)
	if len(both) != 2 || both[0].Name != "https_proxy" || both[1].Name != "HTTP_PROXY" {
		t.Errorf("%+v", both)
	}
}

func TestNoProxyThatIsNotUnderstood(t *testing.T) {
	t.Parallel()
	for value, wrong := range map[string]int{
		"": 0, "*": 0, "localhost,127.0.0.1, .contoso.com ,*.corp,10.0.0.0/8,[::1]:80,host:8080,fd00::/8,": 0,
		"https://contoso.com": 1, "a b": 1, "a;b,c": 1, "10.0.0.0/33,x": 1, "a\u200bb,user@host,a|b": 3,
	} {
		got := strings.Join(EnvironmentWarnings(environment{"https_proxy": "http://proxy", "no_proxy": value, "ALL_PROXY": "http://x"}.lookup), "\n")
		if want := fmt.Sprintf("no_proxy: %d of %d entries", wrong, strings.Count(value, ",")+1); wrong == 0 != (got == "") || wrong > 0 && !strings.HasPrefix(got, want) {
			t.Errorf("%q: %q", value, got)
		}
		if got := EnvironmentWarnings(environment{"NO_PROXY": value}.lookup); got != nil {
			t.Errorf("without a proxy: %q", got)
		}
	}
	for _, name := range []string{"ALL_PROXY", "all_proxy"} {
		got := EnvironmentWarnings(environment{name: "http://user:hunter2@proxy"}.lookup)
		if want := name + " is not read, so no proxy is used; set HTTPS_PROXY"; len(got) != 1 || got[0] != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestRootsThatAreNone(t *testing.T) {
	t.Parallel()
	switch runtime.GOOS {
	case "windows", "darwin":
		t.Skip("roots are not read from files here")
	}
	_, root := secure(t, false, func(http.ResponseWriter, *http.Request) {})
	empty, full, key := t.TempDir(), t.TempDir(), write(t, privateKey(t))
	if err := os.WriteFile(filepath.Join(full, "root.0"), []byte(read(t, root)), 0o600); err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(empty, "gone")
	const none = "it holds no PEM certificate"
	for _, tc := range []struct {
		file, dir string
		fault     string // the variable and what is said of it; empty: none
	}{
		{"", "", ""},
		{root, "", ""},
		{root, full, ""},
		{root, empty, ""},
		{root, gone, ""},
		{"", full, ""},
		{"", gone + ":" + full, ""},
		{gone, "", "SSL_CERT_FILE " + certificate + " (no such file or directory; an action in a container sees only the files of its container)"},
		{gone, full, "SSL_CERT_FILE " + certificate + " (no such file or directory; an action in a container sees only the files of its container)"},
		{key, "", "SSL_CERT_FILE " + certificate + " (" + none + ")"},
		{write(t, ""), "", "SSL_CERT_FILE " + certificate + " (" + none + ")"},
		{write(t, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "", "SSL_CERT_FILE " + certificate + " (" + none + ")"},
		{empty, "", "SSL_CERT_FILE " + certificate + " (" + empty + " is not a regular file)"},
		{"", empty, "SSL_CERT_DIR " + directories + " (no file in it holds a certificate)"},
		{"", gone + ":" + empty, "SSL_CERT_DIR " + directories + " (no file in it holds a certificate)"},
		{"", root, "SSL_CERT_DIR " + directories + " (no file in it holds a certificate)"},
	} {
		got := ""
		for _, f := range EnvironmentFaults(environment{"SSL_CERT_FILE": tc.file, "SSL_CERT_DIR": tc.dir}.lookup) {
			got += f.Name + " " + f.Allowed
			if f.Found != map[string]string{"SSL_CERT_FILE": tc.file, "SSL_CERT_DIR": tc.dir}[f.Name] {
				t.Errorf("%+v: found %q", tc, f.Found)
			}
		}
		if got != tc.fault {
			t.Errorf("SSL_CERT_FILE=%s SSL_CERT_DIR=%s: %q, want %q", tc.file, tc.dir, got, tc.fault)
		}
	}
}

// net/http recognizes only localhost in lower case. Requests to LOCALHOST went in plain
// text through HTTP_PROXY, with their credentials.
func TestThisMachineIsReachedDirectly(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "direct") }))
	t.Cleanup(server.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "through the proxy") }))
	t.Cleanup(proxy.Close)
	port := must(url.Parse(server.URL)).Port()
	for _, host := range []string{"127.0.0.1", "localhost", "LOCALHOST", "LocalHost"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			if !IsLoopback(host) {
				t.Error("it is not taken for this machine")
			}
			if conn, err := net.Dial("tcp4", net.JoinHostPort(host, port)); err == nil {
				conn.Close()
			} else if host != "127.0.0.1" {
				t.Skip(err) // not every system has the name, or more than one address
			}
			got := elsewhere(t, "http://"+host+":"+port, "", "HTTP_PROXY="+proxy.URL, "HTTPS_PROXY="+proxy.URL)
			if got.Body != "direct" {
				t.Errorf("got %+v", got)
			}
		})
	}
	for _, host := range []string{"localhost.", "127.1", "::ffff:127.0.0.1", "::1%lo", "0.0.0.0", "localho\u017ft", "sub.localhost", "0177.0.0.1", ""} {
		if IsLoopback(host) {
			t.Errorf("%q is taken for this machine", host)
		}
	}
}
