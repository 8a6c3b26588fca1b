package toolconfig

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"azdo-pat/internal/sanitize"
)

// Feed is a feed of Azure Artifacts.
type Feed struct {
	// Project is the project that the feed belongs to, as it is written in a URL. Empty:
	// the feed is the organization's.
	Project string
	// Name is the feed's name, with @VIEW behind it for a view.
	Name string
}

// feedForm has a project, which is a name or a GUID as in a URL, and the name.
//
// It is compiled when it is first used, which saves each command 0.3 ms.
var feedForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:((?:[A-Za-z0-9_]|%[0-9A-F]{2})(?:[A-Za-z0-9._~-]|%[0-9A-F]{2}){0,400})/)?([A-Za-z0-9_][A-Za-z0-9._-]{0,63}(?:@[A-Za-z0-9_][A-Za-z0-9._-]{0,63})?)$`)
})

// ParseFeeds reads feeds, NAME or PROJECT/NAME, separated by white space or commas. It
// returns each of them once. The names must differ in more than their punctuation,
// because variables are named after them.
func ParseFeeds(text string) (feeds []Feed, err error) {
	allowed := errors.New("feeds of Azure Artifacts as NAME or PROJECT/NAME, separated by white space or commas; PROJECT is written as in the feed's URL, such as My%20Project")
	variables := map[string]Feed{}
	for _, word := range split(text) {
		m := feedForm().FindStringSubmatch(word)
		if m == nil || !isProject(m[1]) {
			return nil, allowed
		}
		feed := Feed{Project: m[1], Name: m[2]}
		switch other, used := variables[feed.variable()]; {
		case used && other == feed:
			continue
		case used:
			return nil, errors.New("feeds whose names differ: " + sanitize.Line(other.String(), 100) + " and " + sanitize.Line(feed.String(), 100) + " would share variables")
		}
		variables[feed.variable()] = feed
		feeds = append(feeds, feed)
	}
	if len(feeds) == 0 {
		return nil, allowed
	}
	return feeds, nil
}

// isProject reports whether a part of a URL can be a project's name: printable characters,
// except those that Azure DevOps forbids. With a period at its beginning, such as .., the
// URL could lead out of the organization.
func isProject(escaped string) bool {
	name, err := url.PathUnescape(escaped)
	return err == nil && utf8.ValidString(name) && !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, ".") && !strings.ContainsAny(name, `\/:*?"<>|;#$}{,+=[]%`) &&
		!strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}

// String is the feed as [ParseFeeds] reads it.
func (f Feed) String() string {
	if f.Project == "" {
		return f.Name
	}
	return f.Project + "/" + f.Name
}

// url is the address of the feed for one protocol, such as npm/registry/.
func (f Feed) url(organization, protocol string) string {
	address := "https://" + packagesHost + "/" + organization + "/"
	if f.Project != "" {
		address += f.Project + "/"
	}
	return address + "_packaging/" + f.Name + "/" + protocol
}

// packagesHost serves the feeds of all organizations.
const packagesHost = "pkgs.dev.azure.com"

// variable is the name as a part of a variable's name: upper-case, _ for what is no
// letter or digit.
func (f Feed) variable() string { return strings.ToUpper(f.word()) }

// word is the name with _ for what is no letter or digit.
func (f Feed) word() string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, f.Name)
}
