package toolconfig

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"
)

// setUpMaven writes a settings.xml with a server for each feed, whose id is the feed's
// name, and makes it the global settings: the user's own file, and a -s of the caller,
// are read as before and win.
// https://maven.apache.org/settings.html and, for MAVEN_ARGS,
// https://maven.apache.org/configure.html (Maven 3.9)
func setUpMaven(p *plan) error {
	if err := p.noSpace("MAVEN_ARGS"); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0">
  <servers>
`)
	callers, earlier := p.earlierServers(strings.TrimSpace(strings.ReplaceAll(p.env("MAVEN_ARGS"), "\n", " ")))
	for _, server := range earlier {
		b.WriteString(server)
	}
	for _, feed := range p.Feeds {
		b.WriteString("    <server><id>" + xmlText(feed.Name) + "</id><username>" + xmlText(p.Organization) + "</username><password>" + xmlText(p.token.Reveal()) + "</password></server>\n")
	}
	// The one mirror of Maven's own global settings, which these replace.
	b.WriteString(`  </servers>
  <mirrors>
    <mirror><id>maven-default-http-blocker</id><mirrorOf>external:http:*</mirrorOf><name>Pseudo repository to mirror external repositories initially using HTTP.</name><url>http://0.0.0.0/</url><blocked>true</blocked></mirror>
  </mirrors>
</settings>
`)
	file := p.file("settings.xml", b.String())
	for _, argument := range strings.Fields(callers) {
		if argument == "-gs" || strings.HasPrefix(argument, "--global-settings") {
			p.warn("MAVEN_ARGS already names global settings, and Maven reads only the first: it will not find the token")
		}
	}
	p.set("MAVEN_ARGS", strings.TrimSpace(callers+" -gs "+file))
	p.note("Maven before 3.9 does not read MAVEN_ARGS: run it with -s %s, or with -gs and that file to keep your own settings", file)
	return nil
}

// earlierSettings is the option of an earlier use in the same job.
var earlierSettings = regexp.MustCompile(`(?:^| )-gs \S*/(` + folderPrefix + `[0-9a-f]{16}-[0-9a-f]{32})/settings\.xml`)

// earlierServers takes the options of earlier uses out of MAVEN_ARGS, since Maven obeys
// the first -gs only, and returns the servers in their files, a line each.
func (p *plan) earlierServers(arguments string) (rest string, servers []string) {
	here := cmp.Or(p.InContainer, p.Folder) // as this process sees it
	for _, m := range earlierSettings.FindAllStringSubmatch(arguments, -1) {
		text, err := readCallersFile(path.Join(path.Dir(here), m[1], "settings.xml"))
		if err != nil {
			continue // the PAT of a use that has ended
		}
		for line := range strings.Lines(text) {
			replaced := slices.ContainsFunc(p.Feeds, func(f Feed) bool { return strings.Contains(line, "<id>"+xmlText(f.Name)+"</id>") })
			if strings.HasPrefix(line, "    <server>") && !replaced {
				servers = append(servers, line)
			}
		}
	}
	return strings.TrimSpace(earlierSettings.ReplaceAllString(arguments, "")), servers
}

// xmlText escapes a text for XML.
func xmlText(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}
