// Package emulator plays, on 127.0.0.1, the services that azdo-pat talks to:
// GitHub's and Azure Pipelines' OIDC endpoints, Entra ID's token endpoint, and
// Azure DevOps with its PAT Lifecycle API, a little REST and a git repository
// over smart HTTP, and an Azure Key Vault; and those that the scripts of its command setup talk to:
// Microsoft Graph, Azure DevOps' member entitlements and service connections,
// and Azure Resource Manager. It is for tests and for the demo and is never
// linked into the shipped binary.
//
// A test needs three lines:
//
//	e := emulator.Start(t)
//	env := e.Env(emulator.AgentUser) // what the runner gives to one job step
//	// … run the program with env, then look at e.Active(), e.Requests() …
//
// It is strict where the real services are strict, and in a few places
// stricter: it verifies signature, issuer, subject, audience and lifetime of
// every assertion, lets no CI assertion be used twice, refuses parameters and
// JSON fields that the protocol does not know, and refuses app-only callers.
//
// The data of the services (tenants, applications, users, organizations and their
// policies) is a [World], which [Emulator.Change] edits at any time. [Emulator.Intercept]
// puts a [Fault] in front of one operation. The clock is [Options.Now];
// [Emulator.Advance] moves it, and [Emulator.Skew] that of one service.
package emulator

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"azdo-pat/internal/fakes/memnet"
)

// A Service is one of the parties, each with a listener of its own.
type Service string

// The services. Azure Pipelines' OIDC endpoint belongs to AzureDevOps.
const (
	GitHub      Service = "github"
	Entra       Service = "entra"
	AzureDevOps Service = "azdo"
	KeyVault    Service = "keyvault"
	Graph       Service = "graph" // Microsoft Graph
	ARM         Service = "arm"   // Azure Resource Manager
)

var services = []Service{GitHub, Entra, AzureDevOps, KeyVault, Graph, ARM}

// Options are the choices made once, at the start. The zero value is plain
// http, the system's clock and the default [World].
type Options struct {
	// Now is the clock of all services, [time.Now] if nil. It is called
	// from several goroutines at once.
	Now func() time.Time
	// TLS serves https (HTTP/1.1 and HTTP/2) with certificates of an own
	// authority, whose PEM file is [Emulator.CAFile].
	TLS bool
	// Network, if not nil, is where the services listen instead of on 127.0.0.1. A
	// test in a synctest bubble needs it.
	Network *memnet.Network
	// Proxy starts an HTTP proxy, [Emulator.ProxyURL], through which a program
	// reaches the services under their real names, such as
	// https://graph.microsoft.com. It implies TLS, the issuer of the GitHub jobs'
	// assertions is GitHub's, and Entra answers the requests for metadata that
	// MSAL makes.
	Proxy bool
	// SDKs answers the additional requests of Microsoft's own SDKs, and accepts
	// what they add to others. azdo-pat needs neither, so both are refused
	// unless this is set.
	SDKs bool
	// Front, if not nil, puts something between a service and its clients,
	// such as a slow network. It gets the address (HOST:PORT) on which the
	// service listens, and returns the address for clients, which URLs and
	// issuers then use. It is called for one service after the other, before
	// anything is served.
	Front func(s Service, address string) (string, error)
	// World, if not nil, edits the default world before anything is served.
	World func(*State)
	// ErrorLog receives what net/http has to say, such as a failed handshake;
	// the standard logger if nil.
	ErrorLog *log.Logger
}

// TB is the part of [testing.TB] that [Start] needs.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// An Emulator is the running services. Its methods may be called from
// several goroutines at once.
type Emulator struct {
	options     Options
	urls        map[Service]string
	servers     []*http.Server
	authority   *authority // nil without TLS
	clock       clock
	gitHubToken string
	proxy       *proxy // nil without [Options.Proxy]

	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	running sync.WaitGroup // requests being served

	mu            sync.Mutex // guards everything below
	closed        bool
	world         *State
	faults        []interception
	requests      []*Request
	violations    []Violation
	opened        map[Service]int
	greetings     map[Service]func()
	presented     map[string]bool // CI assertions seen, by issuer, jti and scope
	secrets       []string
	appTokens     []string // app-only tokens, which the program hands over
	isSecret      map[string]bool
	secretForms   map[int]map[string]bool // as they are and as in a URL, by length
	jobs          map[string]Job          // by request token
	job           Job
	pipelinesJobs map[string]PipelinesJob // by access token
	pipelines     PipelinesJob
	pats          []*PAT
	unreplicated  map[string]int                // reads by which a new object is not found yet, by object id
	flows         map[string]*flow              // sign-ins at the page, by the id in its forms
	codes         map[string]*authorizationCode // by their text
	browsers      map[string]string             // users who are signed in, by cookie
	directory     string                        // temporary, made on first use

	gitOnce sync.Once
	gitErr  error
}

// Start starts an emulator with the default options for the length of a test.
func Start(t TB) *Emulator {
	t.Helper()
	return StartWith(t, Options{})
}

// StartWith is [Start] with options.
func StartWith(t TB, o Options) *Emulator {
	t.Helper()
	e, err := New(o)
	if err != nil {
		t.Fatalf("starting the emulator: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Fatalf("closing the emulator: %v", err)
		}
	})
	return e
}

