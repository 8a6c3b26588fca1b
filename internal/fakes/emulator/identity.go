package emulator

import (
	"strings"
)

// An Identity is one of the ways in which a job gets a token of Entra.
type Identity string

// The identities of azdo-pat.
const (
	RefreshToken Identity = "refresh-token"
	VaultToken   Identity = "refresh-token-vault" // a refresh token in Key Vault
	AgentUser    Identity = "agent-user"
	AccessToken  Identity = "access-token"
	Password     Identity = "password"
	// ServicePrincipal is that of token-type entra.
	ServicePrincipal Identity = "service-principal"
)

// Identities lists those that mint PATs.
var Identities = []Identity{RefreshToken, VaultToken, AgentUser, AccessToken, Password}

// Settings are azdo-pat's settings for the identity, by their names, with the
// addresses of the services and, for a PAT, the scope vso.code. The tenant is among them;
// delete it to have it looked up from Azure DevOps. Each call for the identity
// AccessToken makes a fresh token.
func (e *Emulator) Settings(id Identity) map[string]string {
	settings := map[string]string{
		"organization":      OrganizationName,
		"scopes":            "vso.code",
		"authority-host":    e.URL(Entra),
		"token-service-url": e.URL(AzureDevOps),
	}
	if file, err := e.CAFile(); err == nil && file != "" {
		settings["ca-file"] = file
	}
	if id == AccessToken {
		settings["access-token"] = e.AccessToken()
		return settings
	}
	e.Change(func(w *State) {
		settings["tenant-id"] = w.TenantID
		switch id {
		case AgentUser:
			settings["client-id"] = BlueprintID
			settings["agent-id"] = AgentID
			settings["agent-user"] = AgentUserUPN
		case RefreshToken:
			settings["client-id"] = AppID
			settings["refresh-token"] = w.RefreshTokens[0].Value
		case VaultToken:
			settings["client-id"] = AppID
			settings["refresh-token-vault"] = e.SecretURL()
		case Password:
			settings["client-id"] = AppID
			settings["username"] = ServiceUserUPN
			settings["password"] = w.User(ServiceUserID).Password
		case ServicePrincipal:
			settings["client-id"] = AppID
			settings["token-type"] = "entra"
			delete(settings, "scopes")
		}
	})
	return settings
}

// Env is the environment that the runner gives to one step of the default
// GitHub job, whose inputs are [Emulator.Settings]. It has neither the command
// files (GITHUB_OUTPUT and its like) nor RUNNER_TEMP, whose places are the
// caller's to choose.
func (e *Emulator) Env(id Identity) map[string]string {
	return e.JobEnv(e.Job(), id)
}

// JobEnv is [Emulator.Env] for a job that [Emulator.StartJob] has started.
func (e *Emulator) JobEnv(j Job, id Identity) map[string]string {
	owner, _, _ := strings.Cut(j.Repository, "/")
	env := map[string]string{
		"CI":                             "true",
		"GITHUB_ACTIONS":                 "true",
		"GITHUB_ACTION":                  "__contoso_azdo-pat",
		"GITHUB_ACTION_REPOSITORY":       "contoso/azdo-pat",
		"GITHUB_ACTOR":                   j.Actor,
		"GITHUB_API_URL":                 e.URL(GitHub) + gitHubAPI,
		"GITHUB_EVENT_NAME":              j.Event,
		"GITHUB_JOB":                     j.Name,
		"GITHUB_REF":                     j.Ref,
		"GITHUB_REF_NAME":                strings.TrimPrefix(j.Ref, "refs/heads/"),
		"GITHUB_REPOSITORY":              j.Repository,
		"GITHUB_REPOSITORY_OWNER":        owner,
		"GITHUB_RUN_ATTEMPT":             j.RunAttempt,
		"GITHUB_RUN_ID":                  j.RunID,
		"GITHUB_RUN_NUMBER":              "42",
		"GITHUB_SERVER_URL":              "https://github.com",
		"GITHUB_SHA":                     j.SHA,
		"GITHUB_WORKFLOW":                j.Workflow,
		"GITHUB_WORKFLOW_REF":            j.workflowRef(),
		"RUNNER_ARCH":                    "X64",
		"RUNNER_ENVIRONMENT":             "github-hosted",
		"RUNNER_NAME":                    "GitHub Actions 1",
		"RUNNER_OS":                      "Linux",
		"ACTIONS_ID_TOKEN_REQUEST_URL":   j.RequestURL,
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN": j.RequestToken,
		"ACTIONS_RUNTIME_TOKEN":          j.RequestToken,
	}
	for name, value := range e.Settings(id) {
		env["INPUT_"+strings.ToUpper(name)] = value
	}
	return env
}

// Variable returns the environment variable of a setting of azdo-pat, AZDO_PAT_NAME.
func Variable(setting string) string {
	return "AZDO_PAT_" + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
}

// PipelinesEnv is the environment of a script step in the default Azure
// Pipelines job, with SYSTEM_ACCESSTOKEN mapped and the settings as
// AZDO_PAT_ variables. AGENT_TEMPDIRECTORY is the caller's to choose.
func (e *Emulator) PipelinesEnv(id Identity) map[string]string {
	return e.PipelinesJobEnv(e.PipelinesJob(), id)
}

// PipelinesJobEnv is [Emulator.PipelinesEnv] for a job that
// [Emulator.StartPipelinesJob] has started.
func (e *Emulator) PipelinesJobEnv(j PipelinesJob, id Identity) map[string]string {
	env := map[string]string{
		"TF_BUILD":              "True",
		"BUILD_BUILDID":         j.BuildID,
		"BUILD_BUILDNUMBER":     "20261102.1",
		"BUILD_DEFINITIONNAME":  "ci",
		"BUILD_REPOSITORY_NAME": Repository,
		"BUILD_SOURCEBRANCH":    "refs/heads/main",
		"SYSTEM_ACCESSTOKEN":    j.AccessToken,
		"SYSTEM_COLLECTIONID":   OrganizationID,
		"SYSTEM_COLLECTIONURI":  e.URL(AzureDevOps) + "/" + OrganizationName + "/",
		"SYSTEM_JOBATTEMPT":     j.JobAttempt,
		"SYSTEM_JOBID":          j.JobID,
		"SYSTEM_JOBNAME":        "build",
		"SYSTEM_OIDCREQUESTURI": j.OIDCRequestURI,
		"SYSTEM_PHASEATTEMPT":   j.PhaseAttempt,
		"SYSTEM_PLANID":         j.PlanID,
		"SYSTEM_STAGEATTEMPT":   j.StageAttempt,
		"SYSTEM_TEAMPROJECT":    Project,
		"SYSTEM_TEAMPROJECTID":  ProjectID,
	}
	settings := e.Settings(id)
	settings["service-connection-id"] = ServiceConnectionID
	if id == AccessToken {
		delete(settings, "service-connection-id")
	}
	for name, value := range settings {
		env[Variable(name)] = value
	}
	return env
}
