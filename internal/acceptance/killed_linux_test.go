package acceptance

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/githubrunner"
)

// Wherever a signal ends a mint, the post step leaves no PAT: with the saved state
// alone, with inputs and environment alone, and with both. On SIGINT and SIGTERM, mint
// itself revokes what it has not handed over and ends within 5 seconds, unless the machine
// stood still. (Promises 1, 2 and 6.)
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	all := harness.Part(kills())
	var ended, made, handed atomic.Int32
	var stopped stops
	t.Run("mint", func(t *testing.T) {
		for _, k := range all {
			t.Run(k.String(), func(t *testing.T) {
				t.Parallel()
				w := k.start(t)
				if w.end(&stopped) {
					ended.Add(1)
				}
				w.post()
				if len(w.PATs()) > 0 {
					made.Add(1)
				}
				if w.handed != "" {
					handed.Add(1)
				}
			})
		}
	})
	stopped.check(t)
	// On a slow machine some mints end before they reach their point.
	if n := int(ended.Load()); n < len(all)*3/4 {
		t.Errorf("only %d mints of %d were ended", n, len(all))
	}
	t.Logf("%d mints were ended: %d had made a PAT, %d had handed one over", ended.Load(), made.Load(), handed.Load())
}

// route is a way through mint: an identity and what the services do.
type route struct {
	name     string
	identity emulator.Identity
	change   func(e *emulator.Emulator, env map[string]string)
}

var (
	byAgentUser    = route{"agent user", emulator.AgentUser, nil}
	byRefreshToken = route{"refresh token", emulator.RefreshToken, nil}
	byVault        = route{"refresh token in Key Vault", emulator.VaultToken, func(e *emulator.Emulator, _ map[string]string) { dueForRenewal(e) }}
	byPassword     = route{"password", emulator.Password, nil}
	byAccessToken  = route{"access token", emulator.AccessToken, nil}
	inSomeTenant   = route{"tenant unknown", emulator.AgentUser, func(_ *emulator.Emulator, env map[string]string) {
		delete(env, "INPUT_TENANT-ID")
	}}
	leftAlive = route{"skip-revoke", emulator.AgentUser, func(_ *emulator.Emulator, env map[string]string) {
		env["INPUT_SKIP-REVOKE"] = "true"
	}}
	// The first create request gets no answer; its PAT is found and revoked.
	withAnswerLost = route{"answer lost", emulator.AccessToken, func(e *emulator.Emulator, _ map[string]string) {
		e.Intercept(emulator.OpCreate, emulator.Times(1, emulator.CommitAndDrop))
	}}
	// A PAT with a wider scope than requested is revoked.
	grantedMore = route{"granted more", emulator.AccessToken, func(e *emulator.Emulator, _ map[string]string) {
		e.Intercept(emulator.OpCreate, emulator.RewritePAT(func(pat map[string]any) { pat["scope"] = "vso.code vso.work" }))
	}}
)

// kill is one mint: its route, the point and the signal that end it, and what the
// post step then has.
type kill struct {
	route
	point
	signal syscall.Signal
	with   string // state, inputs, both
}

func (k kill) String() string {
	return fmt.Sprintf("%s, %s, %s, post with %s", k.name, k.point, k.signal, k.with)
}

// point is where a mint is ended, given in one of five ways.
type point struct {
	connect emulator.Service // connected to this service, which does not answer

	op    string // a request …
	nth   int    // … the first or a later one …
	phase string // … is in this phase

	line      int  // this many lines were written, and the next one blocks
	neverRead bool // the rest of the log is not read either

	path  string // a command file …
	entry int    // … has this many entries …
	part  int    // … the last of them only to this percentage

	after time.Duration // at this time
}

func (p point) String() string {
	switch {
	case p.connect != "":
		return "connected to " + string(p.connect)
	case p.op != "":
		return fmt.Sprintf("%s %d %s", p.op, p.nth, p.phase)
	case p.neverRead:
		return fmt.Sprintf("line %d, the rest is not read", p.line)
	case p.line > 0:
		return fmt.Sprintf("line %d", p.line)
	case p.path != "":
		return fmt.Sprintf("%d%% of entry %d of %s", p.part, p.entry, p.path)
	}
	return fmt.Sprintf("after %s", p.after)
}

// anyMoment reports whether the point is given as a time.
func (p point) anyMoment() bool { return p == point{after: p.after} }

// torn reports whether a write is cut off, so that nothing comes after it.
func (p point) torn() bool { return p.path != "" && p.part < 100 }

// searches reports whether the program does not know at the point what its create request
// has made, so that it must search for the PAT before it ends.
func (p point) searches() bool { return p.op == emulator.OpCreate && p.phase != answered }

