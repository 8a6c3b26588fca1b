package displayname

import "strings"

// Match is the result of [Compare].
type Match int

const (
	// Different is another name.
	Different Match = iota
	// Unclear is a name that was cut so short that it may be the one requested or
	// another lease's.
	Unclear
	// Same is the name requested, perhaps shortened.
	Same
)

// minKeyDigits is how many digits of the key identify a PAT whose name was cut.
const minKeyDigits = 8

// Compare compares the display name that a server shows with the one requested. A
// server may shorten names; what is left of the key then identifies the lease.
func Compare(shown, requested string) Match {
	if shown == requested {
		return Same
	}
	name := Parse(requested)
	if name.Kind == Other || !strings.HasPrefix(shown, prefix) {
		return Different
	}
	if strings.HasSuffix(shown, " "+name.Key) {
		return Same // only SOURCE differs
	}
	cut := strings.TrimSpace(strings.TrimSuffix(strings.TrimSuffix(shown, "..."), "…"))
	switch {
	case len(cut) < len(prefix) || len(cut) >= len(requested) || !strings.HasPrefix(requested, cut):
		return Different
	case len(cut) >= len(requested)-keyLength+minKeyDigits:
		return Same
	}
	return Unclear
}
