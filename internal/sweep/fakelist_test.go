package sweep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"azdo-pat/internal/githubapi"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/secret"
)

// paging is the meaning of a continuation token. Azure DevOps does not document which
// one it uses.
type paging string

const (
	byOffset   paging = "an offset into the PATs that are active now"
	byLast     paging = "after the last PAT shown"
	bySnapshot paging = "an offset into the PATs that were active at first"
)

func guid(n int) string { return fmt.Sprintf("%08d-aaaa-0000-0000-000000000000", n) }

var errSignal = errors.New("stopped by a signal")

// fakeServer is Azure DevOps with a user's PATs, and GitHub, in a synctest bubble.
type fakeServer struct {
	*testing.T
	paging
	rtt  time.Duration
	lag  time.Duration // how long a revoked PAT is still listed
	runs map[string]string
	// status is the status of the n-th run that is asked about, counted from 0, in
	// place of runs.
	status func(n int) string
	nth    map[string]int

	// header is added to the answers.
	header func(kind string, n int) http.Header

	// answer returns a status instead of the API's, or 0 to leave it to the API. It is
	// called with the lock held, at the end of the round trip; n counts the requests
	// of that kind, from 1.
	answer func(kind, what string, n int) (status int, after time.Duration)

	mu        sync.Mutex
	pats      []*fakePAT
	snapshots [][]*fakePAT
	requests  map[string]int      // by kind: list, revoke, run
	deletes   map[string]int      // by id
	asked     map[string]int      // by run
	pages     []string            // continuation tokens that were sent
	now, most map[string]int      // requests in flight, now and at most, by kind
	sent      map[string][]string // times since the start, by kind
	start     time.Time
	logged    []string
	warnings  []string
	swept     []Result
}

type fakePAT struct {
	id, name string
	from, to time.Time // zero: not in the list
	revoked  time.Time // zero: active
}

func newFakeServer(t *testing.T) *fakeServer {
	return &fakeServer{
		T: t, paging: byOffset, rtt: 100 * time.Millisecond, start: time.Now(),
		runs: map[string]string{}, nth: map[string]int{}, requests: map[string]int{}, deletes: map[string]int{}, asked: map[string]int{},
		now: map[string]int{}, most: map[string]int{}, sent: map[string][]string{},
	}
}

// put adds a PAT with that name and age. With a negative age the server does not
// report when it began.
func (s *fakeServer) put(name string, age time.Duration) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &fakePAT{id: guid(len(s.pats) + 1), name: name, from: time.Now().Add(-age)}
	if age < 0 {
		p.from = time.Time{}
	}
	s.pats = append(s.pats, p)
	return p.id
}

// leaseOf is a display name of azdo-pat.
func leaseOf(repository string, run, n int) string {
	return fmt.Sprintf("azdo-pat %s run %d.1 build %016x", repository, run, n)
}

// sweeper returns a Sweeper of the server's PATs.
func (s *fakeServer) sweeper() *Sweeper {
	pacer := &httpclient.Pacer{}
	pacer.Name("vssps.example", "Azure DevOps", true)
	return &Sweeper{
		PATs: listed{pat.New(pat.Options{
			HTTP:    &http.Client{Transport: &httpclient.Paced{Next: s, Pacer: pacer, Log: s}},
			BaseURL: "https://vssps.example", Organization: "contoso", Token: secret.New("eyJ.eyJ.x"),
		})},
		OlderThan: 6 * time.Hour, Times: func() []time.Time { return []time.Time{time.Now()} }, Log: s,
		Ready:  func(ctx context.Context) error { return pacer.Wait(ctx, "vssps.example", s) },
		Report: func(one Result) { s.swept = append(s.swept, one) },
	}
}

// listed revokes by [pat.Client.RevokeListed].
type listed struct{ *pat.Client }

func (l listed) Revoke(ctx context.Context, id string) (gone bool, err error) {
	return l.RevokeListed(ctx, id)
}

func (s *fakeServer) Infof(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logged = append(s.logged, fmt.Sprintf(format, args...))
}

func (s *fakeServer) Warning(title, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warnings = append(s.warnings, title+": "+text)
}

// trip takes the time of a round trip, and calls then if the request is not refused.
func (s *fakeServer) trip(ctx context.Context, kind, what string, then func()) (status int, after time.Duration, err error) {
	s.mu.Lock()
	s.requests[kind]++
	n := s.requests[kind]
	s.now[kind]++
	s.most[kind] = max(s.most[kind], s.now[kind])
	s.sent[kind] = append(s.sent[kind], time.Since(s.start).String())
	s.mu.Unlock()
	timer := time.NewTimer(s.rtt)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now[kind]--
	if err != nil {
		return 0, 0, err
	}
	if s.answer != nil {
		if status, after = s.answer(kind, what, n); status != 0 {
			return status, after, nil
		}
	}
	then()
	return 0, 0, nil
}

