//go:build !race

package acceptance

const (
	// many is how many PATs a large sweep has.
	manyPATs = 10_000
	// resident is how much of the program may be resident, in MiB.
	maxResidentMiB = 30
)
