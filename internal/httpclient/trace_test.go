package httpclient

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// The debug log shows which request failed, without the query and the headers.
func TestTracedLeavesCredentialsOut(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]roundTripper{
		"answered": func(*http.Request) (*http.Response, error) {
			return &http.Response{Status: "204 No Content", StatusCode: 204, Body: http.NoBody}, nil
		},
		"not answered": func(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset") },
	} {
		t.Run(name, func(t *testing.T) {
			var said strings.Builder
			traced := &Traced{Next: next, Debugf: func(f string, a ...any) { fmt.Fprintf(&said, f, a...) }}
			req, err := http.NewRequest(http.MethodDelete, "https://user:hunter2@example.test/a/b?token=hunter2", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer hunter2")
			resp, err := traced.RoundTrip(req)
			if (resp == nil) == (err == nil) {
				t.Errorf("answer %v, error %v", resp, err)
			}
			if !strings.HasPrefix(said.String(), "DELETE example.test/a/b: ") || strings.Contains(said.String(), "hunter2") {
				t.Errorf("said %q", said.String())
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
