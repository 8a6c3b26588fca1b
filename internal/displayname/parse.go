package displayname

import (
	"strings"
)

// Kind is what minted a PAT, as far as its display name tells.
type Kind string

// The kinds.
const (
	// Lease is the PAT of one job, minted by mint or exec.
	Lease Kind = "lease"
	// Rotated is a PAT that a server keeps, minted by rotate.
	Rotated Kind = "rotated"
	// Other is a PAT that azdo-pat did not name.
	Other Kind = "other"
)

// Name is a parsed display name.
type Name struct {
	// Kind tells which of the other fields are set: all but Consumer for [Lease], Key and
	// Consumer for a rotated PAT, none for [Other].
	Kind Kind
	// Source and Key are as in [Origin].
	Source, Key string
	// Consumer is NAME of a rotated PAT.
	Consumer string
	// Repository is the GitHub repository, OWNER/REPO, whose job minted the PAT.
	// It is empty for a PAT minted elsewhere, and where SOURCE was cut before the
	// end of the repository.
	Repository string
	// RunID and Attempt identify the workflow run, in decimal digits. Both are
	// empty unless both are there in full: a number that was cut could be another
	// run's.
	RunID, Attempt string
}

// Parse reads a display name. It is of kind [Other] unless the text is exactly what
// [Origin.DisplayName] writes. In a lease's name the run comes before everything that a
// caller can choose, so no label can pass for another run.
func Parse(text string) Name {
	rest, hasPrefix := strings.CutPrefix(text, prefix)
	last := strings.LastIndexByte(rest, ' ')
	if !hasPrefix || last < 0 || !isKey(rest[last+1:]) {
		return Name{Kind: Other}
	}
	source, key := rest[:last], rest[last+1:]
	if consumer, ok := strings.CutPrefix(source, rotatedWord+" "); ok && IsConsumer(consumer) {
		return Name{Kind: Rotated, Consumer: consumer, Key: key}
	}
	if (Origin{Source: source, Key: key}).DisplayName() != text {
		return Name{Kind: Other}
	}
	n := Name{Kind: Lease, Source: source, Key: key}
	n.readRun()
	return n
}

// readRun reads the repository and the run from the source of a lease.
func (n *Name) readRun() {
	words := strings.SplitN(n.Source, " ", 4)
	if len(words) < 2 || !isRepository(words[0]) {
		return
	}
	begin, cut := strings.CutSuffix(words[1], "…")
	if words[1] != "run" && !(cut && len(words) == 2 && begin != "" && strings.HasPrefix("run", begin)) {
		return
	}
	n.Repository = words[0]
	// Servers compatible with GitHub may set no run id, or no attempt.
	if len(words) > 2 {
		if id, attempt, _ := strings.Cut(words[2], "."); isNumber(id) && isNumber(attempt) {
			n.RunID, n.Attempt = id, attempt
		}
	}
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
		if part == "" || part == "." || part == ".." || len(part) > 100 || strings.ContainsFunc(part, notInWord) {
			return false
		}
	}
	return ok
}
