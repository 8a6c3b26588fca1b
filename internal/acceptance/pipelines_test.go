package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/pipelinesagent"
)

// pipelineJob is a job in Azure Pipelines whose steps start azdo-pat.
type pipelineJob struct {
	*testing.T
	*emulator.Emulator
	*pipelinesagent.Job
	env map[string]string // of each step, the settings as AZDO_PAT_*
	bin string            // the folder of the program
}

func newPipelineJob(t *testing.T) *pipelineJob {
	p := &pipelineJob{T: t, Emulator: emulator.Start(t), env: map[string]string{}, bin: t.TempDir()}
	job, err := pipelinesagent.NewJob(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Job = job
	for name, value := range p.PipelinesEnv(emulator.AgentUser) {
		p.env[name] = value
	}
	harness.LinkTo(t, p.bin, "azdo-pat")
	return p
}

// machine returns the environment of the machine, without CI variables.
func (p *pipelineJob) machine() []string {
	env := []string{"PATH=" + p.bin + ":" + os.Getenv("PATH"), "HOME=" + p.TempDir()}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		env = append(env, "GOCOVERDIR="+dir)
	}
	return env
}

// program returns azdo-pat as bash starts it in a step.
func (p *pipelineJob) program(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, "azdo-pat"), args...)
	cmd.Stdout, cmd.Stderr = new(strings.Builder), new(strings.Builder)
	cmd.Env = p.machine()
	for name, value := range p.Environment(p.env) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

// runCleanly fails the test unless a command succeeds without warnings or errors.
func (p *pipelineJob) runCleanly(cmd *exec.Cmd) {
	p.Helper()
	if err := cmd.Run(); err != nil {
		p.Errorf("%s: %v\n%s", cmd.Args[1], err, harness.Output(cmd))
	}
	if text := harness.Output(cmd); strings.Contains(text, "task.logissue") {
		p.Errorf("%s complains:\n%s", cmd.Args[1], text)
	}
}

// checkNoPATLeft fails the test if a PAT is active.
func (p *pipelineJob) checkNoPATLeft(after string, cmd *exec.Cmd) {
	p.Helper()
	if n := len(p.Active()); n > 0 {
		p.Errorf("%d PATs left by %s:\n%s", n, after, harness.Output(cmd))
	}
	if v := p.Violations(); len(v) > 0 {
		p.Error(v)
	}
}

// After any signal that ends mint around its create request, a revoke in the same job
// leaves no PAT, even without the job's folder. (Promise 2.)
func TestPipelineKilled(t *testing.T) {
	t.Parallel()
	var stopped stops
	t.Cleanup(func() { stopped.check(t) }) // after the parallel subtests
	for _, when := range []string{"before", "after"} {
		for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT} {
			for _, folder := range []string{"there", "gone"} {
				if folder == "gone" && signal != syscall.SIGKILL {
					continue // mint has left no PAT, and revoke would wait for one
				}
				t.Run(fmt.Sprintf("%s %v folder %s", when, signal, folder), func(t *testing.T) {
					t.Parallel()
					p := newPipelineJob(t)
					gate := emulator.NewGate()
					defer gate.Open()
					if when == "before" {
						p.Intercept(emulator.OpCreate, gate.Before)
					} else {
						p.Intercept(emulator.OpCreate, gate.After)
					}
					mint := p.program("mint")
					if err := mint.Start(); err != nil {
						t.Fatal(err)
					}
					waitFor(t, "the request", gate.Arrived())
					told := time.Now()
					if err := mint.Process.Signal(signal); err != nil {
						t.Fatal(err)
					}
					if err := mint.Wait(); err == nil {
						t.Error("mint succeeded although it was stopped")
					}
					took := time.Since(told)
					if took > harness.StopLimit {
						t.Errorf("it took %s to stop", took)
					}
					p.ClearFaults()
					if signal != syscall.SIGKILL {
						stopped.count(true, took)
						if took < harness.CleanUpLimit {
							p.checkNoPATLeft("mint", mint)
						}
					}
					gate.Open()
					if folder == "gone" {
						if err := os.RemoveAll(p.TempDirectory()); err != nil {
							t.Fatal(err)
						}
					}
					revoke := p.program("revoke")
					p.runCleanly(revoke)
					p.checkNoPATLeft("revoke", revoke)
				})
			}
		}
	}
}

