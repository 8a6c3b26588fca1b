package toolconfig

import "strings"

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
	callers := strings.TrimSpace(strings.ReplaceAll(p.env("MAVEN_ARGS"), "\n", " "))
	for _, argument := range strings.Fields(callers) {
		if argument == "-gs" || strings.HasPrefix(argument, "--global-settings") {
			p.warn("MAVEN_ARGS names global settings already, which Maven prefers: it will not read those with the token")
		}
	}
	p.set("MAVEN_ARGS", strings.TrimSpace(callers+" -gs "+file))
	p.note("Maven before 3.9 does not read MAVEN_ARGS: give it -s %s, or -gs to keep your own settings", file)
	return nil
}

// xmlText escapes a text for XML.
func xmlText(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}
