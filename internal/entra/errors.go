package entra

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/outside"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/wire"
)

// Error is Entra's refusal of one request.
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
type Error struct {
	Leg    string // what was asked for
	Client string // the client id that asked
	Host   string
	Status int
	// OAuth is the error of RFC 6749, such as invalid_grant.
	OAuth string
	// Codes are the AADSTS numbers.
	Codes []int
	// Description is the first sentence of what Entra said, made harmless.
	Description string
	// Correlation and Trace are what Microsoft's support asks for.
	Correlation, Trace string
	After              time.Duration
	// Presented is what the job presented; zero where it could not be read.
	Presented assertion.Claims
}

// Error implements error.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s for client %s: %s answered %d", e.Leg, e.Client, e.Host, e.Status)
	for _, part := range []string{e.OAuth, e.Description} {
		if part != "" {
			text += ": " + part
		}
	}
	var ids []string
	if e.Correlation != "" {
		ids = append(ids, "correlation id "+e.Correlation)
	}
	if e.Trace != "" {
		ids = append(ids, "trace id "+e.Trace)
	}
	if len(ids) > 0 {
		text += " (" + strings.Join(ids, ", ") + ")"
	}
	return text
}

// Passing reports whether it may work the next time.
func (e *Error) Passing() bool {
	return wire.PassingStatus(e.Status) || slices.ContainsFunc(e.Codes, func(c int) bool { return slices.Contains(passing, c) })
}

// Wait is how long Entra asked to wait.
func (e *Error) Wait() time.Duration { return e.After }

// passing are the codes of faults that pass.
var passing = []int{90033, 90024, 50033, 90055}

// errTooShort is the error of an answer whose token is too short to be one.
var errTooShort = fmt.Errorf("it has fewer than %d characters", secret.MinLength)

// errUnusable is the error of an answer whose token no header could hold.
var errUnusable = errors.New("the token has characters that no token has")

// failed makes an error of what the library returned for a request and the
// answer to it, if there was one. Nothing of the request, and of the answer only
// bounded lines, gets into it.
func (e *endpoint) failed(leg, client string, params url.Values, resp *http.Response, err error) error {
	if resp == nil {
		return wire.NoAnswer(leg, e.host(), err)
	}
	if resp.StatusCode/100 == 3 || wire.IsHTML(resp.Header) {
		detail := ""
		if wire.IsHTML(resp.Header) {
			detail = "an HTML page instead of Entra's answer"
		}
		r := wire.Refused(leg, resp, detail)
		if r.Advice == "" {
			r.Advice = "check authority-host, and proxies in between"
		}
		return r
	}
	out := &Error{Leg: leg, Client: client, Host: e.host(), Status: resp.StatusCode,
		After: wire.RetryAfter(resp.Header, e.Now())}
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		out.parse(refused.Body, hide(params))
	} else {
		out.Description = "the answer holds no usable token"
		if errors.Is(err, errTooShort) {
			out.Description += ": " + err.Error()
		}
	}
	return out
}

// hide replaces the credentials of a request. It is done before a text is cut to
// its length: half a credential could not be recognized any more.
func hide(params url.Values) *strings.Replacer {
	var pairs []string
	for _, name := range []string{"client_assertion", "user_federated_identity_credential", "refresh_token", "password"} {
		if v := params.Get(name); v != "" {
			pairs = append(pairs, v, "***", url.QueryEscape(v), "***")
		}
	}
	return strings.NewReplacer(pairs...)
}

// parse reads the body of a refusal.
func (e *Error) parse(body []byte, hide *strings.Replacer) {
	var said struct {
		Error         any `json:"error"`
		Description   any `json:"error_description"`
		Codes         any `json:"error_codes"`
		CorrelationID any `json:"correlation_id"`
		TraceID       any `json:"trace_id"`
	}
	if json.Unmarshal(body, &said) != nil {
		e.Description = "the answer is not Entra's"
		return
	}
	text := func(v any, limit int) string {
		s, _ := v.(string)
		return outside.Line(hide.Replace(s), limit)
	}
	e.OAuth = text(said.Error, 60)
	e.Correlation = text(said.CorrelationID, 40)
	e.Trace = text(said.TraceID, 40)
	description := text(said.Description, 2000)
	if i := strings.Index(description, " Trace ID:"); i >= 0 {
		description = description[:i]
	}
	e.Description = outside.Line(description, 400)
	codes, _ := said.Codes.([]any)
	for _, c := range codes {
		if n, ok := c.(float64); ok && n >= 1 && n < 1e9 {
			e.Codes = append(e.Codes, int(n))
		}
	}
	if rest, ok := strings.CutPrefix(description, "AADSTS"); ok && len(e.Codes) == 0 {
		digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
		if n, err := strconv.Atoi(digits); err == nil && n > 0 {
			e.Codes = []int{n}
		}
	}
}
