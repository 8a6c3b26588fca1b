package signin

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// source returns the source of assertions: the token file that the settings name, or
// the CI system. It is nil if there is neither.
func (c *Client) source(client *http.Client) assertion.Source {
	var provider assertion.Source
	if c.Provider.Source != nil {
		provider = c.Provider.Source(client, c.Settings.Audience, c.Settings.ServiceConnection)
	}
	if c.Settings.FederatedTokenFile == "" || c.fellBack.Load() {
		return provider
	}
	file := &assertion.File{Path: c.Settings.FederatedTokenFile}
	if !c.ProviderFallback || provider == nil || c.Provider.Unavailable != nil {
		return file
	}
	return &fallback{Client: c, file: file, provider: provider}
}

// AssertionFrom describes for the log where the assertion comes from. note mentions a
// token file that is not used; empty: there is none.
func (c *Client) AssertionFrom() (from, note string) {
	if c.Settings.UnusedTokenFile != "" {
		note = "; the file in " + c.Settings.UnusedTokenFile + " is not used (to use it, set federated-token-file)"
	}
	if c.Settings.FederatedTokenFile != "" && !c.fellBack.Load() {
		return "the file " + sanitize.Exact(c.Settings.FederatedTokenFile), note
	}
	return c.Provider.Name, note
}

// fallback asks the CI system for an assertion if the token file has none.
type fallback struct {
	*Client
	file, provider assertion.Source
}

// Assertion implements [assertion.Source].
func (f *fallback) Assertion(ctx context.Context) (secret.Value, error) {
	v, err := f.file.Assertion(ctx)
	if err == nil || ctx.Err() != nil {
		return v, err
	}
	f.Log.Warning("token file", fmt.Sprintf("%v; asking %s for an assertion instead", err, f.Provider.Service))
	f.fellBack.Store(true)
	v, providerErr := f.provider.Assertion(ctx)
	if providerErr != nil {
		return v, fmt.Errorf("%w; %s issued none either: %w", err, f.Provider.Service, providerErr)
	}
	return v, nil
}

// observedSource is a source that calls then with each assertion.
type observedSource struct {
	assertion.Source
	then func(secret.Value)
}

// Assertion implements [assertion.Source].
func (o *observedSource) Assertion(ctx context.Context) (secret.Value, error) {
	v, err := o.Source.Assertion(ctx)
	if err == nil {
		o.then(v)
	}
	return v, err
}

// onFirst calls f with the first value only.
func onFirst(f func(secret.Value)) func(secret.Value) {
	var once sync.Once
	return func(v secret.Value) { once.Do(func() { f(v) }) }
}

// issuer is the issuer of an assertion, as far as it can be read.
func issuer(v secret.Value) string {
	claims, err := assertion.Parse(v)
	if err != nil || claims.Issuer == "" {
		return "not readable"
	}
	return sanitize.Exact(claims.Issuer)
}
