package pat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseScopes(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want []string
		is   error
		err  string
	}{
		{in: "vso.code", want: []string{"vso.code"}},
		{in: " vso.work_full,vso.code\r\n\tvso.code ,, vso.extension.data\u00a0app_token", want: []string{"vso.work_full", "vso.code", "vso.extension.data", "app_token"}},
		{in: "vso.not_known_yet2", want: []string{"vso.not_known_yet2"}},
		{in: "", is: ErrNoScopes, err: "no scopes are given"},
		{in: " ,\n", is: ErrNoScopes, err: "no scopes are given"},
		{in: "vso.code code_write", is: ErrScopeForm, err: `not a scope: "code_write" (vso.code_write?): a scope is "vso." and lower-case letters, digits, "_" and ".", or "app_token"`},
		{in: "VSO.Packaging;vso.work", is: ErrScopeForm, err: `not a scope: "VSO.Packaging;vso.work": `},
		{in: "vso.Wiki", is: ErrScopeForm, err: `"vso.Wiki" (vso.wiki`},
		{in: "vso.", is: ErrScopeForm, err: `not a scope: "vso.": `},
		{in: "app_tokens", is: ErrScopeForm, err: `not a scope: "app_tokens" (app_token?): `},
		{in: "a b", is: ErrScopeForm, err: `not a scope: "a", "b": `},
		{in: "\x1b[31m\x00", is: ErrScopeForm, err: `not a scope: "\x1b[31m\x00": `},
		{in: "vso." + strings.Repeat("a", 101), is: ErrScopeForm, err: `not a scope: one that is not shown because it may be a credential: `},
	} {
		got, err := ParseScopes(tc.in)
		if !slices.Equal(got, tc.want) || !errors.Is(err, tc.is) {
			t.Errorf("ParseScopes(%q) = %q, %v, want %q, %v", tc.in, got, err, tc.want, tc.is)
		}
		if tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("ParseScopes(%q): error\n%v, want\n%s", tc.in, err, tc.err)
		}
	}
	// The error is short even with many invalid entries.
	many := ""
	for i := range 1000 {
		many += fmt.Sprint(i, " ")
	}
	if _, err := ParseScopes(many); len(err.Error()) > 1000 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

