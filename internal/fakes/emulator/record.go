package emulator

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// A Request is one that a service has received.
type Request struct {
	Service Service
	Op      string // what was asked for, one of the Op constants
	Method  string
	URL     string // absolute, with the query
	Header  http.Header
	Form    url.Values // the decoded body, for a form
	Body    []byte     // as received; nil for git
	Time    time.Time  // of its arrival, by the service's clock
	// Status is that of the answer. 0: none yet, or the connection was dropped.
	Status int
	// Refusal is why the service itself (and not a fault in front of it) said
	// no, by the code that its answer carries, such as AADSTS700213,
	// invalidScope or TF400813. "" if it did not.
	Refusal string
}

func (q *Request) clone() Request {
	c := *q
	c.Header = q.Header.Clone()
	c.Body = slices.Clone(q.Body)
	if q.Form != nil {
		c.Form = url.Values(http.Header(q.Form).Clone())
	}
	return c
}

// A Violation is something that a client of these services must never do and
// that the services themselves would let pass, or could not see.
type Violation struct {
	Op   string
	What string
}

// Requests returns the requests so far in the order of their arrival, all of
// them or those of the named operations.
func (e *Emulator) Requests(ops ...string) []Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []Request
	for _, q := range e.requests {
		if len(ops) == 0 || slices.Contains(ops, q.Op) {
			list = append(list, q.clone())
		}
	}
	return list
}

// Violations returns what clients have done that they must not: an assertion
// presented twice, a credential in a URL.
func (e *Emulator) Violations() []Violation {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.violations)
}

// Secrets returns every credential that the services have issued or know of:
// request tokens, assertions, T1, T2, access and refresh tokens, passwords and
// PATs. Whatever a program under test prints must contain none of them, but
// for what it was asked to print.
func (e *Emulator) Secrets() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.secrets)
}

// AppTokens returns the app-only access tokens that were issued. They are among
// [Emulator.Secrets] too; a program hands one over with token-type entra.
func (e *Emulator) AppTokens() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.appTokens)
}

func (e *Emulator) keep(secret string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.keepLocked(secret)
}

// keepLocked remembers a credential and returns it.
func (e *Emulator) keepLocked(secret string) string {
	if secret == "" || e.isSecret[secret] {
		return secret
	}
	e.isSecret[secret] = true
	e.secrets = append(e.secrets, secret)
	for _, form := range []string{secret, url.QueryEscape(secret)} {
		if e.secretForms[len(form)] == nil {
			e.secretForms[len(form)] = map[string]bool{}
		}
		e.secretForms[len(form)][form] = true
	}
	return secret
}

// holdsSecretLocked reports whether a credential is anywhere in a text. However
// many there are, only as many looks are needed as they have lengths.
func (e *Emulator) holdsSecretLocked(text string) bool {
	for length, forms := range e.secretForms {
		for i := 0; i+length <= len(text); i++ {
			if forms[text[i:i+length]] {
				return true
			}
		}
	}
	return false
}

// begin records a request that has arrived, before any fault and before its
// operation looks at it. It reports whether the request carries an assertion
// that some earlier request has carried.
func (e *Emulator) begin(q *Request) (reused bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	q.Time = e.Now(q.Service)
	e.requests = append(e.requests, q)
	if e.holdsSecretLocked(q.URL) {
		e.violations = append(e.violations, Violation{q.Op, "a credential in the URL"})
	}
	return e.reusedLocked(q)
}

// reusedLocked remembers the CI system's assertion in a request. It may be presented
// once for each scope: one assertion gets the tokens for the vault and for Azure
// DevOps. Entra's own (T1, T2) may be presented again.
func (e *Emulator) reusedLocked(q *Request) bool {
	raw := q.Form.Get("client_assertion")
	assertion, err := parse(raw)
	if err != nil { // perhaps made by the client with its certificate
		assertion, err = parseSigned(raw, jose.PS256)
	}
	if err != nil || assertion.Issuer == e.entraIssuerLocked() || e.world.AllowReusedAssertions {
		return false
	}
	key := raw
	if assertion.ID != "" {
		key = assertion.Issuer + " " + assertion.ID
	}
	key += " " + q.Form.Get("scope")
	if !e.presented[key] {
		e.presented[key] = true
		return false
	}
	e.violations = append(e.violations, Violation{q.Op, "an assertion presented twice, jti " + assertion.ID})
	return true
}

// finish records how a request was answered.
func (e *Emulator) finish(q *Request, status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	q.Status = status
}

// refuse records why a service said no.
func (e *Emulator) refuse(r *http.Request, code string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	recordOf(r).Refusal = code
}
