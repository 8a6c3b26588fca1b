// Package acceptance has the tests that start the built program, as GitHub's runner,
// Azure Pipelines' agent or a person at a terminal would.
package acceptance

import (
	"testing"

	"azdo-pat/internal/acceptance/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// TestScripts runs the scripts in testdata/script: the real main against the
// emulator, as GitHub's runner, Azure Pipelines' agent or a person at a terminal
// would start it. After every start of the program the canary looks for
// credentials in all that it wrote.
func TestScripts(t *testing.T) { harness.RunScripts(t, "") }

// Debug logging changes nothing but what is logged, and shows no credential
// either. (A test of its own, so that the waiting in both is done at once.)
func TestScriptsWithDebugLog(t *testing.T) { harness.RunScripts(t, "1") }
