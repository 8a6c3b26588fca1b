package acceptance

import (
	"bytes"
	"cmp"
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

// Answers that are wrong, stall or never end lead to an error within bounded time and
// memory. The error names the host and the request, nothing is sent to another host,
// and the post step revokes a PAT that was made nevertheless.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	type attack struct {
		target
		hostileAnswer
	}
	var all []attack
	for _, at := range targets {
		for _, l := range hostileAnswers {
			if !l.validRevocation || at.op != emulator.OpRevoke {
				all = append(all, attack{at, l})
			}
		}
	}
	for _, a := range harness.Part(all) {
		t.Run(a.step+", "+a.name, func(t *testing.T) {
			t.Parallel()
			a.check(t, a.hostileAnswer)
		})
	}
}

// target is the request that gets a hostile answer.
type target struct {
	op   string
	host emulator.Service
	step string // its name in errors
	// identity is that of the job; empty: an agent user.
	identity emulator.Identity
}

var targets = []target{
	{op: emulator.OpGitHubOIDC, host: emulator.GitHub, step: "ask GitHub for an assertion"},
	{op: emulator.OpTenant, host: emulator.AzureDevOps, step: "ask the organization for its tenant"},
	{op: emulator.OpT1, host: emulator.Entra, step: "get a token of the agent identity blueprint"},
	{op: emulator.OpCreate, host: emulator.AzureDevOps, step: "create PAT in contoso"},
	{op: emulator.OpList, host: emulator.AzureDevOps, step: "list PATs in contoso"},
	{op: emulator.OpRevoke, host: emulator.AzureDevOps, step: "revoke PAT"},
	{op: emulator.OpGetSecret, host: emulator.KeyVault, step: "read the refresh token in", identity: emulator.VaultToken},
}

// check gives a program a hostile answer. On a machine that is too slow to send the
// request in time, it tries again with a longer time limit.
func (at target) check(t *testing.T, l hostileAnswer) {
	for timeout := 4 * time.Second; !at.checkWithin(t, l, timeout); timeout *= 3 {
		if timeout > time.Minute {
			t.Fatal("the request was never sent and answered in time")
		}
	}
}

func (at target) checkWithin(t *testing.T, l hostileAnswer, timeout time.Duration) (came bool) {
	var others atomic.Int32
	otherHost := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { others.Add(1) }))
	defer otherHost.Close()
	e := emulator.Start(t)
	env := e.Env(cmp.Or(at.identity, emulator.AgentUser))
	env["INPUT_TIMEOUT"] = timeout.String()
	env["INPUT_ON-REVOKE-FAILURE"] = "fail"
	step := harness.NewStep(t)
	fault := l.fault(otherHost.URL)
	switch at.op {
	case emulator.OpTenant:
		delete(env, "INPUT_TENANT-ID")
	case emulator.OpCreate:
		if !l.mintsNothing {
			fault = afterCommit(fault) // the worst case: the PAT exists
		}
	case emulator.OpList:
		e.Intercept(emulator.OpCreate, emulator.Times(1, emulator.CommitAndDrop))
	}
	cmd := harness.Command(t, env, step, "azdo-pat", "mint")
	if at.op == emulator.OpRevoke {
		if cmd.Run() != nil {
			return false
		}
		cmd = harness.PostStep(t, env, step, "both")
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
	if n := others.Load(); n > 0 {
		t.Errorf("%d requests went to another host", n)
	}
	if strings.Contains(harness.Output(cmd), "its time limit has passed") {
		return false // too slow to report the answer
	}
	if took > timeout+harness.StopLimit {
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
	if text := complaint.String(); at.op == emulator.OpTenant && !strings.Contains(text, at.step) && strings.Contains(text, "not done within") {
		return false // too slow for the request to GitHub, which is sent at the same time
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

// A vault that gives a hostile answer to the new refresh token does not make a job fail,
// nor delay it beyond its timeout: the PAT is handed over, and a warning names the day on
// which the stored token expires.
func TestHostileAnswersToARenewal(t *testing.T) {
	t.Parallel()
	for _, l := range hostileAnswers {
		if l.measureMemory { // read by the same function as the answer to a GET
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			for timeout := 12 * time.Second; !l.checkRenewal(t, timeout); timeout *= 3 {
				if timeout > time.Minute {
					t.Fatal("its time limit has always passed")
				}
			}
		})
	}
}

// checkRenewal gives a mint a hostile answer to the new refresh token. The result is false
// on a machine that is too slow for the time limit.
func (l hostileAnswer) checkRenewal(t *testing.T, timeout time.Duration) (inTime bool) {
	t.Helper()
	var others atomic.Int32
	otherHost := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { others.Add(1) }))
	defer otherHost.Close()
	e := emulator.Start(t)
	dueForRenewal(e)
	e.Intercept(emulator.OpSetSecret, l.fault(otherHost.URL))
	env := e.Env(emulator.VaultToken)
	env["INPUT_TIMEOUT"] = timeout.String()
	cmd := harness.Command(t, env, harness.NewStep(t), "azdo-pat", "mint")
	begin := time.Now()
	err := cmd.Run()
	took, text := time.Since(begin), harness.Output(cmd)
	if n := others.Load(); n > 0 {
		t.Errorf("%d requests went to another host", n)
	}
	if took > timeout+harness.StopLimit {
		t.Errorf("it took %s", took)
	}
	if err != nil && (strings.Contains(text, "its time limit has passed") || strings.Contains(text, "not done within ")) {
		t.Logf("%v\n%s", err, text)
		return false
	}
	if err != nil || len(e.Active()) != 1 {
		t.Errorf("%v, %d PATs\n%s", err, len(e.Active()), text)
	}
	if !strings.Contains(text, "::warning title=refresh token not renewed::") || !strings.Contains(text, "the stored one expires on 2") {
		t.Errorf("no warning names the day:\n%s", text)
	}
	return true
}

