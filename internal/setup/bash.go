package setup

import (
	_ "embed" // the functions of the scripts
	"fmt"
	"maps"
	"slices"
	"strings"

	"azdo-pat/internal/quote"
)

var (
	//go:embed bash.sh
	bashFunctions string
	//go:embed subjects.sh
	bashSubjects string
)

// script is a script that is being written.
type script struct{ strings.Builder }

func (s *script) line(format string, a ...any) { fmt.Fprintf(s, format+"\n", a...) }

func (s *script) comment(lines []string) {
	for _, text := range lines {
		s.line("%s", strings.TrimSpace("# "+text))
	}
}

// bash is the plan as a script for the Azure CLI.
func (p *plan) bash() string {
	var s script
	s.line("#!/usr/bin/env bash")
	s.comment(p.purpose())
	s.line("#")
	s.line("# It needs bash and the Azure CLI, and asks GitHub with the GitHub CLI if there is one.")
	s.line("# Sign in first: az login --allow-no-subscriptions")
	s.line("#")
	s.line("# shellcheck disable=SC2016,SC2034 # single quotes keep a $; variables are set by name")
	s.line("set -euo pipefail")
	s.line("umask 077")
	s.line("")
	s.WriteString(bashFunctions)
	if p.Repository != "" {
		s.line("")
		s.line("repository=%s", quote.Shell(p.Repository))
		s.WriteString(bashSubjects)
	}
	for _, t := range p.steps {
		t.bashFunctions(&s, p.Undo)
	}
	s.line("")
	s.line("main() {")
	s.line("\ttemp=$(mktemp -d)")
	s.line("\ttrap 'rm -rf \"$temp\"' EXIT")
	s.line("\tcommand -v az >/dev/null || stop 'this needs the Azure CLI (az)'")
	if p.Undo {
		p.bashUndo(&s)
	} else {
		p.bashSetup(&s)
	}
	s.line("}")
	s.line("")
	s.line(`main "$@"`)
	return s.String()
}

// purpose says what the script is for. It has no text of the caller's except the name
// of the organization, which is plain.
func (p *plan) purpose() []string {
	what := map[Identity]string{
		AgentUser:        "an agent user (agent identity blueprint, agent identity and its user account)",
		ServiceAccount:   "a service account (app registration and user account)",
		ServicePrincipal: "a service principal (token-type entra)",
	}[p.Identity]
	if p.Undo {
		lines := []string{
			"Removes what azdo-pat setup created for " + what,
			"in the Azure DevOps organization " + p.Organization + ". It leaves alone what it did not create.",
		}
		if p.Identity != ServicePrincipal {
			lines = append(lines, "Revoke the user's PATs first: azdo-pat sweep --older-than 0s, and rotated ones by hand.")
		}
		return lines
	}
	lines := []string{
		"Creates what azdo-pat needs for " + what,
		"in the Azure DevOps organization " + p.Organization + ". Run it again at any time: what is there stays",
		"as it is. azdo-pat setup --undo prints the script that removes it.",
	}
	if p.Repository != "" {
		lines = append(append(lines, ""), onlyTheBranch...)
	}
	return lines
}

// onlyTheBranch says which jobs of a repository are trusted.
var onlyTheBranch = []string{
	"It trusts the jobs on the repository's default branch alone (SETUP_BRANCH names another one): no",
	"pull request, no tag, and no job that names an environment, on whatever branch. For those, give",
	"azdo-pat setup their subject with --issuer and --subject; docs/setup-entra-token.md lists them.",
}

// bashFunctions are the functions of a step.
func (t *step) bashFunctions(s *script, undo bool) {
	s.line("")
	s.line("find_%s() {", t.name)
	s.line("\t%s", broken(t.find.command, "--query "+t.find.jmesPath().joined().bash(), "--output tsv"))
	s.line("}")
	if t.create != nil && !undo {
		s.line("")
		s.line("create_%s() {", t.name)
		t.bashCreate(s)
		s.line("}")
	}
	if t.widen != nil {
		s.line("")
		s.line("widen_%s() {\n\t%s\n}", t.name, broken(t.widen))
	}
	if t.remove != nil && undo {
		s.line("")
		s.line("remove_%s() {\n\t%s\n}", t.name, broken(t.remove))
	}
}

