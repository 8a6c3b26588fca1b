package emulator

import (
	"sync"
	"time"
)

// A clock is the time as the services have it. It has a lock of its own, so
// that it can be read while the emulator's is held.
type clock struct {
	read    func() time.Time
	mu      sync.Mutex
	advance time.Duration
	skew    map[Service]time.Duration
}

// Now is the time (UTC) by a service's clock: what its Date header says.
func (e *Emulator) Now(s Service) time.Time {
	e.clock.mu.Lock()
	defer e.clock.mu.Unlock()
	return e.clock.read().Add(e.clock.advance + e.clock.skew[s]).UTC()
}

// Advance moves the clocks of all services forward by d.
func (e *Emulator) Advance(d time.Duration) {
	e.clock.mu.Lock()
	defer e.clock.mu.Unlock()
	e.clock.advance += d
}

// Skew sets one service's clock ahead of the others by d, or behind them if d
// is negative.
func (e *Emulator) Skew(s Service, d time.Duration) {
	e.clock.mu.Lock()
	defer e.clock.mu.Unlock()
	e.clock.skew[s] = d
}
