package acceptance

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// seededAge is the default age of seeded PATs.
const seededAge = 7 * time.Hour

// seedMany seeds n PATs of killed jobs, four for each run.
func seedMany(e *emulator.Emulator, n int, age time.Duration) {
	from := e.Now(emulator.AzureDevOps).Add(-age)
	for i := range n {
		e.Seed(emulator.PAT{
			Name:      fmt.Sprintf("azdo-pat contoso/widgets run %d.1 build %016x", 1000+(i*7919)%n/4, i),
			ValidFrom: from, ValidTo: from.Add(24 * time.Hour),
		})
	}
}

// concurrency is a fault that counts how many requests the service has at the same
// time. The first ones, as many as wait says, wait for each other in groups of four.
type concurrency struct {
	mu        sync.Mutex
	wait      int
	now, most int
	four      chan struct{} // closed when the group is complete
	arrived   int
}

func (c *concurrency) fault(w http.ResponseWriter, r *http.Request, next http.Handler) {
	c.mu.Lock()
	c.now++
	c.most = max(c.most, c.now)
	if c.wait > 0 {
		c.wait--
		if c.four == nil {
			c.four = make(chan struct{})
		}
		four := c.four
		if c.arrived++; c.arrived == 4 {
			close(four)
			c.four, c.arrived = nil, 0
		}
		c.mu.Unlock()
		select {
		case <-four:
		case <-r.Context().Done():
		}
		c.mu.Lock()
	}
	c.mu.Unlock()
	next.ServeHTTP(w, r)
	c.mu.Lock()
	c.now--
	c.mu.Unlock()
}

// A sweep of ten thousand PATs, as in CI (by default there are fewer), revokes four at a time,
// with about one request each, in bounded memory.
func TestSweepOfTenThousand(t *testing.T) {
	t.Parallel()
	n := manyPATs()
	e := emulator.Start(t)
	seedMany(e, n, seededAge)
	for range 50 { // not made by azdo-pat
		e.Seed(emulator.PAT{Name: "azdo-pat of mine"})
	}
	revokes, gate := &concurrency{wait: 400}, emulator.NewGate()
	defer gate.Open()
	e.Intercept(emulator.OpRevoke, revokes.fault)
	e.Intercept(emulator.OpRevoke, emulator.After(n-1, gate.Before))
	step := harness.NewStep(t)
	env := e.Env(emulator.AgentUser)
	env["INPUT_TIMEOUT"] = "10m" // the default is too short on a busy machine
	cmd := harness.Command(t, env, step, "azdo-pat", "sweep")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-gate.Arrived(): // the last one
	case err := <-ended:
		t.Fatalf("it ended before the last one: %v\n%s", err, lastLines(harness.Output(cmd), 20))
	}
	used := peakMemory(t, cmd.Process.Pid)
	gate.Open()
	if err := <-ended; err != nil {
		t.Fatalf("%v\n%s", err, lastLines(harness.Output(cmd), 20))
	}
	if left := len(e.Active()); left != 50 {
		t.Errorf("%d PATs left, want 50", left)
	}
	if got := len(e.Requests(emulator.OpRevoke)); got != n {
		t.Errorf("%d revocations for %d PATs", got, n)
	}
	if got := len(e.Requests(emulator.OpList)); got > n/100+20 {
		t.Errorf("%d pages were read", got)
	}
	if revokes.most != 4 {
		t.Errorf("%d revocations in flight, want 4", revokes.most)
	}
	if got := strings.Count(harness.Output(cmd), "\nrevoked "); got != n {
		t.Errorf("the table has %d rows", got)
	}
	// A summary is limited to 1 MiB.
	if summary, err := step.Summary(); err != nil || strings.Count(summary, "| revoked |") != 100 || !strings.Contains(summary, fmt.Sprintf("\n%d more are in the log", n-100)) {
		t.Errorf("%v, summary of %d bytes", err, len(summary))
	}
	t.Logf("%d MiB resident, %d lists, %d connections, %s of processor time", used,
		len(e.Requests(emulator.OpList)), e.Connections(emulator.AzureDevOps), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	if used >= maxResident() {
		t.Errorf("%d MiB resident, want less than %d", used, maxResident())
	}
}

