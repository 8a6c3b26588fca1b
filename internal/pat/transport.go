package pat

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"

	"azdo-pat/internal/httpclient"
)

// errorTransport turns every answer except a 2xx into an [*Error] before net/http and
// the SDK see it. They would follow a redirect, treat a 203 (the sign-in page) as a
// success, and read an HTML page of any size as JSON.
type errorTransport struct {
	next   http.RoundTripper
	client *Client
}

// RoundTrip implements [http.RoundTripper].
func (t *errorTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	next := t.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if s := resp.StatusCode; s >= 200 && s <= 299 && s != http.StatusNonAuthoritativeInfo {
		return resp, nil
	}
	// The status decides. The body only adds details, so a read error is ignored.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if len(body) > maxBody {
		// A truncated body could end with half of a credential, which would not be
		// recognized. This text still shows that Azure DevOps did not write it.
		body = []byte("an answer larger than 1 MiB")
	}
	resp.Body.Close()
	return nil, t.client.statusError(resp, body)
}

// statusError returns the error of an answer that is not a success.
func (c *Client) statusError(resp *http.Response, body []byte) *Error {
	e := &Error{
		Status: resp.StatusCode, RetryAfter: httpclient.RetryAfter(resp.Header),
		noContent: resp.StatusCode == http.StatusNonAuthoritativeInfo && httpclient.NoContent(body),
	}
	var r result
	_ = httpclient.Decode(body, &r) // a field of the wrong type does not hide the others
	token := salvage(r.PatToken, httpclient.Bare(body)).Secret
	a := httpclient.ReadAnswer(resp.Header, body, c.token, token)
	e.Challenge, e.Support, e.foreign = a.Challenge, a.Support, !a.JSON && !a.Empty
	code := a.Code
	e.Message = a.Message
	if r.failed() {
		code = *r.PatTokenError
		if r.PatTokenErrorMessage != "" {
			e.Message = c.redact(r.PatTokenErrorMessage, token.Reveal())
		}
	}
	if to, err := url.Parse(resp.Header.Get("Location")); e.Message == "" && err == nil && to.Host != "" {
		e.Message = c.redact("a redirect to "+to.Host, "")
	}
	e.Code = c.code(code, a.TypeKey, token.Reveal())
	return e
}

// transportError returns the error of a request without a complete answer. It keeps
// only the cause of a [*url.Error], which contains the URL with its query.
func (c *Client) transportError(ctx context.Context, err error) *Error {
	through := ""
	if proxy := httpclient.Proxy(err); proxy != "" {
		through = "no answer through the proxy " + proxy + ": "
	}
	detail, advice, mismatch := httpclient.Mismatch(err)
	for {
		var u *url.Error
		if !errors.As(err, &u) {
			break
		}
		err = u.Err
	}
	if !mismatch {
		detail = httpclient.Plain(err)
	}
	e := &Error{Message: through + c.redact(detail, ""), Err: err, advice: advice}
	// If a context was cancelled with a cause, net/http returns only the cause.
	if done := ctx.Err(); done != nil && !errors.Is(err, done) {
		e.Err = errors.Join(err, done)
	}
	return e
}

// sentTracer returns a context for a request, and a function that reports, given the
// request's error, whether certainly no part of it was sent: there was no
// connection, or it was lost before anything was written.
func sentTracer(ctx context.Context) (context.Context, func(error) bool) {
	var wanted, begun atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { wanted.Store(true) },
		// HTTP/2 does not always call GetConn before.
		GotConn: func(httptrace.GotConnInfo) { wanted.Store(true) },
		// Called before anything is sent.
		WroteHeaderField: func(string, []string) { begun.Store(true) },
		WroteHeaders:     func() { begun.Store(true) },
	})
	return ctx, func(err error) bool {
		// A transport other than net/http's may not call the trace. Then only the
		// error shows it.
		return !begun.Load() && (wanted.Load() || isDial(err))
	}
}

// isDial reports whether err is from opening a connection.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}
