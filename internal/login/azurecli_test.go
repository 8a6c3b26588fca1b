package login

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/azcli"
	"azdo-pat/internal/fakes/emulator"
)

// The real Azure CLI takes the printed commands as they are: one adds the certificate
// beside what the application has, the other removes it. It is skipped where there is no
// Azure CLI; see [azcli.Switch].
func TestAzureCLI(t *testing.T) {
	t.Parallel()
	e, az := azcli.Start(t, emulator.Options{})
	// A certificate that must stay.
	f := setUpAt(t, e)
	shell := func(line string) {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
		cmd.Env = az.Env()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", line, err, out)
		}
	}
	list := func() string {
		ids, err := az.Run(context.WithoutCancel(t.Context()), "ad", "app", "credential", "list", "--id", emulator.AppID, "--cert", "--query", "[].displayName", "-o", "tsv")
		if err != nil {
			t.Error(err)
		}
		return strings.Join(strings.Fields(ids), " ")
	}
	f.az = func(file string) {
		shell("az ad app credential reset --id " + emulator.AppID + " --cert @" + file + " --append --display-name other")
		shell(f.copied[0])
	}
	page := f.start().send(f.signIn())
	f.wait()
	if f.err != nil {
		t.Fatal(f.err)
	}
	f.shows(page, "Signed in as")
	if got := list(); !strings.Contains(got, "azdo-pat-login") || !strings.Contains(got, "other") {
		t.Errorf("the application has the certificates %q", got)
	}
	shell(f.copied[len(f.copied)-1])
	if got := list(); got != "other" {
		t.Errorf("after the removal the application has the certificates %q", got)
	}
}
