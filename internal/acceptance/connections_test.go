package acceptance

import (
	"fmt"
	"io"
	stdlog "log"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// relay forwards connections to a service, counts them, and can end them.
type relay struct {
	to    string
	conns atomic.Int32
	first chan struct{} // closed when the first one is made and forwarded
	begun func()        // closes it

	mu      sync.Mutex
	open    []*net.TCPConn
	blocked atomic.Bool // forwards nothing
}

// startRelays starts a relay in front of each service. The replacer turns the
// services' URLs into those of the relays.
func startRelays(t *testing.T, e *emulator.Emulator) (map[emulator.Service]*relay, *strings.Replacer) {
	t.Helper()
	all := map[emulator.Service]*relay{}
	var urls []string
	for _, s := range []emulator.Service{emulator.GitHub, emulator.Entra, emulator.AzureDevOps, emulator.KeyVault} {
		scheme, host, _ := strings.Cut(e.URL(s), "://")
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		w := &relay{to: host, first: make(chan struct{})}
		w.begun = sync.OnceFunc(func() { close(w.first) })
		all[s] = w
		urls = append(urls, e.URL(s), scheme+"://"+l.Addr().String())
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				w.conns.Add(1)
				go w.forward(c.(*net.TCPConn))
			}
		}()
	}
	return all, strings.NewReplacer(urls...)
}

func (w *relay) forward(in *net.TCPConn) {
	defer in.Close()
	if w.blocked.Load() {
		w.begun()
		io.Copy(io.Discard, in)
		return
	}
	out, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer out.Close()
	w.mu.Lock()
	w.open = append(w.open, in)
	w.mu.Unlock()
	w.begun()
	go func() {
		io.Copy(in, out)
		in.CloseWrite()
	}()
	io.Copy(out, in)
}

// hangUp ends the connections as a server does with idle ones, and returns when the
// client has noticed.
func (w *relay) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		c.CloseWrite()
		io.Copy(io.Discard, c) // forward reads too; both end when the client closes
	}
}

// withURLs returns an environment with the URLs of the relays.
func withURLs(env map[string]string, urls *strings.Replacer) map[string]string {
	env = maps.Clone(env)
	for name, value := range env {
		env[name] = urls.Replace(value)
	}
	return env
}

func startBehindRelays(t *testing.T, o emulator.Options) (*emulator.Emulator, map[emulator.Service]*relay, *strings.Replacer) {
	t.Helper()
	o.ErrorLog = stdlog.New(io.Discard, "", 0)
	e := emulator.StartWith(t, o)
	all, urls := startRelays(t, e)
	return e, all, urls
}

// The program connects to Entra, Azure DevOps and the vault while it requests the
// assertion from GitHub, once to each, and sends no request that it does not need. So a
// mint takes one handshake, of two round trips, and one round trip for each request. An
// Entra token is not sent to Azure DevOps, so that nothing connects to it.
func TestConnections(t *testing.T) {
	t.Parallel()
	exchange := map[emulator.Identity][]string{
		emulator.AgentUser:    {emulator.OpT1, emulator.OpT2, emulator.OpUserFIC},
		emulator.RefreshToken: {emulator.OpRefreshToken},
		emulator.VaultToken:   {emulator.OpClientCredentials, emulator.OpGetSecret, emulator.OpRefreshToken},
		emulator.Password:     {emulator.OpPassword},
		emulator.AccessToken:  {},

		emulator.ServicePrincipal: {emulator.OpClientCredentials},
	}
	for identity, legs := range exchange {
		for _, tls := range []bool{false, true} {
			for _, tenant := range []bool{true, false} {
				name := string(identity)
				if tls {
					name += ", TLS"
				}
				if !tenant {
					name += ", tenant not known"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					for attempt := 1; ; attempt++ {
						tooMany := connections(t, identity, legs, tls, tenant)
						if tooMany == "" {
							break
						}
						// net/http does not reuse a connection if the goroutine that wrote the
						// request reports its end more than 50 ms after the answer.
						t.Log(tooMany)
						if attempt == 3 {
							t.Fatal("each attempt made too many connections")
						}
					}
				})
			}
		}
	}
}