// The phases of a request.
const (
	arrived   = "has arrived"
	committed = "has taken effect"
	halfway   = "is answered by half"
	answered  = "is answered"
)

var (
	phases  = []string{arrived, committed, halfway, answered}
	signals = []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT}
	modes   = []string{"state", "inputs", "both"}
)

// kills returns all cases.
func kills() (all []kill) {
	turn := 0
	// one mode of the post step, in turn
	one := func() []string { turn++; return modes[turn%3:][:1] }
	add := func(w route, p point, with []string) {
		for _, s := range signals {
			modes := with
			if modes == nil {
				modes = one()
			}
			for _, mode := range modes {
				if s == syscall.SIGKILL && p.neverRead || s != syscall.SIGKILL && p.torn() {
					continue // the first makes no difference, the second is impossible
				}
				all = append(all, kill{w, p, s, mode})
			}
		}
	}
	request := func(w route, op string, nth int, with []string) {
		for _, phase := range phases {
			add(w, point{op: op, nth: nth, phase: phase}, with)
		}
	}
	// Before a PAT can exist, one mode of the post step is enough.
	for _, op := range []string{emulator.OpGitHubOIDC, emulator.OpT1, emulator.OpT2, emulator.OpUserFIC} {
		request(byAgentUser, op, 1, nil)
	}
	request(byAgentUser, emulator.OpCreate, 1, modes)
	request(byRefreshToken, emulator.OpRefreshToken, 1, nil)
	request(byRefreshToken, emulator.OpCreate, 1, nil)
	for _, op := range []string{emulator.OpClientCredentials, emulator.OpGetSecret, emulator.OpRefreshToken, emulator.OpCreate} {
		request(byVault, op, 1, nil)
	}
	request(byVault, emulator.OpSetSecret, 1, modes)
	request(byPassword, emulator.OpPassword, 1, nil)
	request(byPassword, emulator.OpCreate, 1, nil)
	request(byAccessToken, emulator.OpCreate, 1, modes)
	request(inSomeTenant, emulator.OpTenant, 1, nil)
	request(leftAlive, emulator.OpCreate, 1, modes)
	request(withAnswerLost, emulator.OpList, 1, modes)
	request(withAnswerLost, emulator.OpRevoke, 1, modes)
	request(withAnswerLost, emulator.OpCreate, 2, modes)
	request(grantedMore, emulator.OpRevoke, 1, modes)
	for _, s := range []emulator.Service{emulator.GitHub, emulator.Entra, emulator.AzureDevOps} {
		add(byAgentUser, point{connect: s}, nil)
	}
	for n := range 17 { // all but the last one, after which mint has ended
		add(byAgentUser, point{line: n + 1}, nil)
		if n%2 == 1 {
			add(byAgentUser, point{line: n + 1, neverRead: true}, nil)
		}
	}
	for n := range 8 {
		add(withAnswerLost, point{line: 2*n + 1}, nil)
	}
	for _, part := range []int{0, 50, 100} {
		for n := range 3 {
			add(byAgentUser, point{path: "GITHUB_STATE", entry: n + 1, part: part}, nil)
		}
		for n := range 5 { // the first two are the same as above
			if n < 2 {
				continue
			}
			add(withAnswerLost, point{path: "GITHUB_STATE", entry: n + 1, part: part}, nil)
		}
		for n := range 5 {
			add(byAgentUser, point{path: "GITHUB_OUTPUT", entry: n + 1, part: part}, nil)
		}
		add(leftAlive, point{path: "GITHUB_STATE", entry: 4, part: part}, []string{"state", "both"})
	}
	add(byAgentUser, point{path: "GITHUB_STEP_SUMMARY", entry: 1, part: 100}, nil)
	for n := range 8 {
		add(byAgentUser, point{after: time.Duration(n) * 5 * time.Millisecond}, nil)
	}
	// Shuffled, in the same order each time, since neighbours wait equally long.
	rand.New(rand.NewPCG(0, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// killing is a [kill] in progress.
type killing struct {
	kill
	*testing.T
	*emulator.Emulator
	env    map[string]string
	step   *githubrunner.Step
	mint   *exec.Cmd
	log    slowReader
	file   *commandFile // for a point in a command file
	handed string       // the PAT, once it is in the runner's file

	there   chan struct{} // closed when mint is at the point
	arrive  func()        // closes it
	told    chan struct{} // closed when the signal was sent
	release func()        // lets the services continue
}

// start starts a mint that will reach the point.
func (k kill) start(t *testing.T) *killing {
	w := &killing{kill: k, T: t, Emulator: emulator.Start(t), step: harness.NewStep(t), there: make(chan struct{}), told: make(chan struct{})}
	w.arrive = sync.OnceFunc(func() { close(w.there) })
	w.env = w.Env(k.identity)
	w.env["INPUT_TIMEOUT"] = longTimeout
	w.env["RUNNER_DEBUG"] = "1" // for more lines
	if k.path != "" {
		w.file = w.watch()
	}
	if k.change != nil {
		k.change(w.Emulator, w.env)
	}
	w.release = func() {}
	switch {
	case k.connect != "":
		open := make(chan struct{})
		w.release = sync.OnceFunc(func() { close(open) })
		w.Greet(k.connect, func() { w.arrive(); <-open })
	case k.op != "":
		w.release = holdRequest(t, w.Emulator, k.op, k.nth, k.phase, w.arrive)
	}
	t.Cleanup(w.release)

	w.mint = harness.Command(t, w.env, w.step, "azdo-pat", "mint")
	r, stdout := onePacketPipe(t)
	w.mint.Stdout = stdout
	if err := w.mint.Start(); err != nil {
		t.Fatal(err)
	}
	stdout.Close()
	go w.log.read(r, func(lines int) {
		if lines != k.line {
			return
		}
		w.arrive()
		<-w.told
		if k.neverRead {
			<-t.Context().Done()
		}
	})
	if k.anyMoment() {
		time.AfterFunc(k.after, w.arrive)
	}
	return w
}

// holdRequest holds the nth request of an operation when it is in a phase, and calls
// arrive then. release lets it go on, and returns when the service has carried it out.
func holdRequest(t *testing.T, e *emulator.Emulator, op string, nth int, phase string, arrive func()) (release func()) {
	gate, carriedOut := emulator.NewGate(), make(chan struct{})
	hold := map[string]emulator.Fault{arrived: gate.Before, committed: gate.After, halfway: gate.Half, answered: gate.Sent}[phase]
	e.Intercept(op, emulator.After(nth-1, emulator.Times(1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		defer close(carriedOut)
		hold(w, r, next)
	})))
	go func() {
		select {
		case <-gate.Arrived():
			arrive()
		case <-t.Context().Done():
		}
	}()
	return func() {
		gate.Open()
		select {
		case <-gate.Arrived():
			<-carriedOut
		default: // there was no such request
		}
	}
}

// The program waits at most this long for what a request that it has sent may still
// create. Longer is only waited for if there is something to find.
const (
	shortTimeout = "8s"
	longTimeout  = "1m"
)

// end ends the mint at the point, checks what it leaves, and reports whether it
// reached the point. It counts whether a mint that can clean up stopped in time.
func (w *killing) end(stopped *stops) (came bool) {
	gone := make(chan struct{})
	go func() { w.mint.Wait(); close(gone) }()
	select {
	case <-w.there:
		came = true
	case <-gone:
		// It can be faster than the test.
		came = w.file != nil && w.file.complete()
		if !came && !w.anyMoment() {
			w.Logf("it never reached the point: %s\n%s", w.mint.ProcessState, w.log.String())
		}
	}
	begin := time.Now()
	w.mint.Process.Signal(w.signal)
	close(w.told)
	<-gone
	took := time.Since(begin)
	if took > harness.StopLimit {
		w.Errorf("it took %s to stop", took)
	}
	if w.file != nil {
		w.file.settle()
	}
	outputs, err := w.step.Outputs()
	if err != nil && !w.torn() {
		w.Error(err)
	}
	w.handed = outputs["token"]
	unanswered := w.op == emulator.OpRevoke && w.phase == arrived
	if w.signal != syscall.SIGKILL && !unanswered {
		if came {
			stopped.count(w.searches(), took)
		}
		if took < harness.CleanUpLimit {
			w.checkLeftovers("mint", w.log.String(), w.handed)
		}
	}
	return came
}

// post runs the post step and checks what it leaves.
func (w *killing) post() {
	w.ClearFaults()
	w.release() // the post step must revoke what the server commits only now
	state, err := w.step.State()
	if err != nil && !w.torn() {
		w.Error(err)
	}
	text, all, err := runPost(w.T, w.Emulator, w.env, state, w.with)
	if err != nil {
		w.Errorf("post: %v\n%s", err, text)
	}
	// Without a record and without inputs it can only complain.
	if (len(state) > 0 || w.with != "state") && (strings.Contains(text, "::warning") || strings.Contains(text, "::error")) {
		w.Errorf("post complains:\n%s", text)
	}
	alive := ""
	if w.name == leftAlive.name {
		alive = w.handed
	}
	w.checkLeftovers("post", w.log.String()+all, alive)
	for _, v := range w.Violations() {
		w.Error(v)
	}
}

// runPost runs the post step of a mint whose time limit was [longTimeout]. text is what the
// last attempt said, and all is what every attempt said.
func runPost(t *testing.T, e *emulator.Emulator, env, state map[string]string, with string) (text, all string, err error) {
	t.Helper()
	run := func(timeout string) {
		env, saved := maps.Clone(env), map[string]string{}
		env["INPUT_TIMEOUT"] = timeout
		for key, record := range state {
			saved[key] = strings.Replace(record, `"timeout":"`+longTimeout, `"timeout":"`+timeout, 1)
		}
		post := harness.Command(t, harness.PostEnv(env, saved, with), harness.NewStep(t), "post", "mint")
		err = post.Run()
		text = harness.Output(post)
		all += text
	}
	if len(e.Active()) == 0 {
		run(shortTimeout)
		if !strings.Contains(text, "not done within "+shortTimeout) && !strings.Contains(text, "its time limit has passed") {
			return text, all, err
		}
		// The machine stood still.
	}
	run(longTimeout)
	return text, all, err
}

// checkLeftovers checks that a step leaves no PAT except one, and no credential in
// the log.
func (w *killing) checkLeftovers(step, said, but string) {
	for _, p := range w.Active() {
		if p.Token != but {
			w.Errorf("%s leaves PAT %s of %d:\n%s", step, p.ID, len(w.PATs()), said)
		}
	}
	for _, s := range w.Secrets() {
		if strings.Contains(said, s) {
			w.Errorf("the log of %s holds a credential:\n%s", step, said)
		}
	}
}

// onePacketPipe returns a pipe that holds one write: the next one blocks until the
// first was read.
func onePacketPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	const setSize = 1031 // F_SETPIPE_SZ
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_DIRECT|syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(fds[0]), "packets"), os.NewFile(uintptr(fds[1]), "packets")
	t.Cleanup(func() { r.Close() })
	if _, _, failed := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fds[1]), setSize, uintptr(os.Getpagesize())); failed != 0 {
		t.Fatal(failed)
	}
	return r, w
}

