package toolconfig

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
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
	if login := loginFor(callers, packagesHost); login != "" && login != p.Organization {
		p.warn("your netrc has another login for %s, which pip does not use now: a netrc has one a host", packagesHost)
	}
	pip := strings.Fields(p.env("PIP_EXTRA_INDEX_URL"))
	if len(pip) == 0 { // else it wins over what files say
		var credentials string
		pip, credentials, err = p.pipIndexes()
		if err != nil {
			return err
		}
		callers = strings.TrimRight(callers, "\r\n") + credentials
	}
	// Some readers take a host's first entry and some its last. The empty line ends
	// whatever the caller's file may have begun.
	entry := "machine " + packagesHost + "\nlogin " + p.Organization + "\npassword " + p.token.Reveal() + "\n"
	text := entry
	if callers != "" {
		text += strings.TrimRight(callers, "\r\n") + "\n\n" + entry
	}
	p.set("NETRC", p.file("netrc", text))

	uv := strings.Fields(p.env("UV_INDEX"))
	for _, feed := range p.Feeds {
		address := feed.url(p.Organization, "pypi/simple/")
		pip = appendOnce(pip, address)
		uv = appendOnce(uv, strings.ReplaceAll(feed.Name, "@", "-")+"="+address)
	}
	p.set("PIP_EXTRA_INDEX_URL", strings.Join(pip, " "))
	p.set("UV_INDEX", strings.Join(uv, " "))
	return setUpTwine(p)
}

// loginFor is the login of a host's last entry in a netrc; empty: there is none.
func loginFor(netrc, host string) (login string) {
	words := strings.Fields(netrc)
	for i, machine := 0, ""; i+1 < len(words); i++ {
		switch words[i] {
		case "machine":
			machine = words[i+1]
		case "login":
			if machine == host {
				login = words[i+1]
			}
		}
	}
	return login
}

// pipIndexes are the further indexes in the caller's files, over which our variable wins.
// Credentials in their URLs go into the netrc, since a variable's value can be in a log.
func (p *plan) pipIndexes() (urls []string, netrc string, err error) {
	text, err := p.pipExtraIndexURL()
	for _, index := range strings.Fields(text) {
		u, parseErr := url.Parse(index)
		if parseErr != nil {
			p.warn("an extra-index-url of your pip.conf is no URL and is not used")
			continue
		}
		if password, ok := u.User.Password(); ok && !strings.ContainsAny(u.User.Username()+password, " \t\r\n\"#\\") && u.User.Username() != "" {
			netrc += "\n\nmachine " + u.Hostname() + "\nlogin " + u.User.Username() + "\npassword " + password
		} else if u.User != nil {
			p.warn("the extra-index-url of your pip.conf for %s has a user whom a netrc cannot have, and is not used: give it in PIP_EXTRA_INDEX_URL", u.Hostname())
			continue
		}
		u.User = nil
		urls = append(urls, u.String())
	}
	return urls, netrc, err
}

// pipSystemFiles are pip's files for all users.
var pipSystemFiles = []string{"/etc/xdg/pip/pip.conf", "/etc/pip.conf"}

// pipExtraIndexURL is what pip install takes from the caller's files.
// https://pip.pypa.io/en/stable/topics/configuration/
func (p *plan) pipExtraIndexURL() (value string, err error) {
	if p.env("PIP_CONFIG_FILE") == os.DevNull {
		return "", nil // then pip reads no file
	}
	home := p.home()
	files := slices.Clone(pipSystemFiles)
	if home != "" {
		config := cmp.Or(p.env("XDG_CONFIG_HOME"), filepath.Join(home, ".config"))
		files = append(files, filepath.Join(home, ".pip/pip.conf"), filepath.Join(home, "Library/Application Support/pip/pip.conf"), filepath.Join(config, "pip/pip.conf"))
	}
	if appData := p.env("APPDATA"); appData != "" {
		files = append(files, filepath.Join(appData, "pip/pip.ini"))
	}
	if environment := p.env("VIRTUAL_ENV"); environment != "" {
		files = append(files, filepath.Join(environment, "pip.conf"))
	}
	files = append(files, p.env("PIP_CONFIG_FILE"))
	var global, install string // the latter wins, and the last file
	for _, name := range files {
		text, err := readCallersFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("read the file that is to go on working, %s: %w", name, err)
		}
		global = cmp.Or(iniValue(text, "global", "extra-index-url"), global)
		install = cmp.Or(iniValue(text, "install", "extra-index-url"), install)
	}
	return cmp.Or(install, global), nil
}

// iniValue is a value of a file that Python's configparser reads, with its further lines.
func iniValue(text, section, key string) (value string) {
	in, reading := "", false
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case trimmed[0] == '[' && strings.HasSuffix(trimmed, "]"):
			in, reading = trimmed[1:len(trimmed)-1], false
		case line[0] == ' ' || line[0] == '\t':
			if reading {
				value += "\n" + trimmed
			}
		case in == section:
			i := strings.IndexAny(trimmed, "=:")
			if i < 0 {
				continue
			}
			name := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(trimmed[:i])), "_", "-")
			reading = name == key
			if reading {
				value = strings.TrimSpace(trimmed[i+1:])
			}
		}
	}
	return value
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
	sections := parsePypirc(callers)
	servers := strings.Fields(iniValue(callers, "distutils", "index-servers"))
	if len(servers) == 0 { // twine knows these unless the file has a list
		servers = []string{"pypi", "testpypi"}
	}
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
	p.note("twine needs its file as an option: twine upload -r FEED --config-file \"$PYPIRC_PATH\" …")
	return nil
}

// parsePypirc is the text of the sections of a .pypirc but distutils, by name.
func parsePypirc(text string) map[string]string {
	sections := map[string]string{}
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "[") && strings.HasSuffix(trimmed, "]") {
			section = trimmed[1 : len(trimmed)-1]
		} else if section != "" && section != "distutils" {
			sections[section] += line + "\n"
		}
	}
	return sections
}
