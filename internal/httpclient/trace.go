package httpclient

import (
	"net/http"
	"time"
)

// Traced logs every request and its status with Debugf. It leaves out the query,
// the headers and the bodies, which hold credentials.
type Traced struct {
	Next   http.RoundTripper
	Debugf func(format string, args ...any)
}

// RoundTrip implements [http.RoundTripper].
func (t *Traced) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	resp, err := t.Next.RoundTrip(r)
	took := time.Since(start).Round(time.Millisecond)
	if err != nil {
		detail, _ := explain(err)
		t.Debugf("%s %s%s: %s after %s", r.Method, r.URL.Host, r.URL.EscapedPath(), detail, took)
		return nil, err
	}
	t.Debugf("%s %s%s: %s after %s", r.Method, r.URL.Host, r.URL.EscapedPath(), resp.Status, took)
	return resp, nil
}
