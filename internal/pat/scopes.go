package pat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"

	nearby "azdo-pat/internal/nearest"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// FullAccess is the scope that includes every other.
const FullAccess = "app_token"

// Scope is what a PAT may be allowed to do.
type Scope struct {
	// Name is its name in the API, such as vso.code_write.
	Name string
	// Area is the part of Azure DevOps it belongs to.
	Area string
	// Includes are the names of the scopes that it includes directly, which may
	// include others. FullAccess includes every scope and lists none.
	Includes []string
	// Documented is true if Microsoft's list of scopes has it. The others are in
	// use but undocumented.
	Documented bool
}

// area is a group of [scopeTable]: chains of names without their prefix "vso.". In a
// chain every name includes the one before it. A name that is in two chains is the
// first of the second chain.
type area struct {
	name   string
	chains []string
}

// scopeTable has the scopes of "OAuth 2.0 scopes" (Microsoft Learn) that a PAT can
// have. Microsoft adds scopes, so a scope that is missing here is not an error.
var scopeTable = []area{
	{"Advanced Security", []string{"advsec < advsec_write < advsec_manage"}},
	{"Agent pools and environments", []string{"agentpools < agentpools_manage < environment_manage", "agentpools_manage < machinegroup_manage"}},
	{"Analytics", []string{"analytics"}},
	{"Auditing", []string{"auditlog < auditstreams_manage"}},
	{"Build", []string{"build < build_execute"}},
	{"Code", []string{"code < code_write < code_manage < code_full", "code_status"}},
	{"Connected server", []string{"connected_server"}},
	{"Entitlements", []string{"entitlements", "memberentitlementmanagement < memberentitlementmanagement_write"}},
	{"Extensions", []string{"extension < extension_manage", "extension.data < extension.data_write"}},
	{"GitHub connections", []string{"githubconnections < githubconnections_manage"}},
	{"Graph and identity", []string{"graph < graph_manage", "identity < identity_manage"}},
	{"Marketplace", []string{"gallery < gallery_acquire", "gallery < gallery_publish < gallery_manage"}},
	{"Notifications", []string{"notification < notification_write < notification_manage", "notification < notification_diagnostics"}},
	{"Packaging", []string{"packaging < packaging_write < packaging_manage"}},
	{"Pipeline resources", []string{"pipelineresources_use < pipelineresources_manage"}},
	{"Projects and profiles", []string{"project < project_write < project_manage", "profile < profile_write"}},
	{"Release", []string{"release < release_execute < release_manage"}},
	{"Secure files", []string{"securefiles_read < securefiles_write < securefiles_manage"}},
	{"Security", []string{"security_manage"}},
	{"Service hooks", []string{"hooks < hooks_write", "hooks_interact"}},
	{"Service connections", []string{"serviceendpoint < serviceendpoint_query < serviceendpoint_manage"}},
	{"Settings and dashboards", []string{"settings < settings_write", "dashboards < dashboards_manage"}},
	{"Symbols", []string{"symbols < symbols_write < symbols_manage"}},
	{"Task groups", []string{"taskgroups_read < taskgroups_write < taskgroups_manage"}},
	{"Tests and threads", []string{"test < test_write", "threads_full"}},
	{"Tokens", []string{"tokens", "tokenadministration"}},
	{"Variable groups", []string{"variablegroups_read < variablegroups_write < variablegroups_manage"}},
	{"Wiki", []string{"wiki < wiki_write"}},
	{"Work items", []string{"work < work_write < work_full"}},
}

// inherited are the scopes that scopes of other areas include directly: the column
// "Inherits from" of the same page.
var inherited = []struct{ scope, by string }{
	{"profile", "extension extension.data gallery notification packaging release serviceendpoint symbols test hooks hooks_interact"},
	{"hooks_write", "build code work"},
}

// undocumented are scopes that are in use. Which of them includes which is
// undocumented too.
var undocumented = []string{"drop", "drop_write", "drop_manage", "buildcache", "buildcache_write"}

