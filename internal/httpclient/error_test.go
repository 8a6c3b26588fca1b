package httpclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"azdo-pat/internal/hint"
)

// The cause of a missing answer decides the text, whether a retry makes sense, and the
// hint. The URL is not repeated.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, tc := range []struct {
		name    string
		cause   error
		says    string // a part of it
		hint    string // a part of it
		passing bool
	}{
		{"no such name", dial(&net.DNSError{Err: "no such host", Name: "vssps.test", Server: "10.0.0.1:53", IsNotFound: true}),
			"the name vssps.test could not be resolved", "check the host name", false},
		{"no name server", dial(&net.DNSError{Err: "i/o timeout", Name: "vssps.test", IsTimeout: true, IsTemporary: true}),
			"the name vssps.test could not be resolved", "check the host name", true},
		{"no such proxy", &net.OpError{Op: "proxyconnect", Net: "tcp", Err: dial(&net.DNSError{Name: "proxy.test", IsNotFound: true})},
			"the name proxy.test could not be resolved", "proxy settings", false},
		{"no proxy", &net.OpError{Op: "proxyconnect", Net: "tcp", Err: dial(syscall.ECONNREFUSED)},
			"the proxy could not be reached", "HTTPS_PROXY", true},
		{"no listener", dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "connection refused", "", true},
		{"cut off", io.ErrUnexpectedEOF, "the connection was closed before the answer was complete (unexpected EOF)", "", true},
		{"reset", &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "connection reset", "", true},
		{"too slow", context.DeadlineExceeded, "it took too long", "", true},
		{"too slow on the wire", &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}, "it took too long", "", true},
		{"told to stop", context.Canceled, "interrupted", "", false},
		{"too large", ErrTooLarge, "larger than 4 MiB", "", false},
		{"untrusted", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "unknown authority", "ca-file", false},
		{"unknown authority alone", x509.UnknownAuthorityError{}, "unknown authority", "ca-file", false},
		{"expired", x509.CertificateInvalidError{Reason: x509.Expired, Detail: "yesterday"}, "expired", "ca-file", false},
		{"another name", x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"a.test"}}, Host: "b.test"}, "not b.test", "ca-file", false},
		{"hostile words", errors.New("malformed HTTP response \"x\n::add-mask::\x1b[31m\u202e" + strings.Repeat("y", 1000) + "\""), "does not speak HTTP", "check the URL", false},
	} {
		for _, wrap := range []struct {
			name string
			with func(error) error
		}{
			{"bare", func(err error) error { return err }},
			{"with the address", func(err error) error {
				return &url.Error{Op: "Get", URL: "https://user:pass-word@host.test/?secret=query", Err: err}
			}},
			{"with the address inside", func(err error) error {
				return fmt.Errorf("fetch: %w", &url.Error{Op: "Get", URL: "https://user:pass-word@host.test/?secret=query", Err: err})
			}},
			{"with two addresses", func(err error) error {
				return &url.Error{Op: "Get", URL: "https://a.test", Err: &url.Error{Op: "Get", URL: "https://user:pass-word@host.test/?secret=query", Err: err}}
			}},
		} {
			t.Run(tc.name+", "+wrap.name, func(t *testing.T) {
				t.Parallel()
				e := TransportError("ask for a token", "host.test:8443", wrap.with(tc.cause))
				if !strings.HasPrefix(e.Error(), "ask for a token: no answer from host.test:8443: ") || !strings.Contains(e.Detail, tc.says) {
					t.Errorf("error %q, want %q in it", e, tc.says)
				}
				for _, secret := range []string{"pass-word", "secret"} {
					if strings.Contains(e.Error()+e.Hint(), secret) {
						t.Errorf("%q in %q", secret, e)
					}
				}
				if strings.ContainsAny(e.Error(), "\n\r\x1b\u202e") || utf8.RuneCountInString(e.Detail) > 300 {
					t.Errorf("not one bounded line: %q", e)
				}
				if !strings.Contains(e.Hint(), tc.hint) || tc.hint == "" && e.Hint() != "" || hint.Of(e) != e.Hint() {
					t.Errorf("hint %q, want %q in it", e.Hint(), tc.hint)
				}
				if passing, wait := Retryable(e); passing != tc.passing || wait != 0 {
					t.Errorf("passing %t after %s, want %t", passing, wait, tc.passing)
				}
				if _, comparable := tc.cause.(x509.HostnameError); !comparable && !errors.Is(e, tc.cause) {
					t.Error("the cause is lost")
				}
			})
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		status  int
		header  http.Header
		detail  string
		err     string
		passing bool
		wait    time.Duration
	}{
		{"with words", 400, nil, "no such audience", "ask: host.test:8443 answered 400 Bad Request: no such audience", false, 0},
		{"without", 403, nil, "", "ask: host.test:8443 answered 403 Forbidden", false, 0},
		{"a status without a name", 599, nil, "odd", "ask: host.test:8443 answered 599: odd", false, 0},
		{"a status without a name or words", 599, nil, "", "ask: host.test:8443 answered 599", false, 0},
		{"throttled", 429, http.Header{"Retry-After": {"7"}}, "", "ask: host.test:8443 answered 429 Too Many Requests", true, 7 * time.Second},
		{"hostile words", 500, nil, "a\r\n::error::b\x1b[0m", "ask: host.test:8443 answered 500 Internal Server Error: a ::error::b [0m", true, 0},
		{"long words", 400, nil, strings.Repeat("x", 1000), "ask: host.test:8443 answered 400 Bad Request: " + strings.Repeat("x", 299) + "…", false, 0},
		{"not modified is no redirect", 304, nil, "x", "ask: host.test:8443 answered 304 Not Modified: x", false, 0},
		{"a redirect to a hostile host", 302, http.Header{"Location": {"https://::error%0A" + strings.Repeat("y", 200) + "/?secret=query"}}, "x",
			"ask: host.test:8443 answered 302 Found: a redirect, which is not followed with a credential", false, 0},
		{"a redirect to a long host", 302, http.Header{"Location": {"https://user:secret@" + strings.Repeat("y", 200) + "/?secret=query"}}, "x",
			"ask: host.test:8443 answered 302 Found: a redirect to " + strings.Repeat("y", 99) + "…, which is not followed", false, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.header == nil {
				tc.header = http.Header{}
			}
			resp := &http.Response{StatusCode: tc.status, Header: tc.header, Request: httptest.NewRequest("GET", "https://user:secret@host.test:8443/?secret=query", nil)}
			if strings.HasSuffix(tc.err, " with a credential") {
				resp.Request.Header.Set("Authorization", "Bearer x")
			}
			e := StatusError("ask", resp, tc.detail)
			if e.Error() != tc.err {
				t.Errorf("error %q, want %q", e, tc.err)
			}
			if passing, wait := Retryable(fmt.Errorf("wrapped: %w", e)); passing != tc.passing || wait != tc.wait {
				t.Errorf("passing %t after %s, want %t after %s", passing, wait, tc.passing, tc.wait)
			}
		})
	}
}

