package audit_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/audit"
	"azdo-pat/internal/displayname"
	"azdo-pat/internal/githubapi"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/sweep"
)

// fakeList is Azure DevOps with the PATs of a user. Its pages are offsets into what is
// active at the time of the request.
type fakeList struct {
	*testing.T
	pats     []map[string]any
	size     int // of a page
	requests int
	// after is called after each page.
	after func(s *fakeList)
}

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func guid(n int) string { return fmt.Sprintf("%08d-aaaa-0000-0000-000000000000", n) }

// add adds a PAT that lives for an hour.
func (s *fakeList) add(name string, fields map[string]any) {
	p := map[string]any{
		"authorizationId": guid(len(s.pats) + 1), "displayName": name, "scope": "vso.code", "targetAccounts": []string{guid(0)},
		"validFrom": now.Add(-30 * time.Minute).Format(time.RFC3339), "validTo": now.Add(30 * time.Minute).Format(time.RFC3339),
	}
	maps.Copy(p, fields)
	s.pats = append(s.pats, p)
}

// RoundTrip implements [http.RoundTripper].
func (s *fakeList) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.requests++; r.Method != http.MethodGet || r.URL.Query().Get("displayFilterOption") != "active" {
		s.Errorf("%s %s", r.Method, r.URL)
	}
	offset, _ := strconv.Atoi(r.URL.Query().Get("continuationToken"))
	last := min(offset+cmp.Or(s.size, 100), len(s.pats))
	answer := map[string]any{"patTokens": s.pats[min(offset, last):last], "continuationToken": ""}
	if last < len(s.pats) {
		answer["continuationToken"] = strconv.Itoa(last)
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	if s.after != nil {
		s.after(s)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(body))), Request: r}, nil
}

func (s *fakeList) Infof(string, ...any) {}

// auditor returns an Auditor of the list that adds what it reports to got.
func (s *fakeList) auditor(rules string, got *[]audit.PAT) *audit.Auditor {
	parsed, err := settings.ParseRules(rules)
	if err != nil {
		s.Fatal(err)
	}
	return &audit.Auditor{
		PATs:  pat.New(pat.Options{HTTP: &http.Client{Transport: s}, BaseURL: "https://vssps.example", Organization: "contoso", Token: secret.New("eyJ.eyJ.x")}),
		Rules: parsed, Now: func() time.Time { return now }, Log: s,
		Report: func(p audit.PAT) { *got = append(*got, p) },
	}
}

// runs answers with the states of runs by their ids.
type runs map[string]sweep.RunState

func (r runs) State(_ context.Context, run githubapi.Run) sweep.RunState { return r[run.ID] }

