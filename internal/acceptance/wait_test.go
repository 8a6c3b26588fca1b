package acceptance

import (
	"sync"
	"sync/atomic"
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

// untilInTime repeats an attempt that reports false if the program took longer than
// [harness.CleanUpLimit] to stop, so that what it must have done by then was not checked. The
// test fails if that happens three times: then it is the program that is slow.
func untilInTime(t *testing.T, attempt func() (inTime bool)) {
	t.Helper()
	for range 3 {
		if attempt() || t.Failed() {
			return
		}
	}
	t.Errorf("in each of three attempts it took longer than %s to stop", harness.CleanUpLimit)
}

// stoppedInTime checks how long a program took that was told to stop, and reports whether it ended
// before its time to clean up was over.
func stoppedInTime(t *testing.T, took time.Duration) bool {
	t.Helper()
	if took > harness.StopLimit {
		t.Errorf("it took %s to stop", took)
	}
	return took < harness.CleanUpLimit
}

// stops counts the cases of a table whose program stopped within [harness.CleanUpLimit],
// and those in which it took longer, so that not everything was checked. Programs that
// search for a PAT before they end are counted by themselves: only they need a while, and
// some of the others wait for an answer that does not come.
type stops struct{ searching, others stopCount }

type stopCount struct{ inTime, late atomic.Int32 }

// count counts a case.
func (s *stops) count(searches bool, took time.Duration) {
	c := &s.others
	if searches {
		c = &s.searching
	}
	if took < harness.CleanUpLimit {
		c.inTime.Add(1)
	} else {
		c.late.Add(1)
	}
}

// check fails the test if most were late: then it is the program that is slow.
func (s *stops) check(t *testing.T) {
	t.Helper()
	for name, c := range map[string]*stopCount{"that search for a PAT": &s.searching, "that do not search": &s.others} {
		late := c.late.Load()
		if all := late + c.inTime.Load(); late > all/2 {
			t.Errorf("of the programs %s, %d of %d took longer than %s to stop", name, late, all, harness.CleanUpLimit)
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
