package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "azdo-pat-demo")
	if err == nil {
		d := &demo{dir: dir}
		err = d.build()
		prebuilt = d.binary
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	for _, id := range identities {
		t.Run(string(id), func(t *testing.T) {
			t.Parallel()
			if err := run(t.Context(), t.Output(), id); err != nil {
				t.Error(err)
			}
		})
	}
}

// The recording in the documents is what the demo prints now, apart from ids and times.
func TestRecording(t *testing.T) {
	t.Parallel()
	var output strings.Builder
	if err := run(t.Context(), &output, emulator.AgentUser); err != nil {
		t.Fatal(err)
	}
	recorded, err := os.ReadFile("../../docs/images/demo.svg")
	if err != nil || string(recorded) != recording(output.String()) {
		t.Errorf("docs/images/demo.svg is out of date (%v): go run ./internal/demo -svg docs/images/demo.svg", err)
	}
}

// So is the picture of the step summary, which is that of the service account.
func TestSummaryPicture(t *testing.T) {
	t.Parallel()
	var output strings.Builder
	if err := run(t.Context(), &output, emulator.RefreshToken); err != nil {
		t.Fatal(err)
	}
	drawn, err := os.ReadFile("../../docs/images/summary.svg")
	if err != nil || string(drawn) != summaryPicture(output.String()) {
		t.Errorf("docs/images/summary.svg is out of date (%v): go run ./internal/demo -identity refresh-token -summary docs/images/summary.svg", err)
	}
}

// With the variables of -shell, the program works against the emulator.
func TestShell(t *testing.T) {
	t.Parallel()
	for _, id := range identities[:2] { // the others differ in their variables alone
		t.Run(string(id), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			read, write := io.Pipe()
			done := make(chan error, 1)
			go func() {
				err := shell(ctx, write, id)
				write.Close()
				done <- err
			}()
			var file string
			for lines := bufio.NewScanner(read); lines.Scan(); {
				if line, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), ". "); ok {
					file = line
				}
				if strings.Contains(lines.Text(), "Ctrl-C") {
					break
				}
			}
			go io.Copy(io.Discard, read) //nolint:errcheck // read to its end
			out, err := exec.CommandContext(t.Context(), "bash", "-c", `set -eu
. "$1"
azdo-pat check
id=$(azdo-pat mint --output json | sed -n 's/.*"authorization-id":"\([^"]*\)".*/\1/p')
if [ -n "$id" ]; then azdo-pat revoke --authorization-id "$id"; fi
azdo-pat exec -- sh -c 'test -n "$AZURE_DEVOPS_EXT_PAT"'`, "bash", file).CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
