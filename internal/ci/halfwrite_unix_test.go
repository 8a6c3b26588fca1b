//go:build unix

package ci

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Guards against half a line in a command file, which fails the whole step:
// what was written of it is taken back. The disk fills up in a process of its
// own, where no file may become larger than a few bytes.
func TestHalfAWrite(t *testing.T) {
	t.Parallel()
	const mark = "AZDO_PAT_TEST_HALF_A_WRITE"
	if os.Getenv(mark) == "" {
		child := exec.Command(os.Args[0], "-test.run=^TestHalfAWrite$", "-test.count=1")
		child.Env = append(os.Environ(), mark+"=1", "GORACE=atexit_sleep_ms=0")
		if out, err := child.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	const before = "first=1\n"
	s := newStep(t, false)
	for _, name := range []string{outputFile, stateFile, summaryFile} {
		if err := os.WriteFile(s.env[name], []byte(before), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Two of the five outputs fit, and a part of the third.
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
	for _, room := range []uint64{20, 250} {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(len(before)) + room, Max: limit.Max}); err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			outputFile: s.HandOver(minted), stateFile: s.Record(strings.Repeat("r", 300)), summaryFile: s.Summary(strings.Repeat("s", 300)),
		} {
			if !errors.Is(err, syscall.EFBIG) {
				t.Errorf("%s: %v, want EFBIG", name, err)
			}
			if got := s.file(t, name); got != before {
				t.Errorf("%s holds %q, want %q as before", name, got, before)
			}
		}
	}
}
