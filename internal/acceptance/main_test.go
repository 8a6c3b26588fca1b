// Package acceptance has the tests that start the built program, as GitHub's runner,
// Azure Pipelines' agent or a person at a terminal would.
package acceptance

import (
	"testing"

	"azdo-pat/internal/acceptance/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// TestScripts runs the scripts in testdata/script, which start the real program
// against the emulator. After each run the harness searches everything that the
// program wrote for credentials.
func TestScripts(t *testing.T) { harness.RunScripts(t, harness.Scripts(t), "") }

// TestScriptsWithDebugLog shows that debug logging changes only the log, and that a
// debug log holds no credential.
func TestScriptsWithDebugLog(t *testing.T) {
	harness.RunScripts(t, harness.Part(harness.Scripts(t)), "1")
}
