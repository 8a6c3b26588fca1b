package acceptance

import (
	"io"
	stdlog "log"
	"os/exec"
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
	for name, tc := range map[string]struct {
		env    string
		signal bool
		want   string
	}{
		"by a signal": {"", true, "stopped by a signal (interrupt)"},
		"by the time": {"5s", false, "not done within 5s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := emulator.Start(t)
			gate := emulator.NewGate()
			defer gate.Open()
			e.Intercept(emulator.OpT2, gate.Before)
			env := e.Env(emulator.AgentUser)
			env["INPUT_TIMEOUT"] = tc.env
			step := harness.NewStep(t)
			check := harness.Command(t, env, step, "azdo-pat", "check")
			if err := check.Start(); err != nil {
				t.Fatal(err)
			}
			<-gate.Arrived()
			begin := time.Now()
			if tc.signal {
				if err := check.Process.Signal(syscall.SIGINT); err != nil {
					t.Fatal(err)
				}
			}
			if err := check.Wait(); err == nil || err.(*exec.ExitError).ExitCode() != 1 {
				t.Errorf("%v, want status 1", err)
			}
			if took := time.Since(begin); took > harness.StopLimit {
				t.Errorf("it took %s", took)
			}
			summary, err := step.Summary()
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"✓ exchange-blueprint ", "✗ exchange-agent ", tc.want, "– exchange-user ", "– azure-devops "} {
				if got := harness.Output(check); !strings.Contains(got, want) || !strings.Contains(summary, want) {
					t.Errorf("no %q in\n%s\nor\n%s", want, got, summary)
				}
			}
		})
	}
}
