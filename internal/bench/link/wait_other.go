//go:build !linux

package link

import "time"

func waitUntil(t time.Time) { time.Sleep(time.Until(t)) }
