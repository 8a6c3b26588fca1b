//go:build linux

package acceptance

import (
	"bytes"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// scopes, check and sweep write in colors to a terminal that can show them, and nowhere
// else.
func TestColors(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	from := e.Now(emulator.AzureDevOps).Add(-7 * time.Hour)
	e.Seed(emulator.PAT{Name: "azdo-pat x 0123456789abcdef", Owner: emulator.ServiceUserID, ValidFrom: from, ValidTo: from.Add(24 * time.Hour)})
	settings := map[string]string{"AZDO_PAT_DRY_RUN": "true"}
	for name, value := range e.Settings(emulator.AccessToken) {
		settings[emulator.Variable(name)] = value
	}
	for _, tc := range []struct {
		name string
		env  map[string]string
		pipe bool
		want bool
	}{
		{name: "terminal", env: map[string]string{"TERM": "xterm"}, want: true},
		{name: "empty NO_COLOR", env: map[string]string{"TERM": "xterm", "NO_COLOR": ""}, want: true},
		{name: "pipe", env: map[string]string{"TERM": "xterm"}, pipe: true},
		{name: "NO_COLOR", env: map[string]string{"TERM": "xterm", "NO_COLOR": "1"}},
		{name: "dumb terminal", env: map[string]string{"TERM": "dumb"}},
		{name: "no TERM"},
	} {
		for command, painted := range map[string]string{
			"scopes": "\x1b[1mSCOPE ",
			"check":  "\x1b[32m✓\x1b[0m settings",
			"sweep":  "\x1b[1mwould revoke ",
		} {
			t.Run(tc.name+", "+command, func(t *testing.T) {
				env := maps.Clone(settings)
				maps.Copy(env, tc.env)
				cmd := harness.Command(t, env, nil, "azdo-pat", command)
				var shown bytes.Buffer
				read := make(chan struct{})
				if tc.pipe {
					cmd.Stdout = &shown
					close(read)
				} else {
					master, terminal := openTerminal(t)
					cmd.Stdout = terminal
					defer terminal.Close()
					go func() { // until no process has the terminal open
						_, _ = io.Copy(&shown, master)
						close(read)
					}()
				}
				if status, err := harness.ExitStatus(cmd.Run()); status != 0 {
					t.Errorf("status %d, %v, %s", status, err, cmd.Stderr)
				}
				if f, ok := cmd.Stdout.(io.Closer); ok {
					f.Close()
				}
				<-read
				text := shown.String()
				if tc.want && !strings.Contains(text, painted) || !tc.want && strings.Contains(text, "\x1b") {
					t.Errorf("got %q", text)
				}
				if plain := strings.NewReplacer("\x1b[1m", "", "\x1b[32m", "", "\x1b[0m", "", "\x1b[2m", "").Replace(painted); !tc.want && !strings.Contains(text, plain) {
					t.Errorf("got %q, want %q", text, plain)
				}
			})
		}
	}
}
