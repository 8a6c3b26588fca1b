//go:build linux

// Command start runs a program and writes to a file what it cost, from its start
// to its end:
//
//	start FILE PROGRAM NAME [ARG…]
//
// NAME is what the program is to think that it is called. It is a process of its
// own, and a small one, because Linux counts to a program's peak memory what its
// parent had in use when it was started.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// cost is in nanoseconds and in bytes.
type cost struct {
	Wall, User, System time.Duration
	Peak               int64
}

func main() {
	cmd := exec.Command(os.Args[2])
	cmd.Args = os.Args[3:]
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "start:", err)
		os.Exit(127)
	}
	used := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	text, _ := json.Marshal(cost{took, cmd.ProcessState.UserTime(), cmd.ProcessState.SystemTime(), used.Maxrss << 10})
	if err := os.WriteFile(os.Args[1], text, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "start:", err)
		os.Exit(127)
	}
	if !cmd.ProcessState.Success() {
		os.Exit(1)
	}
}
