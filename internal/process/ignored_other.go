//go:build !linux && !windows

package process

import "syscall"

// startedIgnoring is not known here.
func startedIgnoring(syscall.Signal) bool { return false }
