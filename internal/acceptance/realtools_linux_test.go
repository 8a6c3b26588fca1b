package acceptance

import (
	"context"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/azurehosts"
	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/pipelinesagent"
)

// AZDO_PAT_TOOLS is a folder in which npm has installed pnpm, yarn and nuget-exe, as
// .ci/run does. With it the real tools are run. They find a server on loopback under the
// real names of the hosts, in a namespace without any other network. That needs root.
const (
	toolsVariable  = "AZDO_PAT_TOOLS"
	insideVariable = "AZDO_PAT_TOOLS_INSIDE"
)

// Every tool that configure sets up, in every situation. The names of the subtests are
// situation/tool. In all of them no other host or organization gets a PAT.
func TestRealTools(t *testing.T) {
	if os.Getenv(toolsVariable) == "" {
		t.Skip(toolsVariable + " is not set: needs root and the tools of the stage tools in .ci/run")
	}
	if os.Getenv(insideVariable) == "" {
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		pattern := flag.Lookup("test.run").Value.String()
		if pattern == "" {
			pattern = "^TestRealTools$"
		}
		cmd := exec.CommandContext(t.Context(), program, "-test.run", pattern, "-test.v")
		cmd.Dir = "internal/acceptance" // Main goes to the root from there
		cmd.Env = append(os.Environ(), insideVariable+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
		output, err := cmd.CombinedOutput()
		t.Logf("%s", output)
		if err != nil || !strings.Contains(string(output), "--- PASS: TestRealTools") {
			t.Error(err)
		}
		return
	}
	w := newToolsWorld(t)

	t.Run("own files", func(t *testing.T) {
		j := w.job(t)
		azurehosts.CallersFiles(t, j.home)
		j.mint(t, allTools, "widgets", "")
		j.each(t, func(t *testing.T, tool azurehosts.Tool) {
			j.works(t, tool, "widgets", "use", "own")
		})
	})
	t.Run("own variables", func(t *testing.T) {
		j := w.job(t)
		maps.Copy(j.env, azurehosts.CallersVariables(t, t.TempDir()))
		j.mint(t, allTools, "widgets", "")
		j.each(t, func(t *testing.T, tool azurehosts.Tool) {
			j.works(t, tool, "widgets", "use", "own")
		})
	})
	j := w.job(t)
	first := j.mint(t, allTools, "widgets", "")
	t.Run("wrong host", func(t *testing.T) {
		j.each(t, func(t *testing.T, tool azurehosts.Tool) {
			if !tool.Has("foreign") { // see limit
				return
			}
			if asked := j.works(t, tool, "widgets", "foreign"); !asked.Elsewhere() {
				t.Errorf("no other host was asked:\n%s", asked)
			}
		})
	})
	// What docs/tools.md says of tools that do not know organizations.
	t.Run("limit", func(t *testing.T) {
		j.each(t, func(t *testing.T, tool azurehosts.Tool) {
			if !tool.Has("limit") {
				return
			}
			output, err := j.try(t, tool, "widgets", "limit")
			if asked := w.server.Take(); err != nil || len(asked.Leaked()) == 0 {
				t.Errorf("%v\n%s\n%s", err, output, asked)
			}
		})
	})
	t.Run("expired", func(t *testing.T) {
		j.each(t, func(t *testing.T, tool azurehosts.Tool) {
			w.server.Expire(true)
			output, err := j.try(t, tool, "widgets", "use")
			w.server.Expire(false)
			if asked := w.server.Take(); err == nil || !asked.Refused() {
				t.Errorf("%v\n%s\n%s", err, output, asked)
			}
			if tool.Name == "git" { // which could have forgotten it
				j.works(t, tool, "widgets", "use")
			}
		})
	})
	second := j.mint(t, allTools, "gadgets", "second")
	t.Run("second use", func(t *testing.T) {
		j.each(t, func(t *testing.T, tool azurehosts.Tool) { j.works(t, tool, "gadgets", "use") })
	})
	t.Run("first use after the second", func(t *testing.T) {
		j.each(t, func(t *testing.T, tool azurehosts.Tool) { j.works(t, tool, "widgets", "use") })
	})
	first() // as a pipeline can; on GitHub it is the last to end
	t.Run("second use after the first one's post step", func(t *testing.T) {
		j.each(t, func(t *testing.T, tool azurehosts.Tool) { j.works(t, tool, "gadgets", "use") })
	})
	second()
	if left, _ := filepath.Glob(filepath.Join(j.temp, "azdo-pat-*")); len(left) > 0 {
		t.Errorf("left in the temp folder: %v", left)
	}
	t.Run("after the post step", func(t *testing.T) {
		j.each(t, func(t *testing.T, tool azurehosts.Tool) {
			output, err := j.try(t, tool, "widgets", "use")
			if asked := w.server.Take(); err == nil || tool.Name == "git" && strings.Contains(output, "No such file") {
				t.Errorf("%v\n%s\n%s", err, output, asked)
			}
		})
	})
	t.Run("exec", func(t *testing.T) {
		j := w.job(t)
		azurehosts.CallersFiles(t, j.home)
		j.each(t, func(t *testing.T, tool azurehosts.Tool) {
			j.exec = tool.Setting
			j.works(t, tool, "widgets", "use", "own")
		})
	})
	t.Run("container paths", func(t *testing.T) {
		j := w.job(t)
		j.containerTemp = filepath.Join(t.TempDir(), "runner_temp")
		j.mint(t, allTools, "widgets", "")
		j.each(t, func(t *testing.T, tool azurehosts.Tool) { j.works(t, tool, "widgets", "use") })
	})
	t.Run("azure pipelines", func(t *testing.T) {
		j := w.job(t)
		j.pipeline(t, "widgets")
		j.each(t, func(t *testing.T, tool azurehosts.Tool) { j.works(t, tool, "widgets", "use") })
	})
	t.Run("full disk", w.fullDisk)
}

const allTools = "git npm pip nuget maven cargo az"

// toolsWorld is where the tools run.
type toolsWorld struct {
	e      *emulator.Emulator
	server *azurehosts.Server
}

func newToolsWorld(t *testing.T) *toolsWorld {
	if output, err := exec.CommandContext(t.Context(), "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	w := &toolsWorld{e: emulator.Start(t)}
	w.server = azurehosts.Start(t, w.e, "127.0.0.1")
	for _, mount := range []func() error{
		func() error { return syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "") },
		func() error {
			return syscall.Mount(filepath.Join(w.server.Dir, "hosts"), "/etc/hosts", "", syscall.MS_BIND, "")
		},
	} {
		if err := mount(); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// toolsJob is a job whose later steps are real tools.
type toolsJob struct {
	*toolsWorld
	temp, home string
	// containerTemp is the path at which azdo-pat sees the temp folder, and the tools do
	// not. Empty: both see it at the same path.
	containerTemp string
	env           map[string]string // of the next step
	exec          string            // the tools run below azdo-pat exec with this configure
}

func (w *toolsWorld) job(t *testing.T) *toolsJob {
	t.Helper()
	j := &toolsJob{toolsWorld: w, temp: t.TempDir(), home: t.TempDir()}
	w.server.Home(t, j.home)
	j.env = w.server.Env(j.home, os.Getenv(toolsVariable))
	real, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	// Programs that find their parts by HOME.
	j.env["PYENV_ROOT"], j.env["RUSTUP_HOME"] = filepath.Join(real, ".pyenv"), azurehosts.RustupHome()
	return j
}

// inContainer starts azdo-pat, which sees the temp folder at another path than the tools
// if it has one.
func (j *toolsJob) inContainer(t *testing.T, cmd *exec.Cmd) error {
	t.Helper()
	if j.containerTemp == "" {
		return cmd.Run()
	}
	if err := os.MkdirAll(j.containerTemp, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(j.temp, j.containerTemp, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Unmount(j.containerTemp, 0); err != nil {
			t.Error(err)
		}
	}()
	return cmd.Run()
}

// each runs a subtest for every tool, in which no PAT may go elsewhere.
func (j *toolsJob) each(t *testing.T, f func(*testing.T, azurehosts.Tool)) {
	for _, tool := range azurehosts.Tools {
		t.Run(tool.Name, func(t *testing.T) {
			j.server.Take()
			f(t, tool)
			if leaked := j.server.Take().Leaked(); len(leaked) > 0 {
				t.Errorf("a PAT was sent to %q", leaked)
			}
		})
	}
}

// mint is a step that sets up tools. post ends it; the end of the test does at the latest.
func (j *toolsJob) mint(t *testing.T, tools, feed, label string) (post func()) {
	t.Helper()
	step := harness.NewStep(t)
	env := j.stepEnv(map[string]string{
		"INPUT_CONFIGURE": tools, "INPUT_FEED": feed, "INPUT_NAME": label, "INPUT_SCOPES": "vso.code_write vso.packaging_write",
	})
	mint := harness.Command(t, env, step, "azdo-pat", "mint")
	if err := j.inContainer(t, mint); err != nil {
		t.Fatalf("%v\n%s", err, harness.Output(mint))
	}
	variables, err := step.Variables()
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(j.env, variables)
	ended := false
	post = func() {
		if ended {
			return
		}
		ended = true
		post := harness.PostStep(t, env, step, "both")
		if err := j.inContainer(t, post); err != nil {
			t.Errorf("%v\n%s", err, harness.Output(post))
		}
	}
	t.Cleanup(post)
	return post
}

// pipeline is the same in a job of Azure Pipelines. The end of the test revokes.
func (j *toolsJob) pipeline(t *testing.T, feed string) {
	t.Helper()
	agent, err := pipelinesagent.NewJob(j.temp, nil)
	if err != nil {
		t.Fatal(err)
	}
	program, err := harness.Program()
	if err != nil {
		t.Fatal(err)
	}
	settings := j.e.PipelinesEnv(emulator.AgentUser)
	maps.Copy(settings, map[string]string{"AZDO_PAT_CONFIGURE": allTools, "AZDO_PAT_FEED": feed, "AZDO_PAT_SCOPES": "vso.code_write vso.packaging_write"})
	var machine []string
	for name, value := range j.env {
		machine = append(machine, name+"="+value)
	}
	step := func(command string) {
		t.Helper()
		record, _, err := agent.Run(context.Background(), pipelinesagent.Step{Name: "pat", Script: "exec " + program + " " + command, Condition: "always()", Env: settings}, machine...)
		if err != nil || record.Result != pipelinesagent.Succeeded || len(record.Issues) > 0 {
			t.Errorf("%s: %v\n%s", command, err, record.Text())
		}
	}
	step("mint")
	maps.Copy(j.env, agent.Environment(nil))
	t.Cleanup(func() {
		step("revoke")
		if left, _ := filepath.Glob(filepath.Join(agent.TempDirectory(), "azdo-pat-*-*")); len(left) > 0 {
			t.Errorf("left in the temp folder: %v", left)
		}
	})
}

// stepEnv is the environment of a step that starts azdo-pat: as a later step of the job
// has it, with more.
func (j *toolsJob) stepEnv(more map[string]string) map[string]string {
	env := j.e.Env(emulator.AgentUser)
	maps.Copy(env, j.env)
	env["RUNNER_TEMP"] = j.temp
	if j.containerTemp != "" {
		env["RUNNER_TEMP"], env["INPUT_RUNNER-TEMP"] = j.containerTemp, "host:"+j.temp
	}
	maps.Copy(env, more)
	return env
}

// try runs functions of a tool's script in the job's environment.
func (j *toolsJob) try(t *testing.T, tool azurehosts.Tool, feed string, functions ...string) (string, error) {
	t.Helper()
	shell := []string{"sh", "-c", tool.Command(feed, functions...)}
	env := j.env
	if j.exec != "" {
		env = j.stepEnv(nil)
		program, err := harness.Program()
		if err != nil {
			t.Fatal(err)
		}
		shell = append([]string{program, "exec", "--scopes", "vso.code_write vso.packaging_write", "--configure", j.exec, "--feed", feed, "--"}, shell...)
	}
	cmd := exec.CommandContext(t.Context(), shell[0], shell[1:]...)
	cmd.Dir = t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = append(cmd.Env, name+"="+env[name])
	}
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// works runs functions of a tool's script, which succeed and send no PAT elsewhere.
func (j *toolsJob) works(t *testing.T, tool azurehosts.Tool, feed string, functions ...string) azurehosts.Requests {
	t.Helper()
	output, err := j.try(t, tool, feed, functions...)
	asked := j.server.Take()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s\nrequests:\n%s", tool.Name, functions, err, output, asked)
	}
	if leaked := asked.Leaked(); len(leaked) > 0 {
		t.Errorf("%s %s sent a PAT to %q", tool.Name, functions, leaked)
	}
	return asked
}

// fullDisk: if the files cannot be written, neither they nor the PAT are left.
func (w *toolsWorld) fullDisk(t *testing.T) {
	temp := t.TempDir()
	if err := syscall.Mount("none", temp, "tmpfs", 0, "size=8k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(temp, syscall.MNT_DETACH) })
	if err := os.WriteFile(filepath.Join(temp, "full"), make([]byte, 16<<10), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	before := len(w.e.Active())
	env := w.e.Env(emulator.AgentUser)
	env["RUNNER_TEMP"], env["INPUT_CONFIGURE"] = temp, "git"
	mint := harness.Command(t, env, harness.NewStep(t), "azdo-pat", "mint")
	status, err := harness.ExitStatus(mint.Run())
	if text := harness.Output(mint); err != nil || status != 1 || len(w.e.Active()) != before || !strings.Contains(text, "no space left on device; the PAT was revoked") {
		t.Errorf("status %d, %v, %d PATs left\n%s", status, err, len(w.e.Active())-before, text)
	}
	if left, _ := filepath.Glob(filepath.Join(temp, "azdo-pat-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
