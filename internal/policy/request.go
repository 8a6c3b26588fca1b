package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"azdo-pat/internal/pat"
	"azdo-pat/internal/settings"
)

// DefaultLifetime is what is asked for if nothing else is.
const DefaultLifetime = "1h"

// Asked are the parts of a request as texts, in the form of the settings of these names.
// White space around them does not count, and Lifetime and TokenType have defaults.
type Asked struct{ Organization, Scopes, Lifetime, TokenType string }

// Request reads the texts. An Entra token needs no scopes. The error lists everything
// that is wrong, each with the flag of that name.
func (a Asked) Request() (Request, error) {
	a = Asked{strings.TrimSpace(a.Organization), strings.TrimSpace(a.Scopes), cmp.Or(strings.TrimSpace(a.Lifetime), DefaultLifetime), cmp.Or(strings.TrimSpace(a.TokenType), PAT)}
	r := Request{TokenType: a.TokenType}
	var wrong []error
	problem := func(name, found, allowed string) {
		found = "found " + quote(found)
		if found == `found ""` {
			found = "not set"
		}
		wrong = append(wrong, fmt.Errorf("--%s: %s; allowed: %s", name, found, allowed))
	}
	var err error
	r.Organization, err = settings.Organization(a.Organization)
	if err != nil {
		problem("organization", a.Organization, settings.OrganizationForms)
	}
	if !slices.Contains(tokenTypes, r.TokenType) {
		problem("token-type", r.TokenType, strings.Join(tokenTypes, " or "))
	}
	if r.TokenType != Entra || a.Scopes != "" {
		r.Scopes, err = pat.ParseScopes(a.Scopes)
		if err != nil {
			problem("scopes", a.Scopes, "PAT scopes, such as vso.code, separated by white space or commas")
		}
	}
	r.Lifetime, err = lifetime(a.Lifetime)
	if err != nil {
		problem("lifetime", a.Lifetime, err.Error())
	}
	return r, errors.Join(wrong...)
}

// lifetime reads a duration as the setting lifetime does. The error says what is allowed.
func lifetime(text string) (time.Duration, error) {
	d, err := settings.ParseDuration(text)
	if err != nil || d < settings.ShortestLifetime || d > settings.LongestRotated {
		return 0, errors.New("a duration from 5m to 365d, such as 30m, 1h30m or 7d")
	}
	return d, nil
}
