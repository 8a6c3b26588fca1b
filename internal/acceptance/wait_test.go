package acceptance

import (
	"sync"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
)

// waitFor waits until the channel is closed.
func waitFor(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(harness.Patience):
		t.Fatalf("%s: not within %s", what, harness.Patience)
	}
}

// await polls until ok is true.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(harness.Patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, harness.Patience)
		}
	}
}

// runAtOnce runs tests that wait for half a minute or more, all at the same time. As
// parallel subtests they would begin behind many others, and the rest of the tests would
// be over before them.
func runAtOnce(t *testing.T, tests map[string]func(t *testing.T)) {
	t.Helper()
	var all sync.WaitGroup
	for name, test := range tests {
		all.Go(func() { t.Run(name, test) })
	}
	all.Wait()
}
