package settings

import (
	"fmt"
	"slices"
	"strings"
)

// takesEntraToken reports whether the command takes token-type entra. An Entra token
// cannot be revoked, so only the steps that are part of every job take it among those
// that revoke.
func (l *loader) takesEntraToken() bool {
	switch l.command {
	case Mint, Exec, Check, Post:
		return true
	case Revoke:
		return l.src.RevokeStep
	}
	return false
}

// planted reports whether token-type cannot be what the caller of mint meant, because
// mint would have refused it together with the identity of a user. Another step may
// have set it by a variable, so that a post step without a record leaves the PAT.
func (l *loader) planted() bool {
	return l.command == Post && l.origins["token-type"] != "token-type" &&
		slices.ContainsFunc(Descriptions, func(d *Description) bool { return d.identity != "" && l.given(d.Name) })
}

// entraToken is the setting token-type with the value entra, as the caller would write it.
func (l *loader) entraToken() string {
	name := l.as("token-type")
	switch {
	case strings.HasPrefix(name, "--"):
		return name + " " + EntraToken
	case strings.HasPrefix(name, variablePrefix):
		return name + "=" + EntraToken
	}
	return name + ": " + EntraToken
}

// notBeside says for each setting that an Entra token cannot honor why it cannot.
var notBeside = map[string]string{
	"scopes":            "an Entra token has all permissions that its service principal has in Azure DevOps",
	"allow-full-access": "an Entra token has all permissions that its service principal has in Azure DevOps",
	"lifetime":          "Entra decides when its token ends, about an hour after it was issued",
	"skip-revoke":       "an Entra token cannot be revoked",
}

// servicePrincipal checks the settings for token-type entra: what only a PAT can honor
// must not be set, nor an identity of a user. It returns whether the command needs an
// application and an assertion.
func (l *loader) servicePrincipal(s *Settings) (application bool) {
	if !l.takesEntraToken() {
		l.wrong("token-type", s.TokenType, fmt.Sprintf("%s, since %s works with PATs only; an Entra token cannot be revoked", PATToken, l.command))
		return false
	}
	s.Identity = ServicePrincipal
	if l.command == Post { // it sends nothing, and mint has checked the settings
		return false
	}
	for _, d := range Descriptions {
		why, ok := notBeside[d.Name]
		if d.identity != "" {
			why, ok = "the token is that of the service principal client-id, and of no user", true
		}
		if !ok || !l.given(d.Name) || !d.readBy(l.command) {
			continue
		}
		l.ignore(d.Name) // its value does not matter
		found := "a credential, which is not shown"
		if !d.Secret {
			found = show(d.Name, l.found[d.Name])
		}
		l.problem(d.Name, fmt.Sprintf("%s: found %s; allowed: nothing, since %s is %s: %s", l.as(d.Name), found, l.as("token-type"), EntraToken, why))
	}
	return l.command != Revoke
}