// slowReader reads a log line by line.
type slowReader struct {
	mu   sync.Mutex
	text []byte
}

// read calls each after every line, with the number of lines so far.
func (l *slowReader) read(r *os.File, each func(lines int)) {
	line := make([]byte, 64<<10)
	for lines := 1; ; lines++ {
		n, err := r.Read(line)
		if err != nil {
			return
		}
		l.mu.Lock()
		l.text = append(l.text, line[:n]...)
		l.mu.Unlock()
		each(lines)
	}
}

// String returns the log so far without its masks.
func (l *slowReader) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return harness.WithoutMasks(string(l.text))
}

// commandFile is a command file of the runner whose writes the test notices at once.
type commandFile struct {
	*killing
	name  string
	watch *os.File // has something to read after a write
	done  chan struct{}

	mu   sync.Mutex
	text []byte
}

func (w *killing) watch() *commandFile {
	name := w.step.Env()[w.path]
	fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := syscall.InotifyAddWatch(fd, name, syscall.IN_MODIFY); err != nil {
		w.Fatal(err)
	}
	c := &commandFile{killing: w, name: name, watch: os.NewFile(uintptr(fd), "inotify"), done: make(chan struct{})}
	w.Cleanup(func() { c.watch.Close() })
	go func() {
		defer close(c.done)
		events := make([]byte, 64<<10)
		for {
			if _, err := c.watch.Read(events); err != nil {
				return
			}
			c.complete()
		}
	}()
	if w.torn() {
		// The program must not get further than the entry, however fast it is.
		w.Intercept(emulator.Anything, func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
			if c.complete() {
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(rw, r)
		})
	}
	return c
}