func (t *step) bashCreate(s *script) {
	r, isRequest := t.create.(request)
	vars := t.create.variables()
	for _, v := range slices.Sorted(maps.Keys(fresh)) {
		if slices.Contains(vars, v) {
			s.line("\tlocal %s", v)
			s.line("\t%s=%s", v, fresh[v].bash)
		}
	}
	switch {
	case t.longer != nil:
		list := words("[" + t.longer.property + " || `[]`, ['" + t.longer.item + "']][]")
		s.line("\tlocal %s", t.longer.variable)
		s.line("\t%s=$(%s) || return", t.longer.variable, broken(t.longer.request, "--query "+list.bash(), "--output json"))
		s.line("\t%s", broken(t.create))
	case slices.Contains(vars, password):
		// Other processes can read a command line.
		s.line("\tprintf '%%s' %s >\"$temp/body\"", jsonText(r.body).bash())
		r.body = nil
		s.line("\t%s", broken(r, `--body "@$temp/body"`))
	case isRequest && r.service.resource == AzureDevOps:
		s.line("\tlocal answer")
		s.line("\tanswer=$(%s) && answered \"$answer\"", broken(t.create, "--query "+
			`"(!(operationResult.isSuccess) && (join('; ', not_null(operationResult.errors[].value, [''])) || 'Azure DevOps gave no reason')) || ''"`, "--output tsv"))
	default:
		s.line("\t%s", broken(t.create))
	}
}

// broken is a command with further words, in lines that are not too long.
func broken(c command, further ...string) string {
	words := append(c.bashWords(), further...)
	out := words[0]
	for _, word := range words[1:] {
		if strings.HasPrefix(word, "--method") || strings.HasPrefix(word, "--output") {
			out += " " + word
		} else {
			out += " \\\n\t\t" + word
		}
	}
	return out
}

// jmesPath is the query with which az prints what is taken, with tabs in between.
func (l *lookup) jmesPath() text {
	var take text
	for i, k := range l.take {
		if i > 0 {
			take = append(take, ", ")
		}
		if k.condition == nil {
			take = append(take, k.property)
			continue
		}
		take = concat(take, words("("), k.condition.jmesPath(), words(") && 'yes' || 'no'"))
	}
	if len(l.lists) == 0 {
		return concat(words("[["), take, words("]]"))
	}
	out := words(l.lists[0])
	if len(l.lists) > 1 {
		out = words("not_null(" + strings.Join(l.lists, ", ") + ")")
	}
	if len(l.where) == 0 {
		return concat(out, words("[].["), take, words("] | [:1]"))
	}
	out = append(out, "[?")
	for i, c := range l.where {
		if i > 0 {
			out = append(out, " && ")
		}
		out = append(out, c.jmesPath()...)
	}
	return concat(out, words("].["), take, words("] | [:1]"))
}

func (c *condition) jmesPath() text {
	// Text is a JSON literal in backticks. A variable is plain, and in quotes.
	value := concat(words("'"), c.value, words("'"))
	if len(c.value.variables()) == 0 {
		value = words("`" + quote.JSON(c.value.with(nil)) + "`")
	}
	switch c.kind {
	case endsWith:
		return concat(words("ends_with("+c.property+", "), value, words(")"))
	case contains:
		return concat(words("contains("+c.property+" || `[]`, "), value, words(")"))
	case isTrue:
		return words(c.property)
	}
	return concat(words(c.property+" == "), value)
}

func names(take []taken) string {
	var all []string
	for _, k := range take {
		all = append(all, string(k.variable))
	}
	return strings.Join(all, " ")
}

// bashSetup takes the steps.
func (p *plan) bashSetup(s *script) {
	for i := range p.steps {
		t := &p.steps[i]
		tab := "\t"
		if t.each {
			s.line("\tfind_subjects")
			s.line("\tsay ''")
			s.line("\tsay \"Trusted are jobs on the branch $branch alone: no pull request, no tag, no job that names an environment.\"")
			s.line("\tfor subject in \"${subjects[@]}\"; do")
			tab = "\t\t"
			s.line("%scredential=$(printf %%s \"azdo-pat-$subject\" | tr -cs 'A-Za-z0-9' - | cut -c 1-120)", tab)
		}
		s.line("%sstep %s %s", tab, t.what.bash(), quote.Shell(t.role))
		create := "create_" + t.name
		if t.create == nil {
			create = "''"
		}
		for _, k := range t.find.take {
			s.line("%s%s=''", tab, k.variable)
		}
		s.line("%s%s '%s' find_%s %s '%s'", tab, "ensure", names(t.find.take), t.name, create, strings.Join(t.refersTo(), " "))
		t.bashBeginning(s, tab)
		p.bashMust(s, tab, t)
		if t.widen != nil {
			bashWiden(s, tab, t)
		}
		if t.each {
			s.line("\tdone")
		}
	}
	s.line("\tsay ''")
	s.line("\tif [ -n \"$changed\" ]; then say 'Done.'; else say 'Done: everything was there already.'; fi")
	s.line("\tcat <<WORKFLOW")
	for _, l := range p.outcome() {
		s.line("%s", l.joined().expanded(heredoc.Replace, "["))
	}
	s.line("WORKFLOW")
}

