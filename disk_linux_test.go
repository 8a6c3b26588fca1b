package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"azdo-pat/internal/emulator"
)

// A disk on which there is no room for a further byte: of what cannot be recorded
// nothing is minted, and what cannot be handed over is revoked.
func TestDiskIsFull(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		full   string // the file, or stdout
		minted int
		says   string
		status int
	}{
		{"GITHUB_STATE", 0, "keep the record that the post step needs: write to GITHUB_STATE: ", 1},
		{"GITHUB_OUTPUT", 1, "hand over the PAT: write to GITHUB_OUTPUT: ", 1},
		{"GITHUB_STEP_SUMMARY", 1, "no summary", 0},
		{"stdout", 0, "", 1}, // nobody to say it to
	} {
		for _, mode := range modes {
			t.Run(tc.full+", post with "+mode, func(t *testing.T) {
				t.Parallel()
				e := emulator.Start(t)
				step := newStep(t)
				env := e.Env(emulator.AgentUser)
				env["INPUT_TIMEOUT"] = "5s"
				mint := command(t, env, step, "azdo-pat", "mint")
				full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer full.Close()
				if tc.full == "stdout" {
					mint.Stdout = full
				} else if name := step.Env()[tc.full]; os.Remove(name) != nil || os.Symlink("/dev/full", name) != nil {
					t.Fatal("no link to the full disk")
				}
				status, err := statusOf(mint.Run())
				if err != nil || status != tc.status {
					t.Errorf("mint ended with %d, %v, want %d", status, err, tc.status)
				}
				if tc.full != "stdout" {
					if text := said(mint); !strings.Contains(text, tc.says) || !strings.Contains(text, "no space left on device") {
						t.Errorf("it does not say %q:\n%s", tc.says, text)
					}
				}
				if n := len(e.PATs()); n != tc.minted {
					t.Errorf("%d PATs were minted, want %d", n, tc.minted)
				}
				if n := len(e.Active()); n > 0 && tc.status != 0 {
					t.Errorf("mint leaves %d PATs", n)
				}
				var state map[string]string // nothing can be read from a full disk's device
				if tc.full != "GITHUB_STATE" {
					if state, err = step.State(); err != nil {
						t.Fatal(err)
					}
				}
				post := command(t, postEnv(env, state, mode), newStep(t), "post", "mint")
				if err := post.Run(); err != nil || len(e.Active()) > 0 {
					t.Errorf("post: %v, %d PATs left\n%s", err, len(e.Active()), said(post))
				}
			})
		}
	}
}

// A disk that fills up at any byte of the command files: no half of a line stays,
// since that would fail the step and hide what comes after it, and no PAT either.
func TestDiskFillsUp(t *testing.T) {
	t.Parallel()
	const size = 4096 // of every file, at most
	for _, file := range []string{"GITHUB_STATE", "GITHUB_OUTPUT"} {
		for room := 0; room < 2400; room += 125 {
			if file == "GITHUB_OUTPUT" && room > 800 {
				break // there is room for all of it
			}
			t.Run(fmt.Sprintf("%s has room for %d bytes", file, room), func(t *testing.T) {
				t.Parallel()
				e := emulator.Start(t)
				step := newStep(t)
				env := e.Env(emulator.AgentUser)
				env["INPUT_TIMEOUT"] = "5s"
				before := "other=" + strings.Repeat("x", size-room-len("other=\n")) + "\n"
				if err := os.WriteFile(step.Env()[file], []byte(before), 0o600); err != nil {
					t.Fatal(err)
				}
				mint := command(t, env, step, "azdo-pat", "mint")
				limited(mint, size)
				status, err := statusOf(mint.Run())
				if err != nil {
					t.Fatal(err)
				}
				outputs, err := step.Outputs()
				if err != nil {
					t.Errorf("outputs: %v", err)
				}
				state, err := step.State()
				if err != nil {
					t.Errorf("state: %v", err)
				}
				delete(outputs, "other")
				switch active := e.Active(); {
				case status == 1:
					if len(active) > 0 || len(outputs) > 0 {
						t.Errorf("mint failed and leaves %d PATs and the outputs %v:\n%s", len(active), outputs, said(mint))
					}
					if text := said(mint); !strings.Contains(text, file) || !strings.Contains(text, "file too large") {
						t.Errorf("it does not say why:\n%s", text)
					}
				case status != 0 || len(active) != 1 || outputs["token"] != active[0].Token || len(outputs) != 5:
					t.Errorf("status %d, %d PATs, outputs %v", status, len(active), outputs)
				}
				post := command(t, postEnv(env, state, modes[room/125%3]), newStep(t), "post", "mint")
				if err := post.Run(); err != nil || len(e.Active()) > 0 {
					t.Errorf("post: %v, %d PATs left\n%s", err, len(e.Active()), said(post))
				}
			})
		}
	}
}

// limited lets no file that a command writes to grow beyond size bytes. The limit
// cuts a write as a full disk does.
func limited(cmd *exec.Cmd, size int) {
	startedBy(cmd, "limited", strconv.Itoa(size))
}

func init() {
	starters["limited"] = func(args []string) error {
		size, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil {
			return err
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: size}); err != nil {
			return err
		}
		return syscall.Exec(args[1], args[2:], os.Environ())
	}
}

// A pipe without a reader in the place of the runner's file: nothing is minted, and
// mint does not wait for ever.
func TestStateIsAPipe(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	step := newStep(t)
	file := step.Env()["GITHUB_STATE"]
	if err := errors.Join(os.Remove(file), syscall.Mkfifo(file, 0o600)); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, e.Env(emulator.AgentUser), step, "azdo-pat", "mint")
	if status, err := statusOf(cmd.Run()); err != nil || status != 1 {
		t.Errorf("it ended with %d, %v", status, err)
	}
	if n := len(e.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}
