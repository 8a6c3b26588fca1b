// Package assertion gets the JWT by which the CI system vouches for a job.
package assertion

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

// Source gets a fresh assertion with every call. A call makes one attempt;
// whether to make another is for the caller to decide, see httpclient.Retryable.
type Source interface {
	Assertion(context.Context) (secret.Value, error)
}

// maxLength bounds an assertion, in bytes. GitHub's are about 2 KiB.
const maxLength = 64 << 10

// Claims are the parts of an assertion that a federated credential in Entra is
// matched against. They are not secret. Each is exactly what the assertion says,
// whatever characters that has: show it with sanitize.Exact.
type Claims struct {
	Issuer         string
	Subject        string
	Audience       string
	JobWorkflowRef string // GitHub only
}

// ErrNotJWT is what [Parse] returns for anything but a JWT.
var ErrNotJWT = errors.New("not a JWT (three base64url parts, the first two JSON)")

// Parse reads an assertion's claims (RFC 7519). It verifies nothing: that is
// for Entra to do.
func Parse(v secret.Value) (Claims, error) {
	var payload struct {
		Issuer         any `json:"iss"`
		Subject        any `json:"sub"`
		Audience       any `json:"aud"`
		JobWorkflowRef any `json:"job_workflow_ref"`
	}
	if err := Decode(v, &payload); err != nil {
		return Claims{}, err
	}
	return Claims{
		Issuer:         Text(payload.Issuer),
		Subject:        Text(payload.Subject),
		Audience:       Text(payload.Audience),
		JobWorkflowRef: Text(payload.JobWorkflowRef),
	}, nil
}

// Decode reads the claims of a JWT into payload, as [json.Unmarshal] does. What
// is none gives [ErrNotJWT]. It verifies nothing.
func Decode(v secret.Value, payload any) error {
	parts := strings.Split(v.Reveal(), ".")
	if len(parts) != 3 || parts[2] == "" || len(v.Reveal()) > maxLength {
		return ErrNotJWT
	}
	var header map[string]any
	for i, into := range []any{&header, payload} {
		b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[i], "="))
		if err != nil || json.Unmarshal(b, into) != nil {
			return ErrNotJWT
		}
	}
	return nil
}

// Text is a claim that should be a string, or a list of them, as it is.
func Text(claim any) string {
	switch c := claim.(type) {
	case string:
		return c
	case []any:
		var all []string
		for _, one := range c {
			if s, ok := one.(string); ok {
				all = append(all, s)
			}
		}
		return strings.Join(all, ", ")
	}
	return ""
}

// describe says why the CI system's own token is none.
func describe(err error) string {
	if errors.Is(err, ErrNotJWT) {
		return "it cannot go into a header"
	}
	return err.Error()
}

// newAssertion makes a secret of what a source brought, if it can be one: a header
// value cannot hold white space, and nothing that long is an assertion.
func newAssertion(text string) (secret.Value, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return secret.Value{}, errEmpty
	case secret.New(text).TooShort():
		return secret.Value{}, fmt.Errorf("it has fewer than %d characters", secret.MinLength)
	case len(text) > maxLength:
		return secret.Value{}, fmt.Errorf("it is longer than %d KiB", maxLength>>10)
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		return secret.Value{}, ErrNotJWT
	}
	return secret.New(text), nil
}

var errEmpty = errors.New("it is empty")

// unusableError makes the error of an answer whose assertion is none. One that is
// missing may be there the next time.
func unusableError(doing string, resp *http.Response, why error, sent secret.Value) error {
	e := httpclient.StatusError(doing, resp, fmt.Sprintf("no assertion in the answer: %v", why), sent)
	if errors.Is(why, errEmpty) {
		e.Transient, e.MaxAttempts = true, httpclient.Repeats
	}
	return e
}
