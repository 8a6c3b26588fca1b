//go:build !race

package acceptance

const (
	// many is how many PATs a large sweep has.
	many = 10_000
	// resident is how much of the program may be resident, in MiB.
	resident = 30
)
