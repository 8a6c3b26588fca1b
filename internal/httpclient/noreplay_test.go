package httpclient

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// The codes with which a server resets a stream (RFC 9113, section 7).
const (
	protocolError = 1
	internalError = 2
	refusedStream = 7
)

// resets answers each complete HTTP/2 request with RST_STREAM.
func resets(c net.Conn, code uint32, got *atomic.Int32) {
	preface := make([]byte, 24)
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	frame := func(kind byte, stream uint32, payload []byte) {
		b := append([]byte{0, 0, byte(len(payload)), kind, 0}, binary.BigEndian.AppendUint32(nil, stream)...)
		c.Write(append(b, payload...))
	}
	frame(4, 0, nil) // SETTINGS
	for {
		header := make([]byte, 9)
		if _, err := io.ReadFull(c, header); err != nil {
			return
		}
		size := int64(header[0])<<16 | int64(header[1])<<8 | int64(header[2])
		io.CopyN(io.Discard, c, size)
		if kind, flags := header[3], header[4]; kind <= 1 && flags&1 != 0 { // DATA or HEADERS, END_STREAM
			got.Add(1)
			frame(3, binary.BigEndian.Uint32(header[5:]), binary.BigEndian.AppendUint32(nil, code))
		}
	}
}

// A request with a body is sent once, whatever the server answers. net/http would send
// it again after some of these codes, and a create would make two PATs.
func TestRequestIsSentOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		code uint32
		says string
	}{
		"a protocol error": {protocolError, "the server gave the request up after it was sent"},
		"refused":          {refusedStream, "the server gave the request up after it was sent"},
		"its own error":    {internalError, "stream error: stream ID 1; INTERNAL_ERROR; received from peer"},
	} {
		n := newNetwork(t)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var got atomic.Int32
				n.listen(patHost+":443", func(c net.Conn) { resets(n.tls(c, "h2"), tc.code, &got) })
				c, shut := n.client()
				defer shut()
				for range 2 { // the first request of a connection, and a later one
					got.Store(0)
					e := TransportError("ask", patHost, ask(c, http.MethodPost, "https://"+patHost))
					if got.Load() != 1 {
						t.Errorf("sent %d times", got.Load())
					}
					if said := strings.ReplaceAll(e.Detail, "ID 3", "ID 1"); said != tc.says || !e.Retryable() {
						t.Errorf("said %q, passing %t", said, e.Retryable())
					}
				}
			})
		})
	}
}

// A request of which nothing was sent is sent on another connection, once, unless its
// context has ended.
func TestUnsentRequest(t *testing.T) {
	t.Parallel()
	lost := errors.New("the connection was closed before its use")
	for _, tc := range []struct {
		name     string
		body     bool
		replay   bool // the caller lets it be sent again
		got      bool // a connection
		begun    bool // to write the request
		stopped  bool
		attempts int
	}{
		{"with a body", true, true, true, false, false, 2},
		{"without a body", false, false, true, false, false, 2},
		{"with a body that net/http would not send again", true, false, true, false, false, 2},
		{"begun", true, true, true, true, false, 1},
		{"no connection", true, true, false, false, false, 1},
		{"cancelled", true, true, true, false, true, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			attempts := 0
			o := &noReplay{roundTripper(func(r *http.Request) (*http.Response, error) {
				attempts++
				if tc.body {
					if b, err := io.ReadAll(r.Body); err != nil || string(b) != "the body" {
						t.Errorf("attempt %d: body %q, %v", attempts, b, err)
					}
					r.Body.Close()
				}
				trace := httptrace.ContextClientTrace(r.Context())
				if tc.got {
					trace.GotConn(httptrace.GotConnInfo{})
				}
				if tc.begun {
					trace.WroteHeaderField("Host", nil)
				}
				if tc.stopped {
					cancel()
				}
				return nil, fmt.Errorf("attempt %d: %w", attempts, lost)
			})}
			var body io.Reader
			if tc.body {
				body = strings.NewReader("the body")
			}
			r := must(http.NewRequestWithContext(ctx, http.MethodPost, "https://host.test", body))
			if !tc.replay {
				r.GetBody = nil
			}
			_, err := o.RoundTrip(r)
			if !errors.Is(err, lost) || attempts != tc.attempts {
				t.Errorf("%d attempts, error %v; want %d", attempts, err, tc.attempts)
			}
		})
	}
}

// There is no third attempt.
func TestSecondAttemptIsSentOnce(t *testing.T) {
	t.Parallel()
	attempts := 0
	o := &noReplay{roundTripper(func(r *http.Request) (*http.Response, error) {
		trace := httptrace.ContextClientTrace(r.Context())
		trace.GotConn(httptrace.GotConnInfo{})
		if attempts++; attempts == 2 {
			trace.WroteHeaderField(":authority", nil)
		}
		_, err := r.GetBody()
		if wrote := attempts == 2; wrote != errors.Is(err, errSentOnce) {
			t.Errorf("attempt %d: %v", attempts, err)
		}
		return nil, io.ErrUnexpectedEOF
	})}
	_, _ = o.RoundTrip(must(http.NewRequest(http.MethodPost, "https://host.test", strings.NewReader("the body"))))
	if attempts != 2 {
		t.Errorf("%d attempts", attempts)
	}
}

// An error of GetBody is returned.
func TestRequestWhoseBodyIsLost(t *testing.T) {
	t.Parallel()
	lost := errors.New("the body is lost")
	o := &noReplay{roundTripper(func(r *http.Request) (*http.Response, error) {
		httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{})
		return nil, io.ErrUnexpectedEOF
	})}
	r := must(http.NewRequest(http.MethodPost, "https://host.test", strings.NewReader("the body")))
	r.GetBody = func() (io.ReadCloser, error) { return nil, lost }
	if _, err := o.RoundTrip(r); !errors.Is(err, lost) {
		t.Errorf("error %v", err)
	}
	r = must(http.NewRequest(http.MethodPost, "https://host.test", io.MultiReader(strings.NewReader("half"), failing{lost})))
	if _, err := o.RoundTrip(r); !errors.Is(err, lost) {
		t.Errorf("error %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A dead connection is closed, so that the next attempt uses another one. HTTP/2 would
// use it for all requests.
func TestDeadConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		n := newNetwork(t)
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var served atomic.Int32
				s := n.http(patHost+port(protocol), protocol, echo(&served))
				c, shut := n.client()
				defer shut()
				to := scheme(protocol) + patHost
				if err := ask(c, http.MethodPost, to); err != nil {
					t.Fatal(err)
				}
				n.lose(s)
				e := TransportError("ask", patHost, ask(c, http.MethodPost, to))
				if !e.Retryable() {
					t.Errorf("error %v", e)
				}
				if err := ask(c, http.MethodPost, to); err != nil {
					t.Errorf("the next attempt: %v", err)
				}
				if s.dials.Load() != 2 || served.Load() != 2 {
					t.Errorf("%d connections, %d requests", s.dials.Load(), served.Load())
				}
			})
		})
	}
}
