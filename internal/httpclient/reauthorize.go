package httpclient

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"

	"azdo-pat/internal/secret"
)

// Reauthorize answers the demand for another token (continuous access evaluation):
// it gets one with the claims that were demanded and sends the request once more,
// with it. A second demand is for the caller to see. The refused request had no
// effect, so that this is safe for a create, too.
type Reauthorize struct {
	Next http.RoundTripper
	// Token gets the other token. Where it fails, the demand is the answer.
	Token func(ctx context.Context, claims string) (secret.Value, error)

	mu        sync.Mutex
	requested bool
	token     secret.Value // zero: the one that requests come with
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
		if second.Body, err = body(); err != nil {
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

// another returns another token than the one that was sent: one that a request at
// the same time has got, or a new one.
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

// with is the request with another token; the zero value changes nothing.
func withToken(r *http.Request, token secret.Value) *http.Request {
	if token.IsZero() {
		return r
	}
	clone := r.Clone(r.Context())
	clone.Header.Set("Authorization", "Bearer "+token.Reveal())
	return clone
}

// CloseIdleConnections lets [http.Client.CloseIdleConnections] through.
func (a *Reauthorize) CloseIdleConnections() { closeIdle(a.Next) }
