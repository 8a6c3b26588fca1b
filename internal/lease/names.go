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

// otherNameError is the error of an answer about a PAT with another name.
func otherNameError(t pat.Token, asked string) error {
	what := "that PAT is left alone"
	if displayname.Compare(t.DisplayName, asked) != displayname.Different {
		what = "its name was shortened"
	}
	return hint.Add(fmt.Errorf("the answer is about PAT %s named %q instead of %q; %s", t.ID, sanitize.Line(t.DisplayName, 200), asked, what),
		notAzureDevOps)
}

// errUnclearNames is the error of a list with PATs that may be the lease's or another's.
var errUnclearNames = errors.New("their names were shortened, so they may belong to this lease or to another one")

func unclearNamesError(tokens []pat.Token) error {
	var list []string
	for _, t := range tokens {
		list = append(list, fmt.Sprintf("%s (%q)", t.ID, sanitize.Line(t.DisplayName, 200)))
		if len(list) == 5 && len(tokens) > 5 {
			list = append(list, fmt.Sprintf("%d more", len(tokens)-5))
			break
		}
	}
	return fmt.Errorf("the list shows %s: %w", strings.Join(list, ", "), errUnclearNames)
}
