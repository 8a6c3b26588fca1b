package acceptance

import (
	"fmt"
	"strings"
	"testing"

	"azdo-pat/internal/acceptance/harness"
)

// maxStart limits what the program's packages allocate before main, in bytes. Most of it
// is for regular expressions. One with a repetition such as {0,150} can take 300 KB: it
// is compiled when it is first used.
const maxStart = 512 << 10

// A job waits for what all commands initialize at the start of each of them.
func TestStart(t *testing.T) {
	t.Parallel()
	cmd := harness.Command(t, map[string]string{"GODEBUG": "inittrace=1"}, nil, "azdo-pat", "version")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	trace := harness.Output(cmd)
	total := 0
	for line := range strings.Lines(trace) {
		var name string
		var at, took float64
		var bytes int
		_, err := fmt.Sscanf(line, "init %s @%f ms, %f ms clock, %d bytes,", &name, &at, &took, &bytes)
		// Where coverage is measured, the program is the test binary.
		isTest := strings.HasPrefix(name, "azdo-pat/internal/acceptance") || strings.HasPrefix(name, "azdo-pat/internal/fakes")
		if err == nil && strings.HasPrefix(name, "azdo-pat/") && !isTest {
			total += bytes
		}
	}
	if total == 0 || total > maxStart {
		t.Errorf("the packages allocate %d bytes, want at most %d:\n%s", total, maxStart, trace)
	}
}
