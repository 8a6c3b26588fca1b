package pipelinesagent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A Step is a script step, `bash:` in a pipeline.
type Step struct {
	Name      string // of its outputs
	Script    string
	Env       map[string]string // env:, with macros
	Condition string            // "", succeeded(), always() or false
	Target    Target
}

// Target restricts what the logging commands of a step can do, `target:` in a pipeline:
// https://learn.microsoft.com/azure/devops/pipelines/yaml-schema/target
type Target struct {
	Restricted bool // commands: restricted
	// Limited means that the step can set only the Settable variables, none if it is empty.
	Limited  bool
	Settable []string
}

// restrictedEvents are those of the area task that restricted steps can use.
var restrictedEvents = []string{"logdetail", "logissue", "complete", "setprogress", "setsecret", "setvariable", "debug", "settaskvariable", "prependpath"}

// allows reports whether a step may use a command.
func (t Target) allows(c Command) bool {
	if t.Restricted && c.Area != "telemetry" && (c.Area != "task" || !slices.Contains(restrictedEvents, c.Event)) {
		return false
	}
	named := func(name string) bool { return strings.EqualFold(name, c.Properties["variable"]) }
	return !t.Limited || c.Area != "task" || c.Event != "setvariable" || slices.ContainsFunc(t.Settable, named)
}

// Runs reports whether the step's turn comes, by its condition.
func (j *Job) Runs(s Step) (bool, error) {
	switch s.Condition {
	case "", "succeeded()":
		return j.result != Failed, nil
	case "always()":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("the condition %q is not played", s.Condition)
}

// Start starts a step: its script, with macros replaced, becomes a file in the
// job's folder, which bash runs with both streams in one. Further variables of
// the environment, such as PATH, are the machine's.
func (j *Job) Start(ctx context.Context, s Step, machine ...string) (*Running, error) {
	file, err := os.CreateTemp(j.temp, "*.sh")
	if err != nil {
		return nil, err
	}
	_, err = file.WriteString(j.Expand(s.Script))
	err = errors.Join(err, file.Close())
	if err != nil {
		return nil, err
	}
	r := &Running{job: j, step: s}
	r.cmd = exec.CommandContext(ctx, "bash", file.Name())
	r.cmd.Dir = filepath.Dir(j.temp)
	r.cmd.Env = machine
	for name, value := range j.Environment(s.Env) {
		r.cmd.Env = append(r.cmd.Env, name+"="+value)
	}
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	// Processes that bash started can outlive it; the agent does not wait for them.
	r.cmd.WaitDelay = 10 * time.Second
	return r, r.cmd.Start()
}

// Running is a step that runs.
type Running struct {
	job    *Job
	step   Step
	cmd    *exec.Cmd
	output bytes.Buffer
}

// Cancel tells the step to stop, as a cancelled run or a step's timeout does: the
// agent sends SIGINT to the task, and the task SIGTERM to bash. The processes of
// bash get no signal.
func (r *Running) Cancel() error { return r.cmd.Process.Signal(syscall.SIGTERM) }

// Wait reads what the step wrote until it ended. The output comes back as it was
// before the agent read it.
func (r *Running) Wait() (*Record, string) {
	err := r.cmd.Wait()
	output := r.output.String()
	record := r.job.read(r.step, output)
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		record.issue(r.job, "error", fmt.Sprintf("Bash exited with code '%d'.", r.cmd.ProcessState.ExitCode()))
		record.Result = Failed
		r.job.result = Failed
	}
	return record, output
}

// Run runs a step to its end.
func (j *Job) Run(ctx context.Context, s Step, machine ...string) (*Record, string, error) {
	r, err := j.Start(ctx, s, machine...)
	if err != nil {
		return nil, "", err
	}
	record, output := r.Wait()
	return record, output, nil
}