// A sweep that outlives the user's token, which lives for an hour, signs in again.
func TestSweepOutlivesItsToken(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	seedMany(e, 40, seededAge)
	var once sync.Once
	e.Intercept(emulator.OpRevoke, emulator.After(9, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		once.Do(func() { e.Advance(2 * time.Hour) })
		next.ServeHTTP(w, r)
	}))
	env := e.Env(emulator.AgentUser)
	env["RUNNER_DEBUG"] = "1"
	cmd := harness.Command(t, env, harness.NewStep(t), "azdo-pat", "sweep")
	if err := cmd.Run(); err != nil {
		t.Errorf("%v\n%s", err, harness.Output(cmd))
	}
	// Each request is logged once, after signing in again too.
	if n := strings.Count(harness.Output(cmd), "::debug::DELETE "); n != len(e.Requests(emulator.OpRevoke)) {
		t.Errorf("%d revocations in the log, %d sent", n, len(e.Requests(emulator.OpRevoke)))
	}
	if left := len(e.Active()); left != 0 {
		t.Errorf("%d PATs left", left)
	}
	if n := len(e.Requests(emulator.OpUserFIC)); n != 2 {
		t.Errorf("signed in %d times", n)
	}
	if n := strings.Count(harness.Output(cmd), "signing in again"); n != 1 {
		t.Errorf("said so %d times:\n%s", n, harness.Output(cmd))
	}
	if v := e.Violations(); len(v) > 0 {
		t.Error(v)
	}
}

// A sweep that is stopped finishes the requests in flight and reports what is left.
// The next sweep continues there.
func TestSweepStopsOnSignal(t *testing.T) {
	t.Parallel()
	for range 3 {
		if stopSweep(t) {
			return
		}
	}
	t.Error("no sweep of three stopped in time")
}

// stopSweep stops a sweep, which has four requests in flight then, and starts the next
// one. It reports false if the machine may have stood still: if the sweep may have had no
// time to finish its requests, or began more of them.
func stopSweep(t *testing.T) (inTime bool) {
	e := emulator.Start(t)
	seedMany(e, 200, seededAge)
	env := e.Env(emulator.AgentUser)
	env["INPUT_OUTPUT"] = "json"
	gate := emulator.NewGate()
	defer gate.Open()
	e.Intercept(emulator.OpRevoke, emulator.After(4, gate.Before))
	cmd := harness.Command(t, env, harness.NewStep(t), "azdo-pat", "sweep")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the fifth revocation", gate.Arrived())
	told := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(time.Second, gate.Open)
	err := cmd.Wait()
	took := time.Since(told)
	if err == nil || took > harness.StopLimit || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%v after %s", err, took)
	}
	n := 200 - len(e.Active())
	if took > harness.CleanUpLimit || n > 8 {
		t.Logf("it revoked %d and ended after %s\n%s", n, took, lastLines(harness.Output(cmd), 20))
		return false
	}
	var object struct {
		Leases        []map[string]string
		Revoked, Left int
		Complete      bool
	}
	stdout := cmd.Stdout.(*strings.Builder).String()
	if err := json.Unmarshal([]byte(stdout), &object); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	// Up to three of the four may not have been sent when the fifth one arrived.
	if object.Revoked != n || len(object.Leases) != n || n < 5 || object.Left < 90 || object.Complete {
		t.Errorf("%d were revoked: %+v", n, object)
	}
	if text := harness.Output(cmd); !strings.Contains(text, fmt.Sprintf("%d revoked, ", n)) || !strings.Contains(text, "stopped by a signal (terminated)") {
		t.Errorf("said\n%s", text)
	}
	e.ClearFaults()
	next := harness.Command(t, e.Env(emulator.AgentUser), harness.NewStep(t), "azdo-pat", "sweep")
	if err := next.Run(); err != nil || len(e.Active()) != 0 {
		t.Errorf("%v, %d PATs left\n%s", err, len(e.Active()), harness.Output(next))
	}
	return true
}

// If the table cannot be written, the PATs are still revoked, and the sweep fails.
func TestSweepCannotWriteItsTable(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	seedMany(e, 8, seededAge)
	env := map[string]string{}
	for name, value := range e.Settings(emulator.AccessToken) {
		env[emulator.Variable(name)] = value
	}
	env["AZDO_PAT_ACCESS_TOKEN"] = e.AccessToken(func(claims map[string]any) { claims["oid"] = emulator.AgentUserID })
	cmd := harness.Command(t, env, harness.NewStep(t), "azdo-pat", "sweep")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd.Stdout = w
	err = cmd.Run()
	text := cmd.Stderr.(*strings.Builder).String()
	if err == nil || cmd.ProcessState.ExitCode() != 1 || len(e.Active()) != 0 || !strings.Contains(text, "write to standard output: ") {
		t.Errorf("%v, %d PATs left\n%s", err, len(e.Active()), text)
	}
}

// At the time limit, a sweep waits for the requests in flight, and the hint says how
// to continue.
func TestSweepRunsOutOfTime(t *testing.T) {
	t.Parallel()
	for attempt := 1; !sweepRunsOutOfTime(t, attempt == 3); attempt++ {
	}
}

