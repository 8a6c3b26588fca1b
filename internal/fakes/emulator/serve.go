package emulator

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// The operations, by which requests are recorded and faults are aimed.
const (
	OpGitHubOIDC        = "github.oidc"
	OpGitHubRun         = "github.run"
	OpPipelinesOIDC     = "pipelines.oidc"
	OpT1                = "entra.t1"       // leg 1 of the agent user: the blueprint's token for its agent identity
	OpT2                = "entra.t2"       // leg 2: the agent identity's own
	OpUserFIC           = "entra.user_fic" // leg 3: the user's
	OpRefreshToken      = "entra.refresh_token"
	OpPassword          = "entra.password"
	OpClientCredentials = "entra.client_credentials"
	OpAuthorize         = "entra.authorize"          // the page for signing in
	OpSignIn            = "entra.sign_in"            // a form that one of its pages sends
	OpAuthorizationCode = "entra.authorization_code" // the code of that page
	OpTenant            = "azdo.tenant"              // the unauthenticated GET /{organization}
	OpCreate            = "azdo.create"
	OpGet               = "azdo.get"
	OpList              = "azdo.list"
	OpUpdate            = "azdo.update"
	OpRevoke            = "azdo.revoke"
	OpGetSecret         = "keyvault.get"
	OpSetSecret         = "keyvault.set"
	OpProjects          = "azdo.projects"
	OpConnectionData    = "azdo.connectionData"
	OpGit               = "azdo.git"

	// Anything aims a fault at every operation.
	Anything = "*"
)

// A request that matches no operation is recorded under the service's name with this
// suffix, and answered with 404.
const other = ".other"

// Bounds on request bodies, in bytes.
const (
	maxBody    = 1 << 20
	maxGitBody = 64 << 20
)

// An arrival is a request with its body read, on the way to its operation.
type arrival struct {
	*http.Request
	body []byte
	form url.Values // nil unless the body is a well-formed form
}

// route finds the operation that a request asks of a service.
func (e *Emulator) route(s Service, a arrival) (op string, h http.HandlerFunc) {
	switch s {
	case GitHub:
		return e.routeGitHub(a)
	case Entra:
		return e.routeEntra(a)
	case KeyVault:
		return e.routeKeyVault(a)
	case Graph:
		return e.routeGraph(a)
	case ARM:
		return e.routeARM(a)
	default:
		return e.routeAzureDevOps(a)
	}
}

// handler is a service: it records what arrives, lets the faults at it, and
// dates the answers.
func (e *Emulator) handler(s Service) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !e.enter() {
			panic(http.ErrAbortHandler)
		}
		defer e.running.Done()

		limit := int64(maxBody)
		if isGit(r.URL.Path) {
			limit = maxGitBody
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
		if err != nil {
			http.Error(w, "reading the body: "+err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		a := arrival{Request: r, body: body}
		if contentType(r) == "application/x-www-form-urlencoded" {
			if form, err := url.ParseQuery(string(body)); err == nil {
				a.form = form
			}
		}

		op, h := e.route(s, a)
		q := &Request{
			Service: s, Op: op, Method: r.Method, URL: e.urls[s] + r.URL.RequestURI(),
			Header: r.Header.Clone(), Form: a.form,
		}
		if op != OpGit {
			q.Body = body
			h = whole(h)
		}
		reused := e.begin(q)
		ctx := context.WithValue(r.Context(), recordKey{}, q)
		ctx = context.WithValue(ctx, reusedKey{}, reused)

		dated := &datedWriter{ResponseWriter: w, now: func() string {
			return e.Now(s).Format(http.TimeFormat)
		}}
		defer func() {
			if v := recover(); v != nil {
				e.finish(q, 0)
				panic(v) // net/http closes the connection
			}
			e.finish(q, dated.sent())
		}()
		e.faulty(op, h).ServeHTTP(dated, r.WithContext(ctx))
	})
}

// whole sends an operation's answer after the operation has ended and released the
// lock.
func whole(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer := newResponse()
		h(answer, r)
		answer.send(w)
	}
}

type (
	recordKey struct{}
	reusedKey struct{}
)

func recordOf(r *http.Request) *Request    { return r.Context().Value(recordKey{}).(*Request) }
func assertionReused(r *http.Request) bool { return r.Context().Value(reusedKey{}).(bool) }

// contentType is the media type of a request's body without its parameters.
func contentType(r *http.Request) string {
	t, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// notFound answers what no operation matches.
func notFound(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "no such resource: "+r.Method+" "+r.URL.Path, http.StatusNotFound)
}

// writeJSON answers with v.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // every v is one of the package's own
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store, no-cache")
	w.WriteHeader(status)
	w.Write(body)
}

// A datedWriter dates an answer by the service's clock at the moment it is
// sent, and remembers its status.
type datedWriter struct {
	http.ResponseWriter
	now    func() string
	status int
}

func (w *datedWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
		if w.Header().Get("Date") == "" {
			w.Header().Set("Date", w.now())
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *datedWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Hijack implements [http.Hijacker]. The caller then writes the answer.
func (w *datedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

// Unwrap lets [http.ResponseController] through.
func (w *datedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// sent is the status of the answer; a handler that writes nothing has
// answered 200 by returning.
func (w *datedWriter) sent() int {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.status
}