func TestUnknown(t *testing.T) {
	got := Unknown([]string{"vso.code", "app_token", "vso.coed", "vso.packaging_wirte", "vso.work_item_search", "vso." + strings.Repeat("a", 200)})
	want := []UnknownScope{
		{"vso.coed", []string{"vso.code"}},
		{"vso.packaging_wirte", []string{"vso.packaging_write"}},
		{"vso.work_item_search", nil},
		{"vso." + strings.Repeat("a", 200), nil},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := nearest("vso.notification_mange"); len(got) == 0 || got[0] != "vso.notification_manage" {
		t.Errorf("nearest: %q", got)
	}
	for _, s := range Known() {
		if Unknown([]string{s.Name}) != nil {
			t.Errorf("%s is unknown", s.Name)
		}
		if got := nearest(s.Name); got[0] != s.Name || len(got) > 3 {
			t.Errorf("nearest to %s: %q", s.Name, got)
		}
	}
}

func TestFormOfAScope(t *testing.T) {
	for text, want := range map[string]bool{
		"vso.code": true, "vso.extension.data_write": true, "vso.0": true, "app_token": true,
		"vso." + strings.Repeat("x", 100): true, "vso." + strings.Repeat("x", 101): false,
		"": false, "vso": false, "vso.": false, "vso.Code": false, "VSO.code": false, "vso.code ": false, "vso.code\n": false,
		"vso.cöde": false, "vso.code-write": false, "app_token2": false, "vso.app_token": true,
	} {
		if got := isScope(text); got != want {
			t.Errorf("isScope(%q) = %t", text, got)
		}
	}
}

func TestKnown(t *testing.T) {
	list := Known()
	seen := map[string]bool{}
	areas := map[string]bool{}
	last := ""
	includes := map[string]string{}
	for _, s := range list {
		if seen[s.Name] || !isScope(s.Name) {
			t.Errorf("%q is there twice, or no scope", s.Name)
		}
		seen[s.Name] = true
		if s.Area != last && areas[s.Area] {
			t.Errorf("area %q is in two places", s.Area)
		}
		areas[s.Area], last = true, s.Area
		includes[s.Name] = strings.Join(s.Includes, " ")
		for _, below := range s.Includes {
			if !slices.ContainsFunc(list, func(o Scope) bool {
				return o.Name == below && (o.Area == s.Area || below == "vso.profile" || below == "vso.hooks_write")
			}) {
				t.Errorf("%s includes %s of another area", s.Name, below)
			}
		}
	}
	for name, want := range map[string]string{
		"vso.code": "vso.hooks_write", "vso.profile": "", "vso.packaging": "vso.profile", "vso.code_full": "vso.code_manage", "vso.code_status": "",
		"vso.environment_manage": "vso.agentpools_manage", "vso.machinegroup_manage": "vso.agentpools_manage",
		"vso.gallery_acquire": "vso.gallery", "vso.gallery_publish": "vso.gallery", "vso.gallery_manage": "vso.gallery_publish",
		"vso.auditstreams_manage": "vso.auditlog", "vso.pipelineresources_manage": "vso.pipelineresources_use",
		"vso.drop_manage": "", "app_token": "",
	} {
		if got, ok := includes[name]; !ok || got != want {
			t.Errorf("%s includes %q, %v, want %q", name, got, ok, want)
		}
	}
	if last := list[len(list)-1]; last.Name != FullAccess || !last.Documented {
		t.Errorf("the last is %+v", last)
	}
	_, byName := known()
	if at := byName["vso.drop"]; list[at].Documented || !list[0].Documented {
		t.Error("the undocumented are not told apart")
	}
	// Changing the result does not change the table.
	list[1].Includes[0], list[0].Name = "x", "x"
	if again := Known(); again[0].Name == "x" || again[1].Includes[0] == "x" {
		t.Error("a caller can change the table")
	}
}

func TestCovers(t *testing.T) {
	for _, tc := range []struct {
		asked, granted string
		want           bool
	}{
		{"vso.code", "vso.code", true},
		{"vso.wiki vso.code_full", "vso.code", true},
		{"vso.code", "vso.code_write", false},
		{"vso.code_full", "vso.code_status", false},
		{"vso.environment_manage", "vso.agentpools", true},
		{"vso.machinegroup_manage", "vso.agentpools", true},
		{"vso.machinegroup_manage", "vso.environment_manage", false},
		{"vso.packaging", "vso.profile", true},
		{"vso.packaging_write", "vso.profile", true},
		{"vso.code", "vso.hooks_write", true},
		{"vso.code", "vso.hooks", true},
		{"vso.code", "vso.profile", true},
		{"vso.hooks_write", "vso.code", false},
		{"vso.profile", "vso.profile_write", false},
		{"vso.notification_diagnostics", "vso.notification", true},
		{"vso.notification_manage", "vso.notification_diagnostics", false},
		{"vso.gallery_manage", "vso.gallery_publish", true},
		{"vso.gallery_manage", "vso.gallery_acquire", false},
		{"vso.gallery_acquire", "vso.gallery", true},
		{"vso.project_manage", "vso.project", true},
		{"vso.project_manage", "vso.profile", false},
		{"vso.work_full", "vso.work", true},
		{"vso.extension_manage", "vso.extension.data", false},
		{"vso.drop_manage", "vso.drop", false},
		{"vso.new_manage", "vso.new_manage", true},
		{"vso.new_manage", "vso.new", false},
		{"app_token", "vso.anything", true},
		{"app_token", "app_token", true},
		{"vso.code_full", "app_token", false},
		{"", "vso.code", false},
		{"vso.code", "", false},
	} {
		if got := Covers(strings.Fields(tc.asked), tc.granted); got != tc.want {
			t.Errorf("Covers(%q, %q) = %v", tc.asked, tc.granted, got)
		}
	}
}

// All inheritance on Microsoft's page of scopes, as the set of all scopes that each
// scope includes.
func TestClosureOfScopes(t *testing.T) {
	const documented = `
advsec:
advsec_write: advsec
advsec_manage: advsec advsec_write
agentpools:
agentpools_manage: agentpools
environment_manage: agentpools agentpools_manage
machinegroup_manage: agentpools agentpools_manage
analytics:
auditlog:
auditstreams_manage: auditlog
build: hooks hooks_write profile
build_execute: build hooks hooks_write profile
code: hooks hooks_write profile
code_write: code hooks hooks_write profile
code_manage: code code_write hooks hooks_write profile
code_full: code code_manage code_write hooks hooks_write profile
code_status:
connected_server:
dashboards:
dashboards_manage: dashboards
entitlements:
extension: profile
extension_manage: extension profile
extension.data: profile
extension.data_write: extension.data profile
gallery: profile
gallery_acquire: gallery profile
gallery_publish: gallery profile
gallery_manage: gallery gallery_publish profile
githubconnections:
githubconnections_manage: githubconnections
graph:
graph_manage: graph
hooks: profile
hooks_write: hooks profile
hooks_interact: profile
identity:
identity_manage: identity
memberentitlementmanagement:
memberentitlementmanagement_write: memberentitlementmanagement
notification: profile
notification_write: notification profile
notification_manage: notification notification_write profile
notification_diagnostics: notification profile
packaging: profile
packaging_write: packaging profile
packaging_manage: packaging packaging_write profile
pipelineresources_use:
pipelineresources_manage: pipelineresources_use
profile:
profile_write: profile
project:
project_write: project
project_manage: project project_write
release: profile
release_execute: profile release
release_manage: profile release release_execute
securefiles_read:
securefiles_write: securefiles_read
securefiles_manage: securefiles_read securefiles_write
security_manage:
serviceendpoint: profile
serviceendpoint_query: profile serviceendpoint
serviceendpoint_manage: profile serviceendpoint serviceendpoint_query
settings:
settings_write: settings
symbols: profile
symbols_write: profile symbols
symbols_manage: profile symbols symbols_write
taskgroups_read:
taskgroups_write: taskgroups_read
taskgroups_manage: taskgroups_read taskgroups_write
test: profile
test_write: profile test
threads_full:
tokenadministration:
tokens:
variablegroups_read:
variablegroups_write: variablegroups_read
variablegroups_manage: variablegroups_read variablegroups_write
wiki:
wiki_write: wiki
work: hooks hooks_write profile
work_write: hooks hooks_write profile work
work_full: hooks hooks_write profile work work_write`
	want := map[string]string{}
	for line := range strings.SplitSeq(strings.TrimSpace(documented), "\n") {
		name, includes, _ := strings.Cut(line, ":")
		want[name] = strings.TrimSpace(includes)
	}
	for _, s := range Known() {
		if !s.Documented || s.Name == FullAccess {
			continue
		}
		var got []string
		for _, other := range Known() {
			if other.Name != s.Name && Covers([]string{s.Name}, other.Name) {
				got = append(got, strings.TrimPrefix(other.Name, "vso."))
			}
		}
		slices.Sort(got)
		name := strings.TrimPrefix(s.Name, "vso.")
		if includes, ok := want[name]; !ok || strings.Join(got, " ") != includes {
			t.Errorf("%s includes %q, want %q", name, got, includes)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("not known: %v", want)
	}
}
