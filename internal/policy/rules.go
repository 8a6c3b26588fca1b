package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"azdo-pat/internal/nearest"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/settings"
)

// The keys of a policy and of a rule, in the order of the documentation.
var (
	policyKeys = []string{"version", "mode", "rules"}
	ruleKeys   = []string{"name", "claims", "organizations", "scopes", "max-lifetime", "token-types"}
	modes      = []string{string(Enforce), string(Audit)}
	tokenTypes = []string{PAT, Entra}
)

// unknownKey adds the problem of a key that is not allowed.
func (c *compiler) unknownKey(key *yaml.Node, allowed []string) {
	text := fmt.Sprintf("unknown key %s; allowed: %s", quote(key.Value), strings.Join(allowed, ", "))
	if near, ok := nearest.Name(key.Value, allowed); ok {
		text += fmt.Sprintf("; did you mean %s?", near)
	}
	c.add(key.Line, key.Column, text)
}

// policy compiles the root of the document.
func (c *compiler) policy(root *yaml.Node) *Policy {
	p := &Policy{Mode: Enforce}
	keys, values := c.entries(root, "a mapping with the keys "+strings.Join(policyKeys, ", "), policyKeys)
	if values == nil {
		return nil
	}
	if version := values["version"]; version == nil {
		c.missing(root, keys, policyKeys, "version", "the number 1")
	} else if version.Kind != yaml.ScalarNode || version.ShortTag() != "!!int" || version.Value != "1" {
		c.wrong(version, kindOf(version), "the number 1, without quotes")
	}
	if mode := values["mode"]; mode != nil {
		p.Mode = Mode(c.oneOf(mode, modes))
	}
	rules := values["rules"]
	switch {
	case rules == nil:
		c.missing(root, keys, policyKeys, "rules", "a list of rules")
	case rules.Kind != yaml.SequenceNode || len(rules.Content) == 0:
		c.wrong(rules, empty(rules), "a list of at least one rule")
	case len(rules.Content) > maxRules:
		c.wrong(rules, count(len(rules.Content), "rule"), fmt.Sprintf("at most %d", maxRules))
	default:
		for i, rule := range rules.Content {
			p.Rules = append(p.Rules, c.rule(i+1, rule))
		}
	}
	p.Warnings = c.warnings
	return p
}

// empty is kindOf, except for a list without entries.
func empty(n *yaml.Node) string {
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		return "an empty list"
	}
	return kindOf(n)
}

// missing adds the problem of a key that must be there, unless an unknown key may be it.
func (c *compiler) missing(n *yaml.Node, given, known []string, key, allowed string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		if near, ok := nearest.Name(name, known); ok && near == key && !slices.Contains(given, name) {
			return
		}
	}
	c.add(n.Line, n.Column, fmt.Sprintf("the key %s is missing; allowed: %s", key, allowed))
}

// rule compiles one rule. What it does not say must not allow more than a reader
// expects, so claims and scopes are required.
func (c *compiler) rule(number int, n *yaml.Node) Rule {
	r := Rule{Number: number, MaxLifetime: defaultMaxLifetime, TokenTypes: []string{PAT}}
	keys, values := c.entries(n, "a rule: a mapping with the keys "+strings.Join(ruleKeys, ", "), ruleKeys)
	if values == nil {
		return r
	}
	if name := values["name"]; name != nil {
		r.Name = c.text(name, "a name for the rule")
	}
	if v := values["token-types"]; v != nil {
		r.TokenTypes = c.list(v, "token types: "+strings.Join(tokenTypes, ", "), func(entry *yaml.Node) string { return c.oneOf(entry, tokenTypes) })
	}
	if v := values["claims"]; v != nil {
		r.Claims = c.claims(v)
	} else {
		c.missing(n, keys, ruleKeys, "claims", `a mapping of claims to patterns; for any job, repository: "*"`)
	}
	if v := values["organizations"]; v != nil {
		r.Organizations = c.list(v, "organizations, such as [contoso]", c.organization)
	}
	if v := values["scopes"]; v != nil {
		r.Scopes = c.list(v, "PAT scopes, such as [vso.code]", c.scope)
	} else if !r.onlyEntra() {
		c.missing(n, keys, ruleKeys, "scopes", "a list of PAT scopes, such as [vso.code]")
	}
	if v := values["max-lifetime"]; v != nil {
		r.MaxLifetime = c.lifetime(v)
	}
	return r
}

// list compiles the entries of a list, which must not be empty.
func (c *compiler) list(n *yaml.Node, what string, entry func(*yaml.Node) string) (all []string) {
	switch {
	case n.Kind != yaml.SequenceNode || len(n.Content) == 0:
		c.wrong(n, empty(n), "a list of "+what)
		return nil
	case len(n.Content) > maxEntries:
		c.wrong(n, fmt.Sprintf("a list of %d", len(n.Content)), fmt.Sprintf("at most %d", maxEntries))
		return nil
	}
	for _, one := range n.Content {
		all = append(all, entry(one))
	}
	return all
}