// known returns every scope in the order of [Known], and their indices by name. It is
// computed on first use, because most commands name no scope.
var known = sync.OnceValues(func() ([]Scope, map[string]int) {
	var list []Scope
	place := map[string]int{}
	add := func(s Scope) {
		if _, again := place[s.Name]; !again {
			place[s.Name] = len(list)
			list = append(list, s)
		}
	}
	for _, a := range scopeTable {
		for _, chain := range a.chains {
			var below []string
			for name := range strings.SplitSeq(chain, " < ") {
				name = "vso." + name
				add(Scope{Name: name, Area: a.name, Includes: below, Documented: true})
				below = []string{name}
			}
		}
	}
	for _, in := range inherited {
		for name := range strings.FieldsSeq(in.by) {
			s := &list[place["vso."+name]]
			s.Includes = append(s.Includes, "vso."+in.scope)
		}
	}
	for _, name := range undocumented {
		add(Scope{Name: "vso." + name, Area: "Undocumented"})
	}
	add(Scope{Name: FullAccess, Area: "Full access", Documented: true})
	return list, place
})

// Known returns the scopes that this package knows, grouped by area, always in
// the same order. The caller may change the result.
func Known() []Scope {
	list, _ := known()
	list = slices.Clone(list)
	for i := range list {
		list[i].Includes = slices.Clone(list[i].Includes)
	}
	return list
}

var (
	// ErrNoScopes is the error of [ParseScopes] for a list without an entry.
	ErrNoScopes = errors.New("no scopes are given")
	// ErrScopeForm is the error of [ParseScopes] for an entry that cannot be a scope.
	ErrScopeForm = errors.New(`a scope is "vso." and lower-case letters, digits, "_" and ".", or "app_token"`)
)

// longestScope limits the part after "vso."; the longest known one has 33 characters.
const longestScope = 100

// isScope reports whether text has the form of a scope.
func isScope(text string) bool {
	name, ok := strings.CutPrefix(text, "vso.")
	if !ok || name == "" || len(name) > longestScope {
		return text == FullAccess
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '.'
	})
}

// maxWrong is the largest number of invalid entries that an error names.
const maxWrong = 10

// ParseScopes parses a list of scopes, separated by white space or commas. It keeps
// their order and removes duplicates. The error is [ErrNoScopes], or [ErrScopeForm]
// with the entries that do not have the form of a scope. An unknown scope is not an
// error, see [Unknown].
func ParseScopes(text string) ([]string, error) {
	var list, wrong []string
	seen := map[string]bool{}
	for _, entry := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		again := seen[entry]
		seen[entry] = true
		switch {
		case again:
		case isScope(entry):
			list = append(list, entry)
		case len(wrong) < maxWrong:
			quoted := sanitize.Quote(entry, true)
			if len(entry) > 40 || secret.Resembles(entry) {
				quoted = "one that is not shown because it may be a credential"
			}
			if near := nearest(entry); len(near) > 0 {
				quoted += " (" + strings.Join(near, ", ") + "?)"
			}
			wrong = append(wrong, quoted)
		}
	}
	switch {
	case wrong != nil:
		return nil, fmt.Errorf("not a scope: %s: %w", strings.Join(wrong, ", "), ErrScopeForm)
	case list == nil:
		return nil, ErrNoScopes
	}
	return list, nil
}

// UnknownScope is a scope that is not [Known].
type UnknownScope struct {
	Name string
	// Nearest are the known scopes that it may be a misspelling of, the nearest
	// first; at most three, often none.
	Nearest []string
}

// Unknown returns the scopes that are not known, for a warning. They may be newer
// than this program, so the server decides about them.
func Unknown(scopes []string) []UnknownScope {
	var list []UnknownScope
	_, byName := known()
	for _, name := range scopes {
		if _, ok := byName[name]; !ok {
			list = append(list, UnknownScope{name, nearest(name)})
		}
	}
	return list
}

// nearest returns the known scopes that differ from name in at most two or a quarter
// of their letters, ignoring case and the prefix.
func nearest(name string) []string {
	bareName := func(s string) string { return strings.TrimPrefix(strings.ToLower(s), "vso.") }
	const longest = 128 // a longer entry resembles no scope
	if len(name) > longest {
		return nil
	}
	name = bareName(name)
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	all, _ := known()
	for _, s := range all {
		to := bareName(s.Name)
		most := max(len(to)/4, min(2, len(to)/2))
		if d := nearby.Distance(name, to); d <= most {
			near = append(near, candidate{s.Name, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.distance - b.distance })
	var names []string
	for _, c := range near[:min(3, len(near))] {
		names = append(names, c.name)
	}
	return names
}

// Covers reports whether a granted scope was requested: by its name, or as part of a
// scope that includes it.
func Covers(asked []string, granted string) bool {
	for _, name := range asked {
		if name == granted || name == FullAccess {
			return true
		}
		all, byName := known()
		if at, ok := byName[name]; ok && Covers(all[at].Includes, granted) {
			return true
		}
	}
	return false
}
