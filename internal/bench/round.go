//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"azdo-pat/internal/bench/link"
	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/githubrunner"
)

// A measure is the cost of one run of a program.
type measure struct {
	Wall, User, System time.Duration
	Peak               int64 // bytes

	served                time.Duration // within the services' own code
	requests, connections int
}

// round runs each subject once. It begins with another one each time, so that
// changes in the machine's load affect all of them.
func (b *bench) round(ctx context.Context, n network, first int) (measured []measure, err error) {
	// Each round has new services, so that the data of earlier rounds does not
	// slow them down.
	var fronts []net.Listener
	defer func() {
		for _, f := range fronts {
			f.Close()
		}
	}()
	e, err := emulator.New(emulator.Options{
		TLS: !n.plain, SDKs: true, ErrorLog: log.New(io.Discard, "", 0),
		Front: func(_ emulator.Service, address string) (string, error) {
			if n.rtt == 0 {
				return address, nil
			}
			l, err := link.Listen("127.0.0.1:0", address, n.rtt)
			if err != nil {
				return "", err
			}
			fronts = append(fronts, l)
			return l.Addr().String(), nil
		},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	var served atomic.Int64
	e.Intercept(emulator.Anything, func(answer http.ResponseWriter, r *http.Request, next http.Handler) {
		began := time.Now()
		next.ServeHTTP(answer, r)
		served.Add(int64(time.Since(began)))
	})

	measured = make([]measure, len(subjects))
	for i := range subjects {
		i = (i + first) % len(subjects)
		if !n.measures(subjects[i]) {
			continue
		}
		before, open := len(e.Requests()), connections(e)
		served.Store(0)
		measured[i], err = b.mint(ctx, e, subjects[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", subjects[i].name, err)
		}
		measured[i].served = time.Duration(served.Load())
		measured[i].requests = len(e.Requests()) - before
		measured[i].connections = connections(e) - open
	}
	if v := e.Violations(); len(v) > 0 {
		return nil, fmt.Errorf("the services object: %v", v)
	}
	return measured, nil
}

func connections(e *emulator.Emulator) int {
	return e.Connections(emulator.GitHub) + e.Connections(emulator.Entra) + e.Connections(emulator.AzureDevOps) + e.Connections(emulator.KeyVault)
}

// mint starts a program as GitHub's runner does, as a job's step, and checks
// that it has handed over a token.
func (b *bench) mint(ctx context.Context, e *emulator.Emulator, s subject) (m measure, err error) {
	dir, err := os.MkdirTemp(b.dir, "run")
	if err != nil {
		return m, err
	}
	step, err := githubrunner.NewStep(dir)
	if err != nil {
		return m, err
	}
	var args []string
	env := e.JobEnv(e.StartJob(emulator.Job{}), s.identity)
	if s.identity != emulator.ServicePrincipal {
		env["INPUT_LIFETIME"] = "15m"
	}
	env["RUNNER_TEMP"] = dir
	// Trust only the emulator's authority. An empty file would be refused.
	if env["INPUT_CA-FILE"] != "" {
		env["SSL_CERT_FILE"], env["SSL_CERT_DIR"] = env["INPUT_CA-FILE"], filepath.Join(dir, "nowhere")
	}
	if s.program == azdoPAT {
		args = []string{"mint"}
	}
	maps.Copy(env, step.Env())
	m, err = b.execute(ctx, dir, env, s.program, args...)
	if err != nil {
		return m, err
	}
	outputs, err := step.Outputs()
	if err != nil {
		return m, err
	}
	isPAT := slices.ContainsFunc(e.Active(), func(p emulator.PAT) bool { return p.Token == outputs["token"] })
	if !isPAT && !slices.Contains(e.AppTokens(), outputs["token"]) {
		return m, errors.New("it handed over no token")
	}
	return m, nil
}

// version measures a program that only prints its version.
func (b *bench) version(ctx context.Context, program string) (m measure, err error) {
	dir, err := os.MkdirTemp(b.dir, "version")
	if err != nil {
		return m, err
	}
	return b.execute(ctx, dir, nil, program, "version")
}

// execute runs a program in a directory, with nothing else in its environment.
func (b *bench) execute(ctx context.Context, dir string, env map[string]string, program string, args ...string) (m measure, err error) {
	file := filepath.Join(dir, "cost")
	cmd := exec.CommandContext(ctx, b.start, append([]string{file, b.file(program), "/" + program}, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if said, err := cmd.CombinedOutput(); err != nil {
		return m, fmt.Errorf("%s %s: %w\n%s", program, args, err, said)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(text, &m)
}
