//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

// killed is the exit status of a container whose process the kernel has killed.
const killed = 128 + int(syscall.SIGKILL)

// The kernel kills for want of memory, without a word to the process, while a
// request is on its way. Whichever it is, post leaves nothing.
func TestDockerOutOfMemoryAtEveryRequest(t *testing.T) {
	for _, op := range minting {
		for _, when := range []string{"before", "after"} {
			t.Run(when+" "+op, func(t *testing.T) {
				t.Parallel()
				w, main, open := held(t, op, when, append(memory(16<<10), "--oom-score-adj", "1000")...)
				exhaust(t, main)
				main.ends(killed)
				open()
				w.postEndsAll(main)
			})
		}
	}
}

// A container that has so little memory from its start dies at a moment of its
// own, or just not: how much of the program counts depends on what this machine
// has in its caches.
func TestDockerTooLittleMemory(t *testing.T) {
	for kb := 6144; kb <= 7424; kb += 256 { // docker gives no less
		t.Run(fmt.Sprintf("%d KiB", kb), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, emulator.AgentUser)
			main := w.main(memory(kb)...)
			if status := main.wait(); status != 0 && status != killed {
				main.ends(killed)
			}
			t.Logf("status %d after %d requests, %d PATs made", main.wait(), len(w.Requests()), len(w.PATs()))
			w.postEndsAll(main)
		})
	}
}

// memory are docker's options for a container with so many KiB, and no swap.
func memory(kb int) []string {
	size := fmt.Sprintf("%dk", kb)
	return []string{"--memory", size, "--memory-swap", size}
}

// exhaust uses up a container's memory from outside, by a process in its control
// group. By their OOM scores, the kernel kills the container's process first.
func exhaust(t *testing.T, c *container) {
	t.Helper()
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.pid()))
	if err != nil {
		t.Fatal(err)
	}
	group := ""
	for line := range strings.Lines(string(groups)) {
		switch fields := strings.SplitN(strings.TrimSpace(line), ":", 3); {
		case fields[1] == "memory":
			group = filepath.Join("/sys/fs/cgroup/memory", fields[2])
		case fields[0] == "0" && group == "":
			group = filepath.Join("/sys/fs/cgroup", fields[2])
		}
	}
	eater := exec.Command("sh", "-ec", `
		echo $$ >"$1/cgroup.procs"
		exec tail /dev/zero`, "sh", group)
	var said strings.Builder
	eater.Stderr = &said
	if err := eater.Start(); err != nil {
		t.Fatal(err)
	}
	// Before docker's client knows: the group can only be removed when it is
	// empty.
	c.gone()
	eater.Process.Kill()
	eater.Wait()
	if said.Len() > 0 {
		t.Fatalf("using up the memory of %s: %s", group, said.String())
	}
}
