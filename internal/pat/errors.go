package pat

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"azdo-pat/internal/lazyregexp"
	"azdo-pat/internal/outside"
	"azdo-pat/internal/wire"
)

// Error is the error of every method of [Client].
//
// Its text says what was being done, to whom, and what came back, in one line;
// [Error.Hint] says what to change. Neither ever holds a credential.
type Error struct {
	// Op is what was being done: create, get, list, update or revoke.
	Op string
	// ID is the authorizationId of the PAT it was done to; empty for create
	// and list.
	ID string
	// Host and Organization say to whom.
	Host, Organization string

	// Status is the HTTP status of the answer; 0 without an answer.
	Status int
	// Code is the patTokenError of the answer, or its numbered error such as
	// TF400813, or its typeKey such as InvalidAccessException; or empty.
	Code string
	// Message is what the server, or the network, said: one line without
	// control characters, at most 300 runes, or empty. Others wrote it.
	Message string
	// RetryAfter is how long the server asks to be left alone; 0 if it does
	// not say.
	RetryAfter time.Duration

	// Unsent says that no part of the request was sent: no connection could be
	// made, or what there was died before its use.
	Unsent bool
	// Unreadable says that the answer is a 2xx that says neither yes nor no, or
	// both.
	Unreadable bool
	// Err is the cause, of no answer or of half an answer.
	Err error

	foreign bool // the body is none of Azure DevOps's: neither empty nor JSON
}

// The causes of a call of which no request can be made.
var (
	errRequest = errors.New("the request cannot be made")
	errID      = fmt.Errorf("%w: the authorization id is not a GUID", errRequest)
)

// Unwrap returns the cause, such as [context.DeadlineExceeded].
func (e *Error) Unwrap() error { return e.Err }

// Error implements the error interface.
func (e *Error) Error() string {
	var b strings.Builder
	switch e.Op {
	case "list":
		b.WriteString("list PATs")
	default:
		b.WriteString(e.Op + " PAT")
	}
	if e.ID != "" {
		b.WriteString(" " + e.ID)
	}
	if e.Organization != "" {
		b.WriteString(" in " + e.Organization)
	}
	if e.Host != "" {
		b.WriteString(" at " + e.Host)
	}
	if e.Status != 0 {
		b.WriteString(": status " + strconv.Itoa(e.Status))
	}
	if e.Code != "" && !strings.Contains(e.Message, e.Code) {
		b.WriteString(": " + e.Code)
	}
	if x, ok := patTokenErrors()[e.Code]; ok {
		b.WriteString(": " + x.means)
	} else if e.SignedOut() {
		b.WriteString(": not signed in")
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	return b.String()
}

// Passing reports whether the same request may succeed a moment later: there
// was no answer, or one that speaks of load, a timeout or the server's own
// failure. It is false when the caller's context was cancelled.
func (e *Error) Passing() bool {
	var inner *Error
	switch {
	case wire.PassingStatus(e.Status):
		return true
	case errors.As(e.Err, &inner):
		return inner.Passing()
	}
	return e.Err != nil && !errors.Is(e.Err, errRequest) && wire.PassingTransport(e.Err)
}

// Wait is RetryAfter, for [wire.Retry].
func (e *Error) Wait() time.Duration { return e.RetryAfter }

// Settled reports, of a create that failed, whether it is certain that no PAT
// was made.
func (e *Error) Settled() bool {
	switch s := e.Status; {
	case e.Unsent:
		return true
	case e.Unreadable, s < 200, s >= 500, s == http.StatusRequestTimeout, s == http.StatusTooEarly:
		return false
	case s <= 299 && s != http.StatusNonAuthoritativeInfo:
		return e.Code != "" // a patTokenError in place of the PAT
	default:
		return true
	}
}

// NotFound reports whether the answer says that there is no such PAT.
func (e *Error) NotFound() bool {
	switch s := e.Status; {
	case e.Unreadable || s != http.StatusOK && (s < 400 || s > 499):
		return false
	case e.Code == "tokenNotFound", e.Code == "authorizationNotFound":
		return true
	}
	// Another page's 404, or one for another reason, says nothing of the PAT.
	_, other := patTokenErrors()[e.Code]
	return e.Status == http.StatusNotFound && !e.foreign && !other
}

// SignedOut reports whether the answer is that to somebody unknown, or to one
// whose token has ended.
func (e *Error) SignedOut() bool {
	s := e.Status
	return s == http.StatusNonAuthoritativeInfo || s >= 300 && s <= 399 || s == http.StatusUnauthorized
}

// untrusted reports whether the server's certificate was refused.
func (e *Error) untrusted() bool {
	var refused *tls.CertificateVerificationError
	return errors.As(e.Err, &refused)
}

// maxMessage bounds, in runes, what is repeated of an outside text.
const maxMessage = 300

// credential is what a credential looks like: a PAT of today, a PAT of before
// July 2024, a JWT.
var credential = lazyregexp.New(`[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}|\b[a-z2-7]{52}\b|\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)

// outside makes an outside text fit for an error: one line, nothing secret,
// not too long. The credential of the client and token are taken out whatever
// they look like.
func (c *Client) outside(text, token string) string {
	// First all of it becomes a line, and so does a credential that is none:
	// what is taken out must not come about, or be cut in two, afterwards.
	line := func(s string) string { return outside.Line(s, len(s)) }
	text = line(text)
	for _, s := range []string{c.token.Reveal(), token} {
		if s = line(s); s != "" {
			text = strings.ReplaceAll(text, s, "***")
		}
	}
	return outside.Line(credential().ReplaceAllString(text, "***"), maxMessage)
}

// notInCode is what no code has.
var notInCode = lazyregexp.New(`[^A-Za-z0-9_.]+`)

// code makes an [Error.Code] of what the server wrote: the first that is not
// empty, as the specification spells it.
func (c *Client) code(text, otherwise, token string) string {
	if text == "" {
		text = otherwise
	}
	for known := range patTokenErrors() {
		if strings.EqualFold(known, text) {
			return known
		}
	}
	name := outside.Line(notInCode().ReplaceAllString(c.outside(text, token), ""), 60)
	if name == "" && text != "" {
		return "unknown"
	}
	return name
}
