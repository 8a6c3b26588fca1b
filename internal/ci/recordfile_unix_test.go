//go:build unix

package ci

import (
	"syscall"
	"testing"
)

// Opening a named pipe at the record's path would block forever.
func TestPipeForRecordFile(t *testing.T) {
	t.Parallel()
	s := newPipelineStep(t, false)
	origin := s.Origin("")
	if err := syscall.Mkfifo(s.recordOf(origin).path, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, known := s.Close(origin, "over"); got != "" || !known {
		t.Errorf("%q, %v", got, known)
	}
}
