package toolconfig

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// setUpPip writes a netrc, which pip and uv read, names the feeds as further indexes
// without credentials, and writes a .pypirc for twine. A netrc knows hosts only: the
// token goes to the feeds of every organization that the caller names.
func setUpPip(p *plan) error {
	callers, err := p.callersFile("NETRC", ".netrc")
	if err != nil {
		return err
	}
	// Some readers take a host's first entry and some its last. The empty line ends
	// whatever the caller's file may have begun.
	entry := "machine " + packagesHost + "\nlogin " + p.Organization + "\npassword " + p.token.Reveal() + "\n"
	text := entry
	if callers != "" {
		text += strings.TrimRight(callers, "\r\n") + "\n\n" + entry
	}
	p.set("NETRC", p.file("netrc", text))

	pip, uv := strings.Fields(p.env("PIP_EXTRA_INDEX_URL")), strings.Fields(p.env("UV_INDEX"))
	for _, feed := range p.Feeds {
		address := feed.url(p.Organization, "pypi/simple/")
		pip = appendOnce(pip, address)
		uv = appendOnce(uv, strings.ReplaceAll(feed.Name, "@", "-")+"="+address)
	}
	p.set("PIP_EXTRA_INDEX_URL", strings.Join(pip, " "))
	p.set("UV_INDEX", strings.Join(uv, " "))
	return setUpTwine(p)
}

func appendOnce(list []string, entry string) []string {
	if slices.Contains(list, entry) {
		return list
	}
	return append(list, entry)
}

// setUpTwine writes a .pypirc with a section for each feed. twine reads it with
// --config-file "$PYPIRC_PATH".
// https://packaging.python.org/specifications/pypirc/
func setUpTwine(p *plan) error {
	callers, err := p.callersFile("PYPIRC_PATH", ".pypirc")
	if err != nil {
		return err
	}
	servers, sections := parsePypirc(callers)
	var own strings.Builder
	for _, feed := range p.Feeds {
		servers = appendOnce(servers, feed.Name)
		delete(sections, feed.Name)
		fmt.Fprintf(&own, "\n[%s]\nrepository = %s\nusername = %s\npassword = %s\n", feed.Name, feed.url(p.Organization, "pypi/upload/"), p.Organization, p.token.Reveal())
	}
	var b strings.Builder
	b.WriteString("[distutils]\nindex-servers =\n")
	for _, server := range servers {
		b.WriteString("    " + server + "\n")
	}
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		b.WriteString("\n[" + name + "]\n" + sections[name])
	}
	p.set("PYPIRC_PATH", p.file("pypirc", b.String()+own.String()))
	p.note("twine has no variable for its file: twine upload -r FEED --config-file \"$PYPIRC_PATH\" …")
	return nil
}

// parsePypirc splits a .pypirc: the names in index-servers, and the text of the other
// sections.
func parsePypirc(text string) (servers []string, sections map[string]string) {
	sections = map[string]string{}
	section, inServers := "", false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "[") && strings.HasSuffix(trimmed, "]") {
			section, inServers = trimmed[1:len(trimmed)-1], false
			continue
		}
		if section != "distutils" {
			if section != "" {
				sections[section] += line + "\n"
			}
			continue
		}
		key, value, assigns := strings.Cut(line, "=")
		switch {
		case trimmed == "" || strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, ";"):
		case assigns && line[:1] != " " && line[:1] != "\t":
			if inServers = strings.TrimSpace(key) == "index-servers"; inServers {
				servers = append(servers, strings.Fields(value)...)
			}
		case inServers:
			servers = append(servers, strings.Fields(trimmed)...)
		}
	}
	if len(servers) == 0 { // twine knows these unless the file has a list
		servers = []string{"pypi", "testpypi"}
	}
	return servers, sections
}
