package acceptance

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// Servers that lie, stall or never end: in bounded time and memory there is an
// error that names the host and what was being done, nothing is sent to anybody
// else, and where a PAT was made all the same the post step ends it.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	for _, at := range targets {
		for _, l := range hostileAnswers {
			if l.validRevocation && at.op == emulator.OpRevoke {
				continue // for a revocation that is no lie
			}
			t.Run(at.step+", "+l.name, func(t *testing.T) {
				t.Parallel()
				at.check(t, l)
			})
		}
	}
}

// place is a request that is answered with a lie.
type target struct {
	op   string
	host emulator.Service
	step string // how errors call it
}

var targets = []target{
	{emulator.OpGitHubOIDC, emulator.GitHub, "ask GitHub for an assertion"},
	{emulator.OpTenant, emulator.AzureDevOps, "ask the organization for its tenant"},
	{emulator.OpT1, emulator.Entra, "get a token of the agent identity blueprint"},
	{emulator.OpCreate, emulator.AzureDevOps, "create PAT in contoso"},
	{emulator.OpList, emulator.AzureDevOps, "list PATs in contoso"},
	{emulator.OpRevoke, emulator.AzureDevOps, "revoke PAT"},
}

// told has a program told a lie. On a machine that is too busy to come to it in
// time it gets more.
func (at target) check(t *testing.T, l hostileAnswer) {
	for timeout := 4 * time.Second; !at.checkWithin(t, l, timeout); timeout *= 3 {
		if timeout > time.Minute {
			t.Fatal("it never came to it")
		}
	}
}

func (at target) checkWithin(t *testing.T, l hostileAnswer, timeout time.Duration) (came bool) {
	var strangers atomic.Int32
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strangers.Add(1) }))
	defer stranger.Close()
	e := emulator.Start(t)
	env := e.Env(emulator.AgentUser)
	env["INPUT_TIMEOUT"] = timeout.String()
	env["INPUT_ON-REVOKE-FAILURE"] = "fail"
	step := harness.NewStep(t)
	fault := l.fault(stranger.URL)
	switch at.op {
	case emulator.OpTenant:
		delete(env, "INPUT_TENANT-ID")
	case emulator.OpCreate:
		if !l.mintsNothing {
			fault = afterCommit(fault) // the worst of it
		}
	case emulator.OpList:
		e.Intercept(emulator.OpCreate, emulator.Times(1, emulator.CommitAndDrop))
	}
	cmd := harness.Command(t, env, step, "azdo-pat", "mint")
	if at.op == emulator.OpRevoke {
		if cmd.Run() != nil {
			return false
		}
		state, err := step.State()
		if err != nil {
			t.Fatal(err)
		}
		cmd = harness.Command(t, harness.PostEnv(env, state, "both"), harness.NewStep(t), "post", "mint")
	}
	e.Intercept(at.op, fault)

	begin := time.Now()
	var err error
	if l.measureMemory {
		var peak int
		if peak, err = harness.RunMeasured(t, cmd); peak > 50<<10 {
			t.Errorf("it took %d MiB of memory", peak>>10)
		}
	} else {
		err = cmd.Run()
	}
	took := time.Since(begin)
	e.ClearFaults()
	if len(e.Requests(at.op)) == 0 {
		return false
	}
	if n := strangers.Load(); n > 0 {
		t.Errorf("%d requests went to a stranger", n)
	}
	if strings.Contains(harness.Output(cmd), "its time limit has passed") {
		return false // it did not come to say so itself
	}
	if took > timeout+9*time.Second {
		t.Errorf("it took %s", took)
	}
	if status, err := harness.ExitStatus(err); err != nil || status != 1 {
		t.Errorf("it ended with %d, %v:\n%s", status, err, harness.Output(cmd))
	}
	var complaint strings.Builder
	for line := range strings.Lines(harness.Output(cmd)) {
		if strings.HasPrefix(line, "::error ") {
			complaint.WriteString(line)
		}
	}
	host := strings.TrimPrefix(e.URL(at.host), "http://")
	if text := complaint.String(); !strings.Contains(text, host) || !strings.Contains(text, at.step) || len(text) > 4000 {
		t.Errorf("%q does not name %s and %q:\n%s", text, host, at.step, harness.Output(cmd))
	}
	if len(e.Active()) == 0 {
		return true
	}
	env["INPUT_TIMEOUT"] = "1m"
	post := harness.Command(t, harness.PostEnv(env, nil, "inputs"), harness.NewStep(t), "post", "mint")
	if err := post.Run(); err != nil || len(e.Active()) > 0 {
		t.Errorf("post: %v, %d of %d PATs left\n%s\n%s", err, len(e.Active()), len(e.PATs()), harness.Output(cmd), harness.Output(post))
	}
	return true
}

// behind lets a request take effect before somebody lies about it.
func afterCommit(l emulator.Fault) emulator.Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(httptest.NewRecorder(), r)
		l(w, r, next)
	}
}