// heredoc escapes what is special in a here-document.
var heredoc = strings.NewReplacer(`\`, `\\`, "$", `\$`, "`", "\\`")

// bashBeginning sets the variable that is the beginning of another.
func (t *step) bashBeginning(s *script, tab string) {
	if b := t.beginning; b != nil {
		s.line("%s%s", tab, b.bash())
	}
}

func (b *beginning) bash() string {
	return string(b.variable) + "=${" + string(b.of) + "%%" + b.before + "*}"
}

// bashMust stops the script if the step's condition is not met.
func (p *plan) bashMust(s *script, tab string, t *step) {
	need := t.must
	if need == "" && t.create == nil {
		need = t.find.take[0].variable
		s.line("%s[ -n \"$%s\" ] || stop %s", tab, need, p.otherwise(t).bash())
		return
	}
	if need != "" {
		s.line("%s[ \"$%s\" = yes ] || stop %s", tab, need, p.otherwise(t).bash())
	}
}

func (p *plan) otherwise(t *step) text {
	if t.otherwise == nil {
		return words("it is not there")
	}
	return t.otherwise
}

// bashWiden adds the scopes to those of the grant.
func bashWiden(s *script, tab string, t *step) {
	s.line("%swider=$scope", tab)
	s.line("%sfor word in %s; do", tab, patScopes)
	s.line("%s\tcase \" $wider \" in *\" $word \"*) ;; *) wider=\"$wider $word\" ;; esac", tab)
	s.line("%sdone", tab)
	s.line("%sif [ \"$wider\" != \"$scope\" ]; then", tab)
	s.line("%s\tscope=$wider", tab)
	s.line("%s\tsay '   Adding what is missing to it.'", tab)
	s.line("%s\tattempt widen_%s", tab, t.name)
	s.line("%sfi", tab)
}

// bashUndo finds everything, and then removes it in the reverse order.
func (p *plan) bashUndo(s *script) {
	s.line("\tsay 'Looking for what is there.'")
	s.line("\tquiet=yes")
	for i := range p.steps {
		t := &p.steps[i]
		if t.each {
			continue // looked for when it is removed
		}
		for _, k := range t.find.take {
			s.line("\t%s=''", k.variable)
		}
		tab := "\t"
		needs := t.needs()
		if len(needs) > 0 {
			s.line("\tif %s; then", bashSet(needs))
			tab = "\t\t"
		}
		s.line("%s%s '%s' find_%s '' ''", tab, "ensure", names(t.find.take), t.name)
		if len(needs) > 0 {
			s.line("\tfi")
		}
		if t.name == "tenant" {
			p.bashMust(s, tab, t)
		}
	}
	s.line("\tquiet=''")
	for i := len(p.steps) - 1; i >= 0; i-- {
		if t := &p.steps[i]; t.remove != nil {
			bashRemove(s, t)
		}
	}
	s.line("\tsay ''")
	s.line("\tif [ -n \"$changed\" ]; then say 'Done.'; else say 'Done: there was nothing to remove.'; fi")
}

// bashSet is the condition that all the variables have a value.
func bashSet(all []variable) string {
	var tests []string
	for _, v := range all {
		if test := "[ -n \"$" + string(v) + "\" ]"; !slices.Contains(tests, test) {
			tests = append(tests, test)
		}
	}
	return strings.Join(tests, " && ")
}

// leftAlone is printed for what undo does not remove.
const leftAlone = "It was not created by azdo-pat setup, or belongs to what was not: left alone."

func bashRemove(s *script, t *step) {
	found := t.find.take[0].variable
	tab := "\t"
	if t.each {
		s.line("\tif [ -n \"$id\" ]; then")
		s.line("\t\tfind_subjects")
		s.line("\t\tfor subject in \"${subjects[@]}\"; do")
		tab = "\t\t\t"
		s.line("%s%s=''", tab, found)
	}
	s.line("%sstep %s ''", tab, t.what.bash())
	if t.each {
		s.line("%s%s '%s' find_%s '' ''", tab, "ensure", names(t.find.take), t.name)
	}
	s.line("%sif [ -z \"$%s\" ]; then", tab, found)
	s.line("%s\tsay '   It is not there.'", tab)
	if t.removeIf != "" {
		s.line("%selif [ \"$%s\" != yes ]; then", tab, t.removeIf)
		s.line("%s\tsay '   %s'", tab, leftAlone)
	}
	s.line("%selse", tab)
	if t.widen != nil {
		s.line("%s\trest=''", tab)
		s.line("%s\tfor word in $scope; do", tab)
		s.line("%s\t\tcase $word in %s) ;; *) rest=\"$rest $word\" ;; esac", tab, strings.ReplaceAll(patScopes, " ", " | "))
		s.line("%s\tdone", tab)
		s.line("%s\tscope=${rest# }", tab)
		s.line("%s\tif [ -n \"$rest\" ]; then attempt widen_%s; else attempt remove_%s; fi", tab, t.name, t.name)
	} else {
		s.line("%s\tattempt remove_%s", tab, t.name)
	}
	s.line("%s\tsay '   Removed.'", tab)
	s.line("%sfi", tab)
	if t.each {
		s.line("\t\tdone")
		s.line("\tfi")
	}
}