func TestRules(t *testing.T) {
	t.Parallel()
	date := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339) }
	const lease = "azdo-pat octo/app run 7.1 build 0123456789abcdef"
	for _, tc := range []struct {
		name, rules string
		pat         string
		fields      map[string]any
		found       bool
	}{
		{name: "full access", rules: "full-access", fields: map[string]any{"scope": "vso.code app_token"}, found: true},
		{name: "every scope but that", rules: "full-access", fields: map[string]any{"scope": "vso.code_full vso.app_token"}},
		{name: "all organizations", rules: "all-organizations", fields: map[string]any{"targetAccounts": nil}, found: true},
		{name: "two organizations", rules: "all-organizations", fields: map[string]any{"targetAccounts": []string{guid(1), guid(2)}}, found: true},
		{name: "one organization", rules: "all-organizations"},
		{name: "not named by azdo-pat", rules: "other", pat: "mine", found: true},
		{name: "nearly named by azdo-pat", rules: "other", pat: "azdo-pat octo/app run 7.1 build 0123456789ABCDEF", found: true},
		{name: "a lease", rules: "other", pat: lease},
		{name: "a rotated one", rules: "other", pat: "azdo-pat rotated sonar 0123456789abcdef"},
		{name: "as long as that", rules: "long-lived=1h"},
		{name: "as long, by clocks that differ", rules: "long-lived=1h", fields: map[string]any{"validTo": date(30*time.Minute + time.Second)}},
		{name: "longer", rules: "long-lived=1h", fields: map[string]any{"validTo": date(30*time.Minute + 2*time.Second)}, found: true},
		{name: "of an unknown beginning", rules: "long-lived=365d", fields: map[string]any{"validFrom": "soon"}, found: true},
		{name: "of an unknown end", rules: "long-lived=365d", fields: map[string]any{"validTo": nil}, found: true},
		{name: "ends at that time", rules: "ends-within=30m"},
		{name: "ends before", rules: "ends-within=31m", found: true},
		{name: "ends at an unknown time", rules: "ends-within=1m", fields: map[string]any{"validTo": ""}, found: true},
		{name: "the scope", rules: "scope=vso.code", found: true},
		{name: "a scope that includes it", rules: "scope=vso.code", fields: map[string]any{"scope": "vso.build vso.code_manage"}, found: true},
		{name: "full access includes it", rules: "scope=vso.code", fields: map[string]any{"scope": "app_token"}, found: true},
		{name: "a scope that it includes", rules: "scope=vso.code_write"},
		{name: "an unknown scope", rules: "scope=vso.new", fields: map[string]any{"scope": "vso.new"}, found: true},
		{name: "run over", rules: "run-over", pat: lease, found: true},
		{name: "run in progress", rules: "run-over", pat: "azdo-pat octo/app run 8.1 build 0123456789abcdef"},
		{name: "run not shown", rules: "run-over", pat: "azdo-pat octo/app run 9.1 build 0123456789abcdef"},
		{name: "a run in a label", rules: "run-over", pat: "azdo-pat laptop octo/app run 7.1 0123456789abcdef"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := &fakeList{T: t}
			s.add(tc.pat, tc.fields)
			var got []audit.PAT
			a := s.auditor(tc.rules, &got)
			a.Runs = runs{"7": sweep.Completed, "8": sweep.Running, "9": sweep.Hidden}
			result, err := a.Run(t.Context())
			if err != nil || !result.Complete || result.PATs != 1 || len(got) != 1 {
				t.Fatalf("%+v, %v", result, err)
			}
			want, n := []string(nil), 0
			if tc.found {
				want, n = []string{tc.rules}, 1
			}
			if !slices.Equal(got[0].Findings, want) || result.WithAny != n || result.Findings[0] != n {
				t.Errorf("found %q, want %q; %+v", got[0].Findings, want, result)
			}
			if hidden := strings.Contains(tc.pat, "run 9.1"); result.Hidden != 0 != hidden || result.Unanswered != 0 {
				t.Errorf("%+v", result)
			}
		})
	}
}

// Runs are looked up only for the rule that needs them.
func TestRunsAreAskedForTheirRuleAlone(t *testing.T) {
	t.Parallel()
	s := &fakeList{T: t}
	s.add("azdo-pat octo/app run 7.1 build 0123456789abcdef", nil)
	var got []audit.PAT
	a := s.auditor("other", &got)
	a.Runs = runsThatMustNotBeAsked{t}
	if result, err := a.Run(t.Context()); err != nil || result.Unanswered != 0 {
		t.Errorf("%+v, %v", result, err)
	}
}

type runsThatMustNotBeAsked struct{ *testing.T }

func (r runsThatMustNotBeAsked) State(context.Context, githubapi.Run) sweep.RunState {
	r.Error("a run was looked up")
	return sweep.Running
}

// A PAT that ends while the list is read moves another one to a page that was read
// before; one that is created moves one to a page that is read again. Neither is missed,
// and none is listed twice.
func TestListThatChanges(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]func(*fakeList){
		"a PAT ends":       func(s *fakeList) { s.pats = s.pats[1:] },
		"a PAT is created": func(s *fakeList) { s.pats = slices.Insert(s.pats, 0, s.pats[len(s.pats)-1]) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &fakeList{T: t}
			for i := range 250 {
				s.add(fmt.Sprintf("azdo-pat laptop %016x", i), nil)
			}
			all := slices.Clone(s.pats)
			s.after = func(s *fakeList) {
				if s.requests == 1 {
					after(s)
				}
			}
			var got []audit.PAT
			result, err := s.auditor("other", &got).Run(t.Context())
			if err != nil || !result.Complete {
				t.Fatalf("%+v, %v", result, err)
			}
			listed := map[string]int{}
			for _, p := range got {
				listed[p.ID]++
			}
			for _, p := range all {
				if n := listed[p["authorizationId"].(string)]; n != 1 {
					t.Errorf("%s was listed %d times", p["displayName"], n)
				}
			}
		})
	}
}

// A list of one page cannot change between pages, and is read once.
func TestListOfOnePage(t *testing.T) {
	t.Parallel()
	s := &fakeList{T: t}
	for range 100 {
		s.add("mine", nil)
	}
	var got []audit.PAT
	if result, err := s.auditor("other", &got).Run(t.Context()); err != nil || result.PATs != 100 || s.requests != 1 {
		t.Errorf("%+v, %v, %d requests", result, err, s.requests)
	}
}

