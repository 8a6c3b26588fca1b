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

// errSentOnce stops net/http from sending a request a second time.
var errSentOnce = errors.New("the server gave the request up after it was sent")

// noReplay sends a request again only if no part of it was sent. A create that is
// sent twice could make two PATs.
//
// net/http differs in two cases, both over HTTP/2: it repeats a request that the
// server resets with REFUSED_STREAM or a GOAWAY, even a POST; and it does not
// repeat a request whose connection was closed before its first use.
type noReplay struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (o *noReplay) RoundTrip(r *http.Request) (*http.Response, error) {
	var got, begun, http2 atomic.Bool
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { got.Store(true) },
		// Called before any part of the request is sent.
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
		second.Body, err = body()
		if err != nil {
			return nil, err
		}
	}
	return o.next.RoundTrip(second)
}

// replayableBody returns a function that returns the request's body anew, or nil
// if the request has none. A body without GetBody is read into memory.
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

// CloseIdleConnections implements the interface of [http.Client.CloseIdleConnections].
func (o *noReplay) CloseIdleConnections() { closeIdle(o.next) }
