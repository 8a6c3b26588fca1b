//go:build linux

// Command start runs a program, and writes its wall time, CPU time and peak memory to a
// file:
//
//	start FILE PROGRAM NAME [ARG…]
//
// NAME becomes the program's first argument. start is a small process of its own because
// Linux includes the memory of the parent, when it starts a program, in that program's
// peak.
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