// A list that goes on and on ends, incomplete, in bounded memory.
func TestListTooLong(t *testing.T) {
	t.Parallel()
	s := &fakeList{T: t, size: 5_000}
	for range 50_050 {
		s.add("mine", nil)
	}
	var got []audit.PAT
	result, err := s.auditor("other", &got).Run(t.Context())
	if err == nil || result.Complete || result.PATs != 50_000 || !strings.Contains(err.Error(), "more than 50000 PATs") {
		t.Errorf("%+v, %v", result, err)
	}
}

// A context that ends is an error, with what was listed until then.
func TestListStopped(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	s := &fakeList{T: t}
	for range 250 {
		s.add("mine", nil)
	}
	s.after = func(*fakeList) { cancel(fmt.Errorf("stopped by a signal")) }
	var got []audit.PAT
	result, err := s.auditor("other", &got).Run(ctx)
	if err == nil || result.Complete || result.PATs > 100 {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestDefaultRules(t *testing.T) {
	t.Parallel()
	for withRuns, want := range map[bool]string{false: "full-access all-organizations other", true: "full-access all-organizations other run-over"} {
		var names []string
		for _, rule := range audit.DefaultRules(withRuns) {
			names = append(names, rule.Text)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The worst are kept, whatever the order in which they come.
func TestWorst(t *testing.T) {
	t.Parallel()
	s := &fakeList{T: t}
	long := map[string]any{"validTo": now.AddDate(1, 0, 0).Format(time.RFC3339)}
	s.add("azdo-pat laptop 0123456789abcdef", nil)
	s.add("azdo-pat rotated sonar 0123456789abcdef", long)
	s.add("b", nil)
	s.add("a", nil)
	s.add("c", long)
	s.add("everywhere", map[string]any{"targetAccounts": nil})
	s.add("azdo-pat full 0123456789abcdef", map[string]any{"scope": "app_token"})
	s.add("full", map[string]any{"scope": "app_token"})
	want := []string{"full", "azdo-pat full 0123456789abcdef", "everywhere", "c", "a", "b", "azdo-pat rotated sonar 0123456789abcdef", "azdo-pat laptop 0123456789abcdef"}
	for _, limit := range []int{1, 3, 8, 100} {
		worst := audit.NewWorst(limit)
		var got []audit.PAT
		if _, err := s.auditor("other long-lived=1d full-access all-organizations", &got).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 3 { // many are added
			for _, p := range got {
				if limit == 100 {
					break
				}
				p.Name, p.Findings = "z", nil
				worst.Add(audit.PAT{Name: "harmless"})
			}
		}
		for _, p := range got {
			worst.Add(p)
		}
		kept, more := worst.PATs()
		var names []string
		for _, p := range kept[:min(len(kept), len(want))] {
			names = append(names, p.Name)
		}
		if n := min(limit, len(want)); len(kept) > limit || !slices.Equal(names[:n], want[:n]) {
			t.Errorf("%d: %q, want %q; %d more", limit, names, want, more)
		}
	}
}

// No name passes for a lease of a run or repository that it does not have, and none is
// both of azdo-pat and other.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{
		"", "mine", "azdo-pat octo/app run 7.1 build 0123456789abcdef", "azdo-pat rotated sonar 0123456789abcdef",
		"azdo-pat laptop octo/app run 7.1 0123456789abcdef", "azdo-pat ../.. run 7.1 x 0123456789abcdef", "##[error]x", "a\u202eb",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		s := &fakeList{T: t}
		s.add(name, nil)
		var got []audit.PAT
		a := s.auditor("other run-over", &got)
		a.Runs = runs{"7": sweep.Completed}
		if _, err := a.Run(t.Context()); err != nil || len(got) != 1 {
			t.Fatalf("%v, %d PATs", err, len(got))
		}
		p := got[0]
		if slices.Contains(p.Findings, "other") != (p.Kind == displayname.Other) {
			t.Errorf("%q is %s, with %q", name, p.Kind, p.Findings)
		}
		if (p.Repository != "" || p.RunID != "") && (p.Kind != displayname.Lease || !strings.HasPrefix(name, "azdo-pat "+p.Repository+" ")) {
			t.Errorf("%q is a %s of %q, run %q", name, p.Kind, p.Repository, p.RunID)
		}
		if slices.Contains(p.Findings, "run-over") != (p.RunID == "7") {
			t.Errorf("%q of run %q has %q", name, p.RunID, p.Findings)
		}
	})
}