// sweepRunsOutOfTime reports false, unless it is the last attempt, if the machine may have
// stood still: if the four requests in flight were cut off late, were never sent, or were
// answered before the program noticed that its time had passed.
func sweepRunsOutOfTime(t *testing.T, last bool) (inTime bool) {
	e := emulator.Start(t)
	seedMany(e, 20, seededAge)
	const timeout = 10 * time.Second
	env := e.Env(emulator.AgentUser)
	env["INPUT_TIMEOUT"] = timeout.String()
	gate := emulator.NewGate()
	defer gate.Open()
	e.Intercept(emulator.OpRevoke, emulator.After(4, gate.Before))
	// When it sends its first request, the program has started its clock. After its time
	// limit it waits for 4.5 seconds.
	e.Intercept(emulator.OpGitHubOIDC, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		time.AfterFunc(timeout+time.Second, gate.Open)
		next.ServeHTTP(w, r)
	})
	cmd := harness.Command(t, env, harness.NewStep(t), "azdo-pat", "sweep")
	begin := time.Now()
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%v", err)
	}
	took := time.Since(begin)
	if took > timeout+harness.StopLimit {
		t.Errorf("it took %s", took)
	}
	tooSlow := took > timeout+harness.CleanUpLimit || len(e.Requests(emulator.OpRevoke)) != 8
	if tooSlow && !last && !strings.Contains(harness.Output(cmd), "8 revoked, 12 not reached") {
		t.Logf("after %s:\n%s", took, harness.Output(cmd))
		return false
	}
	for _, want := range []string{
		"8 revoked, 12 not reached",
		"::error title=azdo-pat sweep failed::not done within 10s%0Arun it again: it continues with what is left; or give timeout a longer duration",
	} {
		if text := harness.Output(cmd); !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	return true
}

// peakMemory returns the peak resident memory of a process in MiB, or 0 on systems
// other than Linux. (The figure of wait4 can be that of the parent.)
func peakMemory(t *testing.T, pid int) int {
	if runtime.GOOS != "linux" {
		return 0
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kib int
	if _, err := fmt.Sscan(after, &kib); err != nil {
		t.Fatal(err)
	}
	return kib / 1024
}

// lastLines returns the last lines of a text.
func lastLines(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

var (
	sweepPATs = flag.Int("sweep.pats", 1000, "how many PATs BenchmarkSweep sweeps")
	sweepRTT  = flag.Duration("sweep.rtt", 20*time.Millisecond, "how long BenchmarkSweep's services take to answer")
)

// BenchmarkSweep compares the duration of a sweep with its lower bound, the number of
// requests times the round trip, divided by four:
//
//	go test -run '^$' -bench Sweep -benchtime 1x -sweep.pats 10000 .
func BenchmarkSweep(b *testing.B) {
	for _, questions := range []bool{false, true} {
		b.Run(fmt.Sprintf("github=%v", questions), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				e := emulator.Start(b)
				age := seededAge
				env := e.Env(emulator.AgentUser)
				if questions {
					age = time.Hour
					env["INPUT_GITHUB-TOKEN"] = e.GitHubToken()
					e.Change(func(w *emulator.State) {
						for i := range *sweepPATs {
							w.Runs = append(w.Runs, &emulator.Run{Repository: "contoso/widgets", ID: fmt.Sprint(1000 + i), Attempt: 1, Status: "completed"})
						}
					})
				}
				env["INPUT_TIMEOUT"] = "1h"
				seedMany(e, *sweepPATs, age)
				var served atomic.Int64
				e.Intercept(emulator.Anything, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
					begin := time.Now()
					time.Sleep(*sweepRTT)
					next.ServeHTTP(w, r)
					served.Add(int64(time.Since(begin)))
				})
				cmd := harness.Command(b, env, harness.NewStep(b), "azdo-pat", "sweep")
				b.StartTimer()
				begin := time.Now()
				if err := cmd.Run(); err != nil {
					b.Fatalf("%v\n%s", err, lastLines(harness.Output(cmd), 20))
				}
				took := time.Since(begin)
				b.StopTimer()
				if left := len(e.Active()); left != 0 {
					b.Fatalf("%d PATs left", left)
				}
				requests := len(e.Requests())
				b.ReportMetric(float64(took)/(float64(requests)*float64(*sweepRTT)/4), "of-the-floor")
				b.ReportMetric(float64(served.Load())/float64(took), "in-flight")
				b.ReportMetric(float64(requests), "requests")
				b.StartTimer()
			}
		})
	}
}

// manyPATs is how many PATs a large list has.
func manyPATs() int {
	switch {
	case harness.All:
		return 10_000
	case testing.Short(), harness.RaceDetector:
		return 1_000
	}
	return 3_000
}

// maxResident is how much of the program may be resident, in MiB.
func maxResident() int {
	limit := 30
	if harness.RaceDetector {
		limit = 100
	}
	if os.Getenv("GOCOVERDIR") != "" { // the program is the test binary, which is larger
		limit *= 2
	}
	return limit
}
