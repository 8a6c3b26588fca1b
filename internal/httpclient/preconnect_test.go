package httpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The hosts of a mint.
const (
	ciHost   = "ci.example.com"
	authHost = "login.example.com"
	patHost  = "pats.example.com"
)

var protocols = []string{"http", "http/1.1", "h2"}

// port returns the port of a protocol.
func port(protocol string) string {
	if protocol == "http" {
		return ":80"
	}
	return ":443"
}

func scheme(protocol string) string {
	if protocol == "http" {
		return "http://"
	}
	return "https://"
}

// ask sends a request and checks the answer of echo.
func ask(c *http.Client, method, url string) error {
	return askWith(context.Background(), c, method, url)
}

func askWith(ctx context.Context, c *http.Client, method, url string) error {
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("the body")
	}
	resp, err := c.Do(must(http.NewRequestWithContext(ctx, method, url, body)))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if want := method + " the body"; err == nil && body != nil && string(got) != want {
		err = fmt.Errorf("answered %q, want %q", got, want)
	}
	return err
}

// echo answers with the method and the body, and counts the requests.
func echo(served *atomic.Int32) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.Method, body)
	}
}

// A mint takes the first handshake and one round trip for each request. The other
// handshakes take place at the same time. No connection is opened twice.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	for _, identity := range []struct {
		name     string
		requests []string // after the first
		trips    int
	}{
		{"agent user", []string{authHost, authHost, authHost, patHost}, 3 + 4},
		{"refresh token, password", []string{authHost, patHost}, 3 + 2},
		{"revoke and look", []string{authHost, patHost, patHost}, 3 + 3},
	} {
		for _, protocol := range protocols {
			for proxy, more := range map[string]int{"": 0, "http": 1, "https": 2} { // CONNECT, and TLS to the proxy
				if proxy != "" && protocol == "http" {
					continue // which is for this machine alone
				}
				n := newNetwork(t)
				t.Run(fmt.Sprintf("%s, %s, proxy %q", identity.name, protocol, proxy), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						var served atomic.Int32
						for _, name := range []string{ciHost, authHost, patHost} {
							n.http(name+port(protocol), protocol, echo(&served))
						}
						c, shut := n.client()
						defer shut()
						if proxy != "" {
							n.proxy(c, proxy, http.StatusOK)
						}
						begin := time.Now()
						at := scheme(protocol)
						Preconnect(c, at+authHost, at+patHost+"/organization")
						if err := ask(c, http.MethodGet, at+ciHost); err != nil {
							t.Fatal(err)
						}
						for _, name := range identity.requests {
							if err := ask(c, http.MethodPost, at+name); err != nil {
								t.Fatal(err)
							}
						}
						trips := identity.trips + more
						if protocol == "http" {
							trips-- // no TLS
						}
						if took := time.Since(begin); took != time.Duration(trips)*n.rtt {
							t.Errorf("took %.2f round trips, want %d", float64(took)/float64(n.rtt), trips)
						}
						if want := 1 + len(identity.requests); int(served.Load()) != want {
							t.Errorf("%d requests arrived, want %d", served.Load(), want)
						}
						n.opened(t, 1, 1, 1)
					})
				})
			}
		}
	}
}

// opened checks how many connections were made to each host.
func (n *network) opened(t *testing.T, ci, auth, pats int) {
	t.Helper()
	for name, want := range map[string]int{ciHost: ci, authHost: auth, patHost: pats} {
		got := int32(0)
		for addr, s := range n.servers {
			if strings.HasPrefix(addr, name+":") {
				got += s.dials.Load()
			}
		}
		if got != int32(want) {
			t.Errorf("%d connections to %s, want %d", got, name, want)
		}
	}
}

