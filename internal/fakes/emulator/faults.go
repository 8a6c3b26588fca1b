package emulator

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A Fault stands in front of an operation. It answers itself, or lets the
// operation take effect by calling next, before or after whatever else it
// does. To drop the connection it panics with [http.ErrAbortHandler].
type Fault = func(w http.ResponseWriter, r *http.Request, next http.Handler)

type interception struct {
	op string
	f  Fault
}

// Intercept puts a fault in front of an operation, or of all with [Anything].
// If one operation has several, the first one that was added gets the request, and
// passes it to the others by calling next:
//
//	e.Intercept(emulator.OpCreate, emulator.Times(2, emulator.Answer(503, nil, "")))
//	e.Intercept(emulator.OpCreate, emulator.Times(1, emulator.CommitAndDrop))
//
// has two creates refused and the third one without an answer.
func (e *Emulator) Intercept(op string, f Fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = append(e.faults, interception{op, f})
}

// ClearFaults takes all faults away. Requests already in one stay there.
func (e *Emulator) ClearFaults() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = nil
}

// faulty is an operation with the faults in front of it.
func (e *Emulator) faulty(op string, h http.Handler) http.Handler {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := len(e.faults) - 1; i >= 0; i-- {
		if f := e.faults[i]; f.op == op || f.op == Anything {
			next := h
			h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.f(w, r, next) })
		}
	}
	return h
}

// Times applies a fault to the first n requests and leaves the others alone.
func Times(n int, f Fault) Fault { return firstThen(n, f, pass) }

// After leaves the first n requests alone and applies a fault to the others.
func After(n int, f Fault) Fault { return firstThen(n, pass, f) }

func pass(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) }

// firstThen applies one fault to the first n requests, another to the rest.
func firstThen(n int, first, then Fault) Fault {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		mu.Lock()
		f := then
		if n > 0 {
			f = first
			n--
		}
		mu.Unlock()
		f(w, r, next)
	}
}

// Answer answers in the operation's place; nothing takes effect.
func Answer(status int, header http.Header, body string) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		maps.Copy(w.Header(), header.Clone())
		w.WriteHeader(status)
		w.Write([]byte(body))
	}
}

// Throttle answers 429 as Azure DevOps does, with a Retry-After in whole
// seconds.
func Throttle(retryAfter time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		seconds := strconv.Itoa(int(retryAfter.Seconds()))
		w.Header().Set("Retry-After", seconds)
		w.Header().Set("X-RateLimit-Resource", "Core")
		w.Header().Set("X-RateLimit-Delay", seconds)
		w.Header().Set("X-RateLimit-Limit", "200")
		w.Header().Set("X-RateLimit-Remaining", "0")
		vssError{
			Message: "TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource 'Concurrency' in namespace 'User'.",
			Type:    "Microsoft.TeamFoundation.Framework.Server.RequestBlockedException",
		}.write(w, http.StatusTooManyRequests)
	}
}

// claimsMet is the emulator's own claim, with the claims that a token was asked
// for with.
const claimsMet = "xms_emulator_claims"

// ClaimsChallenge demands a token that was asked for with the claims, a JSON
// object, as with continuous access evaluation.
func ClaimsChallenge(claims string) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if t, err := parse(bearer(r)); err == nil && t.text(claimsMet) == claims {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", error="insufficient_claims", claims="`+
			base64.StdEncoding.EncodeToString([]byte(claims))+`"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// Late holds a request back for a while and then carries it out, as Azure DevOps
// does with those of a throttled user, also when the client has gone.
func Late(d time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-emulatorOf(r).ctx.Done():
			panic(http.ErrAbortHandler)
		}
		WithHeader(http.Header{
			"X-RateLimit-Resource":  {"Core"},
			"X-RateLimit-Delay":     {strconv.FormatFloat(d.Seconds(), 'f', 3, 64)},
			"X-RateLimit-Limit":     {"200"},
			"X-RateLimit-Remaining": {"0"},
		})(w, r, next)
	}
}

// WithHeader lets the operation take effect and adds to the headers of its answer,
// such as a Retry-After on a success.
func WithHeader(header http.Header) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		for name, values := range header {
			for _, value := range values {
				w.Header().Add(name, value)
			}
		}
		next.ServeHTTP(w, r)
	}
}

