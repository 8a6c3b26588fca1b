package pat

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
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

	// Challenge is the demand for another token, if the answer makes one.
	Challenge *httpclient.Challenge
	// Support has the ids that Azure DevOps' support asks for, as one line.
	Support string

	advice       string // what to change, where the error of the connection tells
	contradicted bool   // the list does not bear out what was said
	foreign      bool   // the body is none of Azure DevOps's: neither empty nor JSON
	// noContent says that a 2xx (203 included) holds no answer at all: its body is
	// empty, a page, or broken JSON.
	noContent bool
	// undecided says that a revocation was answered with a 2xx that does not confirm
	// it, such as 202: only the list tells what became of the PAT.
	undecided bool
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
	if e.Support != "" {
		b.WriteString(" (" + e.Support + ")")
	}
	return b.String()
}

// Retryable reports whether the same request may succeed a moment later: there
// was no answer, or one that speaks of load, a timeout or the server's own
// statusError. It is false when the caller's context was cancelled.
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
// sent again without harm: an update sets the same end and scopes again, and a
// second revocation does nothing, while a create would make a second PAT.
func (e *Error) repeatable() bool {
	return e.noContent && !e.denied() && e.Op != "create"
}

// Attempts implements [httpclient.Limited].
func (e *Error) Attempts() (string, int) {
	if e.repeatable() && !httpclient.RetryableStatus(e.Status) {
		return e.Op + " " + e.ID, httpclient.Repeats
	}
	var inner *Error
	if errors.As(e.Err, &inner) { // such as that of the list that decides
		return inner.Attempts()
	}
	return "", 0
}

// Service names the service for people.
func (e *Error) Service() string { return "Azure DevOps" }

// throttled is the error of a request that was not sent since Azure DevOps wants
// to be left alone for longer than there is time, or nil.
func (e *Error) throttled() (t *httpclient.Throttled) {
	errors.As(e.Err, &t)
	return t
}

// Wait is RetryAfter, for [httpclient.Retry].
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
	case e.contradicted, e.denied(), e.Unreadable || s != http.StatusOK && (s < 400 || s > 499):
		return false
	case e.Code == "tokenNotFound", e.Code == "authorizationNotFound":
		return true
	}
	// Another page's 404, or one for another reason, says nothing of the PAT.
	_, other := patTokenErrors()[e.Code]
	return e.Status == http.StatusNotFound && !e.foreign && !other
}

// Numbered errors that decide what to do.
const (
	codeThrottled  = "TF400733"
	codeDenied     = "TF400813"
	codeNoMember   = "TF401444"
	codeForbidden  = "TF30063"
	codeNoIdentity = "TF14045"
	codeNoProject  = "VS800075"
	codeCondAccess = httpclient.CodeConditionalAccess
)

// anonymous reports whether Azure DevOps did not take the token.
func (e *Error) anonymous() bool { return httpclient.Anonymous(e.Message) }

// signInAs is the account in TF401444, TENANT\TENANT\OBJECT-ID or TENANT\UPN.
var signInAs = regexp.MustCompile(`(?i)\bat least once as (?:[^\s\\]+\\)*([^\s\\]+) in a web browser`)

// invalidIdentity is said where Azure DevOps' own id of an identity is due.
var invalidIdentity = regexp.MustCompile(`(?i)\bidentity with id .{1,100} is invalid\b`)

// denied reports whether the answer is about what this user may do, whatever its
// status. Neither another attempt nor another token will change it.
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

// MayLackScope reports whether the answer may be for want of a scope in the token:
// Azure DevOps refuses such a token, and does not say why.
func (e *Error) MayLackScope() bool {
	return e.Challenge == nil && e.SignedOut() || e.Code == codeDenied || e.Status == http.StatusForbidden && !e.denied()
}

// SignedOut reports whether the token was not accepted: there was none in
// Azure DevOps' eyes, it has ended, or another one is demanded.
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

// maxMessage bounds, in runes, what is repeated of an outside text.
const maxMessage = 300

// redact makes an outside text fit for an error: one line, nothing secret, not
// too long. The credential of the client and token are removed whatever they look
// like.
func (c *Client) redact(text, token string) string {
	return httpclient.Hide(text, c.token, secret.New(token))
}

// notInCode is what no code has.
var notInCode = regexp.MustCompile(`[^A-Za-z0-9_.]+`)

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
	name := sanitize.Line(notInCode.ReplaceAllString(c.redact(text, token), ""), 60)
	if name == "" && text != "" {
		return "unknown"
	}
	return name
}
