package harness

import (
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

// All is whether each case of the large tables is tried, as in CI.
var All = os.Getenv("AZDO_PAT_ALL") != ""

// Part returns the cases of a large table that are tried: by default a third, with -short
// or the race detector a tenth, with [All] each. They are the same ones each time, and
// spread over the table: neighbours differ only a little.
func Part[T any](all []T) []T {
	share := 3
	switch {
	case All:
		return all
	case testing.Short(), RaceDetector: // which slows down the tests, not the program
		share = 10
	}
	chosen := rand.New(rand.NewPCG(0, 0)).Perm(len(all))[:(len(all)+share-1)/share]
	slices.Sort(chosen)
	var part []T
	for _, i := range chosen {
		part = append(part, all[i])
	}
	return part
}

const (
	// Patience is how long tests wait for what follows at once: on a slow machine that
	// can take a while.
	Patience = time.Minute
	// StopLimit is how long a program that was told to stop may take. It ends within 5
	// seconds, as tests in a bubble check; the rest allows for a slow machine. One that
	// does not stop goes on for 40, the time limit of a request.
	StopLimit = 25 * time.Second
	// CleanUpLimit is how long a program that was told to stop may take if it must leave
	// no PAT. It has 4.5 seconds to clean up, and needs about 2. One that took longer than
	// this may have run out of them on a machine that stood still, and then it may leave a
	// PAT for the next step.
	CleanUpLimit = 4 * time.Second
)
