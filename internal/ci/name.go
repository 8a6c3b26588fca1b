package ci

import (
	"strings"
)

// Name is what the display name of a PAT tells of where it comes from, if
// [Origin.DisplayName] wrote it.
type Name struct {
	Source, Key string
	// Repository is the GitHub repository, OWNER/REPO, whose job minted the PAT.
	// Empty: it was minted elsewhere, or SOURCE was cut before its end.
	Repository string
	// RunID and Attempt are the run, in decimal digits. Both are empty where it
	// was minted elsewhere, where one of them was not known, and where SOURCE was
	// cut before their end: what is left of them could be another run's.
	RunID, Attempt string
}

// ParseName reads a display name; ok tells whether it is of our form, to the
// letter. On GitHub the run stands before everything that a caller may choose,
// so that no label can pass for another run.
func ParseName(text string) (n Name, ok bool) {
	rest, ours := strings.CutPrefix(text, prefix)
	last := strings.LastIndexByte(rest, ' ')
	if !ours || last < 0 || !isKey(rest[last+1:]) {
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
	// Some that play GitHub's part have no run ids, or no attempts.
	if len(words) > 2 {
		if id, attempt, _ := strings.Cut(words[2], "."); isNumber(id) && isNumber(attempt) {
			n.RunID, n.Attempt = id, attempt
		}
	}
	return n, true
}

// isKey reports whether text has the form of [Origin.Key].
func isKey(text string) bool {
	return len(text) == 16 && strings.Trim(text, "0123456789abcdef") == ""
}

// isNumber reports whether text is a positive number as GitHub writes it.
func isNumber(text string) bool {
	return text != "" && len(text) <= 19 && text[0] != '0' && strings.Trim(text, "0123456789") == ""
}

// isRepository reports whether text has the form OWNER/REPO. Neither may be the
// name of a folder above, since both come to stand in a URL.
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
