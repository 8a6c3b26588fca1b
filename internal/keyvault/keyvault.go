// Package keyvault reads and replaces one secret of an Azure Key Vault: the refresh
// token of a service account.
// https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret/get-secret
// https://learn.microsoft.com/rest/api/keyvault/secrets/set-secret/set-secret
//
// The wire format comes from Microsoft's OpenAPI description of version 7.4
// (Azure/azure-rest-api-specs, specification/keyvault).
package keyvault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

const (
	// Scope is the scope of the access tokens that a vault accepts.
	Scope = "https://vault.azure.net/.default"

	// ContentType describes the stored value to people who look at the vault.
	ContentType = "Microsoft Entra refresh token"

	// RefreshTokenLife is how long a refresh token lives from its issue.
	// https://learn.microsoft.com/entra/identity-platform/refresh-tokens#token-lifetime
	RefreshTokenLife = 90 * 24 * time.Hour

	// apiVersion is the value of the query parameter api-version.
	apiVersion = "7.4"

	// maxBody limits an answer, in bytes. A secret has at most 25 kB.
	maxBody = 256 << 10

	service = "Azure Key Vault"
)

// Client reads and writes one secret. It is safe for concurrent use.
type Client struct {
	// HTTP sends the requests; it must not follow redirects.
	HTTP *http.Client
	// URL is the secret's, in the form that [ParseURL] returns. The token is sent to no
	// other host, whatever an answer says.
	URL string
	// Token is an access token of an application (not of a user) for [Scope].
	Token secret.Value
	// Mask is called with the stored value as soon as it is received, so that it is
	// masked before anything else happens.
	Mask      func(secret.Value) error
	UserAgent string
}

// Secret is the newest version of the secret.
type Secret struct {
	// Value is the stored refresh token, without white space around it.
	Value secret.Value
	// Version is the id of the version, 32 hex digits, or empty if the answer has none.
	Version string
	// Created is when this version was stored. Zero: the answer does not say.
	Created time.Time
	// Age is how long ago that was by the vault's clock. Zero if Created is.
	Age time.Duration
	// Expires is the date in the attribute exp, a label of which Key Vault makes no
	// use but events. Zero: none.
	Expires time.Time

	// tags are copied to the next version, to which Key Vault does not carry them over.
	tags map[string]string
}

// Dies is the day by which a stored refresh token has expired: it was issued before it
// was stored. Zero: not known.
func (s Secret) Dies() time.Time {
	if s.Created.IsZero() {
		return time.Time{}
	}
	return s.Created.Add(RefreshTokenLife)
}

// bundle is the answer to both requests (SecretBundle). Only the value must have the
// right type; the rest is about the value.
type bundle struct {
	Value      *string         `json:"value"`
	ID         json.RawMessage `json:"id"`
	Attributes json.RawMessage `json:"attributes"`
	Tags       json.RawMessage `json:"tags"`
}

// attributes are those of a secret (SecretAttributes); times are Unix seconds.
type attributes struct {
	Created int64 `json:"created,omitempty"`
	Expires int64 `json:"exp,omitempty"`
}

// Get reads the newest version. It sends one request. The error is an
// [*httpclient.Error], or that of Mask. A stored value that cannot be a token is an
// error, which does not repeat it.
func (c *Client) Get(ctx context.Context) (Secret, error) {
	const what = "read the refresh token in"
	answer, header, err := c.send(ctx, http.MethodGet, what, nil)
	if err != nil {
		return Secret{}, err
	}
	stored := secret.New(strings.TrimSpace(*answer.Value))
	if err := c.mask(stored); err != nil {
		return Secret{}, err
	}
	fault := stored.Fault()
	if stored.IsZero() {
		fault = "is empty"
	}
	if fault != "" {
		return Secret{}, c.unusable(what, fault)
	}
	s := Secret{Value: stored, Version: version(answer.ID)}
	var a attributes
	_ = json.Unmarshal(answer.Attributes, &a) // what cannot be read is not known
	if a.Created > 0 {
		s.Created = time.Unix(a.Created, 0).UTC()
		s.Age = max(1, serverTime(header).Sub(s.Created))
	}
	if a.Expires > 0 {
		s.Expires = time.Unix(a.Expires, 0).UTC()
	}
	_ = json.Unmarshal(answer.Tags, &s.tags)
	return s, nil
}

// mask masks the stored value. Of a value that cannot be a token, it masks the part
// that may be one.
func (c *Client) mask(stored secret.Value) error {
	if stored.Fault() != "" {
		stored = stored.Bare()
	}
	if c.Mask == nil || stored.IsZero() {
		return nil
	}
	return c.Mask(stored)
}

