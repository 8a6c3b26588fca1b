package job

import (
	"context"
	"fmt"
	"io"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/rotate"
	"azdo-pat/internal/settings"
)

// Rotation replaces the PAT that a consumer keeps.
//
// It keeps no record: the next rotation finds the PAT of a killed one by its name, and
// ends it.
type Rotation struct {
	*Job
	consumer rotate.Consumer
	before   []pat.Token // the consumer's active PATs before the last mint
}

// nextRotation is the hint about a PAT that may be left, see [lease.Client.Leftover].
const nextRotation = "the next rotation ends it; or look for it in the user's list of tokens"

// Rotation makes a rotation. It sends nothing.
func (j *Job) Rotation() *Rotation {
	s := j.Settings
	return &Rotation{Job: j, consumer: rotate.Consumer{Name: s.Name, WhenLeft: s.WhenLeft, Overlap: s.Overlap, Log: j.Platform.Log()}}
}

// Hold mints the next PAT if it is due, or with force; otherwise the result is nil. If it
// fails, no new PAT is left.
func (r *Rotation) Hold(ctx context.Context, random io.Reader, force bool) (*Held, rotate.Plan, error) {
	s := r.Settings
	ctx, cancel := settings.WithTimeout(ctx, s.Timeout)
	defer cancel()
	session, err := r.SignIn.SignIn(ctx)
	if err != nil {
		return nil, rotate.Plan{}, err
	}
	r.RefreshTokenNotice(session)
	r.before, err = r.consumer.List(ctx, r.leaseClient(session))
	if err != nil {
		return nil, rotate.Plan{}, fmt.Errorf("%w; nothing was minted", err)
	}
	plan := r.consumer.Plan(r.before, r.SignIn.Times())
	switch {
	case force:
	case plan.Due == "":
		r.RenewRefreshToken(ctx)
		return nil, plan, nil
	default:
		r.Platform.Log().Infof("rotating the PAT of %s: %s", s.Name, plan.Due)
	}
	_, minted, err := r.mint(ctx, mintOptions{
		origin: displayname.RotatedOrigin(s.Name, random),
		record: unrecorded, last: true, session: session, outlives: true, leftover: nextRotation,
	})
	if err != nil {
		return nil, plan, err
	}
	return &Held{Job: r.Job, Lease: minted, log: r.Platform.Log(), leftover: nextRotation}, plan, nil
}

// Replace ends the PATs before h, which the consumer has now; see
// [rotate.Consumer.Replace].
func (r *Rotation) Replace(ctx context.Context, h *Held) (done []rotate.Replaced, err error) {
	err = h.useForRelease(ctx, func(ctx context.Context, l *lease.Client) (err error) {
		more, err := r.consumer.Replace(ctx, l, h.Lease, r.before)
		done = append(done, more...)
		if err == nil {
			err = l.Settle(ctx, h.Lease)
		}
		return err
	})
	if err == nil && h.Lease.Record.Unsettled > 0 {
		r.WarnOfAnother(h.Lease.Record.Name)
	}
	advice := "the next rotation ends what is left, or revoke it by hand: " + TokenPage(r.Settings.Organization)
	if h := hint.Of(err); h != "" {
		advice = h + "\n" + advice
	}
	return done, hint.Add(err, advice)
}
