package login

import (
	"bufio"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"azdo-pat/internal/secret"
)

const (
	// maxAnswer limits Entra's answer, and maxRequest the whole request, in bytes. A
	// code has one or two kilobytes.
	maxAnswer  = 64 << 10
	maxRequest = 96 << 10
	// readTimeout limits how long a request may take to arrive, and writeTimeout how
	// long a page may take to be sent.
	readTimeout  = 10 * time.Second
	writeTimeout = 5 * time.Second
	// closeTimeout is how long the last page may take to be sent at the end.
	closeTimeout = 2 * time.Second
	// acceptPause follows a connection that could not be accepted.
	acceptPause = 100 * time.Millisecond
	// portAttempts is how many ports are tried: one that is free at 127.0.0.1 may be
	// taken at ::1.
	portAttempts = 20
)

// server takes Entra's answer from the browser. It listens on the loopback addresses
// alone, on both: a browser may resolve localhost to either, and no other process must
// be able to listen on the other one.
//
// It reads one request from a connection. net/http's server would cost the program
// 400 kB.
type server struct {
	listeners []net.Listener
	host      string // localhost:PORT

	state   secret.Value
	taken   sync.Once
	answers chan *callback
	refused atomic.Int64 // requests that were not the answer

	running sync.WaitGroup
	ended   context.Context // ends with close
	end     context.CancelFunc
}

// callback is Entra's answer: a code, or an error of RFC 6749, section 4.1.2.1.
type callback struct {
	code                 secret.Value
	refused, description string
	page                 chan page // what the browser is to show; takes one
}

// listen opens a port at 127.0.0.1 and, if the machine has IPv6, the same at ::1.
func listen() (*server, error) {
	var err error
	for range portAttempts {
		var listeners []net.Listener
		listeners, err = listenOnce()
		if err == nil {
			return newServer(listeners), nil
		}
	}
	return nil, fmt.Errorf("listen for the browser's answer: %w", err)
}

func listenOnce() ([]net.Listener, error) {
	v4, err := listenTCP("tcp4", "127.0.0.1:0")
	if err != nil || !hasIPv6() {
		return []net.Listener{v4}, err
	}
	port := strconv.Itoa(v4.Addr().(*net.TCPAddr).Port)
	v6, err := listenTCP("tcp6", net.JoinHostPort("::1", port))
	if err != nil {
		v4.Close()
		return nil, err
	}
	return []net.Listener{v4, v6}, nil
}

// listenTCP is [net.Listen]; a variable for tests.
var listenTCP = net.Listen

// hasIPv6 reports whether this machine has the address ::1.
func hasIPv6() bool {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && network.IP.Equal(net.IPv6loopback) {
			return true
		}
	}
	return false
}

func newServer(listeners []net.Listener) *server {
	port := strconv.Itoa(listeners[0].Addr().(*net.TCPAddr).Port)
	s := &server{listeners: listeners, host: "localhost:" + port, answers: make(chan *callback, 1)}
	s.ended, s.end = context.WithCancel(context.Background())
	return s
}

// redirectURI has no path, as it is registered: http://localhost.
func (s *server) redirectURI() string { return "http://" + s.host }

// serve takes the answer with that state.
func (s *server) serve(state secret.Value) {
	s.state = state
	for _, l := range s.listeners {
		s.running.Go(func() { s.accept(l) })
	}
}

// close ends the server, after the page that is being sent.
func (s *server) close() {
	s.end()
	for _, l := range s.listeners {
		l.Close()
	}
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(closeTimeout):
	}
}

func (s *server) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			s.running.Go(func() { s.handle(conn) })
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		select { // perhaps too many files are open
		case <-s.ended.Done():
			return
		case <-time.After(acceptPause):
		}
	}
}

