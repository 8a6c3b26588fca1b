package cli

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/policy"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
)

// loadPolicy compiles the policy of the settings; nil: there is none. It adds the policy's
// problems to wrong.
func loadPolicy(src settings.Source, s *settings.Settings, wrong error) (*policy.Policy, error) {
	name, file := "policy", ""
	text := []byte(s.Policy)
	var err error
	switch {
	case s.Origins["policy"] != "" && s.Origins["policy-file"] != "": // a problem already, if the command reads a policy
		return nil, wrong
	case s.PolicyFile != "":
		name, file = "policy-file", s.PolicyFile
		text, err = policy.ReadFile(file)
	case s.Policy == "":
		return nil, wrong
	}
	var p *policy.Policy
	if err == nil {
		p, err = policy.Compile(text)
	}
	if err != nil && file != "" {
		err = inFile(file, err)
	}
	if err != nil {
		return nil, src.Problem(s, wrong, name, err.Error())
	}
	for _, warning := range p.Warnings {
		s.Warnings = append(s.Warnings, s.Origins[name]+": "+warning)
	}
	return p, wrong
}

// authorizer returns the function that compares each assertion with a policy; nil: there
// is no policy.
func (l *loaded) authorizer(p *policy.Policy) func(secret.Value) error {
	if p == nil {
		return nil
	}
	s := l.Settings
	z := &authorizer{loaded: l, policy: p, request: policy.Request{
		Organization: s.Organization, TokenType: s.TokenType, Scopes: s.Scopes, Lifetime: s.Lifetime,
	}}
	return z.authorize
}

type authorizer struct {
	*loaded
	policy  *policy.Policy
	request policy.Request
	report  sync.Once // reports only the decision about the first assertion
}

// authorize returns an error if the policy refuses the request of the job that has this
// assertion. With a given access token the assertion is zero. Every assertion is checked,
// because a token file can change, but none while revoking: a refusal would leave the PAT
// valid.
func (z *authorizer) authorize(v secret.Value) error {
	if z.ending.Load() {
		return nil
	}
	d, err := z.decide(v)
	if err == nil {
		z.report.Do(func() { z.platform.Log().Infof("policy: %s", d.Explain()) })
		return nil
	}
	if z.policy.Mode == policy.Audit {
		z.report.Do(func() { z.warn(d, err) })
		return nil
	}
	return hint.Add(fmt.Errorf("refused by the policy: %w", err),
		"ask for less, or have the policy changed; azdo-pat policy test shows what a policy decides for given claims")
}

// decide returns an error if the policy refuses the request. The decision has no rule if
// the claims cannot be read.
func (z *authorizer) decide(v secret.Value) (d policy.Decision, err error) {
	if v.IsZero() {
		return d, errors.New("with access-token there is no assertion, so no rule can match")
	}
	payload, err := assertion.Payload(v)
	var claims policy.Claims
	if err == nil {
		claims, err = policy.ParseClaims(payload)
	}
	if err != nil {
		return d, fmt.Errorf("read the claims of the assertion: %w", err)
	}
	d = z.policy.Decide(z.request, claims)
	if !d.Allowed {
		return d, fmt.Errorf("%s\n%s", d.Explain(), d.Table())
	}
	return d, nil
}

// warn reports what a policy in the mode audit would refuse.
func (z *authorizer) warn(d policy.Decision, err error) {
	z.platform.Log().Warning("policy (audit)", "with mode enforce this would be refused: "+err.Error())
	var b strings.Builder
	fmt.Fprintf(&b, "### Azure DevOps policy (audit): this would be refused\n\n")
	first, _, _ := strings.Cut(err.Error(), "\n")
	fmt.Fprintf(&b, "%s\n", code(first))
	if d.Rule != nil {
		fmt.Fprintf(&b, "\n| | asked or found | allowed | |\n|---|---|---|---|\n")
		for _, row := range d.Rows() {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", cell(row[0]), cell(row[1]), cell(row[2]), row[3])
		}
	}
	z.summary(b.String())
}
