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
// Most differences between act and GitHub's runner make the post step's work harder:
// it has no saved state and no defaults of inputs, as after a main step that was
// killed before it could save anything. Other differences hide what GitHub's runner
// does: act masks only the literal value, lets a masked value be a job output, and
// gives all jobs of a run the same request token.
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
	t.Run("configure", func(t *testing.T) {
		t.Parallel()
		w := newWorkflow(t, tools, tools.actionWith(t, "Dockerfile"), "configure")
		actConfigure(t, w)
		w.nothingStrange(t)
	})
	t.Run("examples", func(t *testing.T) {
		t.Parallel()
		action := tools.actionWith(t, "Dockerfile")
		for name, x := range exampleRuns {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newExample(t, tools, action, name, x)
				x.story(t, w)
				w.nothingStrange(t)
			})
		}
	})
}
