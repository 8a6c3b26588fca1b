//go:build race

package acceptance

// With the race detector the emulator is slower, and the program larger.
const (
	manyPATs       = 1_000
	maxResidentMiB = 100
)
