package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/job"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/toolconfig"
)

// runPost is the action's post step. It revokes what mint recorded, or what can be
// recomputed from the inputs and the environment.
func runPost(ctx context.Context, a *app, args []string) error {
	a.ending.Store(true)
	recorded := job.Recorded(a.platform)
	if recorded != nil { // first, because it needs no network
		minted := recorded.Stage == lease.Minted || recorded.Stage == lease.HandedOver
		job.RemoveTools(a.platform, toolconfig.Folders{Recorded: recorded.Folder, Expected: recorded.Folder != "" && minted})
	}
	if ends, ok := job.EntraTokenEnds(recorded); ok {
		a.platform.Log().Infof("%s", entraTokenStays(ends))
		return nil
	}
	if why := nothingMinted(recorded, args); why != "" {
		a.platform.Log().Infof("%s, so there is nothing to revoke", why)
		return nil
	}
	var saved *settings.Saved
	if recorded != nil {
		saved = &recorded.Settings
	}
	l, err := a.load(settings.Post, a.source(nil, saved))
	if recorded == nil && l.Job != nil {
		job.RemoveTools(a.platform, l.OwnTools(""))
	}
	if recorded == nil && l.Job != nil && l.Settings.TokenType == settings.EntraToken { // whatever else is wrong
		a.platform.Log().Infof("token-type is entra: %s", entraTokenStays(time.Time{}))
		return nil
	}
	if err != nil {
		return l.revokeFailed("post", wrongPostSettings(l, recorded, err))
	}
	released, err := l.Post(ctx, recorded)
	return l.reportReleased("post", released, err)
}

// nothingMinted says why there is nothing to revoke; empty: there may be a PAT.
func nothingMinted(recorded *lease.Record, args []string) string {
	ended := recorded == nil || recorded.Stage == lease.Started || recorded.Stage == lease.Closed
	switch {
	case ended && len(args) > 0 && args[0] != "" && args[0] != string(settings.Mint):
		// The main step had the same argument, so it did not mint. That does not hold if
		// there is a record of a PAT: in a nested composite action the arguments can be
		// another step's.
		command := "the command"
		if repeatable(args[0]) {
			command = fmt.Sprintf("%q", args[0])
		}
		return command + " mints nothing"
	case recorded != nil && recorded.Stage == lease.Started:
		return "nothing was minted"
	case recorded != nil && recorded.Stage == lease.Closed:
		return "mint left no PAT behind"
	}
	return ""
}

// wrongPostSettings adds to an error of the settings what it means for the PAT.
func wrongPostSettings(l *loaded, recorded *lease.Record, err error) error {
	if recorded != nil && l.Job != nil {
		return l.NotRevoked(err, *recorded)
	}
	if wrong := (*settings.Problems)(nil); recorded == nil && errors.As(err, &wrong) {
		return hint.Add(err, "mint left no saved state, and with these settings its PAT cannot be looked for; if mint had the same settings, it minted nothing")
	}
	return err
}
