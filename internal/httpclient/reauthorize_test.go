package httpclient

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"azdo-pat/internal/secret"
)

// A demand for another token is answered once, with the same request.
func TestReauthorize(t *testing.T) {
	t.Parallel()
	const demand = `Bearer error="insufficient_claims", claims="e30="`
	for _, tc := range []struct {
		name     string
		accepts  string // the token that the server accepts
		demand   string
		fails    bool // no other token can be had
		statuses []int
		tokens   int
		asked    int
	}{
		{"accepted", "old", demand, false, []int{200, 200}, 0, 2},
		{"another is demanded", "new", demand, false, []int{200, 200}, 1, 3},
		{"and another", "none", demand, false, []int{401, 401}, 1, 3},
		{"no other can be had", "new", demand, true, []int{401, 401}, 1, 2},
		{"no demand", "new", `Bearer error="invalid_token"`, false, []int{401, 401}, 0, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tokens, asked := 0, 0
			a := &Reauthorize{
				Token: func(_ context.Context, claims string) (secret.Value, error) {
					if tokens++; claims != "{}" {
						t.Errorf("claims %q", claims)
					}
					if tc.fails {
						return secret.Value{}, errors.New("no")
					}
					return secret.New("new"), nil
				},
				Next: roundTripper(func(r *http.Request) (*http.Response, error) {
					asked++
					if body, err := io.ReadAll(r.Body); err != nil || string(body) != "body" || r.ContentLength != 4 {
						t.Errorf("body %q of %d, %v", body, r.ContentLength, err)
					}
					resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}
					if r.Header.Get("Authorization") != "Bearer "+tc.accepts {
						resp.StatusCode = 401
						resp.Header.Set("WWW-Authenticate", tc.demand)
					}
					return resp, nil
				}),
			}
			for _, want := range tc.statuses {
				r := must(http.NewRequest("POST", "https://host.test/", strings.NewReader("body")))
				r.Header.Set("Authorization", "Bearer old")
				r.GetBody = nil
				resp, err := a.RoundTrip(r)
				if err != nil || resp.StatusCode != want {
					t.Fatalf("%v, %v, want %d", resp, err, want)
				}
			}
			if tokens != tc.tokens || asked != tc.asked {
				t.Errorf("%d tokens and %d requests, want %d and %d", tokens, asked, tc.tokens, tc.asked)
			}
		})
	}
}

// One of several concurrent requests gets the other token, and all of them use it.
func TestReauthorizeTogether(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	tokens := 0
	a := &Reauthorize{
		Token: func(context.Context, string) (secret.Value, error) {
			mu.Lock()
			defer mu.Unlock()
			tokens++
			return secret.New("new"), nil
		},
		Next: roundTripper(func(r *http.Request) (*http.Response, error) {
			resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}
			if r.Header.Get("Authorization") != "Bearer new" {
				resp.StatusCode = 401
				resp.Header.Set("WWW-Authenticate", `Bearer error="insufficient_claims"`)
			}
			return resp, nil
		}),
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			r := must(http.NewRequest("GET", "https://host.test/", nil))
			r.Header.Set("Authorization", "Bearer old")
			if resp, err := a.RoundTrip(r); err != nil || resp.StatusCode != 200 {
				t.Errorf("%v, %v", resp, err)
			}
		})
	}
	all.Wait()
	if tokens != 1 {
		t.Errorf("%d tokens", tokens)
	}
}
