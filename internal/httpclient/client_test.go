package httpclient

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A credential is never sent to another host.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(elsewhere.Close) // after the parallel tests
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []struct{ name, location, detail string }{
			{"another host", elsewhere.URL + "/sign-in?secret=query", "a redirect to " + elsewhere.Listener.Addr().String() + ", which is not followed with a credential"},
			{"the same host", "/again?secret=query", "a redirect to HOST, which is not followed with a credential"},
			{"another scheme", "file:///etc/passwd?secret=query", "a redirect, which is not followed with a credential"},
			{"nowhere", "", "a redirect, which is not followed with a credential"},
			// net/http returns an error that contains it. This was mistaken for no
			// answer and retried.
			{"gibberish", "http://[::1/?secret=query", "a redirect, which is not followed with a credential"},
			{"a name that is an escape", "http://%zz/?secret=query", "a redirect, which is not followed with a credential"},
		} {
			t.Run(fmt.Sprintf("%d to %s", status, to.name), func(t *testing.T) {
				t.Parallel()
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/" {
						reached.Add(1)
					}
					if to.location != "" {
						w.Header().Set("Location", to.location)
					}
					w.WriteHeader(status)
				}))
				defer server.Close()
				client := newClient(t, "")
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					req := must(http.NewRequest(method, server.URL+"/", strings.NewReader("password=hunter2")))
					req.Header.Set("Authorization", "Bearer the-credential")
					resp, err := client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					resp.Body.Close()
					if resp.StatusCode != status {
						t.Errorf("status %d, want %d", resp.StatusCode, status)
					}
					e := StatusError("ask", resp, "what it said")
					if want := strings.ReplaceAll(to.detail, "HOST", server.Listener.Addr().String()); e.Detail != want {
						t.Errorf("detail %q, want %q", e.Detail, want)
					}
					if e.Retryable() || !strings.Contains(e.Hint(), "check the host") {
						t.Errorf("passing %t, hint %q", e.Retryable(), e.Hint())
					}
				}
			})
		}
	}
	t.Cleanup(func() {
		if n := reached.Load(); n > 0 {
			t.Errorf("%d requests went where a redirect led", n)
		}
	})
}

func TestBodyIsBounded(t *testing.T) {
	t.Parallel()
	const most = 4 << 20
	for _, tc := range []struct {
		name    string
		size    int // negative: without end
		chunked bool
		err     error
	}{
		{"nothing", 0, false, nil},
		{"small", 1 << 10, false, nil},
		{"just fits", most, false, nil},
		{"just fits, in chunks", most, true, nil},
		{"a byte too many", most + 1, false, ErrTooLarge},
		{"a byte too many, in chunks", most + 1, true, ErrTooLarge},
		{"without end", -1, true, ErrTooLarge},
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %t", tc.name, http2), func(t *testing.T) {
				t.Parallel()
				block := make([]byte, 64<<10)
				server, root := secure(t, http2, func(w http.ResponseWriter, r *http.Request) {
					if !tc.chunked {
						w.Header().Set("Content-Length", fmt.Sprint(tc.size))
					}
					for left := tc.size; left != 0; {
						n, err := w.Write(block[:min(uint(left), uint(len(block)))])
						if err != nil {
							return
						}
						if left -= n; tc.size < 0 {
							left = -1
						}
					}
				})
				resp, err := newClient(t, root).Get(server.URL)
				if err != nil {
					t.Fatal(err)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				if !errors.Is(err, tc.err) {
					t.Errorf("error %v, want %v", err, tc.err)
				}
				if want := int64(min(uint(tc.size), most)); n != want {
					t.Errorf("%d bytes, want %d", n, want)
				}
				if err != nil {
					if _, again := resp.Body.Read(make([]byte, 1)); !errors.Is(again, tc.err) {
						t.Errorf("then %v, want %v", again, tc.err)
					}
					if TransportError("ask", "host", err).Retryable() {
						t.Error("asked again, which will not help")
					}
				}
				if err := resp.Body.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A reader may return no bytes without an error.
func TestBodyThatHesitatesAtTheBound(t *testing.T) {
	t.Parallel()
	l := &limitedBody{http.MaxBytesReader(nil, io.NopCloser(&hesitant{text: "abcd"}), 4), func() {}}
	if b, err := io.ReadAll(l); err != nil || string(b) != "abcd" {
		t.Errorf("read %q, %v", b, err)
	}
}

type hesitant struct {
	text string
	read bool
}

func (h *hesitant) Read(p []byte) (int, error) {
	if h.read = !h.read; h.read {
		return 0, nil
	}
	if h.text == "" {
		return 0, io.EOF
	}
	n := copy(p, h.text)
	h.text = h.text[n:]
	return n, nil
}

func TestHeaderIsBounded(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		for size, ok := range map[int]bool{maxHeaderBytes / 2: true, maxHeaderBytes + 1024: false} {
			t.Run(fmt.Sprintf("%d bytes, HTTP/2 %t", size, http2), func(t *testing.T) {
				t.Parallel()
				server, root := secure(t, http2, func(w http.ResponseWriter, r *http.Request) {
					for i := range size / 1024 {
						w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1024))
					}
				})
				resp, err := newClient(t, root).Get(server.URL)
				if err == nil {
					resp.Body.Close()
				}
				if (err == nil) != ok {
					t.Errorf("error %v", err)
				}
			})
		}
	}
}

