package job

import (
	"context"
	"errors"
	"fmt"
	"time"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/displayname"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
)

// HandOverEntraToken gets the service principal's own token and hands it over to the
// platform. There is no lease, because nothing can revoke the token. From the record
// the post step learns only that, and when the token ends.
func (j *Job) HandOverEntraToken(ctx context.Context) (*signin.EntraToken, error) {
	p := j.Platform
	// Without a lease, the record of a PAT that another step minted stays.
	if err := p.Prepare(displayname.Origin{}); err != nil {
		return nil, err
	}
	tools, err := j.prepareTools(p.Origin(j.Settings.Name).Key)
	if err != nil {
		return nil, err
	}
	t, err := j.entraToken(ctx)
	if err != nil {
		return nil, err
	}
	record := lease.Record{Stage: lease.Closed, ValidTo: t.Ends, Settings: j.Settings.Save(), Folder: tools.folder()}
	if err := p.Record(record.String()); err != nil {
		return nil, fmt.Errorf("keep the record that the post step needs: %w; the Entra token was not handed over", err)
	}
	if err := tools.handOver(p, t.Secret, record, ci.Result{Token: t.Secret, ExpiresAt: t.Ends, Type: settings.EntraToken}); err != nil {
		return nil, fmt.Errorf("hand over the Entra token: %w", err)
	}
	return t, nil
}

// entraToken gets the token and masks it.
func (j *Job) entraToken(ctx context.Context) (*signin.EntraToken, error) {
	t, err := j.SignIn.EntraToken(ctx)
	if err != nil {
		return nil, err
	}
	return t, ci.MaskPAT(j.Platform, t.Secret)
}

// EntraTokenEnds returns when the recorded Entra token ends; false: mint recorded none.
func EntraTokenEnds(r *lease.Record) (time.Time, bool) {
	if r == nil || r.Stage != lease.Closed || r.Settings.Values["token-type"] != settings.EntraToken {
		return time.Time{}, false
	}
	return r.ValidTo, true
}

// NoPATOnRecord returns an error if mint recorded a PAT, although token-type is entra
// in this step. Another step may have changed token-type by a variable so that the PAT
// stays valid.
func (j *Job) NoPATOnRecord() error {
	origin := j.Platform.Origin(j.Settings.Name)
	line, ok := j.Platform.Recorded(origin)
	if !ok {
		return nil
	}
	record, err := lease.ParseRecord(line)
	if err == nil && (record.Name != origin.DisplayName() || record.Stage != lease.Intended && record.Stage != lease.Minted) {
		return nil
	}
	return j.NotRevoked(hint.Add(errors.New("token-type is entra in this step, but the minting step recorded a PAT; nothing was sent"),
		"give this step the same settings as the minting step, or give each mint of a job its own name"),
		lease.Record{Name: origin.DisplayName(), ID: record.ID, ValidTo: record.ValidTo})
}

// HeldEntraToken is the service principal's own token while a command uses it.
type HeldEntraToken struct {
	*Job
	Token *signin.EntraToken

	end *time.Timer // fires when the token ends
}

// HoldEntraToken gets the token. No other process knows of it.
func (j *Job) HoldEntraToken(ctx context.Context) (*HeldEntraToken, error) {
	ctx, cancel := settings.WithTimeout(ctx, j.Settings.Timeout)
	defer cancel()
	t, err := j.entraToken(ctx)
	if err != nil {
		return nil, err
	}
	return &HeldEntraToken{Job: j, Token: t}, nil
}

// Secret is the token.
func (h *HeldEntraToken) Secret() secret.Value { return h.Token.Secret }

// Undo returns cause: there is nothing to undo.
func (h *HeldEntraToken) Undo(_ context.Context, cause error) error { return cause }

// Watch calls onEnd when the token ends, unless it is released before.
func (h *HeldEntraToken) Watch(onEnd func()) { h.end = time.AfterFunc(h.Token.Left, onEnd) }

// Release says when the token ends. It cannot be revoked.
func (h *HeldEntraToken) Release(context.Context) Ending {
	h.end.Stop()
	return Ending{EntraEnds: h.Token.Ends}
}
