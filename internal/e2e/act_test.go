//go:build e2e

package e2e

import (
	"testing"
)

// TestAct runs the workflows in testdata/workflows under nektos/act, a runner
// that starts real containers, against the emulator: with the action as a
// commit on a branch has it, which is built from its Dockerfile, and as a
// release has it, which is pulled from a registry by its digest.
//
// act differs from GitHub's runner, and most of what differs makes the post
// step's life harder: it has no saved state, and no defaults of inputs. What is
// left is what a post step has whose main step was killed before it could save
// anything. On the other hand act masks only what it is told to, literally,
// lets a masked value be a job output, and hands one request token to all jobs
// of a run; nothing here shows how GitHub's runner goes about these.
func TestAct(t *testing.T) {
	tools := setUpAct(t)
	for source, image := range map[string]func(*testing.T) string{
		"dockerfile": func(*testing.T) string { return "Dockerfile" },
		"digest":     func(t *testing.T) string { return "docker://" + tools.publish(t) },
	} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			action := tools.actionWith(t, image(t))
			for name, story := range map[string]func(*testing.T, *workflow){
				"mint":        actMint,
				"twice":       actTwice,
				"matrix":      actMatrix,
				"reusable":    actReusable,
				"composite":   actComposite,
				"skip-revoke": actSkipRevoke,
				"wrong":       actWrong,
				"cancel":      actCancel,
				"cancel-mint": actCancelMint,
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel() // and so bounded by -parallel
					w := newWorkflow(t, tools, action, name)
					story(t, w)
					w.nothingStrange(t)
				})
			}
		})
	}
}