// connections mints and checks the requests and connections. The result is not empty if
// it made more connections than are needed.
func connections(t *testing.T, identity emulator.Identity, legs []string, tls, tenant bool) (tooMany string) {
	t.Helper()
	e, ways, urls := startBehindRelays(t, emulator.Options{TLS: tls})
	env := withURLs(e.Env(identity), urls)
	if !tenant {
		delete(env, "INPUT_TENANT-ID")
	}
	exchanges := identity != emulator.AccessToken
	toAzureDevOps := identity != emulator.ServicePrincipal || !tenant
	vault := identity == emulator.VaultToken
	check := func(step string, ops ...string) {
		t.Helper()
		var want []string
		if exchanges {
			want = append(want, emulator.OpGitHubOIDC)
			if !tenant && step == "mint" { // post knows it from mint
				want = append(want, emulator.OpTenant)
			}
		}
		want = append(append(want, legs...), ops...)
		var got []string
		for _, q := range e.Requests() {
			got = append(got, q.Op)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s asked %v, want %v", step, got, want)
		}
		for s, w := range ways {
			expected := 1
			unused := s == emulator.AzureDevOps && !toAzureDevOps || s == emulator.KeyVault && !vault
			if !exchanges && s != emulator.AzureDevOps || unused {
				expected = 0
			}
			made, arrived := int(w.conns.Load()), e.Connections(s)
			if made > expected && expected > 0 {
				tooMany += fmt.Sprintf("%s made %d connections to the relay of %s, and %d arrived\n", step, made, s, arrived)
			} else if made != expected || arrived != expected {
				t.Errorf("%s made %d connections to the relay of %s, and %d arrived, want %d", step, made, s, arrived, expected)
			}
		}
	}

	gate := emulator.NewGate()
	defer gate.Open()
	e.Intercept(emulator.OpGitHubOIDC, gate.Before)
	step := harness.NewStep(t)
	mint := harness.Command(t, env, step, "azdo-pat", "mint")
	if err := mint.Start(); err != nil {
		t.Fatal(err)
	}
	if exchanges {
		waitFor(t, "the request to GitHub", gate.Arrived())
		waitFor(t, "the connection to Entra", ways[emulator.Entra].first)
		if toAzureDevOps {
			waitFor(t, "the connection to Azure DevOps", ways[emulator.AzureDevOps].first)
		}
		if vault {
			waitFor(t, "the connection to the vault", ways[emulator.KeyVault].first)
		}
		gate.Open()
	}
	if err := mint.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, harness.Output(mint))
	}
	if identity == emulator.ServicePrincipal {
		check("mint")
	} else {
		check("mint", emulator.OpCreate)
	}
	return tooMany
}

// A connection that Azure DevOps closes while the program talks to Entra is replaced,
// and the program does not search for a PAT that the create request may have made.
func TestConnectionIsClosedBeforeItsUse(t *testing.T) {
	t.Parallel()
	for _, tls := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "TLS"}[tls], func(t *testing.T) {
			t.Parallel()
			e, ways, urls := startBehindRelays(t, emulator.Options{TLS: tls})
			gate := emulator.NewGate()
			defer gate.Open()
			e.Intercept(emulator.OpUserFIC, gate.Before)
			step := harness.NewStep(t)
			mint := harness.Command(t, withURLs(e.Env(emulator.AgentUser), urls), step, "azdo-pat", "mint")
			if err := mint.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the last request to Entra", gate.Arrived())
			waitFor(t, "the connection to Azure DevOps", ways[emulator.AzureDevOps].first)
			ways[emulator.AzureDevOps].hangUp()
			gate.Open()
			if err := mint.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, harness.Output(mint))
			}
			if n := ways[emulator.AzureDevOps].conns.Load(); n != 2 {
				t.Errorf("%d connections to Azure DevOps", n)
			}
			if lists, creates := len(e.Requests(emulator.OpList)), len(e.Requests(emulator.OpCreate)); lists != 0 || creates != 1 || len(e.Active()) != 1 {
				t.Errorf("%d lists, %d creates, %d PATs\n%s", lists, creates, len(e.Active()), harness.Output(mint))
			}
		})
	}
}

