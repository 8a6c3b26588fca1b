package pat

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"

	"azdo-pat/internal/lazyregexp"
	"azdo-pat/internal/wire"
)

// gate turns every answer but a 2xx into an [*Error] before net/http and the
// SDK see it. They would follow a redirect, take a 203 (the sign-in page) for a
// success, and read an HTML page, whatever its size, as JSON.
type gate struct {
	next   http.RoundTripper
	client *Client
}

// RoundTrip implements [http.RoundTripper].
func (g *gate) RoundTrip(req *http.Request) (*http.Response, error) {
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
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	resp.Body.Close()
	return nil, g.client.failure(resp, body)
}

// failure reads an answer that is not a success.
func (c *Client) failure(resp *http.Response, body []byte) *Error {
	e := &Error{Status: resp.StatusCode, RetryAfter: wire.RetryAfter(resp.Header, c.now())}
	body = bare(body)
	var r result
	// A field of the wrong type does not hide the others.
	var mistyped *json.UnmarshalTypeError
	err := c.decode(body, &r)
	isJSON := err == nil || errors.As(err, &mistyped)
	e.foreign = len(body) > 0 && !isJSON
	text, code := "", ""
	switch {
	case isJSON && r.failed():
		text, code = r.PatTokenErrorMessage, *r.PatTokenError
		if text == "" {
			text = r.text()
		}
	case isJSON:
		text = r.text()
	}
	if text == "" {
		text = serviceErrorHeader(resp.Header)
	}
	if text == "" && e.foreign {
		mediaType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
		if text = looksLike(body); mediaType == "text/plain" && !isHTML(body) {
			text = string(body)
		}
	}
	if to, err := url.Parse(resp.Header.Get("Location")); text == "" && err == nil && to.Host != "" {
		text = "a redirect to " + to.Host
	}
	token := salvage(r.PatToken, body).Secret.Reveal()
	e.Message = c.outside(text, token)
	if code == "" {
		code = numbered().FindString(e.Message)
	}
	e.Code = c.code(code, r.TypeKey, token)
	return e
}

// numbered is a numbered error of Azure DevOps, such as "TF400813".
var numbered = lazyregexp.New(`\b(?:TF|VS)[0-9]{5,7}\b`)

// serviceErrorHeader returns the detail that Azure DevOps at times gives in a
// header alone.
func serviceErrorHeader(h http.Header) string {
	text := h.Get("X-TFS-ServiceError")
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

// unanswered makes an error of a request to which there was no answer, or not
// all of it. A [*url.Error] repeats the address with its query, so only its
// cause is kept.
func (c *Client) unanswered(ctx context.Context, err error) *Error {
	through := ""
	if proxy := wire.Proxy(err); proxy != "" {
		through = "no answer through the proxy " + proxy + ": "
	}
	for {
		var u *url.Error
		if !errors.As(err, &u) {
			break
		}
		err = u.Err
	}
	e := &Error{Message: through + c.outside(err.Error(), ""), Err: err}
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
func watch(ctx context.Context) (context.Context, func(error) bool) {
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
