package entra

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// Error is Entra's refusal of one request.
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
type Error struct {
	Step   string // what was requested, as in "redeem the refresh token"
	Client string // the client id of the request
	Host   string
	// Status is that of the answer. Zero: the answer came by way of the browser.
	Status int
	// OAuth is the error of RFC 6749, section 5.2, such as invalid_grant.
	OAuth string
	// Codes are the AADSTS numbers.
	Codes []int
	// Description is Entra's description without its ids, as one line without
	// credentials.
	Description string
	// Correlation and Trace are ids that Microsoft's support needs.
	Correlation, Trace string
	// Support lists further ids, from the answer's headers.
	Support string
	// Suberror is more specific than OAuth, such as consent_required.
	Suberror string
	After    time.Duration
	// Presented are the claims of the job's assertion; zero if it cannot be read.
	Presented assertion.Claims
}

// Error implements error.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s for client %s: %s answered", e.Step, e.Client, e.Host)
	if e.Status != 0 {
		text += fmt.Sprintf(" %d", e.Status)
	}
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
	if e.Support != "" {
		ids = append(ids, e.Support)
	}
	if len(ids) > 0 {
		text += " (" + strings.Join(ids, ", ") + ")"
	}
	return text
}

// Retryable reports whether a retry may succeed, by the status, the OAuth error, or an
// AADSTS code.
func (e *Error) Retryable() bool {
	return httpclient.RetryableStatus(e.Status) || e.OAuth == "temporarily_unavailable" || e.OAuth == "server_error" ||
		e.is(transientCodes...) || e.is(codeLoop)
}

// Service returns the name of the service.
func (e *Error) Service() string { return "Microsoft Entra" }

// Wait returns how long to wait before the next attempt.
func (e *Error) Wait() time.Duration {
	if e.is(codeLoop) {
		return max(e.After, loopPause)
	}
	return e.After
}

// transientCodes are the AADSTS codes of temporary faults.
var transientCodes = []int{
	90033, 90024, 50033, 90055,
	90006,  // an external server could not be reached
	90012,  // a timeout
	90090,  // Microsoft Graph
	50087,  // strong authentication is out of order
	50166,  // the claims provider is throttled
	90091,  // a federated token could not be obtained
	501621, // a timeout of the claims provider
}

// codeLoop means that the client sent too many requests. Another one within loopPause
// prolongs the block.
const (
	codeLoop  = 50196
	loopPause = time.Minute
)

// CredentialMismatch reports whether no federated credential of the application
// matches the job's assertion.
func (e *Error) CredentialMismatch() bool {
	return e.is(700211, 700212, 700213, 7002131, 7002138, 70021, 70025, 700223) ||
		len(e.Codes) == 0 && strings.Contains(strings.ToLower(e.Description), "federated identity")
}

// UnknownCertificate reports whether Entra does not know the certificate that signed the
// assertion, or not yet.
func (e *Error) UnknownCertificate() bool { return e.is(700027) }

// BadApplication reports whether Entra refused the application itself: it is not there,
// or its credential is wrong. With any other refusal the credential was accepted.
func (e *Error) BadApplication() bool {
	return e.OAuth == "invalid_client" || e.Retryable() ||
		e.is(90002, 900023, 700016, 500011, 7000112, 70001)
}

// errTooShort is the error of an answer whose token is too short to be masked.
var errTooShort = fmt.Errorf("it has fewer than %d characters", secret.MinLength)

// errUnusable is the error of an answer whose token cannot be sent in a header.
var errUnusable = errors.New("the token has characters that no token has")