// dueForRenewal makes the refresh token in the vault 8 days old, and has Entra give a new
// one.
func dueForRenewal(e *emulator.Emulator) {
	now := e.Now(emulator.KeyVault)
	e.Change(func(w *emulator.State) {
		w.RotateRefreshTokens = true
		w.Vault.Secrets[0].Newest().Created = now.Add(-8 * 24 * time.Hour)
	})
}

// afterCommit lets a request take effect before it gets the hostile answer.
func afterCommit(l emulator.Fault) emulator.Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(httptest.NewRecorder(), r)
		l(w, r, next)
	}
}

// hostileAnswer is what a server does instead of a proper answer.
type hostileAnswer struct {
	name  string
	fault func(otherHost string) emulator.Fault
	// measureMemory checks the program's memory too.
	measureMemory bool
	// mintsNothing: it is a clear refusal of a create request.
	mintsNothing bool
	// validRevocation: it is a proper answer to a revocation.
	validRevocation bool
}

// fault makes a hostile answer that names no other host.
func fault(f emulator.Fault) func(string) emulator.Fault {
	return func(string) emulator.Fault { return f }
}

// answer makes a hostile answer whose body is made when it is needed.
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
	return func(otherHost string) emulator.Fault {
		return emulator.Answer(status, http.Header{"Location": {otherHost}}, "")
	}
}

const (
	kindJSON = "application/json"
	ok       = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	busy     = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
	page     = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><h1>Welcome</h1></body></html>\n"
)