// New starts the services on free loopback ports. The caller closes it.
func New(o Options) (*Emulator, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.TLS = o.TLS || o.Proxy
	ctx, stop := context.WithCancel(context.Background())
	e := &Emulator{
		options: o, ctx: ctx, stop: stop,
		clock:         clock{read: o.Now, skew: map[Service]time.Duration{}},
		urls:          map[Service]string{},
		opened:        map[Service]int{},
		greetings:     map[Service]func(){},
		presented:     map[string]bool{},
		isSecret:      map[string]bool{},
		secretForms:   map[int]map[string]bool{},
		jobs:          map[string]Job{},
		pipelinesJobs: map[string]PipelinesJob{},
		unreplicated:  map[string]int{},
		flows:         map[string]*flow{},
		codes:         map[string]*authorizationCode{},
		browsers:      map[string]string{},
		gitHubToken:   "ghs_" + random(36),
	}
	listeners, err := e.listen()
	if err == nil && o.Proxy {
		e.proxy, err = e.startProxy()
	}
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.world = e.defaultWorld()
	if o.World != nil {
		o.World(e.world)
	}
	e.keepWorld()
	e.keep(e.gitHubToken)
	e.job = e.StartJob(Job{})
	e.serve(listeners)
	return e, nil
}

// listen opens a port for each service, so that their URLs are known, and makes
// the certificate for where clients reach them.
func (e *Emulator) listen() (_ map[Service]net.Listener, err error) {
	listeners := map[Service]net.Listener{}
	defer func() {
		if err != nil {
			for _, opened := range listeners {
				opened.Close()
			}
		}
	}()
	scheme := "http"
	if e.options.TLS {
		scheme = "https"
	}
	var hosts []string
	for _, s := range services {
		l, err := e.options.listen()
		if err != nil {
			return nil, fmt.Errorf("listening for %s: %w", s, err)
		}
		listeners[s] = l
		address := l.Addr().String()
		if e.options.Front != nil {
			address, err = e.options.Front(s, address)
			if err != nil {
				return nil, fmt.Errorf("the front of %s: %w", s, err)
			}
		}
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("the front of %s: %w", s, err)
		}
		hosts = append(hosts, host)
		e.urls[s] = scheme + "://" + address
	}
	if e.options.TLS {
		e.authority, err = newAuthority(hosts)
		if err != nil {
			return nil, err
		}
	}
	return listeners, nil
}

func (o Options) listen() (net.Listener, error) {
	if o.Network != nil {
		return o.Network.Listen(), nil
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// serve starts the services. From here on only mu protects what it guards.
func (e *Emulator) serve(listeners map[Service]net.Listener) {
	for _, s := range services {
		server := &http.Server{
			Handler:     e.handler(s),
			ErrorLog:    e.options.ErrorLog,
			BaseContext: func(net.Listener) context.Context { return context.WithValue(e.ctx, emulatorKey{}, e) },
			ConnState: func(_ net.Conn, state http.ConnState) {
				if state != http.StateNew {
					return
				}
				e.mu.Lock()
				e.opened[s]++
				greet := e.greetings[s]
				e.mu.Unlock()
				if greet != nil {
					greet()
				}
			},
		}
		e.servers = append(e.servers, server)
		if e.authority != nil {
			server.TLSConfig = e.authority.config()
			go server.ServeTLS(listeners[s], "", "")
		} else {
			go server.Serve(listeners[s])
		}
	}
}

// Close ends the services, with every request that a [Gate] still holds, waits
// for those that a fault of the caller's own holds, and removes what was
// written. Only the first call does anything.
func (e *Emulator) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.stop()
	var errs []error
	if e.proxy != nil {
		errs = append(errs, e.proxy.server.Close())
	}
	for _, s := range e.servers {
		errs = append(errs, s.Close())
	}
	e.running.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.directory != "" {
		errs = append(errs, os.RemoveAll(e.directory))
		e.directory = ""
	}
	return errors.Join(errs...)
}

// enter counts a request in that is about to be served, or says that it is
// too late.
func (e *Emulator) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.running.Add(1)
	}
	return !e.closed
}

// URL is the base of a service, such as "http://127.0.0.1:40123", without a
// trailing slash. For [Entra] it is the setting authority-host, for
// [AzureDevOps] the setting token-service-url.
func (e *Emulator) URL(s Service) string { return e.urls[s] }

// CAFile is a PEM file with the authority that signed the certificates, for
// the setting ca-file; it exists until Close. Without [Options.TLS] it is "".
func (e *Emulator) CAFile() (string, error) {
	if e.authority == nil {
		return "", nil
	}
	dir, err := e.temporary()
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "ca.pem")
	return file, os.WriteFile(file, e.authority.pem, 0o600)
}

// Connections returns how many connections have been opened to a service.
func (e *Emulator) Connections(s Service) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.opened[s]
}

// Greet has f called for every new connection to a service, before anything is
// read from it. Until f returns, no other client reaches the service.
func (e *Emulator) Greet(s Service, f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.greetings[s] = f
}

// Change edits (or reads) what the services know, while no request is looking
// at it. Nothing of the world may be kept beyond f, and f calls no method of
// the emulator.
func (e *Emulator) Change(f func(*State)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(e.world)
	e.keepWorldLocked()
}

// temporary is the emulator's own directory, made on first use.
func (e *Emulator) temporary() (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.directory == "" {
		dir, err := os.MkdirTemp("", "azdo-pat-emulator-")
		if err != nil {
			return "", err
		}
		e.directory = dir
	}
	return e.directory, nil
}

// emulatorKey finds the emulator in the context of each of its requests.
type emulatorKey struct{}

func emulatorOf(r *http.Request) *Emulator { return r.Context().Value(emulatorKey{}).(*Emulator) }
