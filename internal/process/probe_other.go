//go:build !linux

package process

import "os/exec"

// probe cannot tell here: what keeps a command from being started is found when
// it is to run.
func probe(*exec.Cmd) error { return nil }
