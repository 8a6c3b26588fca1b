//go:build !linux

package cli

import "os/exec"

// tryStart cannot tell here: what keeps a command from being started is found when
// it is to run.
func tryStart(*exec.Cmd) error { return nil }