// complete reads the file and reports whether it has the entry of the point.
func (c *commandFile) complete() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, err := os.ReadFile(c.name)
	if err != nil {
		return false // it is not there any more
	}
	c.text = text
	if len(c.ends()) < c.entry {
		return false
	}
	c.arrive()
	return true
}

// ends returns the offsets in the text at which its entries end.
func (c *commandFile) ends() (ends []int) {
	if c.path == "GITHUB_STEP_SUMMARY" {
		return []int{len(c.text)}
	}
	at := 0
	for line := range bytes.Lines(c.text) {
		if at += len(line); string(line) == fileDelimiter+"\n" {
			ends = append(ends, at)
		}
	}
	return ends
}

// fileDelimiter is the line that ends an entry.
const fileDelimiter = "_GitHubActionsFileCommandDelimeter_"

// settle cuts the file to what the program would have left.
func (c *commandFile) settle() {
	c.complete()
	c.watch.SetReadDeadline(time.Unix(1, 0))
	<-c.done
	text := c.text
	if ends := c.ends(); c.torn() && len(ends) >= c.entry {
		from, to := 0, ends[c.entry-1]
		if c.entry > 1 {
			from = ends[c.entry-2]
		}
		text = text[:from+(to-from)*c.part/100]
	}
	if err := os.WriteFile(c.name, text, 0o600); err != nil {
		c.Fatal(err)
	}
}
