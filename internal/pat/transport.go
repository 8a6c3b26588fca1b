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

// gate turns every answer but a 2xx into an [*Error] before net/http and the
// SDK see it. They would follow a redirect, take a 203 (the sign-in page) for a
// success, and read an HTML page, whatever its size, as JSON.
type errorTransport struct {
	next   http.RoundTripper
	client *Client
}

// RoundTrip implements [http.RoundTripper].
func (g *errorTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	next := g.next
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
	// The status decides; what cannot be read of the body only explains less.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if len(body) > maxBody {
		// Cut off, it could end with half a credential. It is still a body that
		// Azure DevOps does not write.
		body = []byte("an answer larger than 1 MiB")
	}
	resp.Body.Close()
	return nil, g.client.statusError(resp, body)
}

// statusError reads an answer that is not a success.
func (c *Client) statusError(resp *http.Response, body []byte) *Error {
	e := &Error{
		Status: resp.StatusCode, RetryAfter: httpclient.RetryAfter(resp.Header, c.now()),
		noContent: resp.StatusCode == http.StatusNonAuthoritativeInfo && httpclient.NoContent(body),
	}
	var r result
	_ = httpclient.Decode(body, &r) // a field of the wrong type does not hide the others
	token := salvage(r.PatToken, httpclient.Bare(body)).Secret
	a := httpclient.ReadAnswer(resp.Header, body, c.token, token)
	e.Challenge, e.Support, e.foreign = a.Challenge, a.Support, !a.JSON && !a.Empty
	code := a.Code
	if e.Message = a.Message; r.failed() {
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

// transportError makes an error of a request to which there was no answer, or not
// all of it. A [*url.Error] repeats the address with its query, so only its
// cause is kept.
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
		detail = err.Error()
	}
	e := &Error{Message: through + c.redact(detail, ""), Err: err, advice: advice}
	// A context may be cancelled with a cause, which is then all that net/http
	// returns.
	if done := ctx.Err(); done != nil && !errors.Is(err, done) {
		e.Err = errors.Join(err, done)
	}
	return e
}

// watch lets one ask, after a request has failed, whether it is certain that no
// part of it was sent: no connection was got for it, or only ones that died
// before anything could be written to them.
func sentTracer(ctx context.Context) (context.Context, func(error) bool) {
	var wanted, begun atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { wanted.Store(true) },
		// HTTP/2 does not always ask before it has one.
		GotConn: func(httptrace.GotConnInfo) { wanted.Store(true) },
		// Called before anything is on its way.
		WroteHeaderField: func(string, []string) { begun.Store(true) },
		WroteHeaders:     func() { begun.Store(true) },
	})
	return ctx, func(err error) bool {
		// A transport that is not net/http's may not report to a trace: then
		// only the error tells.
		return !begun.Load() && (wanted.Load() || isDial(err))
	}
}

// isDial reports whether err is of opening a connection.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}
