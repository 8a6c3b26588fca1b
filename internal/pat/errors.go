package pat

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// Error is the error of every method of [Client].
//
// Its text is one line: what was being done, to which PAT, and what came back.
// [Error.Hint] is what to change. Neither ever holds a credential.
type Error struct {
	// Op is what was being done: create, get, list, update, revoke or caller.
	Op string
	// ID is the authorizationId of the PAT; empty for create and list.
	ID string
	// Host and Organization are those of the request.
	Host, Organization string

	// Status is the HTTP status of the answer; 0 without an answer.
	Status int
	// Code is the patTokenError of the answer, or its numbered error such as
	// TF400813, or its typeKey such as InvalidAccessException; or empty.
	Code string
	// Message is what the server or the network said: one line of untrusted text
	// without control characters, at most 300 runes, or empty.
	Message string
	// RetryAfter is how long the server asks to wait; 0 if it does not say.
	RetryAfter time.Duration

	// Unsent is true if no part of the request was sent: no connection could be
	// opened, or it was lost before its use.
	Unsent bool
	// Unreadable is true if the answer is a 2xx that is neither a clear success nor
	// a clear error, or both.
	Unreadable bool
	// Err is the cause if there was no answer or only part of one.
	Err error

	// Challenge is the answer's demand for another token, or nil.
	Challenge *httpclient.Challenge
	// Support lists the ids that Azure DevOps' support needs, as one line.
	Support string

	advice       string // what to change, from the error of the connection
	contradicted bool   // the list does not confirm that the PAT is gone
	foreign      bool   // the body is not Azure DevOps': neither empty nor JSON
	// noContent is true if the body of a 2xx (203 included) is empty, a web page, or
	// invalid JSON.
	noContent bool
	// undecided says that a revocation was answered with a 2xx that does not confirm
	// it, such as 202: only the list tells what became of the PAT.
	undecided bool
}

// Causes of calls that cannot be sent.
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
	case opCaller:
		b.WriteString("ask whose token it is")
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
	if e.Support != "" {
		b.WriteString(" (" + e.Support + ")")
	}
	return b.String()
}

// Retryable reports whether the same request may succeed later: there was no answer,
// or one that shows overload, a timeout or a fault of the server. It is false if the
// caller's context was cancelled.
func (e *Error) Retryable() bool {
	var inner *Error
	switch {
	case e.Code == codeThrottled:
		return true
	case e.denied():
		return false
	case httpclient.RetryableStatus(e.Status), e.repeatable():
		return true
	case errors.As(e.Err, &inner):
		return inner.Retryable()
	}
	return e.Err != nil && !errors.Is(e.Err, errRequest) && httpclient.RetryableTransport(e.Err)
}

// repeatable reports whether the answer had no content and the request can be
// repeated safely: a second update or revocation changes nothing, but a second
// create would make a second PAT.
func (e *Error) repeatable() bool {
	return e.noContent && !e.denied() && e.Op != "create"
}

// Attempts implements [httpclient.Limited].
func (e *Error) Attempts() (string, int) {
	if e.repeatable() && !httpclient.RetryableStatus(e.Status) {
		return e.Op + " " + e.ID, httpclient.Repeats
	}
	var inner *Error
	if errors.As(e.Err, &inner) { // such as the error of the list after a revocation
		return inner.Attempts()
	}
	return "", 0
}

// Service returns the name of the service.
func (e *Error) Service() string { return "Azure DevOps" }

// throttled returns the cause if the request was not sent because Azure DevOps asks
// to wait longer than there is time, or nil.
func (e *Error) throttled() (t *httpclient.Throttled) {
	errors.As(e.Err, &t)
	return t
}

// Wait returns RetryAfter, for [httpclient.Retry].
func (e *Error) Wait() time.Duration { return e.RetryAfter }

// Settled reports whether a failed create certainly made no PAT.
func (e *Error) Settled() bool {
	switch s := e.Status; {
	case e.Unsent:
		return true
	case e.Unreadable, s < 200, s >= 500, s == http.StatusRequestTimeout, s == http.StatusTooEarly:
		return false
	case s <= 299 && s != http.StatusNonAuthoritativeInfo:
		return e.Code != "" // a patTokenError instead of the PAT
	default:
		return true
	}
}