// proxy adds a proxy that requires a password and answers CONNECT with that status.
func (n *network) proxy(c *http.Client, scheme string, status int) *server {
	at := &url.URL{Scheme: scheme, Host: "proxy.example.com:3128", User: url.UserPassword("user", "pass-word")}
	inside(c).Proxy = http.ProxyURL(at)
	front := &proxyServer{status: status, dial: func(addr string) (net.Conn, error) {
		return n.dialOver(context.Background(), addr, 0) // it is near the servers
	}}
	protocol := map[string]string{"http": "http", "https": "http/1.1"}[scheme]
	return n.http(at.Host, protocol, func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := basicAuth(r.Header.Get("Proxy-Authorization")); user != "user" || password != "pass-word" {
			n.t.Errorf("the proxy was told %q, %q", user, password)
		}
		front.ServeHTTP(w, r)
	})
}

// The first request, whenever it is sent, uses the early connection, on which nothing
// was sent before.
func TestEarlyConnectionIsUsed(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		for late := range 6 {
			name := []string{patHost, "[::1]"}[late%2]
			n := newNetwork(t)
			t.Run(fmt.Sprintf("%s, %s, %d halves of a round trip later", protocol, name, late), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var served atomic.Int32
					s := n.http(name+port(protocol), protocol, echo(&served))
					c, shut := n.client()
					defer shut()
					to := scheme(protocol) + name
					Preconnect(c, to, to+"/again", to+port(protocol))
					Preconnect(c, to)
					time.Sleep(time.Duration(late)*n.rtt/2 + 1)
					if served.Load() != 0 {
						t.Error("the early connection sent a request")
					}
					for range 3 {
						if err := ask(c, http.MethodPost, to); err != nil {
							t.Fatal(err)
						}
					}
					if s.dials.Load() != 1 || served.Load() != 3 {
						t.Errorf("%d connections, %d requests", s.dials.Load(), served.Load())
					}
				})
			})
		}
	}
}

// Concurrent requests do not wait for each other over HTTP/1.1 where ConnsPerHost
// allows as many connections, and share the connection over HTTP/2.
func TestConcurrentRequestsAfterPreconnect(t *testing.T) {
	t.Parallel()
	for protocol, conns := range map[string]int32{"http": 10, "http/1.1": 10, "h2": 1} {
		n := newNetwork(t)
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := n.http(patHost+port(protocol), protocol, func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					time.Sleep(10 * n.rtt)
				})
				c, shut := n.client()
				defer shut()
				inside(c).MaxConnsPerHost = int(conns)
				Preconnect(c, scheme(protocol)+patHost)
				begin := time.Now()
				var all sync.WaitGroup
				for range 10 {
					all.Go(func() {
						if err := ask(c, http.MethodGet, scheme(protocol)+patHost); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				if took := time.Since(begin); took >= 20*n.rtt {
					t.Errorf("one waited for another: %s", took)
				}
				if s.dials.Load() != conns {
					t.Errorf("%d connections, want %d", s.dials.Load(), conns)
				}
			})
		})
	}
}

// No connection is opened for an invalid URL or a host that was requested before.
func TestNothingToPreconnect(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	synctest.Test(t, func(t *testing.T) {
		var served atomic.Int32
		s := n.http(patHost+":443", "h2", echo(&served))
		c, shut := n.client()
		defer shut()
		Preconnect(c)
		Preconnect(c, "://", "https://\x00")
		Preconnect(&http.Client{}, "https://"+patHost)
		synctest.Wait()
		if s.dials.Load() != 0 {
			t.Errorf("%d connections", s.dials.Load())
		}
		// The host was requested before.
		if err := ask(c, http.MethodPost, "https://"+patHost); err != nil {
			t.Fatal(err)
		}
		Preconnect(c, "https://"+patHost)
		time.Sleep(n.rtt)
		if s.dials.Load() != 1 || served.Load() != 1 {
			t.Errorf("%d connections, %d requests", s.dials.Load(), served.Load())
		}
	})
}

// Requests through wrapped transports use the early connection.
func TestPreconnectWithWrappers(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	synctest.Test(t, func(t *testing.T) {
		s := n.http(patHost+":80", "http", echo(new(atomic.Int32)))
		c, shut := n.client()
		defer shut()
		wrapped := &http.Client{Transport: &Paced{&Clock{Next: &Traced{c.Transport, t.Logf}}, &Pacer{}, nil}}
		Preconnect(c, "http://"+patHost)
		time.Sleep(n.rtt)
		begin := time.Now()
		if err := ask(wrapped, http.MethodPost, "http://"+patHost); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != n.rtt || s.dials.Load() != 1 {
			t.Errorf("%d connections, the request took %s", s.dials.Load(), took)
		}
	})
}

