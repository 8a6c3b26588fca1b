package lease

import (
	"errors"
	"fmt"
	"strings"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/sanitize"
)

// likeness tells what a PAT's display name has to do with the one that was asked
// for.
type likeness int

const (
	another likeness = iota // another name
	similar                 // ours cut short, without enough of the KEY to know it
	same                    // ours, or enough of it
)

const (
	keyLength = 16
	// keyShown is how many digits of the KEY identify a PAT whose name was cut.
	keyShown = 8
	// namePrefix begins every name of ours.
	namePrefix = "azdo-pat "
)

// compareNames compares the display name that a server shows with the one that
// was asked for. A server may shorten names; KEY tells ours from those of other
// jobs and steps, as far as it is there.
func compareNames(shown, asked string) likeness {
	if shown == asked {
		return same
	}
	name, ok := ci.ParseName(asked)
	if !ok || !strings.HasPrefix(shown, namePrefix) {
		return another
	}
	if strings.HasSuffix(shown, " "+name.Key) {
		return same // SOURCE was changed
	}
	cut := strings.TrimSpace(strings.TrimSuffix(strings.TrimSuffix(shown, "..."), "…"))
	switch {
	case len(cut) < len(namePrefix) || len(cut) >= len(asked) || !strings.HasPrefix(asked, cut):
		return another
	case len(cut) >= len(asked)-keyLength+keyShown:
		return same
	}
	return similar
}

// renamed is the error of an answer that speaks of a PAT by another name.
func renamed(t pat.Token, asked string) error {
	what := "that one is left alone"
	if compareNames(t.DisplayName, asked) != another {
		what = "the name is cut short"
	}
	return hint.Add(fmt.Errorf("the answer speaks of the PAT %s named %q instead of %q; %s", t.ID, sanitize.Line(t.DisplayName, 200), asked, what),
		"this is not how Azure DevOps answers: check token-service-url and who is in between")
}

// errSimilar is the error of a list with PATs of which nobody can tell whether
// they are ours.
var errSimilar = errors.New("their names are cut short, so that they may be this lease's or another's")

func similarNames(tokens []pat.Token) error {
	var list []string
	for _, t := range tokens {
		if list = append(list, fmt.Sprintf("%s (%q)", t.ID, sanitize.Line(t.DisplayName, 200))); len(list) == 5 && len(tokens) > 5 {
			list = append(list, fmt.Sprintf("%d more", len(tokens)-5))
			break
		}
	}
	return fmt.Errorf("the list shows %s: %w", strings.Join(list, ", "), errSimilar)
}
