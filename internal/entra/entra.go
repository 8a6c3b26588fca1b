// Package entra exchanges the assertion of a CI job for an access token of a
// Microsoft Entra user or service principal, at the token endpoint of the Microsoft identity
// platform, {authority-host}/{tenant}/oauth2/v2.0/token:
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
//
// Each identity has a file, such as agentuser.go. A person signs in by
// authorizationcode.go. The requests are made by
// golang.org/x/oauth2/clientcredentials, which sends nothing else.
package entra

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

const (
	// The GUID is the application id of Azure DevOps in every tenant. The scope
	// requests what was consented: vso.pats and vso.pats_manage.
	azureDevOpsScope = "499b84ac-1321-427f-aa17-267ca6975798/.default"
	exchangeScope    = "api://AzureADTokenExchange/.default"
	jwtBearer        = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

	// maxBody limits an answer, in bytes. The library decodes all of it, which uses
	// many times as much memory.
	maxBody = 256 << 10
)

// tooLarge is the error of an answer of more than maxBody bytes.
type tooLarge struct{}

func (tooLarge) Error() string        { return "the answer is larger than 256 KiB" }
func (tooLarge) Is(target error) bool { return target == httpclient.ErrTooLarge }

// Token is an access token for Azure DevOps: delegated by a user, or a service
// principal's own.
type Token struct {
	Access secret.Value
	// Lifetime is how long it was valid when Entra answered (expires_in). Zero: the
	// answer does not say.
	Lifetime time.Duration
	// Refresh is the refresh token that replaces the one that was sent, which stays
	// valid for its own 90 days. Zero: none.
	Refresh secret.Value
	// ID is the id_token, which tells who signed in. Only a [Code] has one. It came from
	// the token endpoint over TLS, so that its signature need not be verified.
	ID secret.Value
	// Scope lists what was granted, as Entra says it. Empty: it does not say.
	Scope string
}

// Credentials is an identity: it exchanges an assertion for the user's token.
type Credentials interface {
	token(ctx context.Context, e *endpoint, assertion secret.Value) (answer, error)
}

// Exchange gets a user's token for a job.
type Exchange struct {
	HTTP          *http.Client
	AuthorityHost string // without a slash at the end
	// Tenant is a GUID or a domain. Empty: Discover finds it, while Source gets the
	// assertion.
	Tenant   string
	Discover func(context.Context) (string, error)
	Source   assertion.Source
	// Authorize, if not nil, is called with each assertion before anything is sent to
	// Entra or by Discover. Its error ends the exchange.
	Authorize   func(assertion secret.Value) error
	Credentials Credentials
	// Claims is the JSON of a claims challenge, to be sent with the request for the
	// user's token. Empty: none.
	Claims string
	// Mask is called with every credential as soon as it is received, so that it is
	// masked before anything else happens. Its error ends the exchange.
	Mask func(secret.Value) error
	// OnRequest, if not nil, is called after every request.
	OnRequest func(Request)
	Log       httpclient.Log
}

// Request is one request to the token endpoint and its result.
type Request struct {
	Name   string // what was requested, as in [Error.Step]
	Client string // the client id of the request
	Took   time.Duration
	Err    error // nil: there is a token
}

// Token gets the user's token. It retries temporary failures, with a new assertion
// for every attempt. A refusal by Entra is an [*Error] with the assertion's claims.
func (x *Exchange) Token(ctx context.Context) (Token, error) {
	var t Token
	err := httpclient.Retry(ctx, x.Log, "signing in", func(ctx context.Context) (err error) {
		t, err = x.attempt(ctx)
		return err
	})
	return t, err
}

func (x *Exchange) attempt(ctx context.Context) (Token, error) {
	jwt, err := x.fetchAssertion(ctx)
	if err != nil {
		return Token{}, err
	}
	e := &endpoint{Exchange: x}
	got, err := x.Credentials.token(ctx, e, jwt)
	if err != nil {
		var refused *Error
		if errors.As(err, &refused) {
			refused.Presented, _ = assertion.Parse(jwt)
		}
		return Token{}, err
	}
	return Token{Access: got.access, Lifetime: got.lifetime, Refresh: got.refresh, ID: got.id, Scope: got.scope}, nil
}

