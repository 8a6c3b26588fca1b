package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"azdo-pat/internal/check"
	"azdo-pat/internal/login"
	"azdo-pat/internal/settings"
)

func loginCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "login",
		Short: "Sign in as the service account, once, and store the refresh token",
		Long: `login signs a person in as the service account in the browser of this machine,
with whatever the account needs (a second factor, consent), and stores the
refresh token with which jobs sign in from then on. The token is not shown. Run it
at a terminal of your own machine, not in a CI system.

The application (client-id) is the service account's app registration: a
confidential client with the redirect URI http://localhost under the platform
Web, and the delegated permissions vso.pats and vso.pats_manage of Azure DevOps.
It needs no stored secret. It authenticates with the assertion in
federated-token-file if that is set, otherwise with a temporary certificate.

For the certificate, login makes a key that stays in memory, and prints the az
command that adds the certificate to the application. An owner of the
application or an application administrator runs it in another terminal. login
waits up to 30 minutes until Entra knows the certificate, which is valid for 4
hours. At the end, whatever happened, it prints the command that removes it.

Then it opens the browser, and waits 5 minutes for the sign-in. Some errors are
shown by Entra in the browser alone. The variable BROWSER names another browser: a
program, or a command with %s where the address goes.

It checks who signed in (username), that both permissions were granted, that
there is a refresh token, and that the organization answers. Otherwise nothing
is stored.

The refresh token goes into the Key Vault secret in refresh-token-vault, written
by the application's service principal, which needs the role Key Vault Secrets
Officer. Without that setting it goes to standard output, which must be a file
or a pipe. Everything else goes to standard error. The token is valid for 90 days.`,
		Example: `  # Into Key Vault, where jobs read and renew it:
  azdo-pat login --organization contoso --client-id APPLICATION \
    --username svc@contoso.com \
    --refresh-token-vault https://contoso.vault.azure.net/secrets/azdo

  # Into a secret of the repository. Not by one pipe: a login that fails would
  # overwrite the secret with nothing.
  token=$(azdo-pat login --organization contoso --client-id APPLICATION) &&
    printf %s "$token" | gh secret set AZDO_REFRESH_TOKEN`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runLogin(cmd.Context(), a, flags(cmd))
		},
	}
}

func runLogin(ctx context.Context, a *app, given map[string]string) error {
	if a.platform.Info().CI {
		// Its standard output is a log, and there is no person to sign in.
		return a.failed("login", &settings.Problems{List: []string{
			"login signs a person in in the browser of this machine, so it cannot run in " + a.platform.Info().Name + "; run it at a terminal of your own machine"}})
	}
	src := a.source(given, nil)
	src.NoOutput = noOutput(a.System.Stdout)
	l, err := a.load(settings.Login, src)
	if err != nil {
		return l.failed("login", err)
	}
	a.limit.set(0) // it waits for people
	o := login.Options{
		Settings: l.Settings, HTTP: l.SignIn.HTTP, Mask: l.mask, Log: l.platform.Log(),
		Copy: func(line string) { fmt.Fprintln(a.Stderr, line) },
		Out:  a.System.Stdout, UserAgent: "azdo-pat/" + version,
		Windows: runtime.GOOS == "windows",
	}
	if !l.Settings.NoBrowser {
		o.Browser = login.Browser(a.LookupEnv)
	}
	result, err := login.Run(ctx, o)
	if err != nil {
		failed := l.failed("login", err)
		l.copyCommands(o.Copy, result.Person, err)
		return failed
	}
	l.platform.Log().Infof("signed in as %s; the refresh token %s", result.Person, result.Stored)
	return nil
}

// copyCommands prints the commands that remove the cause of a failure, as check does, for a
// person to copy.
func (l *loaded) copyCommands(show func(line string), person login.Person, err error) {
	s := l.Settings
	lines := check.Job{
		Organization: s.Organization, Tenant: s.TenantID, Client: s.ClientID,
		User: cmp.Or(person.ID, s.Username), TokenFile: s.FederatedTokenFile,
	}.Commands(err)
	if len(lines) == 0 {
		return
	}
	l.platform.Log().Infof("what removes the cause:")
	for _, line := range lines {
		show(l.platform.Log().Redact(line))
	}
}

// noOutput is why a refresh token cannot be written to standard output, or "": it must
// be a file or a pipe, or a stand-in of a test.
func noOutput(stdout io.Writer) string {
	f, ok := stdout.(*os.File)
	if !ok {
		return ""
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		return "standard output is closed, so the refresh token would be lost"
	case info.Mode()&os.ModeCharDevice == 0:
		return ""
	}
	if null, err := os.Stat(os.DevNull); err == nil && os.SameFile(info, null) {
		return "standard output is closed or the null device, so the refresh token would be lost"
	}
	return "standard output is a terminal, where the refresh token would be seen"
}
