package acceptance

import (
	"io"
	stdlog "log"
	"strings"
	"syscall"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// Over TLS the report names what makes it trust each host. For a host that it does
// not trust it names the issuer of the certificate.
func TestCheckOverTLS(t *testing.T) {
	t.Parallel()
	e := emulator.StartWith(t, emulator.Options{TLS: true, ErrorLog: stdlog.New(io.Discard, "", 0)})
	env := e.Env(emulator.AgentUser)
	check := harness.Command(t, env, harness.NewStep(t), "azdo-pat", "check")
	if err := check.Run(); err != nil {
		t.Errorf("%v\n%s", err, harness.Output(check))
	}
	if n := strings.Count(harness.Output(check), `ms, certificate issued by "azdo-pat emulator root", trusted by ca-file (`); n != 3 {
		t.Errorf("%d hosts are trusted because of ca-file, want 3:\n%s", n, harness.Output(check))
	}

	asked := len(e.Requests())
	delete(env, "INPUT_CA-FILE")
	check = harness.Command(t, env, harness.NewStep(t), "azdo-pat", "check")
	if err := check.Run(); err == nil || check.ProcessState.ExitCode() != 1 {
		t.Errorf("%v, want status 1", err)
	}
	got := harness.Output(check)
	for _, want := range []string{
		"✗ host-oidc ", "✗ host-entra ", "✗ host-azure-devops ",
		`signed by unknown authority (direct, TCP in `, `certificate issued by "azdo-pat emulator root")`,
		"What to do about host-oidc:\n  if a proxy inspects TLS here, give its root certificate with ca-file",
		"– assertion           not tried: host-oidc failed", "– exchange-user       not tried: host-oidc failed",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if n := len(e.Requests()); n != asked {
		t.Errorf("%d requests to untrusted hosts", n-asked)
	}
}

// check reads one page of the user's PATs, however many there are, and resolves a
// host that is given by name.
func TestCheckLooksAtOnePage(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	for range 250 {
		e.Seed(emulator.PAT{Name: "azdo-pat contoso/widgets run 1.1 build 0123456789abcdef"})
	}
	env := e.Env(emulator.AgentUser)
	env["INPUT_AUTHORITY-HOST"] = strings.Replace(env["INPUT_AUTHORITY-HOST"], "127.0.0.1", "localhost", 1)
	check := harness.Command(t, env, harness.NewStep(t), "azdo-pat", "check")
	if err := check.Run(); err != nil || !strings.Contains(harness.Output(check), ": direct, DNS ") || !strings.Contains(harness.Output(check), "list of PATs answered: 100 active or more, 100 of azdo-pat's, the oldest from ") {
		t.Errorf("%v\n%s", err, harness.Output(check))
	}
	if n := len(e.Requests(emulator.OpList)); n != 1 {
		t.Errorf("%d lists, want 1", n)
	}
}

// A check that is stopped by a signal or by its time limit still reports how far it
// got.
func TestCheckIsInterrupted(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]bool{"by a signal": true, "by the time": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for timeout := 5 * time.Second; !checkInterrupted(t, signal, timeout); timeout *= 3 {
				if timeout > 30*time.Second {
					t.Fatal("it was never interrupted in time")
				}
			}
		})
	}
}

// checkInterrupted starts a check and interrupts it. The result is false on a machine
// that is too slow for the time limit.
func checkInterrupted(t *testing.T, signal bool, timeout time.Duration) (inTime bool) {
	t.Helper()
	e := emulator.Start(t)
	gate := emulator.NewGate()
	defer gate.Open()
	e.Intercept(emulator.OpT2, gate.Before)
	env, wanted := e.Env(emulator.AgentUser), "stopped by a signal (interrupt)"
	if !signal {
		env["INPUT_TIMEOUT"] = timeout.String()
		wanted = "not done within " + timeout.String()
	}
	step := harness.NewStep(t)
	check := harness.Command(t, env, step, "azdo-pat", "check")
	if err := check.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- check.Wait() }()
	select {
	case <-gate.Arrived():
	case err := <-ended:
		t.Logf("it ended before: %v\n%s", err, harness.Output(check))
		return false
	}
	begin := time.Now()
	if signal {
		if err := check.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	status, err := harness.ExitStatus(<-ended)
	took := time.Since(begin)
	if signal && took > harness.CleanUpLimit || strings.Contains(harness.Output(check), "its time limit has passed") {
		t.Logf("it took %s\n%s", took, harness.Output(check))
		return false
	}
	if err != nil || status != 1 || took > timeout+harness.StopLimit {
		t.Errorf("status %d, %v, want 1, after %s", status, err, took)
	}
	summary, err := step.Summary()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"✓ exchange-blueprint ", "✗ exchange-agent ", wanted, "– exchange-user ", "– azure-devops "} {
		if got := harness.Output(check); !strings.Contains(got, want) || !strings.Contains(summary, want) {
			t.Errorf("no %q in\n%s\nor\n%s", want, got, summary)
		}
	}
	return true
}