// lie is what a server does instead of answering.
type hostileAnswer struct {
	name  string
	fault func(stranger string) emulator.Fault
	// heavy lies are weighed.
	measureMemory bool
	// settles: to a create it says that no PAT was made.
	mintsNothing bool
	// confirms: to a revocation it is no lie.
	validRevocation bool
}

// tell makes a lie that leads to no stranger.
func fault(f emulator.Fault) func(string) emulator.Fault {
	return func(string) emulator.Fault { return f }
}

// whole makes a lie of an answer that is made when it is needed.
func answer(status int, kind string, body func() string) func(string) emulator.Fault {
	return func(string) emulator.Fault {
		return emulator.Answer(status, http.Header{"Content-Type": {kind}}, body())
	}
}

func text(s string) func() string { return func() string { return s } }

func repeated(before, s string, n int, after string) func() string {
	return func() string { return before + strings.Repeat(s, n) + after }
}

func redirect(status int) func(string) emulator.Fault {
	return func(stranger string) emulator.Fault {
		return emulator.Answer(status, http.Header{"Location": {stranger}}, "")
	}
}

const (
	kindJSON = "application/json"
	ok       = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	busy     = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
	page     = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><h1>Welcome</h1></body></html>\n"
)

var hostileAnswers = []hostileAnswer{
	{name: "a string without an end", fault: fault(endless(ok+"\r\n"+`{"value":"`, "a")), measureMemory: true},
	{name: "keys without an end", fault: fault(endless(ok+"\r\n{", `"a":0,`)), measureMemory: true},
	{name: "trailers without an end", fault: fault(endless(ok+"Transfer-Encoding: chunked\r\n\r\n0\r\n", "X-A: b\r\n"))},
	{name: "a header without an end", fault: fault(endless(ok+"X-A: ", "a")), measureMemory: true},
	{name: "interim answers without an end", fault: fault(endless("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"))},
	{name: "a failure without an end", fault: fault(endless(busy+"\r\n", " "))},

	{name: "a slow body", fault: fault(slowly(ok+"Content-Length: 1000000\r\n\r\n", " "))},
	{name: "a slow header", fault: fault(slowly(ok+"X-A: ", "a"))},
	{name: "slow interim answers", fault: fault(slowly("", "HTTP/1.1 102 Processing\r\n\r\n"))},
	{name: "no answer", fault: fault(silent(""))},
	{name: "half an answer", fault: fault(silent(ok + "Content-Length: 1000\r\n\r\n{"))},

	{name: "half-closed", fault: fault(halfClosed(""))},
	{name: "half-closed in the body", fault: fault(halfClosed(ok + "Content-Length: 1000\r\n\r\n{"))},
	{name: "reset", fault: fault(raw(func(c *net.TCPConn) { c.SetLinger(0) }))},
	{name: "another protocol", fault: fault(silent("SSH-2.0-OpenSSH_9.9\r\n"))},
	{name: "leaving HTTP", fault: fault(silent("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"))},

	{name: "a page", fault: answer(200, "text/html", text(page))},
	{name: "a page that calls itself JSON", fault: answer(200, kindJSON, text(page))},
	{name: "a page for those who are not signed in", fault: answer(203, "text/html", text(page)), mintsNothing: true},
	{name: "a picture", fault: answer(200, "image/png", text("\x89PNG\r\n\x1a\n"))},
	{name: "nothing", fault: answer(200, kindJSON, text("")), validRevocation: true},
	{name: "JSON of other types", fault: answer(200, kindJSON, text(`{"value":[],"access_token":{},"patToken":[],"patTokens":{},"patTokenError":{}}`))},
	{name: "a million keys", fault: answer(200, kindJSON, func() string { return manyKeys(1_000_000) }), measureMemory: true},
	{name: "the same key, as often as there is room", fault: answer(200, kindJSON, repeated("{", `"":0,`, 838_000, `"":0}`)), measureMemory: true},
	{name: "deep inside", fault: answer(200, kindJSON, repeated("", "[", 4_000_000, "")), measureMemory: true},
	{name: "a list of nothing", fault: answer(400, kindJSON, repeated(`{"error":[`, "0,", 500_000, "0]}")), measureMemory: true, mintsNothing: true},
	{name: "a million PATs", fault: answer(200, kindJSON, repeated(`{"patTokens":[`, "{},", 1_300_000, "{}]}")), measureMemory: true},
	{name: "a PAT for a million organizations", fault: answer(200, kindJSON, repeated(`{"continuationToken":"round","patTokens":[{"targetAccounts":[`, `"",`, 1_380_000, `""]}]}`)), measureMemory: true},
	{name: "a long token", fault: answer(200, kindJSON, func() string { return longToken(900_000) }), measureMemory: true},
	{name: "a bomb", fault: func(string) emulator.Fault {
		return emulator.Answer(200, http.Header{"Content-Type": {kindJSON}, "Content-Encoding": {"gzip"}}, zipBomb())
	}, measureMemory: true},

	{name: "302", fault: redirect(302), mintsNothing: true},
	{name: "307", fault: redirect(307), mintsNothing: true},
	{name: "308", fault: redirect(308), mintsNothing: true},
	{name: "a circle", fault: fault(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.Header().Set("Location", r.URL.String())
		w.WriteHeader(http.StatusTemporaryRedirect)
	}), mintsNothing: true},
	{name: "a page that leads elsewhere", fault: func(stranger string) emulator.Fault {
		return emulator.Answer(200, http.Header{"Refresh": {"0;url=" + stranger}, "Content-Location": {stranger}, "Alt-Svc": {`h2="` + strings.TrimPrefix(stranger, "http://") + `"`}, "Content-Type": {"text/html"}}, page)
	}},
	{name: "another who gives tokens", fault: func(stranger string) emulator.Fault {
		return emulator.Answer(401, http.Header{"Www-Authenticate": {`Bearer authorization_uri=` + stranger + `/common, realm="` + stranger + `"`, "Negotiate", "NTLM"}}, "")
	}, mintsNothing: true},
	{name: "a proxy that wants credentials", fault: func(string) emulator.Fault {
		return emulator.Answer(407, http.Header{"Proxy-Authenticate": {`Basic realm="proxy"`}}, "")
	}, mintsNothing: true},
	{name: "come again in an hour", fault: func(string) emulator.Fault {
		return emulator.Answer(503, http.Header{"Retry-After": {"3600"}}, "")
	}},
	{name: "come again, and again", fault: func(string) emulator.Fault {
		return emulator.Answer(503, http.Header{"Retry-After": {"1"}}, "")
	}},
}