// A small answer must not be decompressed to a large one.
func TestNothingIsUnpacked(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header["Accept-Encoding"]; got != nil {
			t.Errorf("Accept-Encoding: %v", got)
		}
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, "\x1f\x8b packed")
	}))
	defer server.Close()
	resp, err := newClient(t, "").Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "\x1f\x8b packed" {
		t.Errorf("body %q, %v", body, err)
	}
}

// One connection is used for many requests, whatever their answers are.
func TestConnectionIsReused(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %t", http2), func(t *testing.T) {
			t.Parallel()
			var opened, asked atomic.Int32
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				status := []int{200, 401, 302, 500, 204}[asked.Add(1)%5]
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
				if status != 204 {
					io.WriteString(w, strings.Repeat("x", 1000))
				}
			}))
			server.EnableHTTP2 = http2
			server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					opened.Add(1)
				}
			}
			server.StartTLS()
			defer server.Close()
			client := newClient(t, write(t, pemOf(server.Certificate())))
			for range 10 {
				resp, err := client.Post(server.URL, "text/plain", strings.NewReader("body"))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			if n := opened.Load(); n != 1 {
				t.Errorf("%d connections for 10 requests", n)
			}
		})
	}
}

// CloseIdleConnections of the client closes the connections of its transports.
func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	var idle idleCloser
	(&http.Client{Transport: &bounded{next: &noReplay{&idle}}}).CloseIdleConnections()
	if !idle {
		t.Error("not closed")
	}
	(&http.Client{Transport: &bounded{next: roundTripper(nil)}}).CloseIdleConnections() // which has none
}

type idleCloser bool

func (c *idleCloser) CloseIdleConnections() { *c = true }

func (*idleCloser) RoundTrip(*http.Request) (*http.Response, error) { return nil, io.EOF }

