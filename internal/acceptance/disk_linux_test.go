package acceptance

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// When the log cannot be written, nothing is minted, and the post step reports no
// problem.
func TestLogDiskIsFull(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	step := harness.NewStep(t)
	env := e.Env(emulator.AgentUser)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	mint := harness.Command(t, env, step, "azdo-pat", "mint")
	mint.Stdout = full
	if status, err := harness.ExitStatus(mint.Run()); err != nil || status != 1 || len(e.PATs()) > 0 {
		t.Errorf("mint ended with %d, %v, and has minted %d", status, err, len(e.PATs()))
	}
	post := harness.PostStep(t, env, step, "both")
	if err := post.Run(); err != nil {
		t.Errorf("post: %v\n%s", err, harness.Output(post))
	}
}

// A directory, a link or a pipe instead of a command file is an error before
// anything is sent, and the program does not wait for a reader of the pipe. Only a
// missing summary is no reason to fail.
func TestCommandFileIsReplaced(t *testing.T) {
	t.Parallel()
	for place, put := range map[string]func(path, dir string) error{
		"is a directory":         func(path, _ string) error { return os.Mkdir(path, 0o755) },
		"is a symbolic link":     func(path, dir string) error { return os.Symlink(filepath.Join(dir, "elsewhere"), path) },
		"is not a regular file":  func(path, _ string) error { return syscall.Mkfifo(path, 0o600) },
		"is not a regular file ": func(path, _ string) error { return syscall.Mknod(path, syscall.S_IFSOCK|0o600, 0) },
	} {
		for _, file := range []string{"GITHUB_STATE", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"} {
			t.Run(file+" "+place, func(t *testing.T) {
				t.Parallel()
				e := emulator.Start(t)
				step, dir := harness.NewStep(t), t.TempDir()
				path := step.Env()[file]
				if err := errors.Join(os.Remove(path), put(path, dir)); err != nil {
					t.Fatal(err)
				}
				mint := harness.Command(t, e.Env(emulator.AgentUser), step, "azdo-pat", "mint")
				status, err := harness.ExitStatus(mint.Run())
				wantStatus, wantPATs := 1, 0
				if file == "GITHUB_STEP_SUMMARY" {
					wantStatus, wantPATs = 0, 1
				}
				if err != nil || status != wantStatus || len(e.PATs()) != wantPATs || wantPATs == 0 && len(e.Requests()) > 0 {
					t.Errorf("mint ended with %d, %v, %d PATs, %d requests", status, err, len(e.PATs()), len(e.Requests()))
				}
				if text := harness.Output(mint); !strings.Contains(text, file+" cannot be written: ") || !strings.Contains(text, strings.TrimSpace(place)) {
					t.Errorf("the log does not say why:\n%s", text)
				}
				if _, err := os.Stat(filepath.Join(dir, "elsewhere")); err == nil {
					t.Error("it wrote through the link")
				}
			})
		}
	}
}

// If the outputs can no longer be written once the PAT exists, the PAT is revoked.
func TestOutputsAreLost(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"it becomes a directory": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) },
		"it becomes a link":      func(path string) error { return errors.Join(os.Remove(path), os.Symlink(path+".x", path)) },
		"a value is begun":       func(path string) error { return os.WriteFile(path, []byte("a<<E\n"), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := emulator.Start(t)
			step := harness.NewStep(t)
			e.Intercept(emulator.OpCreate, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if err := change(step.Env()["GITHUB_OUTPUT"]); err != nil {
					t.Error(err)
				}
				next.ServeHTTP(w, r)
			})
			mint := harness.Command(t, e.Env(emulator.AgentUser), step, "azdo-pat", "mint")
			status, err := harness.ExitStatus(mint.Run())
			if err != nil || status != 1 || len(e.PATs()) != 1 || len(e.Active()) > 0 {
				t.Errorf("mint ended with %d, %v, %d PATs, %d of them left", status, err, len(e.PATs()), len(e.Active()))
			}
			if text := harness.Output(mint); !strings.Contains(text, "hand over the PAT: GITHUB_OUTPUT ") || !strings.Contains(text, "; the PAT was revoked") {
				t.Errorf("the log:\n%s", text)
			}
			state, err := step.State()
			if err != nil || !strings.Contains(state["STATE_lease"], `"stage":"closed"`) {
				t.Errorf("the post step would read %v, %v", state, err)
			}
		})
	}
}

// A disk that fills up at any byte of the command files leaves neither half a line,
// which would fail the step and hide the lines after it, nor a PAT.
func TestDiskFillsUp(t *testing.T) {
	t.Parallel()
	const size = 4096 // of every file, at most
	for _, file := range []string{"GITHUB_STATE", "GITHUB_OUTPUT"} {
		for room := 0; room < 2400; room += 125 {
			if file == "GITHUB_OUTPUT" && room > 800 {
				break // everything fits
			}
			t.Run(fmt.Sprintf("%s has room for %d bytes", file, room), func(t *testing.T) {
				t.Parallel()
				e := emulator.Start(t)
				step := harness.NewStep(t)
				env := e.Env(emulator.AgentUser)
				env["INPUT_TIMEOUT"] = longTimeout
				before := "other=" + strings.Repeat("x", size-room-len("other=\n")) + "\n"
				if err := os.WriteFile(step.Env()[file], []byte(before), 0o600); err != nil {
					t.Fatal(err)
				}
				mint := harness.Command(t, env, step, "azdo-pat", "mint")
				limitFileSize(mint, size)
				status, err := harness.ExitStatus(mint.Run())
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
						t.Errorf("mint failed and leaves %d PATs and the outputs %v:\n%s", len(active), outputs, harness.Output(mint))
					}
					if text := harness.Output(mint); !strings.Contains(text, file) || !strings.Contains(text, "file too large") {
						t.Errorf("the log does not say why:\n%s", text)
					}
				case status != 0 || len(active) != 1 || outputs["token"] != active[0].Token || len(outputs) != 6:
					t.Errorf("status %d, %d PATs, outputs %v", status, len(active), outputs)
				}
				text, _, err := runPost(t, e, env, state, modes[room/125%3])
				if err != nil || len(e.Active()) > 0 {
					t.Errorf("post: %v, %d PATs left\n%s", err, len(e.Active()), text)
				}
			})
		}
	}
}

// limitFileSize keeps the files that a command writes below size bytes. The limit
// cuts off a write as a full disk does.
func limitFileSize(cmd *exec.Cmd, size int) {
	harness.LaunchThrough(cmd, "limited", strconv.Itoa(size))
}

func init() {
	harness.Programs["limited"] = func(args []string) int {
		size, err := strconv.ParseUint(args[0], 10, 64)
		if err == nil {
			err = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: size})
		}
		if err == nil {
			err = syscall.Exec(args[1], args[2:], os.Environ())
		}
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
}
