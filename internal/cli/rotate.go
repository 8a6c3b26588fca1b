package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/job"
	"azdo-pat/internal/process"
	"azdo-pat/internal/rotate"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/timefmt"
)

func rotateCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate [flags] -- COMMAND [ARG…]",
		Short: "Replace a long-lived PAT that a server keeps",
		Long: `rotate replaces the PAT of a consumer that keeps one itself, such as a code
scanner or a cluster. Run it on a schedule. If the newest PAT of --name has less
than --when-left left, rotate mints the next one and runs COMMAND, which stores
it, with the PAT in the variable AZURE_DEVOPS_EXT_PAT, or in those that --env
names. Then it revokes the older ones; with --overlap it moves their end instead.

Nothing old ends before COMMAND has ended with 0. If COMMAND fails, the new PAT is
revoked and the old ones stay. If rotate is killed, all of them stay, and the next
rotate replaces them. So the consumer always has a PAT that works.

COMMAND gets the terminal and the signals that azdo-pat receives, and in a CI
system *** replaces the PAT in what it writes. The exit status is 0 if nothing is
due; otherwise COMMAND's own if it fails, or 128+n if signal n ended it; 127 if it
is not found and 126 if it cannot be started (in both cases nothing was minted);
and 1 if no PAT could be minted or an older one could not be ended.`,
		Example: `  azdo-pat rotate --organization contoso --client-id APPLICATION \
    --refresh-token-vault https://contoso.vault.azure.net/secrets/azdo \
    --federated-token-file "$TOKEN_FILE" \
    --name argocd --scopes vso.code --overlap 1h \
    -- sh -c 'printf %s "$AZURE_DEVOPS_EXT_PAT" | gh secret set ARGOCD_PAT'

  # Rotate now, however long the PAT is still valid:
  azdo-pat rotate --name argocd --scopes vso.code --when-left 30d -- ./store-pat`,
		Args:              commandAfterDash,
		ValidArgsFunction: programs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRotate(cmd.Context(), a, flags(cmd), args)
		},
	}
}

func runRotate(ctx context.Context, a *app, given map[string]string, command []string) error {
	x, err := newExecution(a, settings.Rotate, given, command)
	if err != nil {
		return x.failed("rotate", err)
	}
	status, err := (&rotation{execution: x, Rotation: x.Rotation()}).run(ctx)
	return x.conclude("rotate", status, err)
}

// rotation is a rotate that runs its command with the next PAT.
type rotation struct {
	*execution
	*job.Rotation
}

// maxRounds is how often a rotation mints if other rotations of the same consumer
// overtake it.
const maxRounds = 3

// run rotates and returns the exit status, or an error if the rotation failed and the
// command did not.
func (r *rotation) run(ctx context.Context) (status int, err error) {
	r.program, err = process.Find(r.command, r.Environ())
	if err != nil {
		return exitFailure, fmt.Errorf("%w; nothing was minted", err)
	}
	for round := 1; ; round++ {
		status, err = r.round(ctx, round > 1)
		if !errors.Is(err, rotate.ErrOvertaken) {
			return status, err
		}
		err = hint.Add(fmt.Errorf("rotate the PAT of %s: %w; %s may have a PAT that has ended or will", r.Settings.Name, err, r.Settings.Name),
			"run it again with --when-left "+timefmt.Duration(r.Settings.Lifetime)+"; do not run two rotations of one name at once")
		if r.stopped != nil || round == maxRounds || r.commandsStopped.Load() {
			return exitFailure, err
		}
		r.platform.Log().Infof("%v; minting another", err)
		r.ending.Store(false)
		r.limit.set(r.Settings.Timeout + ShutdownTimeout)
	}
}

// round mints, runs the command and ends the PATs that the new one has replaced. With
// force it mints even if nothing is due. The error is [rotate.ErrOvertaken] if the command
// succeeded but the consumer needs another PAT.
func (r *rotation) round(ctx context.Context, force bool) (status int, err error) {
	held, plan, err := r.Rotation.Hold(ctx, r.Random, force)
	if err != nil {
		return exitFailure, err
	}
	if held == nil {
		r.logNotDue(plan)
		return exitOK, nil
	}
	r.held = held
	r.logRotating(held)
	end := ending{rotation: r, held: held}
	status, err = r.runHeld(ctx, hooks{
		onStart: func(context.Context) {},
		onStop:  func(signal error) { r.platform.Log().Infof("%v; forwarded to %s", signal, r.commandName()) },
		release: end.release,
		report:  end.report,
	})
	if err == nil && status == exitOK {
		err = end.err
	}
	return status, err
}

func (r *rotation) logNotDue(p rotate.Plan) {
	s := r.Settings
	r.platform.Log().Infof("nothing to rotate: the PAT %s of %s is valid for another %s, until %s, and the next one is due when less than %s is left",
		p.Newest.ID, s.Name, timefmt.Rough(p.Left), timefmt.Time(p.Newest.ValidTo), timefmt.Duration(s.WhenLeft))
}

func (r *rotation) logRotating(h *job.Held) {
	log, s, t := r.platform.Log(), r.Settings, h.Lease.Token
	if life := t.ValidTo.Sub(t.ValidFrom); !t.ValidFrom.IsZero() && life <= s.WhenLeft && life < s.Lifetime-time.Minute {
		log.Warning("azdo-pat rotate: short PAT", fmt.Sprintf("Azure DevOps granted %s, and the next PAT is due when %s is left, so every rotation replaces the PAT\nset lifetime to what the organization's policy allows",
			timefmt.Duration(life.Round(time.Minute)), timefmt.Duration(s.WhenLeft)))
	}
	then := "then the older ones are revoked"
	if s.Overlap > 0 {
		then = "then the older ones end within " + timefmt.Duration(s.Overlap)
	}
	log.Infof("running %s with PAT %s for %s with %s in %s: valid until %s; %s",
		r.commandName(), t.ID, s.Organization, strings.Join(t.Scopes, " "), strings.Join(s.Env, " and "), timefmt.Time(t.ValidTo), then)
}

// ending is the end of a round.
type ending struct {
	*rotation
	held     *job.Held
	stored   bool // the command succeeded
	discard  job.Ending
	replaced []rotate.Replaced
	err      error // why the older PATs could not be ended
}

// release ends the older PATs if the command succeeded, otherwise the new one.
func (e *ending) release(ctx context.Context, status int) {
	e.stored = status == exitOK
	if !e.stored {
		e.discard = e.held.Discard(ctx)
		return
	}
	e.replaced, e.err = e.Replace(ctx, e.held)
}

func (e *ending) report() error {
	log, s, t := e.platform.Log(), e.Settings, e.held.Lease.Token
	if !e.stored {
		log.Infof("%s failed, so the older PATs of %s stay valid", e.commandName(), s.Name)
		if e.discard.Err != nil {
			_ = e.failed("rotate", e.discard.Err) // the exit status is the command's
			return nil
		}
		e.logRevoked(&e.discard.Released)
		if e.discard.MayMint {
			e.WarnOfAnother(e.discard.Record.Name)
		}
		return nil
	}
	for _, p := range e.replaced {
		switch {
		case !p.Ends.IsZero():
			log.Infof("PAT %s ends at %s", p.ID, timefmt.Time(p.Ends))
		case s.Overlap > 0:
			log.Infof("PAT %s has ended", p.ID)
		default:
			log.Infof("PAT %s is revoked", p.ID)
		}
	}
	if e.err == nil {
		log.Infof("%s now has PAT %s, valid until %s", s.Name, t.ID, timefmt.Time(t.ValidTo))
	}
	return nil
}