// overPipe returns a client whose connections stay inside the process, so that the
// bubble's time passes while they wait.
func overPipe(t *testing.T, serve func(net.Conn)) *http.Client {
	t.Helper()
	var served sync.WaitGroup
	t.Cleanup(served.Wait)
	c, err := NewClient(Options{Dial: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		served.Go(func() {
			defer there.Close()
			serve(there)
		})
		return here, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func TestRequestTimeout(t *testing.T) {
	t.Parallel()
	const most = 40 * time.Second // more than Azure DevOps holds a request back
	// drip writes a byte a second until the reader closes the connection.
	drip := func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
	request := func(c net.Conn) { must(http.ReadRequest(bufio.NewReader(c))) }
	silent := func(c net.Conn) { io.Copy(io.Discard, c) }
	for _, tc := range []struct {
		name  string
		url   string
		serve func(net.Conn)
		bound time.Duration // of the caller's own
		after time.Duration
		err   error
	}{
		{"no answer", "http://host.test", silent, 0, most, context.DeadlineExceeded},
		{"a header without end", "http://host.test", func(c net.Conn) {
			request(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Slow: ")
			drip(c)
		}, 0, most, context.DeadlineExceeded},
		{"a body without end", "http://host.test", func(c net.Conn) {
			request(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
			drip(c)
		}, 0, most, context.DeadlineExceeded},
		{"a body that stops", "http://host.test", func(c net.Conn) {
			request(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")
			silent(c)
		}, 0, most, context.DeadlineExceeded},
		{"interim answers without end", "http://host.test", func(c net.Conn) {
			request(c)
			for {
				if _, err := io.WriteString(c, "HTTP/1.1 102 Processing\r\n\r\n"); err != nil {
					return
				}
				time.Sleep(4 * time.Second)
			}
		}, 0, most, context.DeadlineExceeded},
		{"no handshake", "https://host.test", silent, 0, dialTimeout, nil},
		// No deadline would apply to what follows it.
		{"an answer that leaves HTTP", "http://host.test", func(c net.Conn) {
			request(c)
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			silent(c)
		}, 0, 0, errSwitchingProtocols},
		{"the caller has less time", "http://host.test", silent, 3 * time.Second, 3 * time.Second, context.DeadlineExceeded},
		{"slow, but in time", "http://host.test", func(c net.Conn) {
			request(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\n")
			for range 35 {
				time.Sleep(time.Second)
				io.WriteString(c, "x")
			}
		}, 0, 35 * time.Second, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tc.bound > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.bound)
					defer cancel()
				}
				begin := time.Now()
				resp, err := overPipe(t, tc.serve).Do(must(http.NewRequestWithContext(ctx, http.MethodGet, tc.url+"/?secret=query", nil)))
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				if took := time.Since(begin); took != tc.after {
					t.Errorf("took %s, want %s", took, tc.after)
				}
				if tc.name == "slow, but in time" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if err == nil || tc.err != nil && !errors.Is(err, tc.err) {
					t.Fatalf("error %v, want %v", err, tc.err)
				}
				e := TransportError("ask", "host.test", err)
				if e.Retryable() == (tc.err == errSwitchingProtocols) || strings.Contains(e.Error(), "secret") {
					t.Errorf("error %q, passing %t", e, e.Retryable())
				}
				want := "it took too long"
				if tc.err == errSwitchingProtocols {
					want = errSwitchingProtocols.Error()
				}
				if tc.err != nil && e.Error() != "ask: no answer from host.test: "+want {
					t.Errorf("error %q", e)
				}
			})
		})
	}
}

// The timer of a request stops when its answer is closed, or if there is no answer.
func TestRequestClockIsStopped(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]error{"answered": nil, "not answered": io.ErrUnexpectedEOF} {
		var inner context.Context
		b := &bounded{next: roundTripper(func(r *http.Request) (*http.Response, error) {
			inner = r.Context()
			return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, fails
		})}
		resp, err := b.RoundTrip(httptest.NewRequest("GET", "http://host.test", nil))
		if !errors.Is(err, fails) {
			t.Fatal(err)
		}
		if err == nil {
			if inner.Err() != nil {
				t.Errorf("%s: stopped before the body was read", name)
			}
			resp.Body.Close()
		}
		if inner.Err() == nil {
			t.Errorf("%s: it runs on", name)
		}
	}
}

// The error of a cancelled request contains the cause.
func TestRequestInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		signal := errors.New("stopped by a signal")
		time.AfterFunc(time.Second, func() { cancel(signal) })
		_, err := overPipe(t, func(c net.Conn) { io.Copy(io.Discard, c) }).Do(must(http.NewRequestWithContext(ctx, http.MethodGet, "http://host.test", nil)))
		if e := TransportError("ask", "host.test", err); !errors.Is(e, signal) || e.Error() != "ask: no answer from host.test: stopped by a signal" {
			t.Errorf("error %v", e)
		}
	})
}