// Set stores a refresh token as a new version, with the tags of before, the secret as
// it was read (zero: none). issued is when Entra issued the token, by a server's
// clock; [RefreshTokenLife] later is the date in the attribute exp.
//
// It sends one request, which can be repeated: a second one makes another version with
// the same value. The error is an [*httpclient.Error], except for a token that Get would
// refuse, for which nothing is sent.
func (c *Client) Set(ctx context.Context, token secret.Value, issued time.Time, before Secret) error {
	const what = "store the new refresh token in"
	if fault := token.Fault(); fault != "" { // Get would refuse it, and the stored one still works
		return fmt.Errorf("%s %s: nothing was sent, because the token from Entra %s", what, c.name(), fault)
	}
	body, err := json.Marshal(map[string]any{
		"value": token.Reveal(), "contentType": ContentType, "tags": before.tags,
		"attributes": attributes{Expires: issued.Add(RefreshTokenLife).Unix()},
	})
	if err != nil { // strings and numbers: it cannot fail
		return err
	}
	answer, _, err := c.send(ctx, http.MethodPut, what, body, token)
	if err != nil {
		return err
	}
	if *answer.Value != token.Reveal() {
		return c.unusable(what, "is another one than was sent")
	}
	return nil
}

// send sends a request and returns the answer, with a value. secrets are those in the
// body.
func (c *Client) send(ctx context.Context, method, what string, body []byte, secrets ...secret.Value) (bundle, http.Header, error) {
	doing := what + " " + c.name()
	secrets = append(secrets, c.Token)
	req, err := http.NewRequestWithContext(ctx, method, c.URL+"?"+url.Values{"api-version": {apiVersion}}.Encode(), nil)
	if err != nil {
		return bundle{}, nil, &httpclient.Error{Doing: doing, Name: service, Err: context.Canceled, Detail: "it cannot be requested"}
	}
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+c.Token.Reveal())
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.UserAgent)
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return bundle{}, nil, named(httpclient.TransportError(doing, req.URL.Host, err))
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err == nil && len(text) > maxBody && resp.StatusCode == http.StatusOK, errors.Is(err, httpclient.ErrTooLarge):
		return bundle{}, nil, named(&httpclient.Error{Doing: doing, Host: req.URL.Host, Status: resp.StatusCode, Detail: fmt.Sprintf("the answer is larger than %d KiB", maxBody>>10)})
	case err != nil:
		return bundle{}, nil, named(httpclient.TransportError(doing, req.URL.Host, err))
	case resp.StatusCode != http.StatusOK:
		return bundle{}, nil, c.refused(doing, resp, text[:min(len(text), maxBody)], secrets)
	case httpclient.NoContent(text):
		return bundle{}, nil, named(httpclient.NoContentError(doing, resp, text, "a secret", secrets...))
	}
	var answer bundle
	if err := httpclient.Decode(text, &answer); err != nil || answer.Value == nil {
		return bundle{}, nil, named(httpclient.StatusError(doing, resp, "the answer does not hold a secret", secrets...))
	}
	return answer, resp.Header, nil
}

// named adds the name of the service.
func named(e *httpclient.Error) *httpclient.Error {
	e.Name = service
	return e
}

// unusable is the error of a value that cannot be a refresh token.
func (c *Client) unusable(what, fault string) error {
	doing, host := what+" "+c.name(), httpclient.HostOf(c.URL)
	return named(&httpclient.Error{
		Doing: doing, Host: host, Status: http.StatusOK, Permanent: true, Detail: "the value " + fault,
		Advice: "store the service account's refresh token in the secret " + c.secretName() + " again, as it was issued",
	})
}

// serverTime is the vault's time when it sent an answer.
func serverTime(h http.Header) time.Time {
	if at, err := http.ParseTime(h.Get("Date")); err == nil {
		return at
	}
	return time.Now()
}

func (c *Client) secretName() string {
	_, secret := Names(c.URL)
	return secret
}

// name is the secret as errors have it.
func (c *Client) name() string { return Name(c.URL) }

// Name is a secret's URL without the parts that all have, as in
// "contoso.vault.azure.net/secrets/azdo".
func Name(secretURL string) string {
	_, name, _ := strings.Cut(secretURL, "://")
	return name
}

// versionInID has the version of a secret from its id. It is compiled when it is first
// used, which saves each command 70 µs.
var versionInID = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`/secrets/[0-9A-Za-z-]{1,127}/([0-9a-f]{32})$`)
})

// version is the version in the id of a secret, or "".
func version(id json.RawMessage) string {
	var text string
	if json.Unmarshal(id, &text) != nil {
		return ""
	}
	if m := versionInID().FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}
