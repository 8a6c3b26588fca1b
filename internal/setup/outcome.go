package setup

import (
	"strings"

	"azdo-pat/internal/quote"
)

// outcome is what is left to do, with the ids that the script found: the workflow to
// paste, as lines.
func (p *plan) outcome() []text {
	inputs := p.inputs()
	switch p.ci() {
	case onGitHub:
		return p.workflow(inputs)
	case onPipelines:
		return p.pipeline(inputs)
	}
	return p.environment(inputs)
}

type ciKind int

const (
	elsewhere ciKind = iota
	onGitHub
	onPipelines
)

// ci is the CI system of the jobs that are trusted.
func (p *plan) ci() ciKind { return issuerKind(p.trust().issuer.with(nil)) }

// issuerKind tells which CI system an issuer belongs to.
func issuerKind(issuer string) ciKind {
	host := strings.TrimPrefix(issuer, "https://")
	switch {
	case strings.HasPrefix(host, "token.actions.githubusercontent.com"), strings.HasSuffix(host, "/_services/token"):
		return onGitHub
	case strings.HasPrefix(host, "vstoken.dev.azure.com/"), strings.HasPrefix(host, "login.microsoftonline.com/"):
		return onPipelines
	}
	return elsewhere
}

// An input is a setting of azdo-pat with its value.
type input struct {
	name  string
	value text
}

// inputs are the settings of the job.
func (p *plan) inputs() []input {
	all := []input{
		{"organization", words(p.Organization)},
		{"tenant-id", words(tenant)},
		{"client-id", words(app)},
	}
	switch p.Identity {
	case AgentUser:
		all = append(all, input{"agent-id", words(agentID)}, input{"agent-user", p.agentUser()})
	case ServiceAccount:
		if p.Vault != "" {
			all = append(all, input{"refresh-token-vault", words("https://" + p.Vault + ".vault.azure.net/secrets/" + p.Secret)})
		}
	case ServicePrincipal:
		all = append(all, input{"token-type", words("entra")})
	}
	if p.Identity != ServicePrincipal {
		all = append(all, input{"scopes", words("vso.code")})
	}
	return all
}

// yaml returns a text as a value of YAML: plain where it is, and otherwise as JSON.
func yaml(t text) text {
	if literal := t.with(nil); len(t.variables()) > 0 || plainYAML(literal) {
		return t
	}
	return words(quote.JSON(t.with(nil)))
}

func plainYAML(s string) bool {
	return s != "" && !strings.HasPrefix(s, "-") && !strings.HasPrefix(s, "@") && !strings.ContainsFunc(s, func(r rune) bool {
		return r >= 0x80 || !isNameRune(r) && !strings.ContainsRune("-.@/:", r)
	}) && !strings.Contains(s, ": ") && !strings.HasSuffix(s, ":")
}

func lines(of ...string) (all []text) {
	for _, l := range of {
		all = append(all, words(l))
	}
	return all
}

// workflow is for GitHub Actions.
func (p *plan) workflow(inputs []input) []text {
	out := lines("# .github/workflows/azdo-pat.yml", "on: workflow_dispatch", "jobs:", "  token:", "    runs-on: ubuntu-latest")
	if _, environment, ok := strings.Cut(p.Subject, ":environment:"); ok {
		out = append(out, concat(words("    environment: "), yaml(words(strings.ReplaceAll(environment, "%3A", ":")))))
	} else if p.Repository != "" {
		out[1] = words("on: workflow_dispatch # run it on the branch ", variable("branch"))
	}
	out = append(out, lines("    permissions:", "      id-token: write", "    steps:", "      - id: azdo", "        uses: OWNER/azdo-pat@COMMIT", "        with:")...)
	for _, in := range inputs {
		out = append(out, concat(words("          "+in.name+": "), yaml(in.value)))
	}
	if p.Identity == ServiceAccount && p.Vault == "" {
		out = append(out, words("          refresh-token: ${{ secrets.AZDO_REFRESH_TOKEN }}"))
	}
	out = append(out, words("          configure: git"+otherTools), words("      - run: "+p.useGit()))
	return append(out, p.login()...)
}

// otherTools names the page to read if the job needs other tools than git.
const otherTools = " # npm, pip and others: docs/tools.md"

// useGit is a command that needs the token.
func (p *plan) useGit() string {
	return "git ls-remote \"https://dev.azure.com/" + p.Organization + "/PROJECT/_git/REPOSITORY\""
}

// pipeline is for Azure Pipelines.
func (p *plan) pipeline(inputs []input) []text {
	out := lines("# azure-pipelines.yml; the agent needs the program azdo-pat: docs/azure-pipelines.md", "variables:")
	out = append(out, settingsOf("  ", ": ", inputs, yaml)...)
	out = append(out, lines(
		"  AZDO_PAT_CONFIGURE: git"+otherTools,
		"  AZDO_PAT_SERVICE_CONNECTION_ID: SERVICE-CONNECTION-ID # resourceId in the address of its page",
		"steps:",
		"- task: AzureCLI@2",
		"  displayName: Name the service connection # never runs, but without it Azure DevOps gives out no token",
		"  condition: false",
		"  inputs:",
		"    azureSubscription: SERVICE-CONNECTION-NAME",
		"    scriptType: bash",
		"    scriptLocation: inlineScript",
		"    inlineScript: 'true'",
		"- bash: exec azdo-pat mint",
		"  name: azdo",
		"  env:",
		"    SYSTEM_ACCESSTOKEN: $(System.AccessToken)")...)
	secret := lines()
	if p.Identity == ServiceAccount && p.Vault == "" {
		secret = lines("    AZDO_PAT_REFRESH_TOKEN: $(refreshToken)")
	}
	out = append(out, secret...)
	out = append(out, lines("- bash: "+p.useGit(), "- bash: exec azdo-pat revoke", "  condition: always()", "  env:", "    SYSTEM_ACCESSTOKEN: $(System.AccessToken)")...)
	out = append(out, secret...)
	return append(out, p.login()...)
}

// environment is for any other CI system.
func (p *plan) environment(inputs []input) []text {
	out := lines("# The settings of the job, which has its OIDC token in the file AZDO_PAT_FEDERATED_TOKEN_FILE:")
	out = append(out, settingsOf("", "=", inputs, shellValue)...)
	if p.Identity == ServiceAccount && p.Vault == "" {
		out = append(out, words("# and the secret AZDO_PAT_REFRESH_TOKEN"))
	}
	return append(out, p.login()...)
}

// shellValue returns a text as the value of an assignment in a shell.
func shellValue(t text) text {
	if len(t.variables()) > 0 {
		return t
	}
	return words(quote.Shell(t.with(nil)))
}

func settingsOf(indent, between string, inputs []input, value func(text) text) (out []text) {
	for _, in := range inputs {
		name := "AZDO_PAT_" + strings.ToUpper(strings.ReplaceAll(in.name, "-", "_"))
		out = append(out, concat(words(indent+name+between), value(in.value)))
	}
	return out
}

// login is how the service account signs in once.
func (p *plan) login() []text {
	if p.Identity != ServiceAccount {
		return nil
	}
	call := concat(words("azdo-pat login --organization "+p.Organization+" --tenant-id "), words(tenant), words(" --client-id "), words(app), words(" --username "+quote.Shell(p.Username)))
	out := lines("",
		"# If this script created the user, its password is unknown: reset it in the Microsoft",
		"# Entra admin center. Then sign in as the user once:")
	if p.Vault != "" {
		return append(out, concat(words("# "), call, words(" --refresh-token-vault https://"+p.Vault+".vault.azure.net/secrets/"+p.Secret)))
	}
	var store string
	switch p.ci() {
	case onGitHub:
		store = "printf %s \"$t\" | gh secret set AZDO_REFRESH_TOKEN"
		if p.Repository != "" { // otherwise it is that of the folder
			store += " --repo " + p.Repository
		}
	case onPipelines:
		store = "AZURE_DEVOPS_EXT_PIPELINE_VAR_refreshToken=$t az pipelines variable create --name refreshToken --secret true --pipeline-name PIPELINE --project PROJECT --organization https://dev.azure.com/" + p.Organization
	default:
		out = append(out, words("# STORE is the command that makes its input the CI system's secret AZDO_PAT_REFRESH_TOKEN."))
		store = "printf %s \"$t\" | STORE"
	}
	return append(out, concat(words("# t=$("), call, words(") && "+store)))
}
