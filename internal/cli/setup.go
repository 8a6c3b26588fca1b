package cli

import (
	"io"

	"github.com/spf13/cobra"

	"azdo-pat/internal/keyvault"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/setup"
)

func setupCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "setup",
		Short: "Print the script that creates what an identity needs in Entra and Azure DevOps",
		Long: `setup prints a script for one identity, with your values filled in, and sends
nothing. Read the script, and run it with an account that has the roles it
names before each step. It can be run again: what is there stays as it is. It
ends with the workflow to paste.

  service-principal  application with a federated credential, and its membership in
                     the organization. For token-type entra.
  service-account    application with a federated credential, user account, consent
                     for that user, membership, and with refresh-token-vault the
                     roles in Key Vault. Then azdo-pat login signs in once.
  agent-user         agent identity blueprint with a federated credential, agent
                     identity, its user account, consent and membership. PowerShell
                     only: the Azure CLI cannot create agent identities.

The jobs to trust are those on the default branch of --repository and no others:
no pull request, no tag, and no job that names an environment. For those, give the
subject that they present, with --issuer and --subject in place of --repository.
The script asks GitHub which form the subject has.

--undo prints the script that removes what the first one created, and nothing else.
If --client-id names an application that setup did not create, its service principal
and its membership stay too, even those that setup created.`,
		Example: `  azdo-pat setup --identity service-principal --organization contoso \
    --repository contoso/widgets >setup.sh
  bash setup.sh

  # Only jobs of the environment production:
  azdo-pat setup --identity service-account --organization contoso \
    --username azdo@contoso.com \
    --issuer https://token.actions.githubusercontent.com \
    --subject repo:contoso/widgets:environment:production

  azdo-pat setup --identity agent-user --organization contoso \
    --repository contoso/widgets >setup.ps1
  pwsh setup.ps1

  # Remove it all:
  azdo-pat setup --identity service-principal --organization contoso \
    --repository contoso/widgets --undo | bash`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSetup(a, flags(cmd)) },
	}
}

func runSetup(a *app, given map[string]string) error {
	a = a.withOutput(a.Stdout, true) // in a CI system too, standard output is the script alone
	s, err := settings.Load(settings.Setup, a.source(given, nil))
	if err != nil {
		return a.failed("setup", err)
	}
	for _, text := range s.Warnings {
		a.platform.Log().Warning("azdo-pat settings", text)
	}
	vault, secret := keyvault.Names(s.RefreshTokenVault)
	_, err = io.WriteString(a.out, setup.Script(setup.Options{
		Identity: setup.Identity(s.SetupIdentity), Format: setup.Format(s.Format), Undo: s.Undo,
		Organization: s.Organization, Name: s.Name, Tenant: s.TenantID, Client: s.ClientID,
		Agent: s.AgentID, AgentUser: s.AgentUser, Username: s.Username, Vault: vault, Secret: secret,
		Repository: s.Repository, Issuer: s.Issuer, Subject: s.Subject, Audience: s.Audience,
	}))
	if err != nil {
		return a.failed("setup", err)
	}
	return nil
}
