package acceptance

import (
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// If the tools cannot be set up once the PAT exists, neither the PAT nor a file is left.
func TestToolsAreLost(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(env map[string]string) error{
		"the file of the variables becomes a directory": func(env map[string]string) error {
			return errors.Join(os.Remove(env["GITHUB_ENV"]), os.Mkdir(env["GITHUB_ENV"], 0o755))
		},
		"the outputs become a directory": func(env map[string]string) error {
			return errors.Join(os.Remove(env["GITHUB_OUTPUT"]), os.Mkdir(env["GITHUB_OUTPUT"], 0o755))
		},
		"the temp folder is gone": func(env map[string]string) error { return os.Remove(env["RUNNER_TEMP"]) },
		"the temp folder becomes a link": func(env map[string]string) error {
			return errors.Join(os.Remove(env["RUNNER_TEMP"]), os.Symlink(filepath.Dir(env["GITHUB_ENV"]), env["RUNNER_TEMP"]))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := emulator.Start(t)
			step := harness.NewStep(t)
			env := e.Env(emulator.AgentUser)
			for key, value := range step.Env() {
				env[key] = value
			}
			env["INPUT_CONFIGURE"], env["RUNNER_TEMP"] = "git", filepath.Join(t.TempDir(), "temp")
			if err := os.Mkdir(env["RUNNER_TEMP"], 0o700); err != nil {
				t.Fatal(err)
			}
			e.Intercept(emulator.OpCreate, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if err := change(env); err != nil {
					t.Error(err)
				}
				next.ServeHTTP(w, r)
			})
			mint := harness.Command(t, env, step, "azdo-pat", "mint")
			status, err := harness.ExitStatus(mint.Run())
			if err != nil || status != 1 || len(e.PATs()) != 1 || len(e.Active()) > 0 {
				t.Errorf("mint ended with %d, %v, %d PATs, %d of them left", status, err, len(e.PATs()), len(e.Active()))
			}
			if text := harness.Output(mint); !strings.Contains(text, "; the PAT was revoked") {
				t.Errorf("the log:\n%s", text)
			}
			for _, dir := range []string{env["RUNNER_TEMP"], filepath.Dir(env["GITHUB_ENV"])} {
				if left, _ := filepath.Glob(filepath.Join(dir, "azdo-pat-*")); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			}
		})
	}
}

// Killed as soon as it has written a file, mint leaves none after the post step, with the
// saved state alone, with inputs and environment alone, and with both.
func TestToolsOfAKilledMint(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		for _, then := range []string{"git-credential", "authorization-id", "pypirc"} {
			t.Run(mode+" "+then, func(t *testing.T) {
				t.Parallel()
				e := emulator.Start(t)
				step := harness.NewStep(t)
				env := e.Env(emulator.AgentUser)
				env["RUNNER_TEMP"], env["INPUT_CONFIGURE"], env["INPUT_FEED"], env["INPUT_NAME"] = t.TempDir(), "git pip", "f", "label"
				left := func() []string {
					found, _ := filepath.Glob(filepath.Join(env["RUNNER_TEMP"], "azdo-pat-*", then))
					return found
				}
				mint := harness.Command(t, env, step, "azdo-pat", "mint")
				if err := mint.Start(); err != nil {
					t.Fatal(err)
				}
				ended := make(chan struct{})
				go func() { _ = mint.Wait(); close(ended) }()
			wait:
				for len(left()) == 0 {
					select {
					case <-ended:
						break wait
					default:
						time.Sleep(100 * time.Microsecond)
					}
				}
				_ = mint.Process.Kill()
				<-ended
				if len(left()) == 0 {
					t.Fatalf("mint wrote no file:\n%s", harness.Output(mint))
				}
				// The kill may have cut off the last record, which mint writes after the files.
				// The runner reads those before it, and one of them names the PAT.
				state, err := step.State()
				if state["STATE_lease"] == "" {
					t.Errorf("no record: %v", err)
				}
				post := harness.Command(t, harness.PostEnv(env, state, mode), harness.NewStep(t), "post", "mint")
				if err := post.Run(); err != nil || len(e.Active()) > 0 {
					t.Errorf("post: %v, %d PATs left\n%s", err, len(e.Active()), harness.Output(post))
				}
				if found, _ := filepath.Glob(filepath.Join(env["RUNNER_TEMP"], "*")); len(found) > 0 {
					t.Errorf("left: %v\n%s", found, harness.Output(post))
				}
			})
		}
	}
}