var hostileAnswers = []hostileAnswer{
	{name: "an endless string", fault: fault(endless(ok+"\r\n"+`{"value":"`, "a")), measureMemory: true},
	{name: "endless keys", fault: fault(endless(ok+"\r\n{", `"a":0,`)), measureMemory: true},
	{name: "endless trailers", fault: fault(endless(ok+"Transfer-Encoding: chunked\r\n\r\n0\r\n", "X-A: b\r\n"))},
	{name: "an endless header", fault: fault(endless(ok+"X-A: ", "a")), measureMemory: true},
	{name: "endless interim answers", fault: fault(endless("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"))},
	{name: "an endless failure", fault: fault(endless(busy+"\r\n", " "))},

	{name: "a slow body", fault: fault(slowly(ok+"Content-Length: 1000000\r\n\r\n", " "))},
	{name: "a slow header", fault: fault(slowly(ok+"X-A: ", "a"))},
	{name: "slow interim answers", fault: fault(slowly("", "HTTP/1.1 102 Processing\r\n\r\n"))},
	{name: "no answer", fault: fault(silent(""))},
	{name: "half an answer", fault: fault(silent(ok + "Content-Length: 1000\r\n\r\n{"))},

	{name: "half-closed", fault: fault(halfClosed(""))},
	{name: "half-closed in the body", fault: fault(halfClosed(ok + "Content-Length: 1000\r\n\r\n{"))},
	{name: "reset", fault: fault(raw(func(c *net.TCPConn) { c.SetLinger(0) }))},
	{name: "another protocol", fault: fault(silent("SSH-2.0-OpenSSH_9.9\r\n"))},
	{name: "a switch of protocols", fault: fault(silent("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"))},

	{name: "a page", fault: answer(200, "text/html", text(page))},
	{name: "a page that calls itself JSON", fault: answer(200, kindJSON, text(page))},
	{name: "a sign-in page", fault: answer(203, "text/html", text(page)), mintsNothing: true},
	{name: "an image", fault: answer(200, "image/png", text("\x89PNG\r\n\x1a\n"))},
	{name: "an empty body", fault: answer(200, kindJSON, text("")), validRevocation: true},
	{name: "JSON of other types", fault: answer(200, kindJSON, text(`{"value":[],"access_token":{},"patToken":[],"patTokens":{},"patTokenError":{}}`))},
	{name: "a million keys", fault: answer(200, kindJSON, sync.OnceValue(func() string { return manyKeys(1_000_000) })), measureMemory: true},
	{name: "the same key in all of the body", fault: answer(200, kindJSON, repeated("{", `"":0,`, 838_000, `"":0}`)), measureMemory: true},
	{name: "deep nesting", fault: answer(200, kindJSON, repeated("", "[", 4_000_000, "")), measureMemory: true},
	{name: "a long list of zeros", fault: answer(400, kindJSON, repeated(`{"error":[`, "0,", 500_000, "0]}")), measureMemory: true, mintsNothing: true},
	{name: "a million PATs", fault: answer(200, kindJSON, repeated(`{"patTokens":[`, "{},", 1_300_000, "{}]}")), measureMemory: true},
	{name: "a PAT for a million organizations", fault: answer(200, kindJSON, repeated(`{"continuationToken":"round","patTokens":[{"targetAccounts":[`, `"",`, 1_380_000, `""]}]}`)), measureMemory: true},
	{name: "a long token", fault: answer(200, kindJSON, func() string { return longToken(900_000) }), measureMemory: true},
	{name: "a zip bomb", fault: func(string) emulator.Fault {
		return emulator.Answer(200, http.Header{"Content-Type": {kindJSON}, "Content-Encoding": {"gzip"}}, zipBomb())
	}, measureMemory: true},

	{name: "302", fault: redirect(302), mintsNothing: true},
	{name: "307", fault: redirect(307), mintsNothing: true},
	{name: "308", fault: redirect(308), mintsNothing: true},
	{name: "a redirect to itself", fault: fault(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.Header().Set("Location", r.URL.String())
		w.WriteHeader(http.StatusTemporaryRedirect)
	}), mintsNothing: true},
	{name: "a page with a refresh to another host", fault: func(otherHost string) emulator.Fault {
		return emulator.Answer(200, http.Header{"Refresh": {"0;url=" + otherHost}, "Content-Location": {otherHost}, "Alt-Svc": {`h2="` + strings.TrimPrefix(otherHost, "http://") + `"`}, "Content-Type": {"text/html"}}, page)
	}},
	{name: "another token issuer", fault: func(otherHost string) emulator.Fault {
		return emulator.Answer(401, http.Header{"Www-Authenticate": {`Bearer authorization_uri=` + otherHost + `/common, realm="` + otherHost + `"`, "Negotiate", "NTLM"}}, "")
	}, mintsNothing: true},
	{name: "a proxy that requires credentials", fault: func(string) emulator.Fault {
		return emulator.Answer(407, http.Header{"Proxy-Authenticate": {`Basic realm="proxy"`}}, "")
	}, mintsNothing: true},
	{name: "Retry-After of an hour", fault: func(string) emulator.Fault {
		return emulator.Answer(503, http.Header{"Retry-After": {"3600"}}, "")
	}},
	{name: "Retry-After again and again", fault: func(string) emulator.Fault {
		return emulator.Answer(503, http.Header{"Retry-After": {"1"}}, "")
	}},
}

// raw answers on the connection itself.
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

// endless writes begin, and then more again and again until the client closes.
func endless(begin, more string) emulator.Fault {
	chunk := []byte(strings.Repeat(more, 1+(16<<10)/len(more)))
	return raw(func(c *net.TCPConn) {
		_, err := c.Write([]byte(begin))
		for err == nil {
			_, err = c.Write(chunk)
		}
	})
}

// slowly writes begin, and then more a byte at a time.
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

// silent writes begin and waits until the client closes.
func silent(begin string) emulator.Fault {
	return raw(func(c *net.TCPConn) { c.Write([]byte(begin)); waitForClose(c) })
}

// halfClosed writes begin and closes its half of the connection.
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

// longToken is an answer to any request, with a credential of n characters.
func longToken(n int) string {
	long := strings.Repeat("A", n)
	return `{"value":"` + long + `","access_token":"` + long + `","patToken":{"token":"` + long + `"},"patTokens":"` + long + `","patTokenError":"` + long + `"}`
}

// zipBomb is 64 MiB of zeros, compressed.
var zipBomb = sync.OnceValue(func() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for range 64 {
		z.Write(make([]byte, 1<<20))
	}
	z.Close()
	return b.String()
})

// A server sends an answer on an idle connection, without a request. By default
// net/http would log it, on a stream from which the runner reads commands.
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
				waitForClose(conn) // until net/http closes it
				hear()
			}()
		}
	}()
	// GitHub answers after that.
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
