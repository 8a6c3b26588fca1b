package login

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log"
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
	// maxAnswer limits Entra's answer, in bytes. A code has one or two kilobytes.
	maxAnswer = 64 << 10
	// readTimeout limits how long a request may take to arrive, and writeTimeout how
	// long a page may take to be sent.
	readTimeout  = 10 * time.Second
	writeTimeout = 5 * time.Second
	// closeTimeout is how long the last page may take to be sent at the end.
	closeTimeout = 2 * time.Second
	// portAttempts is how many ports are tried: one that is free at 127.0.0.1 may be
	// taken at ::1.
	portAttempts = 20
)

// server takes Entra's answer from the browser. It listens on the loopback addresses
// alone, on both: a browser may resolve localhost to either, and no other process must
// be able to listen on the other one.
type server struct {
	listeners []net.Listener
	host      string // localhost:PORT, the only Host header that counts
	http      *http.Server

	state   secret.Value
	taken   sync.Once
	answers chan *callback
	refused atomic.Int64 // requests that were not the answer
	stop    chan struct{}
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
		if listeners, err = listenOnce(); err == nil {
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
	s := &server{listeners: listeners, host: "localhost:" + port, answers: make(chan *callback, 1), stop: make(chan struct{})}
	s.http = &http.Server{
		Handler: s, ReadTimeout: readTimeout, MaxHeaderBytes: maxAnswer,
		ErrorLog: log.New(io.Discard, "", 0),
	}
	s.http.SetKeepAlivesEnabled(false)
	return s
}

// redirectURI has no path, as it is registered: http://localhost.
func (s *server) redirectURI() string { return "http://" + s.host }

// serve takes the answer with that state.
func (s *server) serve(state secret.Value) {
	s.state = state
	for _, l := range s.listeners {
		go s.http.Serve(l) //nolint:errcheck // it ends with close
	}
}

// close ends the server, after the page that is being sent.
func (s *server) close() {
	close(s.stop)
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	for _, l := range s.listeners { // if it was never served
		l.Close()
	}
}

// ServeHTTP implements [http.Handler].
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, refusal := s.read(w, r)
	if refusal == nil {
		first := false
		s.taken.Do(func() { first = true })
		if !first {
			refusal = refusedPage(http.StatusConflict, "This sign-in has already been answered.")
		}
	}
	if refusal != nil {
		s.refused.Add(1)
		refusal.write(w)
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // all of it has arrived
	s.answers <- answer
	select {
	case p := <-answer.page:
		p.write(w)
	case <-s.stop: // the program ends
		select {
		case p := <-answer.page:
			p.write(w)
		default:
			stoppedPage.write(w)
		}
	case <-r.Context().Done(): // the window was closed
	}
}

// read reads the answer from a request, or says why it is none. What it says is for
// the client of the request, so it contains nothing of this sign-in.
func (s *server) read(w http.ResponseWriter, r *http.Request) (*callback, *page) {
	switch {
	case !strings.EqualFold(r.Host, s.host): // a name that was made to point here
		return nil, refusedPage(http.StatusMisdirectedRequest, "This is not the address of azdo-pat.")
	case r.URL.Path != "/":
		return nil, refusedPage(http.StatusNotFound, "There is nothing here.")
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, POST")
		return nil, refusedPage(http.StatusMethodNotAllowed, "Only GET and POST are taken.")
	case !isNavigation(r):
		return nil, refusedPage(http.StatusForbidden, "Another page asked for this.")
	}
	form, err := formOf(w, r)
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
func formOf(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if r.Method == http.MethodGet {
		return url.ParseQuery(r.URL.RawQuery)
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errors.New("not a form")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	return url.ParseQuery(string(body))
}
