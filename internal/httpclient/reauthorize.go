package httpclient

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"

	"azdo-pat/internal/secret"
)

// Reauthorize is a transport that handles a demand for another token (continuous
// access evaluation): it gets a token with the demanded claims and sends the
// request again with it. It does so once; a second demand is returned. The refused
// request had no effect, so this is safe for a create too.
type Reauthorize struct {
	Next http.RoundTripper
	// Token gets the other token. If it fails, the demand is returned as the answer.
	Token func(ctx context.Context, claims string) (secret.Value, error)

	mu        sync.Mutex
	requested bool
	token     secret.Value // zero: requests keep their own
}

// RoundTrip implements [http.RoundTripper].
func (a *Reauthorize) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := replayableBody(r)
	if err != nil {
		return nil, err
	}
	sent := a.current()
	resp, err := a.Next.RoundTrip(withToken(r, sent))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	demand := challengeOf(resp.Header)
	if demand == nil {
		return resp, nil
	}
	// The request for the token may need this connection.
	refusal, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(refusal))
	token, ok := a.newToken(r.Context(), sent, demand.Claims)
	if !ok {
		return resp, nil
	}
	second := withToken(r, token)
	if body != nil {
		second.Body, err = body()
		if err != nil {
			return resp, nil
		}
	}
	return a.Next.RoundTrip(second)
}

func (a *Reauthorize) current() secret.Value {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.token
}

// newToken returns a token that differs from the one that was sent: one that a
// concurrent request has got, or a new one. It reports false if there is none.
func (a *Reauthorize) newToken(ctx context.Context, sent secret.Value, claims string) (secret.Value, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.requested {
		a.requested = true
		if token, err := a.Token(ctx, claims); err == nil {
			a.token = token
		}
	}
	return a.token, !a.token.IsZero() && a.token.Reveal() != sent.Reveal()
}

// withToken returns the request with another token. The zero token changes nothing.
func withToken(r *http.Request, token secret.Value) *http.Request {
	if token.IsZero() {
		return r
	}
	clone := r.Clone(r.Context())
	clone.Header.Set("Authorization", "Bearer "+token.Reveal())
	return clone
}

// CloseIdleConnections implements the interface of [http.Client.CloseIdleConnections].
func (a *Reauthorize) CloseIdleConnections() { closeIdle(a.Next) }
