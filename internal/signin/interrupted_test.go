package signin

import (
	"testing"
	"testing/synctest"
	"time"
)

// A session is interrupted if the wall clock and the monotonic clock differ since it
// was made, and not by the time that has passed.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for step, want := range map[time.Duration]bool{
		0: false, 59 * time.Second: false, time.Minute: true, 8 * time.Hour: true, -8 * time.Hour: true,
	} {
		synctest.Test(t, func(t *testing.T) {
			now := time.Now()
			c := &Client{since: now, sinceWall: now.Round(0).Add(-step)}
			time.Sleep(5 * time.Hour)
			if got := c.Interrupted(); got != want {
				t.Errorf("the wall clock went %s further: %t", step, got)
			}
		})
	}
}