// If the server closed the early connection before its use, in whatever way, the
// request is sent once on another one.
func TestEarlyConnectionIsClosedBeforeItsUse(t *testing.T) {
	t.Parallel()
	settings := []byte{0, 0, 0, 4, 0, 0, 0, 0, 0}
	goAway := []byte{0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	for _, tc := range []struct {
		name     string
		protocol string
		first    func(n *network, c net.Conn) // what the first connection gets
		after    time.Duration                // when it is closed
	}{
		{"at once", "http", func(*network, net.Conn) {}, 0},
		{"a 408 and no more", "http", func(_ *network, c net.Conn) {
			io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		}, 0},
		{"after the handshake", "http/1.1", func(n *network, c net.Conn) { n.tls(c, "http/1.1").Handshake() }, 0},
		{"after the handshake", "h2", func(n *network, c net.Conn) { n.tls(c, "h2").Handshake() }, 0},
		{"with close_notify", "h2", func(n *network, c net.Conn) {
			s := n.tls(c, "h2")
			s.Handshake()
			s.Close()
		}, 0},
		{"after the settings", "h2", func(n *network, c net.Conn) { n.tls(c, "h2").Write(settings) }, 0},
		{"a second later", "h2", func(n *network, c net.Conn) {
			n.tls(c, "h2").Write(settings)
			time.Sleep(time.Second)
		}, time.Second},
		{"long after", "h2", func(n *network, c net.Conn) {
			n.tls(c, "h2").Write(settings)
			time.Sleep(9 * time.Second)
		}, 9 * time.Second},
		{"with GOAWAY", "h2", func(n *network, c net.Conn) { n.tls(c, "h2").Write(slices.Concat(settings, goAway)) }, 0},
		{"with GOAWAY, and not yet closed", "h2", func(n *network, c net.Conn) {
			s := n.tls(c, "h2")
			s.Write(slices.Concat(settings, goAway))
			io.Copy(io.Discard, s)
		}, 0},
	} {
		for i, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodPost} {
			// net/http closes an HTTP/2 connection that was not used for 5 seconds.
			late := tc.after + time.Second + time.Duration(i)*2*time.Second
			n := newNetwork(t)
			t.Run(fmt.Sprintf("%s, %s, %s %s later", tc.protocol, tc.name, method, late), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var served atomic.Int32
					addr := patHost + port(tc.protocol)
					second := n.http(addr, tc.protocol, echo(&served))
					n.listen(addr, func(c net.Conn) {
						if n.servers[addr].dials.Load() > 1 {
							second.conns <- c
							<-second.done
							return
						}
						tc.first(n, c)
					})
					c, shut := n.client()
					defer func() {
						close(second.done)
						shut()
					}()
					Preconnect(c, scheme(tc.protocol)+patHost)
					time.Sleep(late)
					begin := time.Now()
					if err := ask(c, method, scheme(tc.protocol)+patHost); err != nil {
						t.Fatal(err)
					}
					if took := time.Since(begin); took > 3*n.rtt {
						t.Errorf("took %.2f round trips", float64(took)/float64(n.rtt))
					}
					if dials := n.servers[addr].dials.Load(); dials != 2 || served.Load() != 1 {
						t.Errorf("%d connections, %d requests", dials, served.Load())
					}
				})
			})
		}
	}
}

// Even if dialling takes no time, Preconnect sends nothing.
func TestPreconnectSendsNothing(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			n.rtt, n.servers, n.closed = 0, map[string]*server{}, false
			var served atomic.Int32
			s := n.http(patHost+":80", "http", echo(&served))
			c, shut := n.client()
			defer shut()
			Preconnect(c, "http://"+patHost)
			synctest.Wait()
			if served.Load() != 0 {
				t.Error("something was sent")
			}
			if err := ask(c, http.MethodPost, "http://"+patHost); err != nil {
				t.Fatal(err)
			}
			if s.dials.Load() != 1 {
				t.Fatalf("%d connections", s.dials.Load())
			}
		})
	}
}