// raw is a lie below HTTP.
func raw(f func(*net.TCPConn)) emulator.Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		f(conn.(*net.TCPConn))
	}
}

// endless writes a beginning and then the same for as long as somebody reads.
func endless(begin, more string) emulator.Fault {
	chunk := []byte(strings.Repeat(more, 1+(16<<10)/len(more)))
	return raw(func(c *net.TCPConn) {
		_, err := c.Write([]byte(begin))
		for err == nil {
			_, err = c.Write(chunk)
		}
	})
}

// slowly writes a beginning and then a byte at a time.
func slowly(begin, more string) emulator.Fault {
	return raw(func(c *net.TCPConn) {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		_, err := c.Write([]byte(begin))
		for i := 0; err == nil; i++ {
			<-tick.C
			_, err = c.Write([]byte{more[i%len(more)]})
		}
	})
}

// silent writes a beginning and then waits for the client to go.
func silent(begin string) emulator.Fault {
	return raw(func(c *net.TCPConn) { c.Write([]byte(begin)); waitForClose(c) })
}

// closed writes a beginning and closes its half of the connection.
func halfClosed(begin string) emulator.Fault {
	return raw(func(c *net.TCPConn) { c.Write([]byte(begin)); c.CloseWrite(); waitForClose(c) })
}

func waitForClose(c net.Conn) {
	for b := make([]byte, 1024); ; {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%x":0,`, i)
	}
	return "{" + b.String() + `"z":0}`
}

// longToken is an answer to whatever was asked for, with a credential of n
// characters in it.
func longToken(n int) string {
	long := strings.Repeat("A", n)
	return `{"value":"` + long + `","access_token":"` + long + `","patToken":{"token":"` + long + `"},"patTokens":"` + long + `","patTokenError":"` + long + `"}`
}

// bomb is a megabyte of nothing 64 times over, packed.
var zipBomb = sync.OnceValue(func() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for range 64 {
		z.Write(make([]byte, 1<<20))
	}
	z.Close()
	return b.String()
})

// A server that speaks without being asked, on a connection that nobody uses yet:
// net/http would log that, on a stream from which the runner reads commands.
func TestUnsolicitedAnswer(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	entra, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer entra.Close()
	heard := make(chan struct{})
	hear := sync.OnceFunc(func() { close(heard) })
	go func() {
		for {
			conn, err := entra.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				fmt.Fprint(conn, "##[error]evil ##vso[task.setvariable variable=evil]1\r\n::error::evil\r\n")
				waitForClose(conn) // net/http hangs up
				hear()
			}()
		}
	}()
	// GitHub answers when that has been heard.
	e.Intercept(emulator.OpGitHubOIDC, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		<-heard
		next.ServeHTTP(w, r)
	})
	env := e.Env(emulator.AgentUser)
	env["INPUT_AUTHORITY-HOST"] = "http://" + entra.Addr().String()
	env["INPUT_TIMEOUT"] = "1s"
	cmd := harness.Command(t, env, harness.NewStep(t), "azdo-pat", "mint")
	if status, err := harness.ExitStatus(cmd.Run()); err != nil || status != 1 {
		t.Errorf("it ended with %d, %v", status, err)
	}
	if text := cmd.Stderr.(*strings.Builder).String(); text != "" {
		t.Errorf("standard error has %q", text)
	}
	if text := cmd.Stdout.(*strings.Builder).String(); strings.Contains(text, "##[error]") || strings.Contains(text, "##vso") || strings.Contains(text, "\n::error::evil") {
		t.Errorf("standard output has %q", text)
	}
}
