package check

import (
	"strings"

	"azdo-pat/internal/settings"
)

// Warning is about something that works today but will stop working.
type Warning struct {
	Name string // stable, as that of a row
	Text string // one line
	Fix  string // what to do, line by line
}

// retiredIssuer is the beginning of the issuer of older service connections of Azure
// Pipelines: https://vstoken.dev.azure.com/ORGANIZATION-ID. Microsoft announced with
// sprint 276 of Azure DevOps that it ends on 1 July 2027.
const retiredIssuer = "https://vstoken.dev.azure.com/"

// addWarnings warns of an issuer that ends.
func (k *preflight) addWarnings() {
	if !strings.HasPrefix(strings.ToLower(k.issuer), retiredIssuer) {
		return
	}
	fix := []string{
		"1. on the service connection's page, choose Update: the connection gets another issuer, https://login.microsoftonline.com/TENANT/v2.0, and another subject",
		"2. add a federated credential with both, exactly as the page shows them, to the application " + k.Settings.ClientID,
		"3. run check again, then remove the credential with the old issuer",
		"Microsoft excludes multi-tenant applications and national clouds from the change.",
	}
	if k.Settings.Identity == settings.AgentUser {
		fix = append(fix, "No documentation says whether a blueprint takes the new issuer: try it with a second service connection first.")
	}
	k.report.Warnings = append(k.report.Warnings, Warning{
		Name: "issuer-ends",
		Text: "Azure DevOps ends the issuer of this service connection, " + k.issuer + ", on 1 July 2027",
		Fix:  strings.Join(fix, "\n"),
	})
}
