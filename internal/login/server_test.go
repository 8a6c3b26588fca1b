package login

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// What is not the answer is refused, and does not end the wait.
func TestOtherAnswers(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.start()
	answer := f.signIn()
	base := strings.TrimSuffix(answer.URL, "/")
	form := func(edit func(url.Values)) string {
		all := url.Values{"code": {"planted-code"}, "state": {answer.Form.Get("state")}}
		edit(all)
		return all.Encode()
	}
	right := func(url.Values) {}
	const formType = "application/x-www-form-urlencoded"
	for name, test := range map[string]struct {
		method, path, query, body string
		header                    map[string]string
		status                    int
	}{
		"no state":        {method: "GET", path: "/", query: form(func(v url.Values) { v.Del("state") }), status: 400},
		"another state":   {method: "GET", path: "/", query: form(func(v url.Values) { v.Set("state", strings.Repeat("A", 43)) }), status: 400},
		"an error":        {method: "GET", path: "/", query: "error=access_denied", status: 400},
		"two states":      {method: "GET", path: "/", query: form(func(v url.Values) { v.Add("state", "x") }), status: 400},
		"two codes":       {method: "GET", path: "/", query: form(func(v url.Values) { v.Add("code", "x") }), status: 400},
		"code and error":  {method: "GET", path: "/", query: form(func(v url.Values) { v.Set("error", "x") }), status: 400},
		"neither":         {method: "GET", path: "/", query: form(func(v url.Values) { v.Del("code") }), status: 400},
		"POST by query":   {method: "POST", path: "/", query: form(right), body: "", header: map[string]string{"Content-Type": formType}, status: 400},
		"POST of JSON":    {method: "POST", path: "/", body: form(right), header: map[string]string{"Content-Type": "application/json"}, status: 400},
		"POST, untyped":   {method: "POST", path: "/", body: form(right), status: 400},
		"POST, too large": {method: "POST", path: "/", body: form(func(v url.Values) { v.Set("x", strings.Repeat("x", maxAnswer)) }), header: map[string]string{"Content-Type": formType}, status: 400},
		"another path":    {method: "GET", path: "/callback", query: form(right), status: 404},
		"another method":  {method: "PUT", path: "/", query: form(right), status: 405},
		"another host":    {method: "GET", path: "/", query: form(right), header: map[string]string{"Host": "rebound.example"}, status: 421},
		"an address":      {method: "GET", path: "/", query: "", header: map[string]string{"Host": strings.Replace(strings.TrimPrefix(base, "http://"), "localhost", "127.0.0.1", 1)}, status: 400},
		"an IPv6 address": {method: "GET", path: "/", query: "", header: map[string]string{"Host": strings.Replace(strings.TrimPrefix(base, "http://"), "localhost", "[::1]", 1)}, status: 400},
		"another port":    {method: "GET", path: "/", query: form(right), header: map[string]string{"Host": "localhost:1"}, status: 421},
		"no port":         {method: "GET", path: "/", query: form(right), header: map[string]string{"Host": "127.0.0.1"}, status: 421},
		"fetched":         {method: "GET", path: "/", query: form(right), header: map[string]string{"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty"}, status: 403},
		"in a frame":      {method: "GET", path: "/", query: form(right), header: map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, status: 403},
	} {
		r, err := http.NewRequestWithContext(t.Context(), test.method, base+test.path+"?"+test.query, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range test.header {
			if r.Header.Set(name, value); name == "Host" {
				r.Host = value
			}
		}
		w, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, err := io.ReadAll(w.Body)
		w.Body.Close()
		if err != nil || w.StatusCode != test.status {
			t.Errorf("%s: got %d, %v; want %d", name, w.StatusCode, err, test.status)
		}
		f.shows(emulator.Page{Status: w.StatusCode, Header: w.Header, Text: string(text)}, "Not taken", "You can close this window.")
		if origin := w.Header.Get("Access-Control-Allow-Origin"); origin != "" {
			t.Errorf("%s: pages of %s may read the answer", name, origin)
		}
	}
	if n := len(f.Requests(emulator.OpAuthorizationCode)); n > 0 {
		t.Fatal("a planted code was redeemed")
	}
	f.shows(f.send(answer), "Signed in as")
	f.wait()
	if f.err != nil {
		t.Fatal(f.err)
	}
}

// Only the first answer counts, while it is dealt with and after.
func TestFirstAnswerCounts(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	gate := emulator.NewGate()
	f.Intercept(emulator.OpAuthorizationCode, emulator.Times(1, gate.Before))
	f.start()
	answer := f.signIn()
	first := make(chan emulator.Page, 1)
	go func() {
		page, err := answer.Send(t.Context())
		if err != nil {
			t.Error(err)
		}
		first <- page
	}()
	<-gate.Arrived()
	second := answer
	second.Form = url.Values{"state": answer.Form["state"], "code": {"planted-code"}}
	if page := f.send(second); page.Status != http.StatusConflict {
		t.Errorf("the second answer: %s", page)
	}
	gate.Open()
	f.shows(<-first, "Signed in as")
	f.wait()
	if n := len(f.Requests(emulator.OpAuthorizationCode)); n != 1 || f.err != nil {
		t.Errorf("%d codes were redeemed; %v", n, f.err)
	}
}

// The window may be closed before the page is there.
func TestWindowIsClosed(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	gate := emulator.NewGate()
	f.Intercept(emulator.OpAuthorizationCode, gate.Before)
	f.start()
	answer := f.signIn()
	conn, err := net.Dial("tcp", strings.TrimPrefix(answer.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /?"+answer.Form.Encode()+" HTTP/1.1\r\nHost: "+strings.TrimPrefix(answer.URL, "http://")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-gate.Arrived()
	conn.Close()
	gate.Open()
	f.wait()
	if f.err != nil || f.out.Len() == 0 {
		t.Errorf("got %v", f.err)
	}
}

// No other process can have the port on one of the two addresses. No parallel test: it
// replaces a variable.
func TestPortIsTaken(t *testing.T) {
	if !hasIPv6() {
		t.Skip("this machine has no ::1")
	}
	defer func() { listenTCP = net.Listen }()
	taken, refused := 0, 0
	listenTCP = func(network, address string) (net.Listener, error) {
		if network == "tcp6" && taken < 2 {
			other, err := net.Listen(network, address)
			if err != nil { // another process has the port
				return nil, err
			}
			taken++
			t.Cleanup(func() { other.Close() })
		}
		l, err := net.Listen(network, address)
		if err != nil {
			refused++
		}
		return l, err
	}
	s, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if taken != 2 || refused < taken || len(s.listeners) != 2 {
		t.Errorf("%d ports were taken, %d refused; %d listeners", taken, refused, len(s.listeners))
	}
	ports := map[int]bool{}
	for _, l := range s.listeners {
		a := l.Addr().(*net.TCPAddr)
		if ports[a.Port] = true; !a.IP.IsLoopback() {
			t.Errorf("listens on %s", a)
		}
	}
	if len(ports) != 1 {
		t.Errorf("different ports: %v", ports)
	}

	listenTCP = func(network, address string) (net.Listener, error) {
		if network == "tcp6" {
			return nil, net.ErrClosed
		}
		return net.Listen(network, address)
	}
	if _, err := listen(); err == nil || !strings.Contains(err.Error(), "listen for the browser's answer") {
		t.Errorf("got %v", err)
	}
}

// A connection that sends nothing does not hold the program at its end for long, and
// not at all the answer.
func TestSilentConnection(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	f.start()
	answer := f.signIn()
	conn, err := net.Dial("tcp", strings.TrimPrefix(answer.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f.shows(f.send(answer), "Signed in as")
	f.wait()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the connection is still open: %v", err)
	}
}
