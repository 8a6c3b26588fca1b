package process

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// startedIgnoring reports whether this process inherited that a signal is ignored.
// [signal.Ignored] knows this of SIGHUP and SIGINT alone. Call it before [signal.Notify].
func startedIgnoring(s syscall.Signal) bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	_, mask, _ := strings.Cut(string(status), "\nSigIgn:\t")
	mask, _, _ = strings.Cut(mask, "\n")
	ignored, err := strconv.ParseUint(mask, 16, 64)
	return err == nil && ignored>>(uint(s)-1)&1 == 1
}
