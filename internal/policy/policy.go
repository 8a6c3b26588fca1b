// Package policy decides whether a job may have the token that it asks for.
//
// A policy is a YAML document with rules. [Compile] reads it, [Policy.Decide] compares a
// request and the claims of the job's assertion with each rule. A request is allowed if
// one rule allows all of it: two rules that each allow a part do not add up. What the
// policy does not mention in its claims is not compared.
//
//	version: 1
//	mode: enforce
//	rules:
//	- name: release feeds
//	  claims:
//	    repository_owner_id: "12345"
//	    repository: contoso/*
//	  organizations: [contoso]
//	  scopes: [vso.packaging_write]
//	  max-lifetime: 1h
//
// docs/policy.schema.json describes the same document for editors.
package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"azdo-pat/internal/settings"
	"azdo-pat/internal/timefmt"
)

// Mode is what happens to a request that no rule allows.
type Mode string

// The modes.
const (
	Enforce Mode = "enforce" // it is refused; the default
	Audit   Mode = "audit"   // there is a warning
)

// The types of tokens that a rule can allow.
const (
	PAT   = settings.PATToken
	Entra = settings.EntraToken
)

// Limits of a policy. They are far above what an organization needs, and keep compiling
// and deciding fast whatever the text.
const (
	MaxSize     = 64 << 10 // bytes
	maxRules    = 256
	maxClaims   = 32  // of a rule
	maxEntries  = 256 // of a list
	maxText     = 512 // characters of a name or a pattern
	maxDepth    = 16  // of nested lists and mappings
	maxProblems = 10  // that an error lists
)

// Policy is a compiled policy. [Compile] makes it.
type Policy struct {
	Mode  Mode
	Rules []Rule
	// Warnings are about what is unusual but allowed, such as an unknown scope.
	Warnings []string
}

// Rule allows requests.
type Rule struct {
	Number int    // from 1
	Name   string // empty: none
	// Claims must all match.
	Claims []ClaimRule
	// Organizations are the bare names of those that a token may be for; empty: any.
	Organizations []string
	// Scopes are those that a PAT may have, besides what they include.
	Scopes []string
	// MaxLifetime is the longest lifetime of a PAT.
	MaxLifetime time.Duration
	TokenTypes  []string
}

// ClaimRule is what a claim must match: one of the patterns.
type ClaimRule struct {
	Name     string
	Patterns []string
}

// defaultMaxLifetime is that of a rule without max-lifetime: the longest that a job can
// ask for. A PAT that is rotated can live longer; that must be allowed explicitly.
const defaultMaxLifetime = settings.LongestLifetime

// String names the rule by its number and its name.
func (r *Rule) String() string {
	if r.Name == "" {
		return fmt.Sprintf("rule %d", r.Number)
	}
	return fmt.Sprintf("rule %d (%s)", r.Number, r.Name)
}

// onlyEntra: scopes and lifetime are never compared with this rule.
func (r *Rule) onlyEntra() bool {
	return !slices.ContainsFunc(r.TokenTypes, func(t string) bool { return t != Entra })
}

// Describe summarizes the policy: a line for the whole and one for each rule.
func (p *Policy) Describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "mode %s, %s\n", p.Mode, count(len(p.Rules), "rule"))
	for i := range p.Rules {
		r := &p.Rules[i]
		organizations := "any organization"
		if len(r.Organizations) > 0 {
			organizations = "organization " + listed(r.Organizations)
		}
		var names []string
		for _, c := range r.Claims {
			names = append(names, show(c.Name))
		}
		fmt.Fprintf(&b, "%s: %s; token type %s; ", r, organizations, listed(r.TokenTypes))
		if !r.onlyEntra() {
			fmt.Fprintf(&b, "scopes %s; lifetime up to %s; ", strings.Join(r.Scopes, " "), timefmt.Duration(r.MaxLifetime))
		}
		fmt.Fprintf(&b, "if these claims match: %s\n", strings.Join(names, ", "))
	}
	return b.String()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