// NotFound reports whether the answer shows that there is no such PAT.
func (e *Error) NotFound() bool {
	switch s := e.Status; {
	case e.contradicted, e.denied(), e.Unreadable || s != http.StatusOK && (s < 400 || s > 499):
		return false
	case e.Code == "tokenNotFound", e.Code == "authorizationNotFound":
		return true
	}
	// A 404 of another server, or for another reason, is not about the PAT.
	_, other := patTokenErrors()[e.Code]
	return e.Status == http.StatusNotFound && !e.foreign && !other
}

// Expired reports whether the answer shows that the PAT has expired.
func (e *Error) Expired() bool { return e.Code == "expiredPatCannotBeExtended" }

// Azure DevOps' error codes that are handled specially.
const (
	codeThrottled  = "TF400733"
	codeDenied     = "TF400813"
	codeNoMember   = "TF401444"
	codeForbidden  = "TF30063"
	codeNoIdentity = "TF14045"
	codeNoProject  = "VS800075"
	codeCondAccess = httpclient.CodeConditionalAccess
)

// anonymous reports whether Azure DevOps did not accept the token.
func (e *Error) anonymous() bool { return httpclient.Anonymous(e.Message) }

// signInAs matches the account in TF401444: TENANT\TENANT\OBJECT-ID or TENANT\UPN.
var signInAs = regexp.MustCompile(`(?i)\bat least once as (?:[^\s\\]+\\)*([^\s\\]+) in a web browser`)

// invalidIdentity matches the message about an Entra id where Azure DevOps expects
// its own id of an identity.
//
// It is compiled when it is first used, which saves each command 40 µs.
var invalidIdentity = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)\bidentity with id .{1,100} is invalid\b`)
})

// denied reports whether the answer is about the user's permissions, whatever its
// status. Neither a retry nor another token helps.
func (e *Error) denied() bool {
	switch e.Code {
	case codeDenied, codeNoMember, codeForbidden, codeNoIdentity, codeNoProject, codeCondAccess:
		return true
	}
	return e.anonymous()
}

// NoMember reports whether the user may have to be added to the organization.
func (e *Error) NoMember() bool {
	return e.Code == codeNoMember || e.Code == codeDenied && !e.anonymous()
}

// MayLackScope reports whether a missing scope in the token may be the cause. Azure
// DevOps refuses such a token without giving the reason.
func (e *Error) MayLackScope() bool {
	return e.Challenge == nil && e.SignedOut() || e.Code == codeDenied || e.Status == http.StatusForbidden && !e.denied()
}

// SignedOut reports whether the token was not accepted: it is invalid, has expired,
// or another one is demanded.
func (e *Error) SignedOut() bool {
	s := e.Status
	switch {
	case e.Challenge != nil, e.anonymous():
		return true
	case e.denied():
		return false
	}
	return s == http.StatusNonAuthoritativeInfo || s >= 300 && s <= 399 || s == http.StatusUnauthorized
}

// untrusted reports whether the server's certificate was refused.
func (e *Error) untrusted() bool {
	var refused *tls.CertificateVerificationError
	return errors.As(e.Err, &refused)
}

// maxMessage limits, in runes, the untrusted text in an error.
const maxMessage = 300

// redact prepares untrusted text for an error, see [httpclient.Hide]. It also removes
// the client's credential and token, whatever their form.
func (c *Client) redact(text, token string) string {
	return httpclient.Hide(text, c.token, secret.New(token))
}

// notInCode matches the characters that no error code has.
var notInCode = regexp.MustCompile(`[^A-Za-z0-9_.]+`)

// code returns the [Error.Code] for the server's text, or for otherwise if text is
// empty, in the spelling of the specification.
func (c *Client) code(text, otherwise, token string) string {
	if text == "" {
		text = otherwise
	}
	for known := range patTokenErrors() {
		if strings.EqualFold(known, text) {
			return known
		}
	}
	name := sanitize.Line(notInCode.ReplaceAllString(c.redact(text, token), ""), 60)
	if name == "" && text != "" {
		return "unknown"
	}
	return name
}
