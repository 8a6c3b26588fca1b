package settings

import (
	"strings"
	"unicode"
)

// form is what a text may look like. The test beside has each as a regular
// expression, which says the same, but takes longer to be compiled than a job
// should have to wait.
type form struct {
	most  int // bytes
	looks func(string) bool
}

// matches reports whether text has the form.
func (f form) matches(text string) bool { return len(text) <= f.most && f.looks(text) }

var (
	guid         = form{36, isGUID}
	domain       = form{253, isDomain}
	organization = form{50, isLabel}
	// clientID is a GUID, or the URI of an application, which Entra takes too.
	clientID = form{200, func(text string) bool {
		scheme, rest, isURI := strings.Cut(text, "://")
		return isGUID(text) || isURI && (scheme == "api" || scheme == "https") && rest != "" && of(rest[:1], "") && of(rest, "._:/~-")
	}}
	upn = form{255, func(text string) bool {
		user, host, at := strings.Cut(text, "@")
		return at && user != "" && host != "" && of(host, ".-") && !strings.ContainsFunc(user, func(r rune) bool {
			return strings.ContainsRune(`:/\"<>`, r) || unicode.In(r, unicode.C, unicode.Z)
		})
	}}
	variable = form{200, func(text string) bool {
		return text != "" && !digit(text[0]) && of(text, "_")
	}}
	repository = form{140, func(text string) bool {
		owner, name, slash := strings.Cut(text, "/")
		return slash && owner != "" && name != "" && of(owner, "_.-") && of(name, "_.-")
	}}
)

// IsGUID reports whether text has the form of a GUID, in either case.
func IsGUID(text string) bool { return guid.matches(text) }

func isGUID(text string) bool {
	groups := strings.Split(text, "-")
	if len(groups) != 5 {
		return false
	}
	for i, length := range []int{8, 4, 4, 4, 12} {
		if len(groups[i]) != length || strings.Trim(groups[i], "0123456789abcdefABCDEF") != "" {
			return false
		}
	}
	return true
}

// isDomain wants two labels at least; the last one has two characters or more and
// does not begin with a digit.
func isDomain(text string) bool {
	labels := strings.Split(text, ".")
	for _, label := range labels {
		if !isLabel(label) {
			return false
		}
	}
	last := labels[len(labels)-1]
	return len(labels) > 1 && len(last) > 1 && !digit(last[0])
}

// isLabel allows letters, digits, and hyphens within.
func isLabel(text string) bool {
	return text != "" && of(text, "-") && text[0] != '-' && text[len(text)-1] != '-'
}

// of reports whether a text has only ASCII letters, digits and the others.
func of(text, others string) bool {
	for i := range len(text) {
		c := text[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !digit(c) && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return true
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
