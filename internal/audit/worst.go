package audit

import (
	"cmp"
	"slices"
)

// Worst keeps the worst of the PATs that are added, in bounded memory.
type Worst struct {
	limit int
	n     int
	kept  []PAT
}

// NewWorst returns a Worst that keeps at most limit PATs.
func NewWorst(limit int) *Worst { return &Worst{limit: limit} }

// Add adds a PAT.
func (w *Worst) Add(p PAT) {
	w.n++
	w.kept = append(w.kept, p)
	if len(w.kept) == 2*w.limit {
		w.trim()
	}
}

// PATs returns the PATs that were kept, the worst first, and how many were not.
func (w *Worst) PATs() (kept []PAT, more int) {
	w.trim()
	return w.kept, w.n - len(w.kept)
}

func (w *Worst) trim() {
	slices.SortStableFunc(w.kept, worse)
	last := min(w.limit, len(w.kept))
	clear(w.kept[last:]) // so that their texts can be freed
	w.kept = w.kept[:last]
}

// worse orders PATs: by the worst finding, as in [settings.RuleNames], then by the
// other findings, then by how long they live.
func worse(a, b PAT) int {
	return cmp.Or(
		cmp.Compare(b.severity, a.severity),
		cmp.Compare(len(b.Findings), len(a.Findings)),
		b.ValidTo.Compare(a.ValidTo),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.ID, b.ID),
	)
}