// The program opens no connection that it will not use: with wrong settings, without
// an assertion, or without a place for the outputs.
func TestNoUnneededConnection(t *testing.T) {
	t.Parallel()
	e, ways, urls := startBehindRelays(t, emulator.Options{})
	for name, change := range map[string]map[string]string{
		"wrong settings":      {"INPUT_LIFETIME": "1s"},
		"no token file":       {"INPUT_FEDERATED-TOKEN-FILE": filepath.Join(t.TempDir(), "missing")},
		"no file for outputs": {"GITHUB_OUTPUT": ""},
	} {
		env := withURLs(e.Env(emulator.AgentUser), urls)
		step := harness.NewStep(t)
		cmd := harness.Command(t, env, step, "azdo-pat", "mint")
		for name, value := range change {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		if cmd.Run() == nil {
			t.Errorf("%s: it minted", name)
		}
		for s, w := range ways {
			if n := w.conns.Load(); n != 0 {
				t.Errorf("%s: %d connections to %s", name, n, s)
			}
		}
	}
}

// With an assertion from a file, Entra gets the first request at once, and the
// connection to Azure DevOps is made meanwhile.
func TestConnectionsWithATokenFile(t *testing.T) {
	t.Parallel()
	e, ways, urls := startBehindRelays(t, emulator.Options{TLS: true})
	gate := emulator.NewGate()
	defer gate.Open()
	e.Intercept(emulator.OpRefreshToken, gate.Before)
	file := filepath.Join(t.TempDir(), "token.jwt")
	if err := os.WriteFile(file, []byte(e.Assertion()), 0o600); err != nil {
		t.Fatal(err)
	}
	env := withURLs(e.Env(emulator.RefreshToken), urls)
	env["INPUT_FEDERATED-TOKEN-FILE"] = file
	mint := harness.Command(t, env, harness.NewStep(t), "azdo-pat", "mint")
	if err := mint.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the request to Entra", gate.Arrived())
	waitFor(t, "the connection to Azure DevOps", ways[emulator.AzureDevOps].first)
	gate.Open()
	if err := mint.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, harness.Output(mint))
	}
	for s, want := range map[emulator.Service]int32{emulator.GitHub: 0, emulator.Entra: 1, emulator.AzureDevOps: 1} {
		if n := ways[s].conns.Load(); n != want {
			t.Errorf("%d connections to %s, want %d", n, s, want)
		}
	}
}

// A signal stops a mint whose connections are all stalled.
func TestStoppedWhileConnecting(t *testing.T) {
	t.Parallel()
	e, ways, urls := startBehindRelays(t, emulator.Options{TLS: true})
	for _, w := range ways {
		w.blocked.Store(true)
	}
	mint := harness.Command(t, withURLs(e.Env(emulator.AgentUser), urls), harness.NewStep(t), "azdo-pat", "mint")
	if err := mint.Start(); err != nil {
		t.Fatal(err)
	}
	for s, w := range ways {
		if s != emulator.KeyVault {
			waitFor(t, "the connection to "+string(s), w.first)
		}
	}
	told := time.Now()
	if err := mint.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if mint.Wait() == nil {
		t.Error("it minted")
	}
	if took := time.Since(told); took > harness.StopLimit {
		t.Errorf("it took %s to stop\n%s", took, harness.Output(mint))
	}
}