// Preconnect sends nothing on a connection that another request has opened.
func TestPreconnectSendsNothingOnAnOpenConnection(t *testing.T) {
	t.Parallel()
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				var served atomic.Int32
				n.http(patHost+port(protocol), protocol, echo(&served))
				c, shut := n.client()
				defer shut()
				// A request that the preconnector does not see.
				resp, err := inside(c).Transport.RoundTrip(must(http.NewRequest(http.MethodGet, scheme(protocol)+patHost, http.NoBody)))
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				synctest.Wait()
				Preconnect(c, scheme(protocol)+patHost)
				synctest.Wait()
				if err := ask(c, http.MethodPost, scheme(protocol)+patHost); err != nil {
					t.Error(err)
				}
				if got := served.Load(); got != 2 {
					t.Errorf("%d requests were served", got)
				}
			})
		})
	}
}

// If the early connection fails, the request that waits for it opens another one and
// reports its error.
func TestPreconnectFails(t *testing.T) {
	t.Parallel()
	untrusted := func(n *network, c net.Conn) { n.tls(c).Handshake() }
	hello := func(_ *network, c net.Conn) { c.Read(make([]byte, 4096)) }
	for _, tc := range []struct {
		name    string
		to      string
		refuses error
		serve   func(*network, net.Conn)
		proxy   int           // what it answers, if there is one
		late    time.Duration // how much later than the connection the request comes
		dials   int32
		took    int // round trips
		says    string
		passing bool
		isDial  bool
	}{
		{name: "no listener", to: patHost, refuses: errors.New("connection refused"), late: time.Second,
			dials: 2, took: 1, says: "dial tcp: connection refused", passing: true, isDial: true},
		{name: "no listener, request waits", to: patHost, refuses: errors.New("connection refused"), late: 1,
			dials: 2, took: 2, says: "dial tcp: connection refused", passing: true, isDial: true},
		{name: "no such name", to: patHost, refuses: &net.DNSError{Name: patHost, IsNotFound: true}, late: time.Second,
			dials: 2, took: 1, says: "the name pats.example.com could not be resolved", isDial: true},
		{name: "no such name, request waits", to: patHost, refuses: &net.DNSError{Name: patHost, IsNotFound: true}, late: 1,
			dials: 2, took: 2, says: "the name pats.example.com could not be resolved", isDial: true},
		{name: "another's certificate", to: "pats.example.org", serve: untrusted, late: time.Second,
			dials: 2, took: 2, says: "not pats.example.org"},
		{name: "another's certificate, request waits", to: "pats.example.org", serve: untrusted, late: 1,
			dials: 2, took: 4, says: "not pats.example.org"},
		{name: "TLS breaks off", to: patHost, serve: hello, late: time.Second,
			dials: 2, took: 2, says: "EOF", passing: true},
		{name: "TLS breaks off, request waits", to: patHost, serve: hello, late: 1,
			dials: 2, took: 4, says: "EOF", passing: true},
		{name: "the proxy forbids it", to: patHost, proxy: 403, late: time.Second,
			dials: 2, took: 2, says: "the proxy answered 403 Forbidden"},
		{name: "the proxy forbids it, request waits", to: patHost, proxy: 407, late: 1,
			dials: 2, took: 4, says: "the proxy answered 407 Proxy Authentication Required"},
	} {
		n := newNetwork(t)
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, shut := n.client()
				defer shut()
				var s *server
				if tc.proxy > 0 {
					s = n.proxy(c, "http", tc.proxy)
				} else {
					s = n.listen(tc.to+":443", func(c net.Conn) { tc.serve(n, c) })
					s.refuses = tc.refuses
				}
				Preconnect(c, "https://"+tc.to)
				time.Sleep(tc.late)
				begin := time.Now()
				e := TransportError("ask", tc.to, ask(c, http.MethodPost, "https://"+tc.to))
				took := time.Since(begin) + tc.late%time.Second // including the moment before the request
				if took != time.Duration(tc.took)*n.rtt {
					t.Errorf("took %.2f round trips, want %d", float64(took)/float64(n.rtt), tc.took)
				}
				if !strings.Contains(e.Error(), tc.says) || e.Retryable() != tc.passing {
					t.Errorf("error %q, passing %t, want %q", e, e.Retryable(), tc.says)
				}
				var op *net.OpError
				if isDial := errors.As(e, &op) && op.Op == "dial"; isDial != tc.isDial {
					t.Errorf("a failed dial: %t, want %t", isDial, tc.isDial)
				}
				if s.dials.Load() != tc.dials {
					t.Errorf("%d dials, want %d", s.dials.Load(), tc.dials)
				}
				// The next request dials again.
				_ = ask(c, http.MethodPost, "https://"+tc.to)
				if s.dials.Load() != tc.dials+1 {
					t.Errorf("%d dials, want %d", s.dials.Load(), tc.dials+1)
				}
			})
		})
	}
}

