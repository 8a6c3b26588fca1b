//go:build race

package acceptance

// With the race detector the emulator is slower, and the program larger.
const (
	many     = 1_000
	resident = 100
)
