package httpclient

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
)

// errSentOnce is the error of a request that the server gave back after it was
// sent.
var errSentOnce = errors.New("the server gave the request up after it was sent")

// once draws the line between what net/http may send again and what it may not:
// a request of which nothing was sent, and one with a body of which something
// was. net/http's own line lies elsewhere in two cases, both in HTTP/2: it sends
// a request again, whatever it does, that the server resets with a certain
// error; and it fails with a connection that was closed before its first use.
type noReplay struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (o *noReplay) RoundTrip(r *http.Request) (*http.Response, error) {
	var got, begun, http2 atomic.Bool
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { got.Store(true) },
		// Before anything of the request is sent.
		WroteHeaderField: func(name string, _ []string) {
			begun.Store(true)
			http2.Store(strings.HasPrefix(name, ":") || http2.Load())
		},
	})
	first := r.WithContext(ctx)
	body, err := replayableBody(first)
	if err != nil {
		return nil, err
	}
	if body != nil {
		first.GetBody = func() (io.ReadCloser, error) {
			if http2.Load() {
				return nil, errSentOnce
			}
			return body()
		}
	}
	resp, err := o.next.RoundTrip(first)
	if err == nil || !got.Load() || begun.Load() || r.Context().Err() != nil {
		return resp, err
	}
	second := first.WithContext(ctx)
	if body != nil {
		if second.Body, err = body(); err != nil {
			return nil, err
		}
	}
	return o.next.RoundTrip(second)
}

// again returns what gives a request's body once more; nil: it has none. Who
// took GetBody away wants it sent once, and that is seen to here.
func replayableBody(r *http.Request) (func() (io.ReadCloser, error), error) {
	if r.Body == nil || r.Body == http.NoBody || r.GetBody != nil {
		return r.GetBody, nil
	}
	text, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil {
		return nil, err
	}
	body := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
	r.Body, _ = body()
	return body, nil
}

// CloseIdleConnections lets [http.Client.CloseIdleConnections] through.
func (o *noReplay) CloseIdleConnections() { closeIdle(o.next) }
