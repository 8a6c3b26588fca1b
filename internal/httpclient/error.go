package httpclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// Error is a request that did not bring what was asked for.
type Error struct {
	// Doing says what was being done, as in "ask GitHub for an assertion".
	Doing string
	// Host is who was asked, with the port where it is not the usual one.
	Host string
	// Name is what people call the service on that host, as in "GitHub"; empty:
	// the host.
	Name string
	// Proxy is through which proxy, where there was no answer; empty: none.
	Proxy string
	// Status is the HTTP status, zero where there was no answer.
	Status int
	// Detail is what came back in words, one bounded line. Never a raw body.
	Detail string
	// After is how long the server asked to wait before the next attempt.
	RetryAfter time.Duration
	// Passes marks an answer that passes although its status does not say so.
	Transient bool
	// Final marks an answer that will not pass although its status says so.
	Permanent bool
	// Limit is how many attempts the request is worth; 0: any number.
	MaxAttempts int
	// Support has the ids that the service's support asks for, as one line.
	Support string
	// Err is the cause where there was no answer.
	Err error
	// Advice is what the reader can change.
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

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Retryable implements what [Retryable] asks for.
func (e *Error) Retryable() bool {
	if e.Status == 0 {
		return RetryableTransport(e.Err)
	}
	return !e.Permanent && (e.Transient || RetryableStatus(e.Status))
}

// Wait is how long the server asked to wait.
func (e *Error) Wait() time.Duration { return e.RetryAfter }

// Attempts implements [Limited].
func (e *Error) Attempts() (string, int) { return e.Doing, e.MaxAttempts }

// Service names the service for people.
func (e *Error) Service() string { return cmp.Or(e.Name, e.Host) }

// Hint is what the reader can change.
func (e *Error) Hint() string { return e.Advice }

// NoAnswer makes the error of a request that got none. The URL that net/http
// puts into its errors is left out: a query can hold more than a log should.
func TransportError(doing, host string, err error) *Error {
	e := &Error{Doing: doing, Host: host, Proxy: Proxy(err), Err: err}
	var mismatch bool
	if e.Detail, e.Advice, mismatch = Mismatch(err); mismatch {
		return e
	}
	cause := err
	for in := (*url.Error)(nil); errors.As(cause, &in); {
		cause = in.Err
	}
	e.Detail, e.Advice = explain(cause)
	return e
}

// Proxy is the host of the proxy through which a request went, by the error that
// net/http made of it; empty: none. Its user and password are left out.
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

// Refused makes the error of an answer that was not the one asked for. Where
// it is a redirect, the host that it pointed to is named. The secrets are those
// that the request carried.
func StatusError(doing string, resp *http.Response, detail string, secrets ...secret.Value) *Error {
	e := &Error{
		Doing: doing, Host: resp.Request.URL.Host, Status: resp.StatusCode,
		Detail: sanitize.Line(detail, maxMessage), RetryAfter: RetryAfter(resp.Header, time.Now()),
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

// IsHTML reports whether an answer is a page for people: a sign-in page, a
// proxy's error, never what an API answers.
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

// explain puts a transport error into words.
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
		return err.Error(), "check HTTPS_PROXY, the user and password in it, and what the proxy lets through"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "it took too long", ""
	case errors.Is(err, context.Canceled):
		return "interrupted", ""
	}
	return sanitize.Line(err.Error(), 300), ""
}