// RoundTrip implements [http.RoundTripper].
func (s *fakeServer) RoundTrip(r *http.Request) (*http.Response, error) {
	q := r.URL.Query()
	kind, what := "list", q.Get("continuationToken")
	if r.Method == http.MethodGet && (q.Get("sortByOption") != "displayName" || q.Get("displayFilterOption") != "active") {
		s.Errorf("list %s: the active PATs are not sorted by name, so the leases of a run are not together", r.URL.RawQuery)
	}
	if r.Method == http.MethodDelete {
		kind, what = "revoke", q.Get("authorizationId")
	}
	status, body := 200, ""
	refusal, after, err := s.trip(r.Context(), kind, what, func() {
		if kind == "list" {
			body = s.page(what)
		} else {
			status, body = s.revoke(what)
		}
	})
	if err != nil {
		return nil, err
	}
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Request: r}
	if refusal != 0 {
		resp.StatusCode, body = refusal, fmt.Sprintf(`{"message":"refused %s"}`, kind)
		if after > 0 {
			resp.Header.Set("Retry-After", strconv.Itoa(int(after.Seconds())))
		}
	}
	if s.header != nil {
		s.mu.Lock()
		maps.Copy(resp.Header, s.header(kind, s.requests[kind]))
		s.mu.Unlock()
	}
	resp.Body = io.NopCloser(bytes.NewReader([]byte(body)))
	return resp, nil
}

func (s *fakeServer) active() (list []*fakePAT) {
	for _, p := range s.pats {
		if p.revoked.IsZero() || time.Since(p.revoked) < s.lag {
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(a, b *fakePAT) int { return strings.Compare(a.name+a.id, b.name+b.id) })
	return list
}

// page is a page of at most 100 PATs.
func (s *fakeServer) page(token string) string {
	s.pages = append(s.pages, token)
	list, from, snapshot := s.active(), 0, len(s.snapshots)
	switch {
	case token == "":
		s.snapshots = append(s.snapshots, list)
	case s.paging == byOffset:
		from, _ = strconv.Atoi(token)
	case s.paging == byLast:
		from, _ = slices.BinarySearchFunc(list, token, func(p *fakePAT, last string) int {
			if p.name+p.id <= last {
				return -1
			}
			return 1
		})
	default:
		fmt.Sscanf(token, "%d/%d", &snapshot, &from)
		list = s.snapshots[snapshot]
	}
	from = min(from, len(list))
	to := min(from+100, len(list))
	var shown []map[string]any
	for _, p := range list[from:to] {
		one := map[string]any{"authorizationId": p.id, "displayName": p.name}
		if !p.from.IsZero() {
			one["validFrom"] = p.from.Format(time.RFC3339Nano)
		}
		if !p.to.IsZero() {
			one["validTo"] = p.to.Format(time.RFC3339Nano)
		}
		shown = append(shown, one)
	}
	next := ""
	if to < len(list) {
		next = strconv.Itoa(to)
		if s.paging == byLast {
			next = list[to-1].name + list[to-1].id
		} else if s.paging == bySnapshot {
			next = fmt.Sprintf("%d/%d", snapshot, to)
		}
	}
	body, _ := json.Marshal(map[string]any{"continuationToken": next, "patTokens": shown})
	return string(body)
}

func (s *fakeServer) revoke(id string) (status int, body string) {
	s.deletes[id]++
	for _, p := range s.pats {
		if p.id == id && p.revoked.IsZero() {
			p.revoked = time.Now()
			return 204, ""
		}
	}
	return 404, `{"message":"no such token","typeKey":"SessionTokenNotFoundException"}`
}

// fakeGitHub answers with the state of a run, or with an HTTP status and the seconds
// of its Retry-After.
type fakeGitHub struct{ *fakeServer }

// RoundTrip implements [http.RoundTripper].
func (h fakeGitHub) RoundTrip(r *http.Request) (*http.Response, error) {
	parts := strings.Split(r.URL.Path, "/") // repos/OWNER/REPO/actions/runs/ID/attempts/N
	key := parts[2] + "/" + parts[3] + " " + parts[6] + "." + parts[8]
	resp := &http.Response{StatusCode: 200, Header: http.Header{}, Request: r}
	body := ""
	_, _, err := h.trip(r.Context(), "run", key, func() {
		h.asked[strings.ToLower(key)]++
		if _, again := h.nth[key]; !again {
			h.nth[key] = len(h.nth)
		}
		status, after := h.runs[key], 0
		if h.status != nil {
			status = h.status(h.nth[key])
		}
		if status == "" {
			status = "404"
		}
		body = fmt.Sprintf(`{"id":%s,"run_attempt":%s,"status":%q}`, parts[6], parts[8], status)
		if n, _ := fmt.Sscanf(status, "%d %d", &resp.StatusCode, &after); n > 0 {
			body = `{"message":"no"}`
		}
		if after > 0 {
			resp.Header.Set("Retry-After", strconv.Itoa(after))
		}
	})
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(strings.NewReader(body))
	return resp, nil
}

// github makes the sweeper ask GitHub.
func (s *fakeServer) github(w *Sweeper) *Sweeper {
	w.Runs = &githubapi.Client{HTTP: &http.Client{Transport: fakeGitHub{s}}, BaseURL: "https://api.example", Token: secret.New("ghs_x")}
	return w
}

// left are the ids of the active PATs.
func (s *fakeServer) left() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pats {
		if p.revoked.IsZero() {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// outcomes are the reported outcomes, by id.
func (s *fakeServer) outcomes() map[string]Outcome {
	all := map[string]Outcome{}
	for _, one := range s.swept {
		if before, twice := all[one.ID]; twice {
			s.Errorf("%s is reported as %s and as %s", one.ID, before, one.Outcome)
		}
		all[one.ID] = one.Outcome
	}
	return all
}
