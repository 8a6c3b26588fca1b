package check

import (
	"net/http"
	"net/url"
	"strings"
	"sync"

	"azdo-pat/internal/sanitize"
)

// headerRecorder keeps the headers of the last response of each host.
type headerRecorder struct {
	next http.RoundTripper

	mu   sync.Mutex
	last map[string]http.Header
}

// RoundTrip implements [http.RoundTripper].
func (h *headerRecorder) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := h.next.RoundTrip(r)
	if err == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.last[r.URL.Host] = resp.Header
	}
	return resp, err
}

// dated reports whether any response had a date.
func (h *headerRecorder) dated() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, header := range h.last {
		if _, err := http.ParseTime(header.Get("Date")); err == nil {
			return true
		}
	}
	return false
}

// support lists what Microsoft's support asks for, and the user that Azure DevOps
// saw, from the last response of the URL's host. What the error already says is
// left out.
func (h *headerRecorder) support(of string, failed error) (text string) {
	u, err := url.Parse(of)
	if err != nil {
		return ""
	}
	said := ""
	if failed != nil {
		said = failed.Error()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range []string{"X-VSS-UserData", "ActivityId", "X-TFS-Session", "X-VSS-E2EID"} {
		if value := sanitize.Line(h.last[u.Host].Get(name), 120); value != "" && !strings.Contains(said, name+" "+value) {
			text += "; " + name + " " + value
		}
	}
	return text
}
