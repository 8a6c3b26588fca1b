//go:build linux

package acceptance

import (
	"os"
	"strings"
	"testing"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// At a terminal the refresh token would be seen, and the null device would lose it: both
// are wrong settings, found before anything is sent. With a vault it does not matter.
func TestLoginAtATerminal(t *testing.T) {
	t.Parallel()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	_, terminal := openTerminal(t)
	for says, stdout := range map[string]*os.File{
		"standard output is a terminal, where the refresh token would be seen":             terminal,
		"standard output is closed or the null device, so the refresh token would be lost": null,
	} {
		e := emulator.Start(t)
		e.Change(func(w *emulator.State) { w.Apps = nil }) // a login that begins ends soon
		env := map[string]string{}
		for name, value := range e.Settings(emulator.RefreshToken) {
			if name != "refresh-token" && name != "scopes" {
				env[emulator.Variable(name)] = value
			}
		}
		cmd := harness.Command(t, env, nil, "azdo-pat", "login", "--no-browser")
		cmd.Stdout = stdout
		status, err := harness.ExitStatus(cmd.Run())
		if err != nil || status != 2 || len(e.Requests()) > 0 {
			t.Errorf("status %d, %v, %d requests; want 2 and none", status, err, len(e.Requests()))
		}
		said := cmd.Stderr.(*strings.Builder).String()
		if !strings.Contains(said, "--refresh-token-vault (or AZDO_PAT_REFRESH_TOKEN_VAULT): not set; "+says) {
			t.Errorf("got %s, want %s", said, says)
		}
	}
}
