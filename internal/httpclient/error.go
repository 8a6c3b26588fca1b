package httpclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// Error is the error of a request without the expected answer.
type Error struct {
	// Doing is what was being done, as in "ask GitHub for an assertion".
	Doing string
	// Host is the host of the request, with the port if it is not the default.
	Host string
	// Name is the service on that host, as in "GitHub". Empty: the host.
	Name string
	// Proxy is the host of the proxy if there was no answer. Empty: no proxy.
	Proxy string
	// Status is the HTTP status. Zero: there was no answer.
	Status int
	// Detail is what the server or the network said, as one line of bounded
	// length. It is never a raw body.
	Detail string
	// RetryAfter is how long the server asks to wait before the next attempt.
	RetryAfter time.Duration
	// Transient marks an answer that can be retried in spite of its status.
	Transient bool
	// Permanent marks an answer that cannot be retried in spite of its status.
	Permanent bool
	// MaxAttempts limits the attempts of the request. Zero: no limit.
	MaxAttempts int
	// Support lists the ids that the service's support needs, see [SupportIDs].
	Support string
	// Err is the cause if there was no answer.
	Err error
	// Advice is what the user can change. Empty: nothing.
	Advice string
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", e.Doing)
	var throttled *Throttled
	if errors.As(e.Err, &throttled) {
		fmt.Fprintf(&b, "nothing was sent to %s", e.Host)
	} else if e.Status == 0 {
		fmt.Fprintf(&b, "no answer from %s", e.Host)
		if e.Proxy != "" {
			b.WriteString(" through the proxy " + e.Proxy)
		}
	} else {
		fmt.Fprintf(&b, "%s answered %d", e.Host, e.Status)
	}
	for _, part := range []struct{ mark, text string }{{" ", http.StatusText(e.Status)}, {": ", e.Detail}} {
		if part.text != "" {
			b.WriteString(part.mark + part.text)
		}
	}
	if e.Support != "" {
		b.WriteString(" (" + e.Support + ")")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Retryable reports whether the same request may succeed later.
func (e *Error) Retryable() bool {
	if e.Status == 0 {
		return RetryableTransport(e.Err)
	}
	return !e.Permanent && (e.Transient || RetryableStatus(e.Status))
}

// Wait returns how long the server asks to wait.
func (e *Error) Wait() time.Duration { return e.RetryAfter }

// Attempts implements [Limited].
func (e *Error) Attempts() (string, int) { return e.Doing, e.MaxAttempts }

// Service returns the name of the service.
func (e *Error) Service() string { return cmp.Or(e.Name, e.Host) }

// Hint returns what the user can change, or "".
func (e *Error) Hint() string { return e.Advice }

// TransportError returns the error of a request without an answer. It leaves out
// the URL that net/http puts into its errors, because a query can hold secrets.
func TransportError(doing, host string, err error) *Error {
	e := &Error{Doing: doing, Host: host, Proxy: Proxy(err), Err: err}
	var mismatch bool
	e.Detail, e.Advice, mismatch = Mismatch(err)
	if mismatch {
		return e
	}
	cause := err
	for in := (*url.Error)(nil); errors.As(cause, &in); {
		cause = in.Err
	}
	e.Detail, e.Advice = explain(cause)
	return e
}

// Proxy returns the host of the proxy of a failed request, given net/http's error,
// or "". It leaves out the proxy's user and password.
func Proxy(err error) string {
	var in *url.Error
	if !errors.As(err, &in) {
		return ""
	}
	u, err := url.Parse(in.URL)
	if err != nil {
		return ""
	}
	proxy, err := proxyOf(&http.Request{URL: u})
	if err != nil || proxy == nil {
		return ""
	}
	return sanitize.Line(proxy.Host, 100)
}

// StatusError returns the error of an unexpected answer. For a redirect it names
// the target host. The secrets are those that the request carried.
func StatusError(doing string, resp *http.Response, detail string, secrets ...secret.Value) *Error {
	e := &Error{
		Doing: doing, Host: resp.Request.URL.Host, Status: resp.StatusCode,
		Detail: sanitize.Line(detail, maxMessage), RetryAfter: RetryAfter(resp.Header),
		Support: SupportIDs(resp.Header, secrets...),
	}
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		to := ""
		if u, err := resp.Location(); err == nil && u.Host != "" {
			to = " to " + sanitize.Line(u.Host, 100)
		}
		e.Detail = "a redirect" + to + ", which is not followed"
		if r := resp.Request; r.Method != http.MethodGet || r.Header.Get("Authorization") != "" {
			e.Detail += " with a credential"
		}
		e.Advice = "check the host that was configured, and proxies in between"
	}
	return e
}

// IsHTML reports whether the Content-Type is HTML: a sign-in page or a proxy's
// error page, never the answer of an API.
func IsHTML(h http.Header) bool {
	return strings.Contains(strings.ToLower(h.Get("Content-Type")), "html")
}

func isUntrusted(err error) bool {
	var verify *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verify) || errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid)
}

// explain describes a transport error.
func explain(err error) (detail, advice string) {
	var dns *net.DNSError
	var op *net.OpError
	var refused *proxyError
	var throttled *Throttled
	switch {
	case errors.As(err, &throttled):
		return throttled.Error(), throttled.Hint()
	case isUntrusted(err):
		return sanitize.Line(err.Error(), 300), "if a proxy inspects TLS here, give its root certificate with ca-file; otherwise check the host name"
	case errors.As(err, &dns):
		return "the name " + sanitize.Line(dns.Name, 100) + " could not be resolved", "check the host name, the DNS and the proxy settings of the runner"
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return "the proxy could not be reached", "check HTTPS_PROXY and NO_PROXY; a proxy on the host's 127.0.0.1 cannot be reached from a container"
	case errors.As(err, &refused):
		return err.Error(), "check HTTPS_PROXY, the user and password in it, and what the proxy allows"
	}
	return sanitize.Line(Plain(err), 300), ""
}

// Plain is the text of a transport error. For Go's own it is in plain words.
func Plain(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "it took too long"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before the answer was complete (" + err.Error() + ")"
	}
	return err.Error()
}
