package setup

import (
	_ "embed" // the functions of the scripts
	"maps"
	"slices"
	"strings"

	"azdo-pat/internal/quote"
)

var (
	//go:embed functions.ps1
	powerShellFunctions string
	//go:embed subjects.ps1
	powerShellSubjects string
)

// powerShell is the plan as a script for PowerShell 7 and Microsoft Graph.
func (p *plan) powerShell() string {
	var s script
	s.line("#Requires -Version 7.0")
	s.line("#Requires -Modules Microsoft.Graph.Authentication")
	s.comment(p.purpose())
	s.line("#")
	s.line("# It needs PowerShell 7 and its module Microsoft.Graph.Authentication, which asks you to sign in,")
	s.line("# and the Azure CLI, signed in with az login --allow-no-subscriptions, for Azure DevOps.")
	s.line("# It asks GitHub with the GitHub CLI if there is one.")
	s.WriteString(powerShellFunctions)
	if p.Repository != "" {
		s.line("")
		s.WriteString(powerShellSubjects)
	}
	p.powerShellConnect(&s)
	if p.Undo {
		p.powerShellUndo(&s)
	} else {
		p.powerShellSetup(&s)
	}
	return s.String()
}

// powerShellConnect signs in, with the permissions that the steps need and no others.
func (p *plan) powerShellConnect(s *script) {
	s.line("")
	where := ""
	if p.Tenant != "" {
		where = " -TenantId " + quote.PowerShell(p.Tenant)
	}
	s.line("Connect-MgGraph%s -NoWelcome -Scopes @(", where)
	for _, permission := range p.permissions() {
		s.line("    %s", quote.PowerShell(permission))
	}
	s.line(")")
	if p.Identity == AgentUser {
		s.line("foreach ($wide in 'Directory.AccessAsUser.All', 'Directory.ReadWrite.All') {")
		s.line("    if ((Get-MgContext).Scopes -contains $wide) {")
		s.line(`        Stop-Setup "this client was once given $wide, with which Microsoft Graph ignores the permissions for agent identities. Take that from Microsoft Graph Command Line Tools first."`)
		s.line("    }")
		s.line("}")
	}
}

