//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"azdo-pat/bench/link"
	"azdo-pat/internal/emulator"
	"azdo-pat/internal/runner"
)

// A measure is what one mint took.
type measure struct {
	Wall, User, System time.Duration
	Peak               int64 // bytes

	served                time.Duration // within the services' own code
	requests, connections int
}

// round runs each subject once, beginning with another one each time, so that
// what happens to the machine happens to all of them.
func (b *bench) round(ctx context.Context, rtt time.Duration, first int) (measured []measure, err error) {
	// The services anew, so that what they remember of the rounds before takes
	// no time.
	var fronts []net.Listener
	defer func() {
		for _, f := range fronts {
			f.Close()
		}
	}()
	e, err := emulator.New(emulator.Options{
		TLS: true, SDKs: true, ErrorLog: log.New(io.Discard, "", 0),
		Front: func(_ emulator.Service, address string) (string, error) {
			if rtt == 0 {
				return address, nil
			}
			l, err := link.Listen("127.0.0.1:0", address, rtt)
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
	e.Intercept(emulator.Anything, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		began := time.Now()
		next.ServeHTTP(w, r)
		served.Add(int64(time.Since(began)))
	})

	measured = make([]measure, len(subjects))
	for i := range subjects {
		i = (i + first) % len(subjects)
		before, open := len(e.Requests()), connections(e)
		served.Store(0)
		if measured[i], err = b.mint(ctx, e, subjects[i]); err != nil {
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
	return e.Connections(emulator.GitHub) + e.Connections(emulator.Entra) + e.Connections(emulator.AzureDevOps)
}

// mint starts a program as GitHub's runner does, as a job's step, and checks
// that it has handed over a PAT.
func (b *bench) mint(ctx context.Context, e *emulator.Emulator, s subject) (m measure, err error) {
	dir, err := os.MkdirTemp(b.dir, "run")
	if err != nil {
		return m, err
	}
	step, err := runner.NewStep(dir)
	if err != nil {
		return m, err
	}
	file := filepath.Join(dir, "cost")
	args := []string{b.start, file, b.file(s.program), "/" + s.program}
	env := e.JobEnv(e.StartJob(emulator.Job{}), s.identity)
	env["INPUT_LIFETIME"] = "15m"
	env["RUNNER_TEMP"] = dir
	// As in the image: no roots of trust but those that the program has itself,
	// and the test's own.
	nowhere := filepath.Join(dir, "nowhere")
	env["SSL_CERT_FILE"], env["SSL_CERT_DIR"] = nowhere, nowhere
	if s.program == azdoPAT {
		args = append(args, "mint")
	} else {
		env["SSL_CERT_FILE"] = env["INPUT_CA-FILE"]
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	for _, variables := range []map[string]string{env, step.Env()} {
		for name, value := range variables {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	if said, err := cmd.CombinedOutput(); err != nil {
		return m, fmt.Errorf("%w\n%s", err, said)
	}
	outputs, err := step.Outputs()
	if err != nil {
		return m, err
	}
	if !slices.ContainsFunc(e.Active(), func(p emulator.PAT) bool { return p.Token == outputs["token"] }) {
		return m, errors.New("it has handed over no PAT")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(text, &m)
}
