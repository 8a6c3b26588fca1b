package pat

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

// transport is a function as a RoundTripper. Unlike net/http's it does not call the
// httptrace hooks.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func response(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// refusing returns the URL of a port without a listener.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// timesUp is a context whose deadline passes when up is called, so that no test depends
// on the speed of the machine.
type timesUp struct {
	context.Context
	done chan struct{}
}

func (c timesUp) up()                   { close(c.done) }
func (c timesUp) Done() <-chan struct{} { return c.done }

func (c timesUp) Err() error {
	select {
	case <-c.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// Without an answer, Unsent reports whether the request may have arrived.
func TestNoAnswer(t *testing.T) {
	drop := func(w http.ResponseWriter, r *http.Request) {
		io.ReadAll(r.Body)
		panic(http.ErrAbortHandler)
	}
	var clock timesUp // of the test that is running
	hang := func(_ http.ResponseWriter, r *http.Request) {
		io.ReadAll(r.Body)
		clock.up()
		<-r.Context().Done()
	}
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10000")
		io.WriteString(w, created(somePAT))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	short := func(t *testing.T) context.Context {
		clock = timesUp{t.Context(), make(chan struct{})}
		return clock
	}
	var stop context.CancelCauseFunc
	over := func(t *testing.T) context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("SIGTERM"))
		return ctx
	}
	failing := func(err error) func(*testing.T) *Client {
		return func(*testing.T) *Client {
			return New(Options{
				BaseURL: "https://localhost", Organization: "contoso", Token: secret.New(userToken),
				HTTP: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) { return nil, err })},
			})
		}
	}
	server := func(h http.HandlerFunc) func(*testing.T) *Client {
		return func(t *testing.T) *Client { return serve(t, h) }
	}
	secure := func(http2, trusted bool, h http.HandlerFunc) func(*testing.T) *Client {
		return func(t *testing.T) *Client {
			s := httptest.NewUnstartedServer(h)
			s.EnableHTTP2 = http2
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			t.Cleanup(s.Close)
			client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true}}
			if trusted {
				client = s.Client()
			}
			return New(Options{HTTP: client, BaseURL: s.URL, Organization: "contoso"})
		}
	}
	for _, tc := range []struct {
		name    string
		client  func(*testing.T) *Client
		ctx     func(*testing.T) context.Context
		err     string // a part of it
		is      error
		passing bool
		settled bool
		hint    string
		id      string
	}{
		{
			name:   "no listener",
			client: func(t *testing.T) *Client { return New(Options{BaseURL: refusing(t), Organization: "contoso"}) },
			err:    "connection refused", passing: true, settled: true, hint: "HTTPS_PROXY",
		},
		{
			name:   "no listener, by a transport that reports nothing",
			client: failing(&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("refused")}),
			err:    "dial tcp: refused", passing: true, settled: true, hint: "HTTPS_PROXY",
		},
		{
			name: "no proxy",
			client: func(t *testing.T) *Client {
				tr := &http.Transport{Proxy: http.ProxyURL(mustURL(t, refusing(t)))}
				return New(Options{BaseURL: "https://vssps.test", Organization: "contoso", HTTP: &http.Client{Transport: tr}})
			},
			err: "proxyconnect", passing: true, settled: true, hint: "HTTPS_PROXY",
		},
		{
			name:   "no proxy, by a transport that reports nothing",
			client: failing(&net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New("refused")}),
			err:    "proxyconnect tcp: refused", passing: true, settled: true, hint: "HTTPS_PROXY",
		},
		{
			name:   "no such name",
			client: failing(&net.OpError{Op: "dial", Err: &net.DNSError{Name: "vssps.test", Err: "no such host", IsNotFound: true}}),
			err:    "no such host", settled: true, hint: "`token-service-url`",
		},
		{
			name: "no connection in time",
			client: func(*testing.T) *Client {
				tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					clock.up()
					<-ctx.Done()
					return nil, ctx.Err()
				}}
				return New(Options{BaseURL: "http://localhost", Organization: "contoso", HTTP: &http.Client{Transport: tr}})
			},
			ctx: short, err: "it took too long", is: context.DeadlineExceeded, passing: true, settled: true, hint: "HTTPS_PROXY",
		},
		{
			name:   "an untrusted certificate",
			client: secure(true, false, drop),
			err:    "certificate", settled: true, hint: "`ca-file`",
		},
		{
			name: "a connection that died before its use",
			client: func(*testing.T) *Client {
				return New(Options{BaseURL: "https://localhost", Organization: "contoso", HTTP: &http.Client{
					Transport: transport(func(r *http.Request) (*http.Response, error) {
						httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{})
						return nil, io.ErrUnexpectedEOF
					}),
				}})
			},
			err: "unexpected EOF", passing: true, settled: true, hint: "HTTPS_PROXY",
		},
		{name: "HTTP/1 connection dropped", client: server(drop), err: "EOF", is: io.EOF, passing: true},
		{name: "HTTPS connection dropped", client: secure(false, true, drop), err: "EOF", passing: true},
		{name: "HTTP/2 stream dropped", client: secure(true, true, drop), err: "stream error", passing: true},
		{name: "no answer in time", client: server(hang), ctx: short, err: "it took too long", is: context.DeadlineExceeded, passing: true},
		{name: "no answer in time, HTTP/2", client: secure(true, true, hang), ctx: short, err: "it took too long", is: context.DeadlineExceeded, passing: true},
		{
			name: "no answer in the client's time",
			client: func(*testing.T) *Client {
				return New(Options{BaseURL: "http://localhost", Organization: "contoso", HTTP: &http.Client{
					Timeout: 1, // nanosecond
					Transport: transport(func(r *http.Request) (*http.Response, error) {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}),
				}})
			},
			is: context.DeadlineExceeded, passing: true, // with one of two texts
		},
		{name: "half an answer", client: server(cut), err: "status 200: the connection was closed before the answer was complete (unexpected EOF)", is: io.ErrUnexpectedEOF, passing: true, id: someID},
		{name: "told to stop before", client: server(drop), ctx: over, err: "SIGTERM", is: context.Canceled, settled: true},
		{
			name: "told to stop meanwhile, with a cause",
			client: func(t *testing.T) *Client {
				return serve(t, func(_ http.ResponseWriter, r *http.Request) {
					io.ReadAll(r.Body)
					stop(errors.New("SIGTERM"))
					<-r.Context().Done()
				})
			},
			ctx: func(t *testing.T) (ctx context.Context) {
				ctx, stop = context.WithCancelCause(t.Context())
				return ctx
			},
			err: "SIGTERM", is: context.Canceled,
		},
		{
			name:   "an error that holds the credential",
			client: failing(errors.New("malformed\r\nheader \"Bearer " + userToken + "\"")),
			err:    `localhost: malformed header "Bearer ***"`, passing: true,
		},
		{
			name: "an answer too large for the client",
			client: func(*testing.T) *Client {
				return New(Options{BaseURL: "https://localhost", Organization: "contoso", HTTP: &http.Client{
					Transport: transport(func(*http.Request) (*http.Response, error) {
						r := response(200, "")
						r.Body = io.NopCloser(io.MultiReader(strings.NewReader(created(somePAT)), failingReader{httpclient.ErrTooLarge}))
						return r, nil
					}),
				}})
			},
			err: "larger than 1 MiB", hint: "proxy", id: someID,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx := t.Context()
			if tc.ctx != nil {
				ctx = tc.ctx(t)
			}
			token, err := tc.client(t).Create(ctx, Create{DisplayName: "nightly", Scopes: []string{"vso.code"}})
			e := asError(t, err)
			if !strings.Contains(e.Error(), tc.err) || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("error %v (%#v), want %q, %v", e, e.Err, tc.err, tc.is)
			}
			if strings.Contains(e.Error(), "api-version") || strings.Contains(e.Error(), userToken) {
				t.Errorf("error %v", e)
			}
			if e.Retryable() != tc.passing || e.Settled() != tc.settled {
				t.Errorf("passing %v, settled %v, want %v, %v: %v", e.Retryable(), e.Settled(), tc.passing, tc.settled, e)
			}
			if got := e.Hint(); (got == "") != (tc.hint == "") || !strings.Contains(got, tc.hint) {
				t.Errorf("hint %q, want %q", got, tc.hint)
			}
			if token.ID != tc.id {
				t.Errorf("token %q, want %q", token.ID, tc.id)
			}
		})
	}
}

// An endless answer is not read completely.
func TestEndlessAnswers(t *testing.T) {
	for _, status := range []int{200, 203, 404} {
		body := &endless{}
		c := New(Options{BaseURL: "https://localhost", Organization: "contoso", HTTP: &http.Client{
			Transport: transport(func(*http.Request) (*http.Response, error) {
				r := response(status, "")
				r.Body = io.NopCloser(body)
				return r, nil
			}),
		}})
		if _, err := c.Get(t.Context(), someID); asError(t, err).Status != status || body.read > maxBody+1 {
			t.Errorf("%d: %d bytes were read: %v", status, body.read, err)
		}
	}
}

type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	if e.read > 10*maxBody {
		return 0, io.EOF
	}
	e.read += len(p)
	return len(p), nil
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }
