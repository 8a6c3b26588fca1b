package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/entra"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/sanitize"
)

// AzureDevOps is the application id of Azure DevOps in every tenant.
const AzureDevOps = "499b84ac-1321-427f-aa17-267ca6975798"

const audience = "api://AzureADTokenExchange"

// Job holds the values for the commands of a remedy. Empty: unknown.
type Job struct {
	Organization string
	Tenant       string
	Client       string // the application that trusts the assertion
	Agent        string // the agent identity; empty: the identity is no agent user
	User         string // user principal name or object id
	TokenFile    string
}

// Remedy returns what to do about an error on the way to a PAT: its hint and, if
// something must be changed in Entra or Azure DevOps, the commands for it.
func (j Job) Remedy(err error) string {
	lines := []string{}
	if h := hint.Of(err); h != "" {
		lines = append(lines, h)
	}
	var refused *entra.Error
	var denied *pat.Error
	switch {
	case errors.As(err, &refused):
		lines = append(lines, j.entra(refused)...)
	case errors.As(err, &denied) && denied.NoMember():
		lines = append(lines, j.membership()...)
	}
	return strings.Join(lines, "\n")
}

func (j Job) entra(e *entra.Error) []string {
	is := func(codes ...int) bool {
		return slices.ContainsFunc(e.Codes, func(c int) bool { return slices.Contains(codes, c) })
	}
	switch {
	case is(700213, 7002138, 70021, 70025, 700211) && e.Client == j.Client && e.Presented.Subject != "":
		return j.credential(e.Presented)
	case is(700212) && e.Client == j.Client && e.Presented.Audience == audience:
		return j.credential(e.Presented)
	case is(65001):
		return j.consent()
	case is(700024) && j.TokenFile != "":
		return []string{"or take a fresh token: " + j.TokenFile + " may hold an old one"}
	}
	return nil
}

// credential returns how to make the application trust the job's assertion. The
// Azure CLI serves an app registration. A blueprint needs Graph itself: by
// Microsoft's documentation its APIs refuse the Azure CLI's own token.
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation-create-trust
// https://learn.microsoft.com/graph/api/federatedidentitycredential-post
func (j Job) credential(p assertion.Claims) []string {
	body := asciiJSON(struct {
		Name      string   `json:"name"`
		Issuer    string   `json:"issuer"`
		Subject   string   `json:"subject"`
		Audiences []string `json:"audiences"`
	}{credentialName(p.Subject), p.Issuer, p.Subject, []string{p.Audience}})
	var lines []string
	if strings.Contains(p.Subject, ":ref:refs/tags/") {
		lines = append(lines, "every tag has a subject of its own: let the job run in an environment, whose subject is one for all,",
			"or use a flexible federated credential (a preview of Microsoft's) instead of this one")
	}
	if j.Agent == "" {
		return append(lines, "",
			"az ad app federated-credential create --id "+shell(j.Client)+" --parameters "+shell(body))
	}
	return append(lines,
		"in PowerShell 7 with the module Microsoft.Graph.Authentication, as Agent ID Administrator or Developer",
		"(the Azure CLI will not do here: Microsoft says that the APIs of agent identities refuse its token):", "",
		j.connect("AgentIdentityBlueprint.AddRemoveCreds.All", "Application.Read.All"),
		"$id = "+get("applications(appId='"+url.PathEscape(j.Client)+"')")+".id",
		`Invoke-MgGraphRequest -Method POST -Uri "https://graph.microsoft.com/v1.0/applications/$id/microsoft.graph.agentIdentityBlueprint/federatedIdentityCredentials" -ContentType application/json -Body `+powershell(body))
}

// consent returns how to let the application or the agent identity act for the user.
// https://learn.microsoft.com/graph/api/oauth2permissiongrant-post
func (j Job) consent() []string {
	if j.Agent != "" {
		return []string{
			"in PowerShell 7 with the module Microsoft.Graph.Authentication, as an administrator who may grant consent:", "",
			j.connect("DelegatedPermissionGrant.ReadWrite.All", "Application.Read.All", "User.Read.All"),
			"$azdo = " + get("servicePrincipals(appId='"+AzureDevOps+"')") + ".id",
			"$user = " + get("users/"+url.PathEscape(j.user())) + ".id",
			"$grant = @{ clientId = " + powershell(j.Agent) + "; consentType = 'Principal'; principalId = $user; resourceId = $azdo; scope = 'vso.pats vso.pats_manage' }",
			"Invoke-MgGraphRequest -Method POST -Uri https://graph.microsoft.com/v1.0/oauth2PermissionGrants -ContentType application/json -Body ($grant | ConvertTo-Json)",
		}
	}
	return []string{
		"in a shell, as an administrator who may grant consent:", "",
		"client=$(az ad sp show --id " + shell(j.Client) + " --query id --output tsv)",
		"azdo=$(az ad sp show --id " + AzureDevOps + " --query id --output tsv)",
		"user=$(az ad user show --id " + shell(j.user()) + " --query id --output tsv)",
		`az rest --method POST --url https://graph.microsoft.com/v1.0/oauth2PermissionGrants --body "{\"clientId\":\"$client\",\"consentType\":\"Principal\",\"principalId\":\"$user\",\"resourceId\":\"$azdo\",\"scope\":\"vso.pats vso.pats_manage\"}"`,
	}
}

