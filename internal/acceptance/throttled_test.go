package acceptance

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// Azure DevOps delays the requests of a throttled user for up to 30 seconds and then
// carries them out. A delayed request is sent once, and no PAT is left.
func TestThrottledRequests(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes as long as a request may be held back")
	}
	cases := map[string]func(t *testing.T){}
	cases["create and revoke"] = func(t *testing.T) {
		e := emulator.Start(t)
		step := harness.NewStep(t)
		env := e.Env(emulator.AgentUser)
		e.Intercept(emulator.OpCreate, emulator.Late(18*time.Second))
		mint := harness.Command(t, env, step, "azdo-pat", "mint")
		if err := mint.Run(); err != nil {
			t.Fatalf("mint: %v\n%s", err, harness.Output(mint))
		}
		outputs, err := step.Outputs()
		if err != nil || len(e.PATs()) != 1 || outputs["token"] != e.PATs()[0].Token || len(e.Requests(emulator.OpCreate)) != 1 {
			t.Errorf("%v: %d PATs by %d requests\n%s", err, len(e.PATs()), len(e.Requests(emulator.OpCreate)), harness.Output(mint))
		}
		e.Intercept(emulator.OpRevoke, emulator.Late(18*time.Second))
		post := harness.PostStep(t, env, step, "both")
		if err := post.Run(); err != nil || len(e.Active()) != 0 || len(e.Requests(emulator.OpRevoke)) != 1 || len(e.Requests(emulator.OpList)) != 0 {
			t.Errorf("post: %v; %d PATs left after %d requests\n%s", err, len(e.Active()), len(e.Requests(emulator.OpRevoke)), harness.Output(post))
		}
	}
	// After the kill, only the request that mint has sent remains.
	for _, with := range []string{"state", "inputs"} {
		cases["killed, post with "+with] = func(t *testing.T) {
			e := emulator.Start(t)
			step := harness.NewStep(t)
			env := e.Env(emulator.AgentUser)
			gate := emulator.NewGate()
			defer gate.Open()
			e.Intercept(emulator.OpCreate, gate.Before)
			mint := harness.Command(t, env, step, "azdo-pat", "mint")
			if err := mint.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the request", gate.Arrived())
			time.AfterFunc(27*time.Second, gate.Open)
			if err := mint.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = mint.Wait()
			post := harness.PostStep(t, env, step, with)
			if err := post.Run(); err != nil || len(e.PATs()) != 1 || len(e.Active()) != 0 {
				t.Errorf("post: %v; %d of %d PATs left\n%s", err, len(e.Active()), len(e.PATs()), harness.Output(post))
			}
		}
	}
	cases["killed, revoke in Azure Pipelines"] = func(t *testing.T) {
		e := emulator.Start(t)
		job := e.StartPipelinesJob(emulator.PipelinesJob{})
		env := e.PipelinesJobEnv(job, emulator.AgentUser)
		env["AGENT_TEMPDIRECTORY"] = t.TempDir()
		gate := emulator.NewGate()
		defer gate.Open()
		e.Intercept(emulator.OpCreate, gate.Before)
		mint := harness.Command(t, env, nil, "azdo-pat", "mint")
		if err := mint.Start(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the request", gate.Arrived())
		time.AfterFunc(27*time.Second, gate.Open)
		if err := mint.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = mint.Wait()
		revoke := harness.Command(t, env, nil, "azdo-pat", "revoke")
		if err := revoke.Run(); err != nil || len(e.PATs()) != 1 || len(e.Active()) != 0 {
			t.Errorf("revoke: %v; %d of %d PATs left\n%s", err, len(e.Active()), len(e.PATs()), harness.Output(revoke))
		}
	}
	runAtOnce(t, cases)
}

// A post step that is stopped during a pause that Azure DevOps has requested sends
// its remaining requests at once.
func TestPostStopsDuringPause(t *testing.T) {
	t.Parallel()
	untilInTime(t, func() bool { return stopDuringPause(t) })
}

// stopDuringPause reports false if the post step may have had no time to clean up.
func stopDuringPause(t *testing.T) (inTime bool) {
	e := emulator.Start(t)
	step := harness.NewStep(t)
	env := e.Env(emulator.AgentUser)
	if mint := harness.Command(t, env, step, "azdo-pat", "mint"); mint.Run() != nil {
		t.Fatal(harness.Output(mint))
	}
	gate := emulator.NewGate()
	defer gate.Open()
	e.Intercept(emulator.OpList, gate.Sent)
	e.Intercept(emulator.OpList, emulator.WithHeader(http.Header{"Retry-After": {"60"}}))
	post := harness.Command(t, harness.PostEnv(env, nil, "inputs"), harness.NewStep(t), "post", "mint")
	if err := post.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the answer", gate.Arrived())
	begin := time.Now()
	if err := post.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := post.Wait()
	took := time.Since(begin)
	if took > harness.StopLimit {
		t.Errorf("it took %s", took)
	}
	if took > harness.CleanUpLimit {
		return false
	}
	if err != nil || len(e.Active()) != 0 {
		t.Errorf("post: %v; %d PATs left\n%s", err, len(e.Active()), harness.Output(post))
	}
	return true
}
