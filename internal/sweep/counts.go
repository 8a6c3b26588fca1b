package sweep

import (
	"fmt"
	"strings"
)

// Counts counts PATs.
type Counts struct {
	// By outcome.
	Revoked, WouldRevoke, HadEnded, Failed int
	// NotReached are leases that the sweep did not get to before it was stopped.
	NotReached int
	// PATs that were not revoked, by reason, in the last pass over the list.
	Foreign         int // not named by azdo-pat
	OtherRepository int
	Young           int // younger than OlderThan, and its run was not looked up
	Running         int // the run has not completed
	Hidden          int // young, and GitHub does not show the run
	Unanswered      int // young, and GitHub did not answer
	UnknownAge      int
}

// Kept is how many leases were not revoked.
func (c Counts) Kept() int {
	return c.OtherRepository + c.Young + c.Running + c.Hidden + c.Unanswered + c.UnknownAge
}

// String is the counts in words.
func (c Counts) String() string {
	parts := []string{fmt.Sprintf("%d revoked", c.Revoked)}
	for _, part := range []struct {
		n    int
		text string
	}{
		{c.WouldRevoke, "%d would be revoked"},
		{c.HadEnded, "%d had ended"},
		{c.Failed, "%d failed"},
		{c.NotReached, "%d not reached"},
		{c.Kept(), "%d kept"},
		{c.Foreign, "%d of the user's other tokens not touched"},
	} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf(part.text, part.n))
		}
	}
	return strings.Join(parts, ", ")
}