// failed returns the error of a request, given the library's error and the answer, if
// there was one. It contains nothing of the request, and only lines of bounded length
// of the answer.
func (e *endpoint) failed(step, client string, params url.Values, seen *responseRecorder, err error) error {
	resp, body := seen.answer, seen.body
	if resp == nil {
		return httpclient.TransportError(step, httpclient.HostOf(e.AuthorityHost), err)
	}
	secrets := credentialsIn(params)
	said := httpclient.ReadAnswer(resp.Header, body, secrets...)
	const advice = "check authority-host, and proxies in between"
	switch {
	case resp.StatusCode/100 == 3:
		r := said.StatusError(step, resp)
		if r.Advice == "" {
			r.Advice = advice
		}
		return r
	case resp.StatusCode/100 == 2 && !said.JSON && !isForm(resp.Header):
		r := httpclient.NoContentError(step, resp, body, "a token", secrets...)
		r.Advice = advice
		return r
	case said.HTML:
		r := httpclient.StatusError(step, resp, said.Message+" instead of Entra's answer")
		r.Name, r.Support, r.Advice = "Microsoft Entra", said.Support, advice
		return r
	}
	out := &Error{Step: step, Client: client, Host: httpclient.HostOf(e.AuthorityHost), Status: resp.StatusCode,
		After: httpclient.RetryAfter(resp.Header)}
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		out.parse(refused.Body, secrets)
	} else {
		out.parse(body, secrets)
		if out.OAuth == "" {
			out.Description = "the answer holds no usable token"
		}
		if errors.Is(err, errTooShort) {
			out.Description += ": " + err.Error()
		}
	}
	out.Support = withoutIDs(said.Support, out.Correlation, out.Trace)
	return out
}

// isForm reports whether an answer has one of the two other content types that the
// library reads.
func isForm(h http.Header) bool {
	mediaType, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return mediaType == "application/x-www-form-urlencoded" || mediaType == "text/plain"
}

// withoutIDs removes the ids in said from the list of [httpclient.SupportIDs].
func withoutIDs(support string, said ...string) string {
	ids := strings.Split(support, ", ")
	return strings.Join(slices.DeleteFunc(ids, func(id string) bool {
		_, value, _ := strings.Cut(id, " ")
		return slices.ContainsFunc(said, func(s string) bool { return strings.EqualFold(s, value) })
	}), ", ")
}

// credentialsIn returns the credentials in the parameters of a request.
func credentialsIn(params url.Values) []secret.Value {
	var list []secret.Value
	for _, name := range []string{"client_assertion", "user_federated_identity_credential", "refresh_token", "password", "code", "code_verifier"} {
		if v := params.Get(name); v != "" {
			list = append(list, secret.New(v))
		}
	}
	return list
}

// parse reads the body of a refusal.
func (e *Error) parse(body []byte, secrets []secret.Value) {
	var said struct {
		Error         any `json:"error"`
		Description   any `json:"error_description"`
		Codes         any `json:"error_codes"`
		Suberror      any `json:"suberror"`
		CorrelationID any `json:"correlation_id"`
		TraceID       any `json:"trace_id"`
	}
	if httpclient.Decode(body, &said) != nil {
		e.Description = "the answer is not Entra's"
		return
	}
	text := func(v any, limit int) string {
		s, _ := v.(string)
		return sanitize.Line(httpclient.Redact(s, secrets...), limit)
	}
	// Gateways in front of Entra write {"error": {"code", "message"}}.
	if nested, ok := said.Error.(map[string]any); ok {
		said.Error = nested["code"]
		if text(said.Description, 1) == "" {
			said.Description = nested["message"]
		}
	}
	e.OAuth = text(said.Error, 60)
	e.Correlation = text(said.CorrelationID, 40)
	e.Trace = text(said.TraceID, 40)
	e.Suberror = text(said.Suberror, 60)
	description := text(said.Description, 2000)
	if i := strings.Index(description, " Trace ID:"); i >= 0 {
		description = description[:i]
	}
	e.Description = sanitize.Line(description, 400)
	codes, _ := said.Codes.([]any)
	for _, c := range codes {
		switch c := c.(type) {
		case float64:
			e.addCode(c)
		case string:
			n, _ := strconv.ParseFloat(c, 64)
			e.addCode(n)
		}
	}
	if m := codeInText.FindStringSubmatch(description); m != nil && len(e.Codes) == 0 {
		n, _ := strconv.ParseFloat(m[1], 64)
		e.addCode(n)
	}
}

func (e *Error) addCode(n float64) {
	if n >= 1 && n < 1e9 && len(e.Codes) < maxCodes {
		e.Codes = append(e.Codes, int(n))
	}
}

// maxCodes limits the AADSTS codes that are read.
const maxCodes = 16

var codeInText = regexp.MustCompile(`\bAADSTS([0-9]{1,9})\b`)
