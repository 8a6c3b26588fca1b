//go:build unix

package cli

import (
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

const day = 24 * time.Hour

// withRotate runs a test in a bubble with a rotate that has started its command. The
// consumer has a PAT that is due.
func withRotate(t *testing.T, flags []string, test func(s *execSession, old emulator.PAT)) {
	t.Helper()
	var old emulator.PAT
	prepare := func(s *execSession) {
		s.args = append([]string{"rotate", "--name", "sonarqube"}, flags...)
		now := s.Now(emulator.AzureDevOps)
		old = s.Seed(emulator.PAT{Name: "azdo-pat rotated sonarqube 0123456789abcdef", ValidFrom: now.Add(-25 * day), ValidTo: now.Add(5 * day)})
	}
	withExecOf(t, "GitHub", "", prepare, func(s *execSession) {
		if !s.command.started {
			s.Fatalf("the command was not started:\n%s", &s.output)
		}
		test(s, old)
	})
}

// left are the PATs of the consumer that are active.
func (s *execSession) left(old emulator.PAT) (before, next bool) {
	for _, p := range s.Active() {
		before = before || p.ID == old.ID
		next = next || p.ID != old.ID
	}
	return before, next
}

// The command may take longer than the user's token lives. Nothing ends before the
// command has, and the PAT is not renewed.
func TestRotateOutlivesTheUsersToken(t *testing.T) {
	t.Parallel()
	for status, want := range map[int][2]bool{0: {false, true}, 7: {true, false}} {
		withRotate(t, nil, func(s *execSession, old emulator.PAT) {
			s.pass(3 * time.Hour)
			if before, next := s.left(old); !before || !next {
				t.Errorf("while the command runs, the old PAT is active: %t, the new one: %t", before, next)
			}
			if got := s.end(status); got != status {
				t.Errorf("status %d, want %d:\n%s", got, status, &s.output)
			}
			if before, next := s.left(old); [2]bool{before, next} != want {
				t.Errorf("after status %d, the old PAT is active: %t, the new one: %t\n%s", status, before, next, &s.output)
			}
			if n := len(s.Requests(emulator.OpUpdate)); n != 0 {
				t.Errorf("%d requests to renew or move a PAT", n)
			}
			s.counted(map[string]int{"::warning": 0, "::error": 0})
		})
	}
}

// With an overlap the old PAT ends that long after the command, by Azure DevOps' clock.
func TestRotateOverlap(t *testing.T) {
	t.Parallel()
	withRotate(t, []string{"--overlap", "6h"}, func(s *execSession, old emulator.PAT) {
		s.pass(30 * time.Minute)
		if status := s.end(0); status != 0 {
			t.Errorf("status %d", status)
		}
		s.Advance(6*time.Hour - 2*time.Second) // of Azure DevOps, since rotate has ended
		if before, next := s.left(old); !before || !next {
			t.Errorf("before the end of the overlap, the old PAT is active: %t, the new one: %t", before, next)
		}
		s.Advance(2 * time.Second)
		if before, next := s.left(old); before || !next {
			t.Errorf("after the overlap, the old PAT is active: %t, the new one: %t", before, next)
		}
	})
}

// A signal to stop is passed on, and rotate goes by the exit status of the command, which
// may have stored the PAT. (Promise 6.)
func TestRotateIsStopped(t *testing.T) {
	t.Parallel()
	for status, want := range map[int][2]bool{0: {false, true}, 143: {true, false}} {
		withRotate(t, nil, func(s *execSession, old emulator.PAT) {
			s.signals <- syscall.SIGTERM
			if got := <-s.command.signaled; got != syscall.SIGTERM {
				t.Errorf("the command got %s", got)
			}
			synctest.Wait()
			if before, next := s.left(old); !before || !next {
				t.Errorf("while the command runs, the old PAT is active: %t, the new one: %t", before, next)
			}
			begin := time.Now()
			if got := s.end(status); got != status || time.Since(begin) > 5*time.Second {
				t.Errorf("status %d after %s, want %d", got, time.Since(begin), status)
			}
			if before, next := s.left(old); [2]bool{before, next} != want {
				t.Errorf("after status %d, the old PAT is active: %t, the new one: %t\n%s", status, before, next, &s.output)
			}
			s.counted(map[string]int{"stopped by a signal (terminated); forwarded to sh": 1})
		})
	}
}

// If Azure DevOps does not answer after the signal, rotate still ends within 5 seconds,
// and names the PAT that is left.
func TestRotateIsStoppedWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	withRotate(t, nil, func(s *execSession, old emulator.PAT) {
		gate := emulator.NewGate()
		defer gate.Open()
		s.Intercept(emulator.OpRevoke, gate.Before)
		s.signals <- syscall.SIGTERM
		<-s.command.signaled
		begin := time.Now()
		if status := s.end(0); status != 1 || time.Since(begin) > 5*time.Second {
			t.Errorf("status %d after %s", status, time.Since(begin))
		}
		if text := s.output.String(); !strings.Contains(text, "PAT "+old.ID+", valid until") || !strings.Contains(text, "the next rotation ends what is left") {
			t.Errorf("the PAT %s is not named in\n%s", old.ID, text)
		}
	})
}
