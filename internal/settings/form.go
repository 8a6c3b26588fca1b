package settings

import "regexp"

// form is what a text must look like.
type form struct {
	longest    int // bytes
	expression *regexp.Regexp
}

// matches reports whether text has the form.
func (f form) matches(text string) bool {
	return len(text) <= f.longest && f.expression.MatchString(text)
}

const guidExpression = `[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}`

var (
	guid = form{36, regexp.MustCompile(`^` + guidExpression + `$`)}
	// domain has two labels at least; the last has two characters or more and does
	// not begin with a digit.
	domain       = form{253, regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])$`)}
	organization = form{50, regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)}
	// clientID is a GUID, or the URI of an application, which Entra takes too.
	clientID   = form{200, regexp.MustCompile(`^(` + guidExpression + `|(api|https)://[A-Za-z0-9][A-Za-z0-9._:/~-]*)$`)}
	upn        = form{255, regexp.MustCompile(`^[^\s\pC\pZ@:/\\"<>]+@[A-Za-z0-9.-]+$`)}
	variable   = form{200, regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)}
	repository = form{140, regexp.MustCompile(`^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$`)}
	// upperName is a part of a variable's name that is safe to repeat.
	upperName = form{64, regexp.MustCompile(`^[A-Z0-9_]*$`)}
)

// IsGUID reports whether text has the form of a GUID, in either case.
func IsGUID(text string) bool { return guid.matches(text) }
