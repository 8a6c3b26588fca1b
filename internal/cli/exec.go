package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"azdo-pat/internal/job"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/process"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/signin"
	"azdo-pat/internal/timefmt"
)

func execCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARG…]",
		Short: "Run a command with a PAT in its environment",
		Long: `exec mints a PAT, runs COMMAND with it in the variable AZURE_DEVOPS_EXT_PAT, or in
those that --env names, and revokes it when COMMAND ends. The PAT is short-lived
and is renewed as long as COMMAND runs: if the machine dies, so does the PAT.

COMMAND gets the terminal and the signals that azdo-pat receives; SIGINT, SIGTERM
and SIGHUP also revoke the PAT at once. The exit status is COMMAND's, or 128+n if
signal n ended it. It is 127 if COMMAND is not found and 126 if it cannot be
started; in both cases nothing was minted (outside Linux a file in a wrong format is
found only when it is started: the PAT is revoked, and the status is 1). It is 1 if
no PAT could be minted.

With token-type entra COMMAND gets an Entra access token of the service principal
client-id instead, which is neither renewed nor revoked: a warning says when it ends
before COMMAND does.

The credentials of azdo-pat itself are removed from COMMAND's environment. In a CI
system, *** replaces the PAT in what COMMAND writes.`,
		Example: `  azdo-pat exec --organization contoso --client-id APPLICATION \
    --refresh-token-vault https://contoso.vault.azure.net/secrets/azdo \
    --federated-token-file "$TOKEN_FILE" \
    --scopes vso.build \
    -- az pipelines list --org https://dev.azure.com/contoso -p widgets

  # With the settings in AZDO_PAT_ORGANIZATION and so on:
  azdo-pat exec --scopes vso.project_manage --env AZDO_PERSONAL_ACCESS_TOKEN \
    -- terraform apply
  azdo-pat exec --scopes vso.packaging \
    -- sh -c 'curl --user ":$AZURE_DEVOPS_EXT_PAT" "$FEED"'`,
		Args:              commandAfterDash,
		ValidArgsFunction: programs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runExec(cmd.Context(), a, flags(cmd), args)
		},
	}
}

func runExec(ctx context.Context, a *app, given map[string]string, command []string) error {
	x, err := newExecution(a, settings.Exec, given, command)
	if err != nil {
		return x.failed("exec", err)
	}
	status, err := x.run(ctx)
	return x.conclude("exec", status, err)
}

// held is the token that the command uses: a PAT ([job.Held]) or an Entra token
// ([job.HeldEntraToken]).
type held interface {
	Secret() secret.Value
	// Undo ends the token if the command could not be started because of cause. It
	// returns cause.
	Undo(ctx context.Context, cause error) error
	Release(ctx context.Context) job.Ending
}

// get gets the token.
func (x *execution) get(ctx context.Context) error {
	if x.Settings.TokenType == settings.EntraToken {
		t, err := x.HoldEntraToken(ctx)
		x.held = t
		return err
	}
	pat, err := x.Hold(ctx, x.Random)
	x.held = pat
	return err
}

// run mints a PAT, runs the command with it and returns the command's exit status, or an
// error if the command was not started.
func (x *execution) run(ctx context.Context) (status int, err error) {
	x.program, err = process.Find(x.command, x.Environ())
	if err != nil {
		return exitFailure, fmt.Errorf("%w; nothing was minted", err)
	}
	tools, err := x.PrepareTools()
	if err != nil {
		return exitFailure, fmt.Errorf("%w; nothing was minted", err)
	}
	err = x.get(ctx)
	if err != nil {
		return exitFailure, err
	}
	defer tools.Remove() // also if the command is not started
	x.toolVariables, err = tools.SetUp(x.held.Secret())
	if err != nil {
		return exitFailure, x.held.Undo(ctx, err)
	}
	x.logHeld()
	var end job.Ending
	status, err = x.runHeld(ctx, hooks{
		onStart:   x.watch,
		onStop:    x.logStopped,
		stopEarly: true,
		release: func(ctx context.Context, _ int) {
			tools.Remove() // first, because it needs no network
			end = x.held.Release(ctx)
		},
		report: func() error { return x.reportEnding(end) },
	})
	if end.Wider != nil && status == exitOK {
		return exitFailure, err
	}
	return status, err
}

// logHeld logs what the command gets, and what happens to it.
func (x *execution) logHeld() {
	log, in := x.platform.Log(), strings.Join(x.Settings.Env, " and ")
	switch h := x.held.(type) {
	case *job.HeldEntraToken:
		log.Infof("running %s with an Entra token of the %s for %s in %s: it has no scopes, is not renewed, cannot be revoked, and ends at %s",
			x.commandName(), signin.Describe(x.Settings), x.Settings.Organization, in, timefmt.Time(h.Token.Ends))
	case *job.Held:
		end := "revoked when it ends"
		if x.Settings.SkipRevoke {
			end = "then valid until it expires (skip-revoke)"
		}
		t := h.Lease.Token
		log.Infof("running %s with PAT %s for %s with %s in %s: valid until %s, renewed while it runs, %s",
			x.commandName(), t.ID, x.Settings.Organization, strings.Join(t.Scopes, " "), in, timefmt.Time(t.ValidTo), end)
	}
}

// watch renews a PAT until it is released, and warns when an Entra token ends. At a
// terminal, progress goes to the debug log, because the command uses the terminal.
func (x *execution) watch(ctx context.Context) {
	switch h := x.held.(type) {
	case *job.HeldEntraToken:
		h.Watch(func() {
			x.platform.Log().Warning("azdo-pat exec: token ended", fmt.Sprintf("the Entra token ended at %s, and %s keeps running with a token that is no longer valid\n"+
				"split the work into commands of less than an hour, or use a PAT, which exec renews", timefmt.Time(h.Token.Ends), x.commandName()))
		})
	case *job.Held:
		log := lease.Log(x.platform.Log())
		if x.shared == nil {
			log = x.quietLog()
		}
		h.Renew(ctx, log, func(err error) {
			x.platform.Log().Error("azdo-pat exec: PAT ended", fmt.Errorf("renew the PAT %s: %w; %s keeps running with a PAT that is no longer valid", h.Lease.Record.ID, err, x.commandName()))
		})
	}
}

func (x *execution) logStopped(signal error) {
	then := ""
	if _, ok := x.held.(*job.Held); ok {
		then = "; the PAT is no longer renewed"
	}
	x.platform.Log().Infof("%v; forwarded to %s%s", signal, x.commandName(), then)
}

// reportEnding logs how the lease ended.
func (x *execution) reportEnding(e job.Ending) error {
	log, r := x.platform.Log(), e.Record
	if e.Err != nil {
		return x.revokeFailed("exec", e.Err)
	}
	if !e.EntraEnds.IsZero() {
		log.Infof("the Entra token cannot be revoked, and ends at %s", timefmt.Time(e.EntraEnds))
		return nil
	}
	if e.Expired {
		log.Infof("PAT %s expired at %s", r.ID, timefmt.Time(r.ValidTo))
		return nil
	}
	x.logRevoked(&e.Released)
	if e.MayMint {
		x.WarnOfAnother(r.Name)
	}
	if e.Left {
		log.Infof("skip-revoke is set: the PAT %s stays valid until %s", r.ID, timefmt.Time(r.ValidTo))
	}
	return nil
}