// revoke waits for a PAT that the server makes while revoke searches.
func TestPipelineLateCommit(t *testing.T) {
	t.Parallel()
	p := newPipelineJob(t)
	gate := emulator.NewGate()
	defer gate.Open()
	p.Intercept(emulator.OpCreate, gate.Before)
	mint := p.program("mint")
	if err := mint.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the request", gate.Arrived())
	if err := mint.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = mint.Wait()
	p.ClearFaults()
	p.Intercept(emulator.OpList, emulator.After(1, func() emulator.Fault {
		var once sync.Once
		return emulator.Alter(func(*emulator.Response) { once.Do(gate.Open) })
	}()))
	revoke := p.program("revoke")
	p.runCleanly(revoke)
	p.checkNoPATLeft("revoke", revoke)
	if len(p.PATs()) != 1 {
		t.Errorf("%d PATs were made:\n%s", len(p.PATs()), harness.Output(revoke))
	}
}

// A mint that keeps running after its step was cancelled, because the agent's signal
// reached bash alone, mints nothing once revoke has run.
func TestPipelineRevokesBeforeMint(t *testing.T) {
	t.Parallel()
	p := newPipelineJob(t)
	gate := emulator.NewGate()
	defer gate.Open()
	p.Intercept(emulator.OpT1, emulator.Times(1, gate.Before))
	mint := p.program("mint")
	if err := mint.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the request", gate.Arrived())
	revoke := p.program("revoke")
	begin := time.Now()
	p.runCleanly(revoke)
	if took := time.Since(begin); took > harness.StopLimit {
		t.Errorf("revoke took %s, although no request to mint was sent", took)
	}
	gate.Open()
	if err := mint.Wait(); err == nil || !strings.Contains(harness.Output(mint), "another process has ended this lease in the meantime; nothing was minted") {
		t.Errorf("mint: %v\n%s", err, harness.Output(mint))
	}
	if len(p.PATs()) != 0 {
		t.Errorf("a PAT was made:\n%s", harness.Output(mint))
	}
	// The next mint in the job works, and its PAT can be revoked.
	p.runCleanly(p.program("mint"))
	if len(p.Active()) != 1 {
		t.Error("the next mint made no PAT")
	}
	revoke = p.program("revoke")
	p.runCleanly(revoke)
	p.checkNoPATLeft("revoke", revoke)
}

// A mint whose PAT is revoked before the answer arrives hands nothing over.
func TestPipelineRevokesDuringMint(t *testing.T) {
	t.Parallel()
	p := newPipelineJob(t)
	gate := emulator.NewGate()
	defer gate.Open()
	p.Intercept(emulator.OpCreate, gate.After)
	mint := p.program("mint")
	if err := mint.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the request", gate.Arrived())
	revoke := p.program("revoke")
	p.runCleanly(revoke)
	p.checkNoPATLeft("revoke", revoke)
	gate.Open()
	if err := mint.Wait(); err == nil {
		t.Errorf("mint succeeded:\n%s", harness.Output(mint))
	}
	if text := harness.Output(mint); strings.Contains(text, "setvariable") || !strings.Contains(text, "another process has ended this lease") {
		t.Errorf("mint:\n%s", text)
	}
	p.checkNoPATLeft("mint", mint)
}

// The agent cancels a step by SIGTERM to bash. After bash's exec that is azdo-pat
// itself, which revokes its PAT within 5 seconds, unless the machine stood still.
func TestPipelineCancelled(t *testing.T) {
	t.Parallel()
	untilInTime(t, func() bool { return cancelPipeline(t) })
}

func cancelPipeline(t *testing.T) (inTime bool) {
	p := newPipelineJob(t)
	gate := emulator.NewGate()
	defer gate.Open()
	p.Intercept(emulator.OpCreate, gate.After)
	step, err := p.Start(t.Context(), pipelinesagent.Step{Name: "pat", Script: "exec azdo-pat mint", Env: p.env}, p.machine()...)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the request", gate.Arrived())
	told := time.Now()
	if err := step.Cancel(); err != nil {
		t.Fatal(err)
	}
	record, _ := step.Wait()
	took := time.Since(told)
	if took > harness.StopLimit || record.Result != pipelinesagent.Failed {
		t.Errorf("it took %s to end with %v\n%s", took, record.Result, record.Text())
	}
	inTime = took < harness.CleanUpLimit
	if len(p.Active()) != 0 && inTime || len(p.Outputs("pat")) != 0 {
		t.Errorf("%d PATs left, outputs %v\n%s", len(p.Active()), p.Outputs("pat"), record.Text())
	}
	p.ClearFaults()
	gate.Open()
	revoke := p.program("revoke")
	p.runCleanly(revoke)
	p.checkNoPATLeft("revoke", revoke)
	return inTime
}