// Scopes returns how to add missing scopes to an existing consent.
func (j Job) Scopes(missing ...string) string {
	if j.Client == "" {
		// The caller got the token elsewhere, for an application that is not known here.
		return "get the access token with the delegated permissions vso.pats and vso.pats_manage of Azure DevOps (or user_impersonation)"
	}
	lines := []string{"the consent lacks " + strings.Join(missing, " and ") + ": an administrator must add to it"}
	if j.Agent != "" {
		return strings.Join(append(lines,
			"in PowerShell 7 with the module Microsoft.Graph.Authentication:", "",
			j.connect("DelegatedPermissionGrant.ReadWrite.All", "Application.Read.All"),
			"$azdo = "+get("servicePrincipals(appId='"+AzureDevOps+"')")+".id",
			"$grant = "+get("oauth2PermissionGrants?$filter=clientId eq '"+j.Agent+"'")+".value | Where-Object { $_.resourceId -eq $azdo }",
			`Invoke-MgGraphRequest -Method PATCH -Uri "https://graph.microsoft.com/v1.0/oauth2PermissionGrants/$($grant.id)" -ContentType application/json -Body (@{ scope = "$($grant.scope) `+strings.Join(missing, " ")+`" } | ConvertTo-Json)`,
		), "\n")
	}
	return strings.Join(append(lines,
		"in a shell (this takes the place of all that the application was allowed to do in Azure DevOps before):", "",
		"user=$(az ad user show --id "+shell(j.user())+" --query id --output tsv)",
		"az ad app permission grant --id "+shell(j.Client)+" --api "+AzureDevOps+` --scope vso.pats vso.pats_manage --consent-type Principal --principal-id "$user"`,
	), "\n")
}

// membership is how to add the user to the organization; express is Basic.
// https://learn.microsoft.com/cli/azure/devops/user#az-devops-user-add
func (j Job) membership() []string {
	lines := []string{"", "az devops user add --email-id " + shell(j.user()) +
		" --license-type express --organization " + shell("https://dev.azure.com/"+j.Organization)}
	if j.Agent != "" {
		lines = append(lines, "", "(no documentation says whether Azure DevOps takes an agent user as a member)")
	}
	return lines
}

// user is the user's name for a command; a placeholder if it is unknown.
func (j Job) user() string {
	if j.User == "" {
		return "USER-PRINCIPAL-NAME"
	}
	return j.User
}

func (j Job) connect(scopes ...string) string {
	return "Connect-MgGraph -TenantId " + powershell(j.Tenant) + " -Scopes " + strings.Join(scopes, ",")
}

// get asks Graph for a path, in PowerShell.
func get(path string) string {
	return "(Invoke-MgGraphRequest -Method GET -Uri " + powershell("https://graph.microsoft.com/v1.0/"+path) + ")"
}

// notInName matches the characters that the name of a federated credential must not
// have, since it is part of a URL.
var notInName = regexp.MustCompile(`[^A-Za-z0-9]+`)

// credentialName makes a name of a subject; Entra takes 120 characters.
func credentialName(subject string) string {
	name := "azdo-pat-" + strings.Trim(notInName.ReplaceAllString(subject, "-"), "-")
	return strings.Trim(name[:min(len(name), 120)], "-")
}

// asciiJSON writes JSON that no shell can misread between single quotes, and no
// log: all but plain ASCII is escaped, and so are quotes and "#". PowerShell
// takes four further characters for a quote.
func asciiJSON(v any) string {
	text, _ := json.Marshal(v) // structs of strings: it cannot fail
	var b strings.Builder
	for _, r := range string(text) {
		if r < ' ' || r > '~' || r == '\'' || r == '#' || r == '`' {
			b.WriteString(sanitize.Escape(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// plainWord matches a word that needs no quoting in a shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// shell quotes a word for a POSIX shell. A word that a log cannot show is printed
// by the command, from the octal numbers of its bytes.
func shell(word string) string {
	switch {
	case plainWord.MatchString(word):
		return word
	case !sanitize.NeedsEscape(word):
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	var b strings.Builder
	for _, c := range []byte(word) {
		if plainWord.Match([]byte{c}) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\%03o`, c)
		}
	}
	return `"$(printf '` + b.String() + `')"`
}

// powershell quotes a word for PowerShell, where five characters are single
// quotes, each of which stands for itself if there are two. In a word that a log
// cannot show every character but the plainest is escaped.
func powershell(word string) string {
	if sanitize.NeedsEscape(word) {
		var b strings.Builder
		for _, r := range word {
			if plainWord.MatchString(string(r)) {
				b.WriteRune(r)
			} else {
				fmt.Fprintf(&b, "`u{%x}", r)
			}
		}
		return `"` + b.String() + `"`
	}
	for _, quote := range []string{"'", "‘", "’", "‚", "‛"} {
		word = strings.ReplaceAll(word, quote, quote+quote)
	}
	return "'" + word + "'"
}
