package settings

import "testing"

func TestBaseURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://vssps.dev.azure.com":            "https://vssps.dev.azure.com",
		"https://vssps.dev.azure.com/":           "https://vssps.dev.azure.com",
		"https://proxy.contoso.com/azdo/":        "https://proxy.contoso.com/azdo",
		"https://proxy.contoso.com/azdo///":      "https://proxy.contoso.com/azdo",
		"https://login.microsoftonline.com:8443": "https://login.microsoftonline.com:8443",
		"https://192.0.2.1":                      "https://192.0.2.1",
		"https://[2001:db8::1]:8443":             "https://[2001:db8::1]:8443",
		"http://127.0.0.1":                       "http://127.0.0.1",
		"http://127.0.0.1:8080/":                 "http://127.0.0.1:8080",
		"http://127.0.0.1:65535":                 "http://127.0.0.1:65535",
		"http://127.255.255.254:1":               "http://127.255.255.254:1",
		"http://127.1.2.3/base":                  "http://127.1.2.3/base",
		"http://[::1]":                           "http://[::1]",
		"http://[::1]:8080":                      "http://[::1]:8080",
		"http://[0:0:0:0:0:0:0:1]:8080":          "http://[0:0:0:0:0:0:0:1]:8080",
		"http://localhost":                       "http://localhost",
		"http://LocalHost:8080":                  "http://LocalHost:8080",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			if got, err := BaseURL(text); err != nil || got != want {
				t.Errorf("BaseURL(%q) = %q, %v, want %q", text, got, err, want)
			}
			if !SafeURL(text + "/oidc?api-version=2.0") {
				t.Errorf("SafeURL(%q) = false", text)
			}
		})
	}
}

const (
	notLoopback = "an https URL (http only on 127.0.0.0/8, ::1 or localhost)"
	notPlain    = "an https URL without user, query and fragment"
	noPort      = "an https URL with a port from 1 to 65535, or none"
)

func TestNoBaseURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://vssps.dev.azure.com":            notLoopback,
		"http://127.0.0.1.evil.com":             notLoopback,
		"http://127.0.0.1.nip.io:8080":          notLoopback,
		"http://localhost.evil.com":             notLoopback,
		"http://evil.localhost":                 notLoopback,
		"http://xlocalhost":                     notLoopback,
		"http://localhost.":                     notLoopback,
		"http://localho\u017ft":                 notLoopback,
		"http://0.0.0.0":                        notLoopback,
		"http://0.0.0.0:8080":                   notLoopback,
		"http://[::]":                           notLoopback,
		"http://[::2]":                          notLoopback,
		"http://[::ffff:127.0.0.1]":             notLoopback,
		"http://[::1%25lo]":                     notLoopback,
		"http://128.0.0.1":                      notLoopback,
		"http://126.255.255.255":                notLoopback,
		"http://10.0.0.1":                       notLoopback,
		"http://169.254.169.254":                notLoopback,
		"http://127.1":                          notLoopback,
		"http://127":                            notLoopback,
		"http://2130706433":                     notLoopback,
		"http://0x7f.0.0.1":                     notLoopback,
		"http://0177.0.0.1":                     notLoopback,
		"http://127.000.000.001":                notLoopback,
		"http://１２７.0.0.1":                      notLoopback,
		"ftp://127.0.0.1":                       notLoopback,
		"file://localhost/etc/passwd":           notLoopback,
		"httpss://contoso.com":                  notLoopback,
		"//contoso.com":                         notLoopback,
		"https://contoso.com:99999":             noPort,
		"https://contoso.com:65536":             noPort,
		"https://contoso.com:0":                 noPort,
		"https://contoso.com:":                  noPort,
		"https://contoso.com:/base":             noPort,
		"https://[::1]:":                        noPort,
		"http://127.0.0.1:99999999999999999999": noPort,
		"https:contoso.com":                     notPlain,
		"https:/contoso.com":                    notPlain,
		"https://":                              notPlain,
		"https:///path":                         notPlain,
		"https://:443":                          notPlain,
		"contoso.com":                           notPlain,
		"localhost:8080":                        notPlain,
		"127.0.0.1:8080":                        notPlain,
		"/path":                                 notPlain,
		"":                                      notPlain,
		"https://user@contoso.com":              notPlain,
		"https://user:secret@contoso.com":       notPlain,
		"https://@contoso.com":                  notPlain,
		"http://127.0.0.1@evil.com":             notPlain,
		"http://evil.com@127.0.0.1":             notPlain,
		`https://good.com\@evil.com`:            notPlain,
		"https://contoso.com?":                  notPlain,
		"https://contoso.com?x=1":               notPlain,
		"https://contoso.com/#x":                notPlain,
		"https://contoso.com#":                  notPlain,
		"https://contoso.com/base#":             notPlain,
		"https://contoso.com\n":                 notPlain,
		"https://contoso.com\u200b":             notPlain,
		"https://con\u00adtoso.com":             notPlain,
		"https://contoso.com/\u2060base":        notPlain,
		"\ufeffhttps://contoso.com":             notPlain,
		"https://con\u3164toso.com":             notPlain,
		"https://con toso.com":                  notPlain,
		"https://contoso.com:port":              notPlain,
		"https://contoso%2ecom":                 notPlain,
		"https://[::1":                          notPlain,
		"http://%6cocalhost":                    notPlain,
		"https://contoso.com/%zz":               notPlain,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, err := BaseURL(text)
			if err == nil || err.Error() != want || got != "" {
				t.Errorf("BaseURL(%q) = %q, %v, want the error %q", text, got, err, want)
			}
		})
	}
}

// SafeURL is for a URL that the runner made, so it may have a query; its host is
// judged as strictly.
func TestNotSafe(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "/oidc?x=1", "http://actions.githubusercontent.com/x", "http://127.0.0.1.evil.com", "http://localhost.evil.com/",
		"http://0.0.0.0/", "http://localho\u017ft/", "http://[::ffff:127.0.0.1]/", "ftp://localhost/", "https:x", "https://\x00",
		"https://con\u200btoso.com/", "https://contoso.com/\ufeff", "https://contoso.com/a b", "http://127.1/", "http://[::1%25lo]/", "http://localhost./", "https://:443/x",
		"https://contoso.com:99999/x?y=z", "https://contoso.com:/x", "https://contoso.com:0/",
	} {
		if SafeURL(text) {
			t.Errorf("SafeURL(%q) = true", text)
		}
	}
}