// text is a scalar that YAML reads as text.
func (c *compiler) text(n *yaml.Node, allowed string) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" || n.Value == "" {
		c.wrong(n, kindOf(n), allowed+", as text")
		return ""
	}
	return c.visible(n)
}

// visible is the text of a scalar, which must be short and visible.
func (c *compiler) visible(n *yaml.Node) string {
	if count := utf8.RuneCountInString(n.Value); count > maxText {
		c.wrong(n, fmt.Sprintf("a text of %d characters", count), fmt.Sprintf("at most %d", maxText))
		return ""
	}
	if i := strings.IndexFunc(n.Value, sanitize.Invisible); i >= 0 {
		r, _ := utf8.DecodeRuneInString(n.Value[i:])
		c.wrong(n, fmt.Sprintf("a text with the character U+%04X, which is not visible", r), "visible characters")
		return ""
	}
	return n.Value
}

func (c *compiler) oneOf(n *yaml.Node, allowed []string) string {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && slices.Contains(allowed, n.Value) {
		return n.Value
	}
	text := strings.Join(allowed, " or ")
	if near, ok := nearest.Name(n.Value, allowed); ok && n.Kind == yaml.ScalarNode {
		text += "; did you mean " + near + "?"
	}
	c.wrong(n, kindOf(n), text)
	return ""
}

// claims compiles the claims that a rule compares.
func (c *compiler) claims(n *yaml.Node) (all []ClaimRule) {
	keys, values := c.entries(n, `a mapping of claims to patterns, such as repository: contoso/*`, nil)
	switch {
	case values == nil:
		return nil
	case len(n.Content) == 0:
		c.wrong(n, "no claim", `at least one; for any job, repository: "*"`)
		return nil
	case len(keys) > maxClaims:
		c.wrong(n, count(len(keys), "claim"), fmt.Sprintf("at most %d", maxClaims))
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch key := n.Content[i]; {
		case key.Kind != yaml.ScalarNode:
		case key.Value == "":
			c.wrong(key, "a claim without a name", "the name of a claim")
		default:
			c.visible(key)
		}
	}
	for _, name := range keys {
		rule := ClaimRule{Name: name}
		if value := values[name]; value.Kind == yaml.SequenceNode {
			rule.Patterns = c.list(value, "patterns", c.pattern)
		} else {
			rule.Patterns = []string{c.pattern(value)}
		}
		all = append(all, rule)
	}
	return all
}

// pattern is a scalar of any type, as it is written: 12345 and yes are texts here.
func (c *compiler) pattern(n *yaml.Node) string {
	const allowed = "a pattern: text, in which * stands for any characters and ? for one, or a list of patterns"
	switch {
	case n.Kind != yaml.ScalarNode:
		c.wrong(n, kindOf(n), allowed)
	case n.ShortTag() == "!!null":
		c.wrong(n, "nothing", allowed+`. The text null and an empty text need quotes`)
	default:
		return c.visible(n)
	}
	return ""
}

func (c *compiler) organization(n *yaml.Node) string {
	text := c.text(n, settings.OrganizationForms)
	if text == "" {
		return ""
	}
	name, err := settings.Organization(text)
	if err != nil {
		c.wrong(n, kindOf(n), settings.OrganizationForms)
	}
	return name
}

// scope takes a scope that is not known, since Azure DevOps may have new ones.
func (c *compiler) scope(n *yaml.Node) string {
	const allowed = "one PAT scope, such as vso.code, which azdo-pat scopes lists"
	text := c.text(n, allowed)
	if text == "" {
		return ""
	}
	if all, err := pat.ParseScopes(text); err != nil || len(all) != 1 || all[0] != text {
		c.wrong(n, kindOf(n), allowed)
		return ""
	}
	for _, unknown := range pat.Unknown([]string{text}) {
		warning := fmt.Sprintf("line %d, column %d: %s is not a scope that azdo-pat knows", n.Line, n.Column, unknown.Name)
		if len(unknown.Nearest) > 0 {
			warning += "; did you mean " + strings.Join(unknown.Nearest, " or ") + "?"
		}
		c.warnings = append(c.warnings, warning)
	}
	return text
}

func (c *compiler) lifetime(n *yaml.Node) time.Duration {
	text := ""
	if n.Kind == yaml.ScalarNode {
		text = n.Value
	}
	d, err := lifetime(text)
	if err != nil {
		c.wrong(n, kindOf(n), err.Error())
	}
	return d
}