// fetchAssertion gets the assertion and, if it is unknown, the tenant.
func (x *Exchange) fetchAssertion(ctx context.Context) (secret.Value, error) {
	if x.Authorize != nil {
		return x.fetchAuthorized(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	discovered := make(chan error, 1)
	if x.Tenant == "" {
		go func() {
			tenant, err := x.Discover(ctx)
			if err == nil {
				x.Tenant = tenant
			}
			discovered <- err
		}()
	} else {
		discovered <- nil
	}
	jwt, err := x.Source.Assertion(ctx)
	if err != nil {
		cancel()
		<-discovered //nolint:errcheck // the lookup was given up
		return secret.Value{}, err
	}
	if err := x.Mask(jwt); err != nil {
		cancel()
		<-discovered //nolint:errcheck // the lookup was given up
		return secret.Value{}, err
	}
	return jwt, <-discovered
}

// fetchAuthorized is fetchAssertion, one after the other: the tenant is not looked up
// before the assertion is authorized.
func (x *Exchange) fetchAuthorized(ctx context.Context) (secret.Value, error) {
	jwt, err := x.Source.Assertion(ctx)
	if err == nil {
		err = x.Mask(jwt)
	}
	if err == nil {
		err = x.Authorize(jwt)
	}
	if err == nil && x.Tenant == "" {
		x.Tenant, err = x.Discover(ctx)
	}
	if err != nil {
		return secret.Value{}, err
	}
	return jwt, nil
}

// endpoint is the token endpoint during one attempt.
type endpoint struct{ *Exchange }

// answer has the tokens of one answer. All but access may be zero.
type answer struct {
	access, refresh, id secret.Value
	scope               string
	lifetime            time.Duration
}

// ask makes one request for a token with scope. step describes it for errors, client
// is the client id, and params has the parameters of the grant.
func (e *endpoint) ask(ctx context.Context, step, client string, jwt secret.Value, scope string, params url.Values) (_ answer, err error) {
	if e.OnRequest != nil {
		start := time.Now()
		defer func() { e.OnRequest(Request{step, client, time.Since(start), err}) }()
	}
	params.Set("client_assertion_type", jwtBearer)
	params.Set("client_assertion", jwt.Reveal())
	if e.Claims != "" && scope == azureDevOpsScope {
		params.Set("claims", e.Claims)
	}
	seen := &responseRecorder{next: e.HTTP.Transport}
	config := clientcredentials.Config{
		ClientID:       client,
		TokenURL:       e.AuthorityHost + "/" + url.PathEscape(e.Tenant) + "/oauth2/v2.0/token",
		Scopes:         []string{scope},
		EndpointParams: params,
		AuthStyle:      oauth2.AuthStyleInParams,
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: seen, CheckRedirect: e.HTTP.CheckRedirect})
	token, err := config.Token(ctx)
	if err != nil {
		return answer{}, e.failed(step, client, params, seen, err)
	}
	got := answer{access: secret.New(token.AccessToken), lifetime: lifetime(token.Extra("expires_in"))}
	// The library returns the refresh token that was sent if the answer has none.
	if token.RefreshToken != params.Get("refresh_token") {
		got.refresh = secret.New(token.RefreshToken)
	}
	got.scope, _ = token.Extra("scope").(string)
	id, _ := token.Extra("id_token").(string)
	got.id = secret.New(id)
	if got.access.TooShort() || got.refresh.TooShort() || got.id.TooShort() {
		return answer{}, e.failed(step, client, params, seen, errTooShort)
	}
	for _, v := range []secret.Value{got.access, got.refresh, got.id} {
		if err := e.Mask(v); err != nil {
			return answer{}, err
		}
	}
	if !got.access.FitsHeader() {
		return answer{}, e.failed(step, client, params, seen, errUnusable)
	}
	return got, nil
}

// lifetime is expires_in: seconds, as a number or as a text of one.
func lifetime(expiresIn any) time.Duration {
	seconds, ok := expiresIn.(float64)
	if text, is := expiresIn.(string); is {
		n, err := strconv.ParseInt(text, 10, 64)
		seconds, ok = float64(n), err == nil
	}
	if !ok {
		return 0
	}
	return time.Duration(max(0, min(seconds, math.MaxInt32))) * time.Second
}

// responseRecorder reads an answer to its end before the library does. The library
// would report an incomplete answer as one without a token.
type responseRecorder struct {
	next   http.RoundTripper
	answer *http.Response // nil: there was no complete answer
	body   []byte         // of answer
}

func (w *responseRecorder) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		// The status is enough for a refusal. A truncated body could end with half of
		// a credential.
		body = nil
		if resp.StatusCode/100 == 2 {
			err = tooLarge{}
		}
	}
	if err != nil {
		return nil, err
	}
	body = normalize(resp, body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	w.answer, w.body = resp, body
	return resp, nil
}

// normalize changes a JSON answer so that the library accepts it: without a byte order
// mark, with the content type of JSON, and with whole seconds instead of 3599.0.
func normalize(resp *http.Response, body []byte) []byte {
	bare := httpclient.Bare(body)
	var fields map[string]json.RawMessage
	if json.Unmarshal(bare, &fields) != nil {
		return body
	}
	resp.Header.Set("Content-Type", "application/json")
	seconds, err := strconv.ParseFloat(string(fields["expires_in"]), 64)
	if err != nil || !strings.ContainsAny(string(fields["expires_in"]), ".eE") {
		return bare
	}
	fields["expires_in"] = strconv.AppendInt(nil, int64(max(0, min(seconds, math.MaxInt32))), 10)
	if whole, err := json.Marshal(fields); err == nil {
		return whole
	}
	return bare
}

// stepName returns the [Error.Step] of request n of an agent user.
func stepName(what string, n int) string { return fmt.Sprintf("%s (request %d of 3)", what, n) }
