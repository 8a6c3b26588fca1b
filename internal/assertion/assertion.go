// Package assertion gets the JWT by which a CI system attests the identity of a job.
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

// Source returns a new assertion with every call. A call makes one attempt; the
// caller decides about retries, see [httpclient.Retryable].
type Source interface {
	Assertion(context.Context) (secret.Value, error)
}

// maxLength limits an assertion, in bytes. GitHub's have about 2 KiB.
const maxLength = 64 << 10

// Claims are the parts of an assertion that Entra compares with a federated
// credential. They are not secret. They can contain any characters: print them with
// sanitize.Exact.
type Claims struct {
	Issuer   string
	Subject  string
	Audience string
	// Those of GitHub, for flexible federated credentials.
	JobWorkflowRef    string
	RepositoryID      string
	RepositoryOwnerID string
}

// ErrNotJWT is the error of [Parse] and [Decode] for a text that is not a JWT.
var ErrNotJWT = errors.New("not a JWT (three base64url parts, the first two JSON)")

// Parse reads the claims of an assertion (RFC 7519). It does not verify the signature:
// Entra does.
func Parse(v secret.Value) (Claims, error) {
	var payload struct {
		Issuer            any `json:"iss"`
		Subject           any `json:"sub"`
		Audience          any `json:"aud"`
		JobWorkflowRef    any `json:"job_workflow_ref"`
		RepositoryID      any `json:"repository_id"`
		RepositoryOwnerID any `json:"repository_owner_id"`
	}
	if err := Decode(v, &payload); err != nil {
		return Claims{}, err
	}
	return Claims{
		Issuer:            Text(payload.Issuer),
		Subject:           Text(payload.Subject),
		Audience:          Text(payload.Audience),
		JobWorkflowRef:    Text(payload.JobWorkflowRef),
		RepositoryID:      Text(payload.RepositoryID),
		RepositoryOwnerID: Text(payload.RepositoryOwnerID),
	}, nil
}

// Decode reads the claims of a JWT into payload, as [json.Unmarshal] does. The error is
// [ErrNotJWT]. It does not verify the signature.
func Decode(v secret.Value, payload any) error {
	text, err := Payload(v)
	if err != nil || json.Unmarshal(text, payload) != nil {
		return ErrNotJWT
	}
	return nil
}

// Payload returns the second part of a JWT, which is JSON. The error is [ErrNotJWT]. It
// does not verify the signature.
func Payload(v secret.Value) ([]byte, error) {
	parts := strings.Split(v.Reveal(), ".")
	if len(parts) != 3 || parts[2] == "" || len(v.Reveal()) > maxLength {
		return nil, ErrNotJWT
	}
	header, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[0], "="))
	var fields map[string]any
	if err != nil || json.Unmarshal(header, &fields) != nil {
		return nil, ErrNotJWT
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil || !json.Valid(payload) {
		return nil, ErrNotJWT
	}
	return payload, nil
}

// Text returns a claim that is a string or a list of strings, the latter separated by
// ", ". Other types give "".
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

// describe explains why newAssertion rejects a CI system's request token.
func describe(err error) string {
	if errors.Is(err, ErrNotJWT) {
		return "it cannot be sent in a header"
	}
	return err.Error()
}

// newAssertion returns text without surrounding white space as a secret. It fails if
// the text is empty, too short, too long, or cannot be sent in a header.
func newAssertion(text string) (secret.Value, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return secret.Value{}, errEmpty
	case secret.New(text).TooShort():
		return secret.Value{}, fmt.Errorf("it has fewer than %d characters", secret.MinLength)
	case len(text) > maxLength:
		return secret.Value{}, fmt.Errorf("it is longer than %d KiB", maxLength>>10)
	case !secret.New(text).FitsHeader():
		return secret.Value{}, ErrNotJWT
	}
	return secret.New(text), nil
}

var errEmpty = errors.New("it is empty")

// unusableError returns the error of an answer without a valid assertion. If it is
// missing, the next attempt may get one.
func unusableError(doing string, resp *http.Response, why error, sent secret.Value) error {
	e := httpclient.StatusError(doing, resp, fmt.Sprintf("no assertion in the answer: %v", why), sent)
	if errors.Is(why, errEmpty) {
		e.Transient, e.MaxAttempts = true, httpclient.Repeats
	}
	return e
}
