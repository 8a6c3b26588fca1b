//go:build e2e

package e2e

import (
	"maps"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

// The post step may find other state and inputs than main had. The state is missing if
// main was killed too early, and in nested composite actions the inputs can be those of
// another step (actions/runner#3514).
func TestDockerPostFindsOtherThings(t *testing.T) {
	t.Run("no state", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, emulator.AgentUser)
		w.main().ends(0)
		w.left(1)
		w.start("/post", nil, nil).ends(0).quiet()
		w.left(0)
	})
	t.Run("another step's inputs", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, emulator.AgentUser)
		main := w.main().ends(0)
		w.left(1)
		for name := range maps.Clone(w.env) {
			if strings.HasPrefix(name, "INPUT_") {
				w.env[name] = "another"
			}
		}
		w.post(main).ends(0).quiet()
		w.left(0)
	})
	t.Run("no inputs", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, emulator.AgentUser)
		main := w.main().ends(0)
		w.left(1)
		maps.DeleteFunc(w.env, func(name, _ string) bool { return strings.HasPrefix(name, "INPUT_") })
		w.post(main).ends(0).quiet()
		w.left(0)
	})
}
