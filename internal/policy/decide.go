package policy

import (
	"slices"
	"strings"
	"time"

	"azdo-pat/internal/pat"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/timefmt"
)

// Request is what a job asks for.
type Request struct {
	Organization string // the bare name
	TokenType    string // PAT or Entra
	// Scopes and Lifetime are those of a PAT. An Entra token can have neither.
	Scopes   []string
	Lifetime time.Duration
}

// Decision is the result of comparing a request with a policy.
type Decision struct {
	Allowed bool
	// Rule allows the request. If none does, it is the nearest one: of those that fail
	// in the fewest criteria, the first.
	Rule *Rule
	// Criteria are those of Rule.
	Criteria []Criterion

	rules int // how many the policy has
}

// Criterion compares a part of the request, or a claim, with what a rule allows.
type Criterion struct {
	Name string // such as "scopes", or "claim ref"
	Met  bool
	// Found and Allowed are for people: one line each.
	Found, Allowed string
}

// Decide compares a request and the claims of the job's assertion with the rules.
func (p *Policy) Decide(r Request, claims Claims) Decision {
	d := Decision{rules: len(p.Rules)}
	fewest := 0
	for i := range p.Rules {
		rule := &p.Rules[i]
		criteria := rule.compare(r, claims)
		failed := 0
		for _, c := range criteria {
			if !c.Met {
				failed++
			}
		}
		if d.Rule == nil || failed < fewest {
			d.Rule, d.Criteria, fewest = rule, criteria, failed
		}
		if failed == 0 {
			d.Allowed = true
			break
		}
	}
	return d
}

// compare lists everything that the rule compares.
func (r *Rule) compare(asked Request, claims Claims) []Criterion {
	// Azure DevOps does not distinguish the case of an organization's name.
	organization := len(r.Organizations) == 0 || slices.ContainsFunc(r.Organizations, func(name string) bool {
		return sanitize.LowerASCII(name) == sanitize.LowerASCII(asked.Organization)
	})
	allowed := "any"
	if len(r.Organizations) > 0 {
		allowed = listed(r.Organizations)
	}
	all := []Criterion{
		{Name: "organization", Met: organization, Found: show(asked.Organization), Allowed: allowed},
		{Name: "token-type", Met: slices.Contains(r.TokenTypes, asked.TokenType), Found: show(asked.TokenType), Allowed: listed(r.TokenTypes)},
	}
	if asked.TokenType != Entra {
		all = append(all, r.compareScopes(asked.Scopes), Criterion{
			Name: "lifetime", Met: asked.Lifetime <= r.MaxLifetime,
			Found: timefmt.Duration(asked.Lifetime), Allowed: "up to " + timefmt.Duration(r.MaxLifetime),
		})
	}
	for _, c := range r.Claims {
		all = append(all, c.compare(claims))
	}
	return all
}

// compareScopes requires at least one scope, and each to be allowed by its name or as
// part of a scope that includes it.
func (r *Rule) compareScopes(asked []string) Criterion {
	var beyond []string
	for _, scope := range asked {
		if !pat.Covers(r.Scopes, scope) {
			beyond = append(beyond, scope)
		}
	}
	c := Criterion{Name: "scopes", Met: len(asked) > 0 && len(beyond) == 0, Found: strings.Join(asked, " "), Allowed: strings.Join(r.Scopes, " ")}
	if len(beyond) > 0 && len(beyond) < len(asked) {
		c.Found += " (too much: " + strings.Join(beyond, " ") + ")"
	}
	if c.Allowed == "" {
		c.Allowed = "none"
	}
	return c
}

func (c *ClaimRule) compare(claims Claims) Criterion {
	claim, present := claims[c.Name]
	out := Criterion{Name: "claim " + show(c.Name), Allowed: listed(c.Patterns)}
	switch {
	case !present:
		out.Found = "(absent)"
	case !claim.Comparable:
		out.Found = "(" + claim.Text + ", which never matches)"
	default:
		out.Found = show(claim.Text)
		out.Met = slices.ContainsFunc(c.Patterns, func(pattern string) bool { return matches(pattern, claim.Text) })
	}
	return out
}
