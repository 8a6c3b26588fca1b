package settings

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"azdo-pat/internal/nearest"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// The names of the rules of list, the worst finding first.
const (
	FullAccess       = "full-access"       // the scope app_token
	AllOrganizations = "all-organizations" // accepted by all organizations of the user
	OtherPAT         = "other"             // not named by azdo-pat
	LongLived        = "long-lived"        // =DURATION: validTo - validFrom is longer
	RunOver          = "run-over"          // the workflow run has completed
	HasScope         = "scope"             // =NAME: may do what the scope permits
	EndsWithin       = "ends-within"       // =DURATION: ends within that from now
)

// RuleNames are the names of the rules, the worst finding first.
var RuleNames = []string{FullAccess, AllOrganizations, OtherPAT, LongLived, RunOver, HasScope, EndsWithin}

// RuleForms are the names of the rules, with "=" where an argument follows.
func RuleForms() (forms []string) {
	for _, name := range RuleNames {
		if name == LongLived || name == HasScope || name == EndsWithin {
			name += "="
		}
		forms = append(forms, name)
	}
	return forms
}

// Rule is what list can find wrong with a PAT.
type Rule struct {
	// Text is the rule as the caller wrote it, as in "long-lived=30d".
	Text string
	// Name is one of [RuleNames].
	Name string
	// Duration is the argument of [LongLived] and [EndsWithin]; above zero.
	Duration time.Duration
	// Scope is the argument of [HasScope], which may be a scope that package pat does not
	// know.
	Scope string
}

const ruleForms = "full-access, all-organizations, other, run-over, long-lived=DURATION, ends-within=DURATION and scope=NAME, separated by white space or commas, such as \"full-access long-lived=24h scope=vso.packaging_write\""

// maxWrongRules is how many wrong rules an error names.
const maxWrongRules = 5

// ParseRules reads rules, separated by white space or commas. It keeps their order and
// removes repetitions. The error says what is wrong with which.
func ParseRules(text string) (rules []Rule, _ error) {
	var wrong []string
	for _, entry := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		rule, fault := parseRule(entry)
		switch {
		case fault != "" && len(wrong) < maxWrongRules:
			wrong = append(wrong, fault)
		case fault == "" && !slices.ContainsFunc(rules, func(r Rule) bool { return r.Text == rule.Text }):
			rules = append(rules, rule)
		}
	}
	switch {
	case wrong != nil:
		return nil, fmt.Errorf("%s (%s)", ruleForms, strings.Join(wrong, "; "))
	case rules == nil:
		return nil, fmt.Errorf("%s (none is given)", ruleForms)
	}
	return rules, nil
}

// parseRule reads one rule. fault says what is wrong with it.
func parseRule(entry string) (r Rule, fault string) {
	name, argument, hasArgument := strings.Cut(entry, "=")
	r = Rule{Text: entry, Name: name}
	if !slices.Contains(RuleNames, name) {
		fault = "no rule: " + showRule(entry)
		if near, ok := nearest.Name(name, RuleNames); ok {
			fault += ", the nearest is " + near
		}
		return r, fault
	}
	switch name {
	case LongLived, EndsWithin:
		d, err := ParseDuration(argument)
		if err != nil || d <= 0 {
			return r, name + " needs a duration above zero, as in " + name + "=24h or " + name + "=30d"
		}
		r.Duration = d
	case HasScope:
		scopes, err := pat.ParseScopes(argument)
		if err != nil || len(scopes) != 1 {
			return r, fmt.Sprintf("scope needs a PAT scope, as in scope=vso.packaging_write (%v)", err)
		}
		r.Scope = scopes[0]
	default:
		if hasArgument {
			return r, name + " has no argument"
		}
	}
	return r, ""
}

// showRule repeats an entry that is not a rule, unless it may be a credential in the
// wrong place.
func showRule(entry string) string {
	const longest = 40
	if len(entry) > longest || secret.Resembles(entry) {
		return "one that is not shown since it may be a credential"
	}
	return sanitize.Quote(entry, true)
}

// checkRules takes rules in the form that envconfig decodes.
func checkRules(text string) (string, error) {
	rules, err := ParseRules(text)
	if err != nil {
		return "", err
	}
	var all []string
	for _, r := range rules {
		all = append(all, r.Text)
	}
	return strings.Join(all, ","), nil
}

// rules reads the rules of fail-on, which have been checked.
func (l *loader) rules(s *Settings) {
	if l.command != List || len(s.FailOn) == 0 {
		return
	}
	s.Rules, _ = ParseRules(strings.Join(s.FailOn, " "))
	for _, r := range s.Rules {
		if r.Name == RunOver && s.GitHubToken.IsZero() && !l.faulty("github-token") {
			l.need("github-token", "the rule run-over of "+l.as("fail-on")+" needs it, to ask GitHub which runs have ended")
		}
		for _, u := range pat.Unknown([]string{r.Scope}) {
			if r.Name != HasScope {
				continue
			}
			text := fmt.Sprintf("the scope %s of the rule %s is not one that azdo-pat knows", u.Name, r.Text)
			if len(u.Nearest) > 0 {
				text += "; the nearest is " + u.Nearest[0]
			}
			s.Warnings = append(s.Warnings, text)
		}
	}
}

// faulty reports whether a setting has a problem already.
func (l *loader) faulty(name string) bool {
	return slices.ContainsFunc(l.problems, func(p problem) bool { return p.name == name })
}
