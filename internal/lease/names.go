package lease

import (
	"errors"
	"fmt"
	"strings"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/sanitize"
)

// renamed is the error of an answer that speaks of a PAT by another name.
func renamed(t pat.Token, asked string) error {
	what := "that other PAT is left alone"
	if displayname.Compare(t.DisplayName, asked) != displayname.Different {
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