// An error before dialling is reported by the request if it persists.
func TestPreconnectFailsBeforeDialling(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	synctest.Test(t, func(t *testing.T) {
		s := n.http(patHost+":80", "http", echo(new(atomic.Int32)))
		c, shut := n.client()
		defer shut()
		wrong := errors.New("a proxy setting that is none")
		var asked atomic.Int32
		inside(c).Proxy = func(*http.Request) (*url.URL, error) {
			if asked.Add(1) < 3 {
				return nil, wrong
			}
			return nil, nil
		}
		Preconnect(c, "http://"+patHost)
		synctest.Wait()
		if err := ask(c, http.MethodPost, "http://"+patHost); !errors.Is(err, wrong) {
			t.Errorf("error %v", err)
		}
		if err := ask(c, http.MethodPost, "http://"+patHost); err != nil || s.dials.Load() != 1 {
			t.Errorf("error %v, %d connections", err, s.dials.Load())
		}
	})
}

// A cancelled request does not wait for the early connection. The next request waits
// until that connection is given up.
func TestWaitingForAnEarlyConnectionIsCancelled(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	synctest.Test(t, func(t *testing.T) {
		var served atomic.Int32
		second := n.http(patHost+":443", "h2", echo(&served))
		s := n.listen(patHost+":443", nil)
		s.serve = func(c net.Conn) {
			if s.dials.Load() == 1 {
				io.Copy(io.Discard, c) // no handshake
				return
			}
			second.conns <- c
			<-second.done
		}
		c, shut := n.client()
		defer func() {
			close(second.done)
			shut()
		}()
		Preconnect(c, "https://"+patHost)
		signal := errors.New("stopped by a signal")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(3*time.Second, func() { cancel(signal) })
		begin := time.Now()
		if err := askWith(ctx, c, http.MethodPost, "https://"+patHost); !errors.Is(err, signal) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("it took %s to stop", took)
		}
		begin = time.Now()
		if err := ask(c, http.MethodPost, "https://"+patHost); err != nil {
			t.Error(err)
		}
		// The stuck connection is given up dialTimeout after it was dialled.
		if took, left := time.Since(begin), dialTimeout+n.rtt-3*time.Second; took != left+3*n.rtt {
			t.Errorf("took %s after the first connection was given up, want %s", took-left, 3*n.rtt)
		}
		if s.dials.Load() != 2 || served.Load() != 1 {
			t.Errorf("%d connections, %d requests", s.dials.Load(), served.Load())
		}
	})
}

// Closing the client ends dialling.
func TestPreconnectEndsWithTheClient(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	synctest.Test(t, func(t *testing.T) {
		c, shut := n.client()
		n.rtt = time.Hour
		s := n.listen(patHost+":443", nil)
		Preconnect(c, "https://"+patHost)
		synctest.Wait()
		begin := time.Now()
		shut()
		synctest.Wait()
		if s.dials.Load() != 1 || time.Since(begin) != 0 {
			t.Errorf("%d dials, ended after %s", s.dials.Load(), time.Since(begin))
		}
	})
}