// On a signal exec removes the files at once, although its command still runs.
func TestExecRemovesToolsOnASignal(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	env := e.Env(emulator.AgentUser)
	env["RUNNER_TEMP"] = t.TempDir()
	x := &execution{T: t, Emulator: e, said: harness.NewTranscript()}
	x.cmd = harness.Command(t, env, harness.NewStep(t), "azdo-pat", "exec", "--configure", "git", "--", harness.Link(t, "command"), "5")
	x.cmd.Stdout, x.cmd.Stderr = x.said, x.said
	var err error
	if x.stdin, err = x.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.cmd.Process.Kill() })
	x.said.Await(t, "ready, group true", 1)
	folders := func() []string {
		found, _ := filepath.Glob(filepath.Join(env["RUNNER_TEMP"], "azdo-pat-*"))
		return found
	}
	if len(folders()) != 1 {
		t.Errorf("while the command runs: %v", folders())
	}
	x.signal(syscall.SIGTERM, 1)
	x.said.Await(t, "is revoked", 1)
	if len(folders()) != 0 {
		t.Errorf("after the signal: %v", folders())
	}
	if status, all := x.end(); status != 5 {
		t.Errorf("status %d\n%s", status, all)
	}
}

// A killed exec leaves its files. The next one removes them, and neither those of one that
// still runs nor those of mint.
func TestNextExecRemovesToolsOfAKilledOne(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	env := e.Env(emulator.AgentUser)
	env["RUNNER_TEMP"] = t.TempDir()
	folders := func() []string {
		found, _ := filepath.Glob(filepath.Join(env["RUNNER_TEMP"], "azdo-pat-*"))
		return found
	}
	mintEnv := maps.Clone(env)
	mintEnv["INPUT_CONFIGURE"] = "git"
	mint := harness.Command(t, mintEnv, harness.NewStep(t), "azdo-pat", "mint")
	if err := mint.Run(); err != nil || len(folders()) != 1 {
		t.Fatalf("%v, %v\n%s", err, folders(), harness.Output(mint))
	}
	start := func() *execution {
		x := &execution{T: t, Emulator: e, said: harness.NewTranscript()}
		x.cmd = harness.Command(t, env, harness.NewStep(t), "azdo-pat", "exec", "--configure", "git", "--", harness.Link(t, "command"), "5")
		x.cmd.Stdout, x.cmd.Stderr = x.said, x.said
		var err error
		if x.stdin, err = x.cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if err := x.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = x.cmd.Process.Kill() })
		x.said.Await(t, "ready, group true", 1)
		return x
	}
	killed := start()
	left := folders()
	if len(left) != 2 {
		t.Fatalf("%v", left)
	}
	if err := killed.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.cmd.Wait()
	live := start()
	if all := folders(); len(all) != 2 {
		t.Errorf("beside the live one: %v", all)
	}
	live.said.Await(t, "removed the files of an azdo-pat exec that was killed: ", 1)
	// Another one at the same time leaves both alone.
	another := start()
	if all := folders(); len(all) != 3 {
		t.Errorf("beside two live ones: %v", all)
	}
	for _, x := range []*execution{another, live} {
		if status, all := x.end(); status != 5 {
			t.Errorf("status %d\n%s", status, all)
		}
	}
	if all := folders(); len(all) != 1 {
		t.Errorf("at the end: %v", all)
	}
}
