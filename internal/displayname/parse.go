package displayname

import (
	"strings"
)

// Name is a parsed display name.
type Name struct {
	Source, Key string
	// Repository is the GitHub repository, OWNER/REPO, whose job minted the PAT.
	// It is empty for a PAT minted elsewhere, and where SOURCE was cut before the
	// end of the repository.
	Repository string
	// RunID and Attempt identify the workflow run, in decimal digits. Both are
	// empty unless both are there in full: a number that was cut could be another
	// run's.
	RunID, Attempt string
}

// Parse reads a display name. It reports false unless the text is exactly what
// [Origin.DisplayName] writes. The run comes before everything that a caller can
// choose, so no label can pass for another run.
func Parse(text string) (n Name, ok bool) {
	rest, hasPrefix := strings.CutPrefix(text, prefix)
	last := strings.LastIndexByte(rest, ' ')
	if !hasPrefix || last < 0 || !isKey(rest[last+1:]) {
		return Name{}, false
	}
	n = Name{Source: rest[:last], Key: rest[last+1:]}
	if (Origin{Source: n.Source, Key: n.Key}).DisplayName() != text {
		return Name{}, false
	}
	words := strings.SplitN(n.Source, " ", 4)
	if len(words) < 2 || !isRepository(words[0]) {
		return n, true
	}
	begin, cut := strings.CutSuffix(words[1], "…")
	switch {
	case words[1] == "run", cut && len(words) == 2 && begin != "" && strings.HasPrefix("run", begin):
		n.Repository = words[0]
	default:
		return n, true
	}
	// Servers compatible with GitHub may set no run id, or no attempt.
	if len(words) > 2 {
		if id, attempt, _ := strings.Cut(words[2], "."); isNumber(id) && isNumber(attempt) {
			n.RunID, n.Attempt = id, attempt
		}
	}
	return n, true
}

// isKey reports whether text has the form of [Origin.Key].
func isKey(text string) bool {
	return len(text) == keyLength && strings.Trim(text, "0123456789abcdef") == ""
}

// isNumber reports whether text is a positive number as GitHub writes it.
func isNumber(text string) bool {
	return text != "" && len(text) <= 19 && text[0] != '0' && strings.Trim(text, "0123456789") == ""
}

// isRepository reports whether text has the form OWNER/REPO. Both parts end up in
// a URL, so neither may be "." or "..".
func isRepository(text string) bool {
	owner, name, ok := strings.Cut(text, "/")
	for _, part := range []string{owner, name} {
		if part == "" || part == "." || part == ".." || len(part) > 100 || strings.ContainsFunc(part, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
		}) {
			return false
		}
	}
	return ok
}