// permissions are the delegated ones of Microsoft Graph that the steps need.
func (p *plan) permissions() (all []string) {
	for i := range p.steps {
		all = append(all, p.steps[i].permissions...)
		if p.Undo {
			all = append(all, p.steps[i].removePermissions...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// powerShellSetup takes the steps.
func (p *plan) powerShellSetup(s *script) {
	signedIn := map[string]bool{}
	for i := range p.steps {
		t := &p.steps[i]
		s.line("")
		p.powerShellToken(s, t, signedIn)
		tab := ""
		if t.each {
			s.line("$subjects = @(Find-Subjects %s)", quote.PowerShell(p.Repository))
			s.line("Say ''")
			s.line("Say \"Trusted are jobs on the branch $($script:branch) alone: no pull request, no tag, no job that names an environment.\"")
			s.line("foreach ($subject in $subjects) {")
			tab = "    "
			s.line("%s$credential = \"azdo-pat-$subject\" -creplace '[^A-Za-z0-9]+', '-'", tab)
			s.line("%s$credential = $credential.Substring(0, [Math]::Min(120, $credential.Length))", tab)
		}
		s.line("%sStep %s %s", tab, t.what.joined().powerShell(), quote.PowerShell(t.role))
		t.powerShellEnsure(s, tab, true)
		p.powerShellMust(s, tab, t)
		if t.widen != nil {
			powerShellWiden(s, t)
		}
		if t.each {
			s.line("}")
		}
	}
	s.line("")
	s.line("Say ''")
	s.line("if ($script:changed) { Say 'Done.' } else { Say 'Done: everything was there already.' }")
	s.line("@\"")
	for _, l := range p.outcome() {
		s.line("%s", l.joined().expanded(hereString, ":?"))
	}
	s.line("\"@")
}

// hereString escapes what is special in a here-string, where quotes are not.
func hereString(text string) string {
	return strings.ReplaceAll(quote.PowerShellDoubleQuoted(text), "`\"", `"`)
}

// powerShellToken gets the token for the service that the step asks, unless it is there.
func (p *plan) powerShellToken(s *script, t *step, signedIn map[string]bool) {
	r, ok := t.find.command.(request)
	if !ok || r.service.token == "" || signedIn[r.service.token] {
		return
	}
	signedIn[r.service.token] = true
	s.line("$token = az account get-access-token --tenant $tenant --resource %s --query accessToken --output tsv", r.service.resource)
	s.line("if ($LASTEXITCODE -ne 0) { Stop-Setup \"sign in to this tenant with the Azure CLI too: az login --allow-no-subscriptions --tenant $tenant\" }")
	s.line("$%s = ConvertTo-SecureString $token -AsPlainText -Force", r.service.token)
	s.line("")
}

// powerShellEnsure finds or creates what the step is about, and sets its variables.
func (t *step) powerShellEnsure(s *script, tab string, create bool) {
	s.line("%s$found = Ensure {", tab)
	t.find.powerShell(s, tab+"    ")
	if create && t.create != nil {
		s.line("%s} {", tab)
		t.powerShellCreate(s, tab+"    ")
		s.line("%s} @(%s) @(%s)", tab, quoted(t.refersTo()), quoted(strings.Fields(names(t.find.take))))
	} else {
		s.line("%s}", tab)
	}
	for _, k := range t.find.take {
		if k.condition == nil {
			s.line("%s$%s = Plain $found.%s", tab, k.variable, k.property)
		} else {
			s.line("%s$%s = if (%s) { 'yes' } else { 'no' }", tab, k.variable, k.condition.powerShell("$found"))
		}
	}
	if b := t.beginning; b != nil {
		s.line("%s$%s = ($%s -split %s)[0]", tab, b.variable, b.of, quote.PowerShell(b.before))
	}
}

// powerShell finds what the lookup is about.
func (l *lookup) powerShell(s *script, tab string) {
	ask := l.command.powerShell()
	if _, isAz := l.command.(azCommand); isAz {
		s.line("%s$text = %s --output json", tab, ask)
		if len(l.lists) == 0 {
			s.line("%sif ($LASTEXITCODE -ne 0) { return }", tab)
		} else {
			s.line("%sif ($LASTEXITCODE -ne 0) { throw 'the Azure CLI failed' }", tab)
		}
		ask = "($text -join '') | ConvertFrom-Json"
	}
	switch {
	case len(l.lists) == 0:
		s.line("%s%s", tab, ask)
		return
	case len(l.lists) > 1:
		s.line("%s$page = %s", tab, ask)
		var parts []string
		for _, name := range l.lists {
			parts = append(parts, "@($page."+name+")")
		}
		ask = strings.Join(parts, " + ")
	case l.lists[0] != "" && l.lists[0] != itself:
		ask = "(" + ask + ")." + l.lists[0]
	}
	var all []string
	for i := range l.where {
		all = append(all, l.where[i].powerShell("$_"))
	}
	if len(all) > 0 {
		ask += " |\n" + tab + "    Where-Object { " + strings.Join(all, " -and ") + " }"
	}
	s.line("%s%s | Select-Object -First 1", tab, ask)
}

// powerShell is the condition on an item.
func (c *condition) powerShell(item string) string {
	property := item + "." + strings.ReplaceAll(c.property, "[]", "")
	switch c.kind {
	case endsWith:
		return property + ".EndsWith(" + c.value.joined().powerShell() + ")"
	case contains:
		return property + " -contains " + c.value.joined().powerShell()
	case isTrue:
		return property
	}
	return property + " -ceq " + c.value.joined().powerShell()
}

func (t *step) powerShellCreate(s *script, tab string) {
	if t.longer != nil {
		s.line("%s$%s = @((%s).%s) + %s", tab, t.longer.variable, t.longer.request.powerShell(), t.longer.property, quote.PowerShell(t.longer.item))
	}
	for _, v := range slices.Sorted(maps.Keys(fresh)) {
		if slices.Contains(t.create.variables(), v) {
			s.line("%s$%s = %s", tab, v, fresh[v].powerShell)
		}
	}
	r, isRequest := t.create.(request)
	switch {
	case isRequest && r.service.resource == AzureDevOps:
		s.line("%s$answer = %s", tab, t.create.powerShell())
		s.line("%sif (-not $answer.operationResult.isSuccess) {", tab)
		s.line("%s    throw \"Azure DevOps did not do it: $($answer.operationResult.errors.value -join '; ')\"", tab)
		s.line("%s}", tab)
	default:
		t.powerShellRun(s, tab, t.create)
	}
}

// powerShellRun runs a command that fails as an error does.
func (t *step) powerShellRun(s *script, tab string, c command) {
	s.line("%s%s", tab, c.powerShell())
	if _, isAz := c.(azCommand); isAz {
		s.line("%sif ($LASTEXITCODE -ne 0) { throw 'the Azure CLI failed' }", tab)
	}
}

// powerShellMust stops the script if the step's condition is not met.
func (p *plan) powerShellMust(s *script, tab string, t *step) {
	switch {
	case t.must != "":
		s.line("%sif ($%s -ne 'yes') { Stop-Setup %s }", tab, t.must, p.otherwise(t).powerShell())
	case t.create == nil:
		s.line("%sif (-not $%s) { Stop-Setup %s }", tab, t.find.take[0].variable, p.otherwise(t).powerShell())
	}
}

// scopeList is the scopes as words of PowerShell.
func scopeList() string { return quoted(strings.Fields(patScopes)) }

// quoted lists plain words for PowerShell.
func quoted(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return "'" + strings.Join(words, "', '") + "'"
}

// powerShellWiden adds the scopes to those of the grant.
func powerShellWiden(s *script, t *step) {
	s.line("$words = @($scope -split ' ' | Where-Object { $_ })")
	s.line("$missing = @(%s | Where-Object { $_ -notin $words })", scopeList())
	s.line("if ($missing) {")
	s.line("    $scope = ($words + $missing) -join ' '")
	s.line("    Say '   Adding what is missing to it.'")
	s.line("    Attempt { %s }", t.widen.powerShell())
	s.line("}")
}

// powerShellUndo finds everything, and then removes it in the reverse order.
func (p *plan) powerShellUndo(s *script) {
	signedIn := map[string]bool{}
	s.line("")
	s.line("Say 'Looking for what is there.'")
	s.line("$script:quiet = $true")
	for i := range p.steps {
		t := &p.steps[i]
		if t.each {
			continue // looked for when it is removed
		}
		p.powerShellToken(s, t, signedIn)
		for _, k := range t.find.take {
			s.line("$%s = ''", k.variable)
		}
		tab := ""
		if needs := t.needs(); len(needs) > 0 {
			s.line("if (%s) {", powerShellSet(needs))
			tab = "    "
		}
		t.powerShellEnsure(s, tab, false)
		if tab != "" {
			s.line("}")
		}
		if t.name == "tenant" {
			p.powerShellMust(s, "", t)
		}
	}
	s.line("$script:quiet = $false")
	for i := len(p.steps) - 1; i >= 0; i-- {
		if t := &p.steps[i]; t.remove != nil {
			p.powerShellRemove(s, t)
		}
	}
	s.line("")
	s.line("Say ''")
	s.line("if ($script:changed) { Say 'Done.' } else { Say 'Done: there was nothing to remove.' }")
}

func powerShellSet(all []variable) string {
	var tests []string
	for _, v := range all {
		if test := "$" + string(v); !slices.Contains(tests, test) {
			tests = append(tests, test)
		}
	}
	return strings.Join(tests, " -and ")
}

func (p *plan) powerShellRemove(s *script, t *step) {
	found := t.find.take[0].variable
	tab := ""
	s.line("")
	if t.each {
		s.line("if ($id) {")
		s.line("    foreach ($subject in @(Find-Subjects %s)) {", quote.PowerShell(p.Repository))
		tab = "        "
	}
	s.line("%sStep %s ''", tab, t.what.joined().powerShell())
	if t.each {
		t.powerShellEnsure(s, tab, false)
	}
	s.line("%sif (-not $%s) {", tab, found)
	s.line("%s    Say '   It is not there.'", tab)
	if t.removeIf != "" {
		s.line("%s} elseif ($%s -ne 'yes') {", tab, t.removeIf)
		s.line("%s    Say '   %s'", tab, leftAlone)
	}
	s.line("%s} else {", tab)
	if t.widen != nil {
		s.line("%s    $scope = @($scope -split ' ' | Where-Object { $_ -and $_ -notin %s }) -join ' '", tab, scopeList())
		s.line("%s    if ($scope) {", tab)
		s.line("%s        Attempt { %s }", tab, t.widen.powerShell())
		s.line("%s    } else {", tab)
		s.line("%s        Attempt { %s }", tab, t.remove.powerShell())
		s.line("%s    }", tab)
	} else {
		s.line("%s    Attempt {", tab)
		t.powerShellRun(s, tab+"        ", t.remove)
		s.line("%s    }", tab)
	}
	s.line("%s    Say '   Removed.'", tab)
	s.line("%s}", tab)
	if t.each {
		s.line("    }")
		s.line("}")
	}
}
