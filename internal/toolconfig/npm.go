package toolconfig

import (
	"encoding/base64"
	"slices"
	"strings"
)

// setUpNPM writes an .npmrc with the feeds' credentials, for npm, pnpm and yarn 1. It
// takes the place of the user's own file, whose lines are copied. Which registry a
// project uses stays with the project.
// https://docs.npmjs.com/cli/configuring-npm/npmrc
func setUpNPM(p *plan) error {
	variable := "NPM_CONFIG_USERCONFIG"
	// The two are one setting to npm, and which of them counts depends on their order.
	if other := strings.ToLower(variable); p.env(variable) == "" && p.env(other) != "" {
		variable = other
	}
	callers, err := p.callersFile(variable, ".npmrc")
	if err != nil {
		return err
	}
	var paths []string
	for _, feed := range p.Feeds {
		for _, protocol := range []string{"npm/registry/", "npm/"} {
			paths = append(paths, strings.TrimPrefix(feed.url(p.Organization, protocol), "https:"))
		}
	}
	var b strings.Builder
	// Before the caller's lines, which may end in a section.
	for _, path := range paths {
		b.WriteString(path + ":username=" + p.Organization + "\n")
		b.WriteString(path + ":_password=" + base64.StdEncoding.EncodeToString([]byte(p.token.Reveal())) + "\n")
		b.WriteString(path + ":email=not-used\n")
	}
	for line := range strings.Lines(callers) {
		// A token of the caller's for the same feed would be preferred to ours.
		if !slices.ContainsFunc(paths, func(path string) bool { return credentialOf(line, path) }) {
			b.WriteString(strings.TrimRight(line, "\r\n") + "\n")
		}
	}
	p.set(variable, p.file("npmrc", b.String()))
	return nil
}

// credentialOf reports whether a line of an .npmrc sets something for a registry's path.
func credentialOf(line, path string) bool {
	key, _, _ := strings.Cut(line, "=")
	of, _, ok := strings.Cut(strings.Trim(key, " \t\"'"), ":")
	return ok && strings.TrimSuffix(of, "/") == strings.TrimSuffix(path, "/")
}
