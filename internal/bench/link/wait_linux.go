package link

import (
	"syscall"
	"time"
)

// waitUntil is exact to a tenth of a millisecond, where time.Sleep is late by
// three.
func waitUntil(t time.Time) {
	for d := time.Until(t); d > 0; d = time.Until(t) {
		rest := syscall.NsecToTimespec(int64(d))
		syscall.Nanosleep(&rest, nil) // cut short by a signal, it goes round again
	}
}
