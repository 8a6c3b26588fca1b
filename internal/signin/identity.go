package signin

import (
	"errors"
	"fmt"
	"slices"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/entra"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/keyvault"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/settings"
)

// credentials makes the identity that the settings name. stored is the refresh token
// in Key Vault; nil: there is none.
func credentials(s *settings.Settings, stored *StoredToken) entra.Credentials {
	switch s.Identity {
	case settings.VaultToken:
		return &entra.StoredRefreshToken{Client: s.ClientID, Store: keyVault, Scope: keyvault.Scope, Read: stored.read}
	case settings.AgentUser:
		return &entra.AgentUser{Blueprint: s.ClientID, Agent: s.AgentID, User: s.AgentUser}
	case settings.ServicePrincipal:
		return &entra.ServicePrincipal{Client: s.ClientID}
	case settings.RefreshToken:
		return &entra.RefreshToken{Client: s.ClientID, Token: s.RefreshToken}
	default:
		return &entra.Password{Client: s.ClientID, Username: s.Username, Password: s.Password}
	}
}

// Describe names the kind of identity and, as far as the settings tell, the user
// and the application.
func Describe(s *settings.Settings) string {
	switch s.Identity {
	case settings.AgentUser:
		return fmt.Sprintf("%s %s (agent identity %s, blueprint %s)", s.Identity, s.AgentUser, s.AgentID, s.ClientID)
	case settings.Password:
		return fmt.Sprintf("%s %s (application %s)", s.Identity, s.Username, s.ClientID)
	case settings.ServicePrincipal:
		return fmt.Sprintf("%s of application %s", s.Identity, s.ClientID)
	case settings.VaultToken:
		return fmt.Sprintf("%s %s (application %s)", s.Identity, keyvault.Name(s.RefreshTokenVault), s.ClientID)
	case settings.RefreshToken:
		return fmt.Sprintf("%s (application %s)", s.Identity, s.ClientID)
	}
	return string(s.Identity)
}

// Notes on values that are not shown as they are.
const (
	EscapedNote = `(a value in double quotes is a JSON string: characters that a log cannot show are escaped, as in \u200d)`
	maskedNote  = "(*** replaces text that equals or looks like a credential: take the value from the assertion itself)"
)

// addPresented adds to Entra's refusal of the assertion what the job presented, as
// values to paste into a federated credential.
func addPresented(err error, redact func(string) string) error {
	var refused *entra.Error
	if !errors.As(err, &refused) || !refused.CredentialMismatch() || refused.Presented == (assertion.Claims{}) {
		return err
	}
	p := refused.Presented
	text := fmt.Sprintf("the job presented (to be copied into a federated credential):\n  issuer: %s\n  subject: %s\n  audience: %s",
		sanitize.Exact(p.Issuer), sanitize.Exact(p.Subject), sanitize.Exact(p.Audience))
	escaped := slices.ContainsFunc([]string{p.Issuer, p.Subject, p.Audience}, sanitize.NeedsEscape)
	for _, c := range [][2]string{{"job_workflow_ref", p.JobWorkflowRef}, {"repository_owner_id", p.RepositoryOwnerID}, {"repository_id", p.RepositoryID}} {
		if c[1] != "" {
			text += "\n  " + c[0] + ": " + sanitize.Exact(c[1])
			escaped = escaped || sanitize.NeedsEscape(c[1])
		}
	}
	if escaped {
		text += "\n" + EscapedNote
	}
	if redact(text) != text {
		text += "\n" + maskedNote
	}
	if h := hint.Of(err); h != "" {
		text = h + "\n" + text
	}
	return hint.Add(err, text)
}
