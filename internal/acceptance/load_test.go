package acceptance

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/githubrunner"
)

// An organization's nightly matrix: many jobs at the same time, all for one user,
// against services that throttle, fail and lose answers. Each job gets its PAT or an
// error, all PATs live at the same time, and in the end none is left.
//
// AZDO_PAT_LOAD sets the number of jobs.
func TestLoad(t *testing.T) {
	t.Parallel()
	n := 60
	if testing.Short() {
		n = 20
	}
	if text := os.Getenv("AZDO_PAT_LOAD"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("AZDO_PAT_LOAD: %v", err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	e := emulator.Start(t)
	fate := &randomFaults{random: rand.New(rand.NewPCG(seed, 0)), counts: map[string]int{}}
	e.Intercept(emulator.Anything, fate.fault)

	jobs := make([]*matrixJob, n)
	for i := range jobs {
		job := e.StartJob(emulator.Job{Name: "leg-" + strconv.Itoa(i)})
		jobs[i] = &matrixJob{env: e.JobEnv(job, emulator.AgentUser), step: harness.NewStep(t)}
	}
	begin := time.Now()
	forEachJob(jobs, func(j *matrixJob) { j.mint(t) })
	minting := time.Since(begin)
	mints := len(e.Requests())

	active := map[string]string{}
	for _, p := range e.Active() {
		active[p.Token] = p.Name
	}
	got, failed := 0, 0
	for _, j := range jobs {
		switch token := j.outputs["token"]; {
		case j.status == 0 && active[token] == j.outputs["display-name"] && token != "":
			got++
			delete(active, token)
		case j.status == 1 && len(j.outputs) == 0 && strings.Contains(j.said, "::error title=azdo-pat mint failed::"):
			failed++
			t.Logf("a job without a PAT: %s", lastLine(j.said))
		default:
			t.Errorf("status %d, outputs %v:\n%s", j.status, j.outputs, j.said)
		}
	}
	unseen := len(active)

	begin = time.Now()
	forEachJob(jobs, func(j *matrixJob) { j.post(t) })
	ending := time.Since(begin)
	if left := e.Active(); len(left) > 0 {
		t.Errorf("%d PATs left", len(left))
		for _, p := range left {
			for _, j := range jobs {
				if strings.Contains(p.Name, " "+j.env["GITHUB_JOB"]+" ") {
					t.Errorf("%s of\n%s\nstate %v\n%s", p.Name, j.said, j.state, j.saidAfter)
				}
			}
		}
	}
	for _, v := range e.Violations() {
		t.Error(v)
	}
	const least = 5 // requests of a mint and of a post
	requests := len(e.Requests())
	t.Logf("%d jobs: %d got a PAT in %s, %d did not; %d more had been made by then; ended in %s; faults: %v", n, got, minting.Round(time.Second), failed, unseen, ending.Round(time.Second), fate.counts)
	t.Logf("%d requests to mint, %d at least (%.2f times); %d to revoke (%.2f times)", mints, least*n, float64(mints)/float64(least*n), requests-mints, float64(requests-mints)/float64(least*n))
	if got < n*9/10 {
		t.Errorf("only %d of %d jobs got a PAT", got, n)
	}
}

// forEachJob runs work for all jobs, up to 100 at the same time.
func forEachJob(jobs []*matrixJob, work func(*matrixJob)) {
	const most = 100
	queue := make(chan *matrixJob)
	var done sync.WaitGroup
	for range min(most, len(jobs)) {
		done.Go(func() {
			for j := range queue {
				work(j)
			}
		})
	}
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	done.Wait()
}

// matrixJob is a job with the results of its steps.
type matrixJob struct {
	env             map[string]string
	step            *githubrunner.Step
	status          int
	outputs, state  map[string]string
	said, saidAfter string
}

func (j *matrixJob) mint(t *testing.T) {
	cmd := harness.Command(t, j.env, j.step, "azdo-pat", "mint")
	j.status = j.run(t, cmd)
	j.said = harness.Output(cmd)
	var err error
	if j.outputs, err = j.step.Outputs(); err != nil {
		t.Error(err)
	}
	if j.state, err = j.step.State(); err != nil {
		t.Error(err)
	}
}

func (j *matrixJob) post(t *testing.T) {
	cmd := harness.Command(t, harness.PostEnv(j.env, j.state, "both"), j.step, "post", "mint")
	if status := j.run(t, cmd); status != 0 || strings.Contains(harness.Output(cmd), "::warning") {
		t.Errorf("post ended with %d:\n%s", status, harness.Output(cmd))
	}
	j.saidAfter = harness.Output(cmd)
}

func (j *matrixJob) run(t *testing.T, cmd *exec.Cmd) int {
	status, err := harness.ExitStatus(cmd.Run())
	if err != nil {
		t.Error(err)
	}
	return status
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// randomFaults throttles 10 of 100 requests, refuses 5, loses 2, and loses the
// answers to 2.
type randomFaults struct {
	mu     sync.Mutex
	random *rand.Rand
	counts map[string]int
}

func (f *randomFaults) fault(w http.ResponseWriter, r *http.Request, next http.Handler) {
	f.mu.Lock()
	what, fault := "served", emulator.Fault(nil)
	switch p := f.random.IntN(100); {
	case p < 10:
		what, fault = "throttled", emulator.Throttle(time.Second)
	case p < 15:
		what, fault = "503", emulator.Answer(http.StatusServiceUnavailable, nil, "")
	case p < 17:
		what, fault = "lost", emulator.Drop
	case p < 19:
		what, fault = "answer lost", emulator.CommitAndDrop
	}
	f.counts[what]++
	f.mu.Unlock()
	if fault == nil {
		next.ServeHTTP(w, r)
		return
	}
	fault(w, r, next)
}

// A cancelled matrix: each job searches for its PAT by name, long after it was made,
// while other jobs revoke theirs, so that entries move between pages.
func TestListChangesDuringSearch(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	env := e.Env(emulator.AgentUser)
	step := harness.NewStep(t)
	// A PAT is minted, but neither the answer nor a list shows it.
	e.Intercept(emulator.OpCreate, emulator.CommitAndDrop)
	e.Intercept(emulator.OpList, emulator.Answer(http.StatusForbidden, nil, ""))
	if mint := harness.Command(t, env, step, "azdo-pat", "mint"); mint.Run() == nil || len(e.Active()) != 1 {
		t.Fatalf("%d PATs\n%s", len(e.Active()), harness.Output(mint))
	}
	e.ClearFaults()
	state, err := step.State()
	if err != nil {
		t.Fatal(err)
	}
	// So long after the request the post step does not wait for a late commit.
	const longAgo = `"intended":"2026-01-01T00:00:00Z"`
	state["STATE_lease"] = regexp.MustCompile(`"intended":"[^"]*"`).ReplaceAllString(state["STATE_lease"], longAgo)

	// The list is sorted by expiry, latest first.
	var others []emulator.PAT
	for range 150 {
		others = append(others, e.Seed(emulator.PAT{ValidTo: e.Now(emulator.AzureDevOps).Add(5 * time.Hour)}))
	}
	e.Intercept(emulator.OpList, emulator.Times(1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		page := httptest.NewRecorder() // outdated when the post step gets it
		next.ServeHTTP(page, r)
		for _, p := range others[:60] {
			e.End(p.ID)
		}
		maps.Copy(w.Header(), page.Header())
		w.WriteHeader(page.Code)
		_, _ = w.Write(page.Body.Bytes())
	}))
	post := harness.Command(t, harness.PostEnv(env, state, "state"), harness.NewStep(t), "post", "mint")
	if err := post.Run(); err != nil {
		t.Errorf("post: %v", err)
	}
	for _, p := range e.Active() {
		if strings.HasPrefix(p.Name, "azdo-pat ") {
			t.Errorf("%s is left:\n%s", p.Name, harness.Output(post))
		}
	}
	if n := len(e.Active()); n != 90 {
		t.Errorf("%d PATs of others, want 90", n)
	}
}
