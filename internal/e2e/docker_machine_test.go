//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// Restrictions that a self-hosted machine may put on its containers.

// A container needs nowhere to write but the command files.
func TestDockerReadOnlyRoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.AgentUser)
	options := []string{"--read-only", "--cap-drop", "ALL", "--cap-add", "DAC_OVERRIDE", "--security-opt", "no-new-privileges"}
	main := w.main(options...).ends(0).quiet()
	w.left(1)
	w.post(main, options...).ends(0).quiet()
	w.left(0)
}

// The command files are another user's and only theirs to write. Where the
// container's root is no root to them, nothing can be recorded, and so nothing
// is minted.
func TestDockerCannotWriteCommandFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.AgentUser)
	main := w.main("--cap-drop", "ALL").ends(1)
	if errors := main.annotations("error"); len(errors) != 1 || !strings.Contains(errors[0], "nothing was minted") {
		t.Errorf("the errors are %q", errors)
	}
	if n := len(w.Requests(emulator.OpCreate)); n != 0 {
		t.Errorf("%d requests to create a PAT", n)
	}
	w.post(main, "--cap-drop", "ALL").ends(0)
	w.left(0)
}

// shortTimeout is the setting timeout of tests that wait until it has passed. A shorter one
// may pass before a slow machine has made the first attempt.
const shortTimeout = 12 * time.Second

// Without a network there is no PAT, and the reason is said in time.
func TestDockerNoNetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.AgentUser)
	w.env["INPUT_TIMEOUT"] = shortTimeout.String()
	w.network = "none"
	main := w.main().ends(1)
	if took := time.Since(main.began); took > shortTimeout+harness.StopLimit {
		t.Errorf("mint took %s", took)
	}
	if errors := main.annotations("error"); len(errors) != 1 || !strings.Contains(errors[0], "network is unreachable") {
		t.Errorf("the errors are %q", errors)
	}
	if n := len(w.Requests()); n != 0 {
		t.Errorf("%d requests reached a service", n)
	}
	w.post(main).ends(0).quiet()
}

// A post step without a network cannot revoke. It names the PAT, its end and the
// page where it is revoked by hand, in time, and on-revoke-failure decides what
// becomes of the job.
func TestDockerNoNetworkInPost(t *testing.T) {
	for _, tt := range []struct {
		policy, kind string
		status       int
	}{{"", "warning", 0}, {"warn", "warning", 0}, {"fail", "error", 1}} {
		t.Run("on-revoke-failure "+tt.policy, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, emulator.AgentUser)
			w.env["INPUT_TIMEOUT"] = shortTimeout.String() // post takes it from the record
			w.env["INPUT_ON-REVOKE-FAILURE"] = tt.policy
			main := w.main().ends(0).quiet()
			outputs, err := main.Outputs()
			if err != nil {
				t.Fatal(err)
			}

			w.network = "none"
			post := w.post(main).ends(tt.status)
			if took := time.Since(post.began); took > shortTimeout+harness.StopLimit {
				t.Errorf("post took %s", took)
			}
			w.left(1)
			annotations := strings.Join(post.annotations(tt.kind), "\n")
			for _, want := range []string{outputs["authorization-id"], outputs["expires-at"], "https://dev.azure.com/contoso/_usersSettings/tokens"} {
				if !strings.Contains(annotations, want) {
					t.Errorf("no %s in the annotations: %s", want, annotations)
				}
			}
			discreet(w, main, post)

			w.network = ""
			w.post(main).ends(0).quiet()
			w.left(0)
		})
	}
}

// The network of a job can be taken away under a request: the server has made
// the PAT, and the answer never comes.
func TestDockerNetworkLost(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		t.Run(when+" the PAT is made", func(t *testing.T) {
			t.Parallel()
			w := newWorldIn(t, newNetwork(t))
			// A shorter one would pass in post before it is certain that nothing comes
			// of the request any more.
			w.env["INPUT_TIMEOUT"] = shortTimeout.String()
			_, main, open := heldIn(t, w, emulator.OpCreate, when)
			engine(t, "network", "disconnect", "--force", w.network, main.name)
			open()
			main.ends(1)
			if took := time.Since(main.began); took > shortTimeout+harness.StopLimit {
				t.Errorf("mint took %s", took)
			}
			w.postEndsAll(main)
		})
	}
}

// The services have IPv6 addresses and no others: in a network with IPv6, where
// a container's own address takes a moment to settle, and on the host's loopback.
func TestDockerIPv6Only(t *testing.T) {
	t.Run("in a network of its own", func(t *testing.T) {
		t.Parallel()
		prefix := fmt.Sprintf("fd5a:7a64:6f70:%x::", time.Now().UnixNano()&0xffff)
		network := newNetwork(t, "--ipv6", "--subnet", prefix+"/64", "--gateway", prefix+"1")
		walk(newWorldAt(t, emulator.AgentUser, network, prefix+"1"))
	})
	t.Run("on the host", func(t *testing.T) {
		t.Parallel()
		e := emulator.Start(t)
		urls := map[emulator.Service]string{}
		for _, s := range allServices {
			at := startRelay(t, "[::1]:0", host(e, s), func(c net.Conn) net.Conn { return c })
			urls[s] = "http://" + at.String()
		}
		w := &world{e, newJob(t, moved(e, e.Env(emulator.AgentUser), urls))}
		w.network = "host"
		walk(w)
	})
}