// handle reads a request and answers it.
func (s *server) handle(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(readTimeout))
	// A connection without a request does not hold the program at its end.
	keep := context.AfterFunc(s.ended, func() { conn.Close() })
	r, err := http.ReadRequest(bufio.NewReader(io.LimitReader(conn, maxRequest)))
	if err != nil {
		return
	}
	answer, refusal := s.read(r)
	if !keep() {
		return
	}
	p := s.pageFor(answer, refusal)
	_ = conn.SetDeadline(time.Now().Add(writeTimeout))
	if _, err := conn.Write(p.response()); err != nil {
		return
	}
	// Closing before the browser has would take the page away if it has sent more.
	if tcp, ok := conn.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, maxRequest))
	}
}

// pageFor is the page for a request. For a valid answer it is known only when the
// refresh token was stored, or could not be.
func (s *server) pageFor(answer *callback, refusal *page) *page {
	first := false
	if refusal == nil {
		s.taken.Do(func() { first = true })
	}
	switch {
	case refusal == nil && !first:
		refusal = refusedPage(http.StatusConflict, "This sign-in has already been answered.")
		fallthrough
	case refusal != nil:
		s.refused.Add(1)
		return refusal
	}
	s.answers <- answer
	select {
	case p := <-answer.page:
		return &p
	case <-s.ended.Done():
	}
	select {
	case p := <-answer.page: // both are there
		return &p
	default:
		return &stoppedPage
	}
}

// isOwn reports whether a Host header is localhost, 127.0.0.1 or [::1], with the port of
// this server.
func (s *server) isOwn(host string) bool {
	_, port, _ := net.SplitHostPort(s.host)
	return strings.EqualFold(host, s.host) || host == "127.0.0.1:"+port || host == "[::1]:"+port
}

// read reads the answer from a request. If there is none in it, it returns a page that
// says why. The page goes to the client of the request, so it contains nothing of this
// sign-in.
func (s *server) read(r *http.Request) (*callback, *page) {
	switch {
	case !s.isOwn(r.Host): // a name that was made to point here
		return nil, refusedPage(http.StatusMisdirectedRequest, "This is not the address of azdo-pat.")
	case r.URL.Path != "/":
		return nil, refusedPage(http.StatusNotFound, "There is nothing here.")
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		return nil, refusedPage(http.StatusMethodNotAllowed, "Only GET and POST are taken.")
	case !isNavigation(r):
		return nil, refusedPage(http.StatusForbidden, "Another page asked for this.")
	}
	form, err := formOf(r)
	if err != nil {
		return nil, refusedPage(http.StatusBadRequest, "This is no answer to a sign-in.")
	}
	one := func(name string) string {
		if len(form[name]) != 1 {
			return ""
		}
		return form[name][0]
	}
	if subtle.ConstantTimeCompare([]byte(one("state")), []byte(s.state.Reveal())) != 1 {
		return nil, refusedPage(http.StatusBadRequest, "This is not the answer to the sign-in that azdo-pat is waiting for. Use the address that it printed last.")
	}
	answer := &callback{code: secret.New(one("code")), refused: one("error"), description: one("error_description"), page: make(chan page, 1)}
	if answer.code.IsZero() == (answer.refused == "") || answer.code.TooShort() {
		return nil, refusedPage(http.StatusBadRequest, "This answer has neither a code nor an error.")
	}
	return answer, nil
}

// isNavigation reports whether a window goes to this address, as far as the browser says
// so: https://www.w3.org/TR/fetch-metadata/. A page of another site cannot have it
// fetched, or shown within its own.
func isNavigation(r *http.Request) bool {
	mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
	return (mode == "" || mode == "navigate") && (dest == "" || dest == "document")
}

// formOf returns the parameters of the query, or of the body of a POST.
func formOf(r *http.Request) (url.Values, error) {
	if r.Method == http.MethodGet {
		return url.ParseQuery(r.URL.RawQuery)
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errors.New("not a form")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxAnswer {
		return nil, errors.New("too large")
	}
	return url.ParseQuery(string(body))
}
