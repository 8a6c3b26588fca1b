package emulator

import (
	"slices"
	"strings"
)

// fullAccess is the scope that includes all others.
const fullAccess = "app_token"

// scopeFamilies are the PAT scopes without their prefix "vso.", after
// https://learn.microsoft.com/azure/devops/integrate/get-started/authentication/oauth#scopes.
// In a line each scope includes those to its left.
var scopeFamilies = strings.Split(strings.TrimSpace(`
advsec advsec_write advsec_manage
agentpools agentpools_manage environment_manage
agentpools agentpools_manage machinegroup_manage
analytics
auditlog auditstreams_manage
profile hooks hooks_write build build_execute
buildcache buildcache_write
profile hooks hooks_write code code_write code_manage code_full
code_status
connected_server
dashboards dashboards_manage
drop drop_write drop_manage
entitlements
profile extension extension_manage
profile extension.data extension.data_write
profile gallery gallery_acquire
profile gallery gallery_publish gallery_manage
githubconnections githubconnections_manage
graph graph_manage
identity identity_manage
memberentitlementmanagement memberentitlementmanagement_write
profile notification notification_write notification_manage
profile notification notification_diagnostics
profile hooks_interact
profile packaging packaging_write packaging_manage
pipelineresources_use pipelineresources_manage
profile profile_write
project project_write project_manage
profile release release_execute release_manage
securefiles_read securefiles_write securefiles_manage
security_manage
profile serviceendpoint serviceendpoint_query serviceendpoint_manage
settings settings_write
profile symbols symbols_write symbols_manage
taskgroups_read taskgroups_write taskgroups_manage
profile test test_write
threads_full
tokenadministration
tokens
variablegroups_read variablegroups_write variablegroups_manage
wiki wiki_write
profile hooks hooks_write work work_write work_full
`), "\n")

// validScope reports whether a PAT may be asked for with the scope: known
// ones, each but the first after one space.
func validScope(scope string) bool {
	for _, s := range strings.Split(scope, " ") {
		if s != fullAccess && !slices.ContainsFunc(scopeFamilies, func(family string) bool { return rank(family, s) >= 0 }) {
			return false
		}
	}
	return true
}

// permits reports whether a PAT with the scope may do what needs want.
func permits(scope, want string) bool {
	return slices.ContainsFunc(strings.Fields(scope), func(have string) bool {
		return have == fullAccess || slices.ContainsFunc(scopeFamilies, func(family string) bool {
			needed := rank(family, want)
			return needed >= 0 && rank(family, have) >= needed
		})
	})
}

// rank is a scope's place in a family, -1 if it is not in it.
func rank(family, scope string) int {
	name, prefixed := strings.CutPrefix(scope, "vso.")
	if !prefixed {
		return -1
	}
	return slices.Index(strings.Fields(family), name)
}