func TestErrorThatPassesAlthoughItsStatusDoesNot(t *testing.T) {
	t.Parallel()
	e := &Error{Doing: "ask", Host: "host.test", Status: 400}
	if e.Retryable() {
		t.Error("400 passes")
	}
	if e.Transient = true; !e.Retryable() {
		t.Error("400 that is marked as passing does not")
	}
}

func TestPassing(t *testing.T) {
	t.Parallel()
	for status := range 600 {
		want := map[int]bool{408: true, 425: true, 429: true, 500: true, 502: true, 503: true, 504: true}[status]
		if got := RetryableStatus(status); got != want {
			t.Errorf("PassingStatus(%d) = %t", status, got)
		}
	}
	for _, tc := range []struct {
		name    string
		err     error
		passing bool
		wait    time.Duration
	}{
		{"nothing", nil, false, 0},
		{"an error that does not say", errors.New("x"), false, 0},
		{"one that passes", passes(0), true, 0},
		{"and says when", fmt.Errorf("a: %w", passes(3*time.Second)), true, 3 * time.Second},
		{"one that does not say when", mayPass(true), true, 0},
		{"one that does not pass", mayPass(false), false, 0},
		{"the outer one decides", fmt.Errorf("%w: %w", mayPass(false), passes(time.Second)), false, 0},
	} {
		if passing, wait := Retryable(tc.err); passing != tc.passing || wait != tc.wait {
			t.Errorf("%s: passing %t after %s, want %t after %s", tc.name, passing, wait, tc.passing, tc.wait)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testRetryAfter)
}

func testRetryAfter(t *testing.T) {
	time.Sleep(time.Until(time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)))
	for _, tc := range []struct {
		name, value, date string
		want              time.Duration
	}{
		{"absent", "", "", 0},
		{"seconds", "120", "", 2 * time.Minute},
		{"none", "0", "", 0},
		{"negative", "-5", "", 0},
		{"a fraction", "1.5", "", 1500 * time.Millisecond},
		{"a small fraction", "0.05", "", 50 * time.Millisecond},
		{"with white space", " 7 ", "", 7 * time.Second},
		{"two points", "1.5.2", "", 0},
		{"an exponent", "1e3", "", 0},
		{"no number", "NaN", "", 0},
		{"without an end", "Inf", "", 0},
		{"words", "soon", "", 0},
		{"a list", "5, 6", "", 0},
		{"more than a year", "2147483647", "", maxRetryAfter},
		{"more than there are", "9223372036854775807", "", maxRetryAfter},
		{"more than can be read", strings.Repeat("9", 90), "", maxRetryAfter},
		{"a date in a hundred years", "Thu, 05 Nov 2126 12:00:30 GMT", "", maxRetryAfter},
		{"a date", "Thu, 05 Nov 2026 12:00:30 GMT", "", 30 * time.Second},
		{"a date of old", "Thursday, 05-Nov-26 12:00:30 GMT", "", 30 * time.Second},
		{"a date that is past", "Thu, 05 Nov 2026 11:59:30 GMT", "", 0},
		{"a date by the server's clock, which is ahead", "Thu, 05 Nov 2026 13:00:30 GMT", "Thu, 05 Nov 2026 13:00:00 GMT", 30 * time.Second},
		{"a date by the server's clock, which is behind", "Thu, 05 Nov 2026 11:00:30 GMT", "Thu, 05 Nov 2026 11:00:00 GMT", 30 * time.Second},
		{"a date with a server's clock that is none", "Thu, 05 Nov 2026 12:00:30 GMT", "today", 30 * time.Second},
		{"seconds do not need the server's clock", "30", "Thu, 05 Nov 2026 11:00:00 GMT", 30 * time.Second},
		{"no date", "Thu, 05 Nov 2026 25:00:30 GMT", "", 0},
	} {
		h := http.Header{}
		h.Set("Retry-After", tc.value)
		h.Set("Date", tc.date)
		if got := RetryAfter(h); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestIsHTML(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{
		"": false, "application/json": false, "text/plain": false,
		"text/html": true, "Text/HTML; charset=utf-8": true, "application/xhtml+xml": true,
	} {
		if got := IsHTML(http.Header{"Content-Type": {value}}); got != want {
			t.Errorf("IsHTML(%q) = %t", value, got)
		}
	}
}

// passes is a retryable error that asks for a wait of that duration.
type passes time.Duration

func (p passes) Error() string       { return "busy" }
func (p passes) Retryable() bool     { return true }
func (p passes) Wait() time.Duration { return time.Duration(p) }

type mayPass bool

func (m mayPass) Error() string   { return "well" }
func (m mayPass) Retryable() bool { return bool(m) }