// Drop closes the connection without an answer; nothing takes effect.
func Drop(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// CommitAndDrop lets the operation take effect and closes the connection
// without an answer.
func CommitAndDrop(_ http.ResponseWriter, r *http.Request, next http.Handler) {
	next.ServeHTTP(newResponse(), r)
	panic(http.ErrAbortHandler)
}

// CommitAndAnswer lets the operation take effect and then answers something
// else, such as a proxy's 502.
func CommitAndAnswer(status int, header http.Header, body string) Fault {
	answer := Answer(status, header, body)
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(newResponse(), r)
		answer(w, r, nil)
	}
}

// Alter lets the operation take effect and changes its answer.
func Alter(f func(*Response)) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := newResponse()
		next.ServeHTTP(answer, r)
		f(answer)
		answer.send(w)
	}
}

// Rewrite lets the operation take effect and changes the JSON object that it
// answers with: an Azure DevOps that lies. Other answers pass unchanged.
func Rewrite(f func(answer map[string]any)) Fault {
	return Alter(func(a *Response) {
		var object map[string]any
		if json.Unmarshal(a.Body, &object) != nil || object == nil {
			return
		}
		f(object)
		a.Body, _ = json.Marshal(object)
	})
}

// RewritePAT is [Rewrite] for each PAT in an answer of the PAT API.
func RewritePAT(f func(pat map[string]any)) Fault {
	return Rewrite(func(answer map[string]any) {
		if pat, ok := answer["patToken"].(map[string]any); ok {
			f(pat)
		}
		list, _ := answer["patTokens"].([]any)
		for _, entry := range list {
			if pat, ok := entry.(map[string]any); ok {
				f(pat)
			}
		}
	})
}

// A Gate holds requests until it is opened or the emulator closes. A request
// whose client has gone away is held like any other, and takes effect when
// the gate opens.
type Gate struct {
	arrive, open sync.Once
	arrived      chan struct{}
	opened       chan struct{}
}

// NewGate makes a closed gate.
func NewGate() *Gate {
	return &Gate{arrived: make(chan struct{}), opened: make(chan struct{})}
}

// Open lets all requests through, now and later.
func (g *Gate) Open() { g.open.Do(func() { close(g.opened) }) }

// Arrived is closed when the first request is at the gate.
func (g *Gate) Arrived() <-chan struct{} { return g.arrived }

// Before is the fault that holds a request before it takes effect.
func (g *Gate) Before(w http.ResponseWriter, r *http.Request, next http.Handler) {
	g.wait(r)
	next.ServeHTTP(w, r)
}

// After is the fault that lets a request take effect and holds the answer.
func (g *Gate) After(w http.ResponseWriter, r *http.Request, next http.Handler) {
	answer := newResponse()
	next.ServeHTTP(answer, r)
	g.wait(r)
	answer.send(w)
}

// Half is the fault that lets a request take effect, sends half of the answer and
// holds the rest.
func (g *Gate) Half(w http.ResponseWriter, r *http.Request, next http.Handler) {
	answer := newResponse()
	next.ServeHTTP(answer, r)
	answer.header.Set("Content-Length", strconv.Itoa(len(answer.Body)))
	maps.Copy(w.Header(), answer.header)
	w.WriteHeader(answer.Status)
	w.Write(answer.Body[:len(answer.Body)/2])
	http.NewResponseController(w).Flush()
	g.wait(r)
	w.Write(answer.Body[len(answer.Body)/2:])
}

// Sent is the fault that tells when a request has been answered. It holds nothing.
func (g *Gate) Sent(w http.ResponseWriter, r *http.Request, next http.Handler) {
	next.ServeHTTP(w, r)
	http.NewResponseController(w).Flush()
	g.arrive.Do(func() { close(g.arrived) })
}

func (g *Gate) wait(r *http.Request) {
	g.arrive.Do(func() { close(g.arrived) })
	select {
	case <-g.opened:
	case <-emulatorOf(r).ctx.Done():
		panic(http.ErrAbortHandler)
	}
}

// A Response is an answer that has not been sent.
type Response struct {
	Status int
	Body   []byte
	header http.Header
	wrote  bool
}

func newResponse() *Response { return &Response{Status: http.StatusOK, header: http.Header{}} }

// Header is the answer's header, to be changed in place.
func (a *Response) Header() http.Header { return a.header }

// WriteHeader implements [http.ResponseWriter].
func (a *Response) WriteHeader(status int) {
	if !a.wrote && status >= 200 {
		a.Status, a.wrote = status, true
	}
}

// Write implements [http.ResponseWriter].
func (a *Response) Write(b []byte) (int, error) {
	a.wrote = true
	a.Body = append(a.Body, b...)
	return len(b), nil
}

// send passes the answer on.
func (a *Response) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.Header().Del("Content-Length")
	w.WriteHeader(a.Status)
	w.Write(a.Body)
}
