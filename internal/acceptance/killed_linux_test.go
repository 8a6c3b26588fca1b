package acceptance

import (
	"bytes"
	"fmt"
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

// Whatever ends a mint, and wherever: the post step leaves nothing behind, with
// the saved state alone, with inputs and environment alone, and with both. Told
// to stop, mint itself leaves nothing that it has not handed over, and is gone
// within 5 seconds. (Promises 1, 2 and 6.)
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	all, every := kills(), 1
	switch {
	case testing.Short():
		every = 10
	case harness.RaceDetector: // it is the tests that are slow then, not the program
		every = 4
	}
	var ended, made, handed atomic.Int32
	t.Run("mint", func(t *testing.T) {
		for i, k := range all {
			if i%every != 0 {
				continue
			}
			t.Run(k.String(), func(t *testing.T) {
				t.Parallel()
				w := k.start(t)
				if w.end() {
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
	// On a slow machine one or the other ends before it comes to its point.
	if n := int(ended.Load()); n*every < 500 {
		t.Errorf("only %d mints were ended, by each %d. of %d ways", n, every, len(all))
	}
	t.Logf("%d mints were ended: %d had made a PAT, %d had handed one over", ended.Load(), made.Load(), handed.Load())
}

// walk is a way that a mint takes.
type route struct {
	name     string
	identity emulator.Identity
	change   func(e *emulator.Emulator, env map[string]string)
}

var (
	byAgentUser    = route{"agent user", emulator.AgentUser, nil}
	byRefreshToken = route{"refresh token", emulator.RefreshToken, nil}
	byPassword     = route{"password", emulator.Password, nil}
	byAccessToken  = route{"access token", emulator.AccessToken, nil}
	inSomeTenant   = route{"tenant unknown", emulator.AgentUser, func(_ *emulator.Emulator, env map[string]string) {
		delete(env, "INPUT_TENANT-ID")
	}}
	leftAlive = route{"skip-revoke", emulator.AgentUser, func(_ *emulator.Emulator, env map[string]string) {
		env["INPUT_SKIP-REVOKE"] = "true"
	}}
	// The first create is not answered; what it has made is found and revoked.
	withAnswerLost = route{"answer lost", emulator.AccessToken, func(e *emulator.Emulator, _ map[string]string) {
		e.Intercept(emulator.OpCreate, emulator.Times(1, emulator.CommitAndDrop))
	}}
	// What is wider than asked for is revoked.
	grantedMore = route{"granted more", emulator.AccessToken, func(e *emulator.Emulator, _ map[string]string) {
		e.Intercept(emulator.OpCreate, emulator.RewritePAT(func(pat map[string]any) { pat["scope"] = "vso.code vso.work" }))
	}}
)

// kill is one mint: its walk, where on it and by which signal it is ended, and
// what the post step then has.
type kill struct {
	route
	point
	signal syscall.Signal
	with   string // state, inputs, both
}

func (k kill) String() string {
	return fmt.Sprintf("%s, %s, %s, post with %s", k.name, k.point, k.signal, k.with)
}

// point is where a mint is ended, in one of five ways to say it.
type point struct {
	connect emulator.Service // a service is connected to and nothing of it read

	op    string // a request …
	nth   int    // … the first or a later one …
	phase string // … has come so far

	line      int  // so many lines are out, and the next one has to wait
	neverRead bool // nobody reads it afterwards either

	path  string // a command file …
	entry int    // … has so many entries …
	part  int    // … the last of them only to so many per cent

	after time.Duration // any moment
}

func (p point) String() string {
	switch {
	case p.connect != "":
		return "connected to " + string(p.connect)
	case p.op != "":
		return fmt.Sprintf("%s %d %s", p.op, p.nth, p.phase)
	case p.neverRead:
		return fmt.Sprintf("line %d, and nobody reads on", p.line)
	case p.line > 0:
		return fmt.Sprintf("line %d", p.line)
	case p.path != "":
		return fmt.Sprintf("%d%% of entry %d of %s", p.part, p.entry, p.path)
	}
	return fmt.Sprintf("after %s", p.after)
}

// any reports whether the point is any moment.
func (p point) anyMoment() bool { return p == point{after: p.after} }

// torn reports whether a write is cut off, so that nothing comes after it.
func (p point) torn() bool { return p.path != "" && p.part < 100 }

// How far a request has come.
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

// kills are all of them.
func kills() (all []kill) {
	turn := 0
	// one mode of the post step, another one each time
	one := func() []string { turn++; return modes[turn%3:][:1] }
	add := func(w route, p point, with []string) {
		for _, s := range signals {
			modes := with
			if modes == nil {
				modes = one()
			}
			for _, mode := range modes {
				if s == syscall.SIGKILL && p.neverRead || s != syscall.SIGKILL && p.torn() {
					continue // it makes no difference; it cannot be
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
	// Before anything can have been minted one kind of post step is enough.
	for _, op := range []string{emulator.OpGitHubOIDC, emulator.OpT1, emulator.OpT2, emulator.OpUserFIC} {
		request(byAgentUser, op, 1, nil)
	}
	request(byAgentUser, emulator.OpCreate, 1, modes)
	request(byRefreshToken, emulator.OpRefreshToken, 1, nil)
	request(byRefreshToken, emulator.OpCreate, 1, nil)
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
	for n := range 17 { // the last one but one: who writes the last one is done
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
		for n := range 5 { // the first two are as above
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
	// In any order, the same each time: those that wait long stand together.
	rand.New(rand.NewPCG(0, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// killing is a kill under way.
type killing struct {
	kill
	*testing.T
	*emulator.Emulator
	env    map[string]string
	step   *githubrunner.Step
	mint   *exec.Cmd
	log    slowReader
	file   *commandFile // where the point is in one
	handed string       // the PAT, once it is in the runner's file

	there   chan struct{} // closed when mint is at the point
	arrive  func()        // closes it
	told    chan struct{} // closed when the signal was sent
	release func()        // lets the services go on
}

// start starts a mint that will come to the point.
func (k kill) start(t *testing.T) *killing {
	w := &killing{kill: k, T: t, Emulator: emulator.Start(t), step: harness.NewStep(t), there: make(chan struct{}), told: make(chan struct{})}
	w.arrive = sync.OnceFunc(func() { close(w.there) })
	w.env = w.Env(k.identity)
	w.env["INPUT_TIMEOUT"] = "5s" // the post step need not wait longer for what never comes
	w.env["RUNNER_DEBUG"] = "1"   // for more lines
	if k.path != "" {
		w.file = w.watch()
	}
	if k.change != nil {
		k.change(w.Emulator, w.env)
	}
	gate := emulator.NewGate()
	w.release = gate.Open
	switch {
	case k.connect != "":
		open := make(chan struct{})
		w.release = sync.OnceFunc(func() { close(open) })
		w.Greet(k.connect, func() { w.arrive(); <-open })
	case k.op != "":
		hold := map[string]emulator.Fault{arrived: gate.Before, committed: gate.After, halfway: gate.Half, answered: gate.Sent}[k.phase]
		w.Intercept(k.op, emulator.After(k.nth-1, emulator.Times(1, hold)))
		go func() {
			select {
			case <-gate.Arrived():
				w.arrive()
			case <-t.Context().Done():
			}
		}()
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

// end ends the mint at the point, looks at what it has left, and reports whether
// it ever came there.
func (w *killing) end() (came bool) {
	gone := make(chan struct{})
	go func() { w.mint.Wait(); close(gone) }()
	select {
	case <-w.there:
		came = true
	case <-gone:
		// It can be faster than who looks.
		came = w.file != nil && w.file.complete()
		if !came && !w.anyMoment() {
			w.Logf("it never came there: %s\n%s", w.mint.ProcessState, w.log.String())
		}
	}
	begin := time.Now()
	w.mint.Process.Signal(w.signal)
	close(w.told)
	<-gone
	// It ends itself after 4.9 seconds; the rest is for a slow machine.
	if took := time.Since(begin); took > 8*time.Second {
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
	if unanswered := w.op == emulator.OpRevoke && w.phase == arrived; w.signal != syscall.SIGKILL && !unanswered {
		w.checkLeftovers("mint", w.log.String(), w.handed)
	}
	return came
}

// post runs the post step and looks at what that leaves.
func (w *killing) post() {
	w.ClearFaults()
	w.release() // what the server commits only now is the post step's to end
	state, err := w.step.State()
	if err != nil && !w.torn() {
		w.Error(err)
	}
	post := harness.Command(w.T, harness.PostEnv(w.env, state, w.with), harness.NewStep(w.T), "post", "mint")
	if err := post.Run(); err != nil {
		w.Errorf("post: %v\n%s", err, harness.Output(post))
	}
	// Before anything is on record there is nothing to go by.
	if text := harness.Output(post); (len(state) > 0 || w.with != "state") && (strings.Contains(text, "::warning") || strings.Contains(text, "::error")) {
		w.Errorf("post complains:\n%s", text)
	}
	alive := ""
	if w.name == leftAlive.name {
		alive = w.handed
	}
	w.checkLeftovers("post", w.log.String()+harness.Output(post), alive)
	for _, v := range w.Violations() {
		w.Error(v)
	}
}

// leaves checks what a step leaves behind: no PAT but one, and no credential in
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

// packets is a pipe that has room for one write: the next one waits until it was
// read.
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

// read calls each with the number of lines after every one.
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

// String is the log without its masks.
func (l *slowReader) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return harness.WithoutMasks(string(l.text))
}

// commandFile is a command file of the runner of which every write is seen at
// once.
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
		// What would follow the entry must not happen either, however fast the
		// program is.
		w.Intercept(emulator.Anything, func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
			if c.complete() {
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(rw, r)
		})
	}
	return c
}

// complete reads what was written and reports whether the entry of the point is
// among it.
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

// ends are the places in the text where its entries end.
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

// settle makes a file of it, as the program would have left it.
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
