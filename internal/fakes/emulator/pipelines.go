package emulator

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
)

// The claims of Azure Pipelines' assertion for the default service connection.
const (
	PipelinesIssuer  = "https://vstoken.dev.azure.com/" + OrganizationID
	PipelinesSubject = "sc://" + OrganizationName + "/" + Project + "/azdo-pat"
)

// DefaultJobID is the SYSTEM_JOBID of a pipeline that names neither stage nor
// job. A job's id is made of these names, so it is the same in every run.
const DefaultJobID = "12f1170f-54f2-53f3-20dd-22fc7dff55f9"

// A PipelinesJob is an Azure Pipelines job whose steps have SYSTEM_ACCESSTOKEN
// mapped. Empty fields take default values, PlanID a fresh one.
type PipelinesJob struct {
	JobID        string // GUID, SYSTEM_JOBID
	PlanID       string // GUID of the run, SYSTEM_PLANID
	JobAttempt   string
	PhaseAttempt string
	StageAttempt string
	BuildID      string

	// OIDCRequestURI and AccessToken are SYSTEM_OIDCREQUESTURI and
	// SYSTEM_ACCESSTOKEN; StartPipelinesJob fills them in.
	OIDCRequestURI string
	AccessToken    string
}

// ProjectID is the GUID of [Project].
const ProjectID = "f1f1f1f1-0000-4000-8000-000000000007"

// StartPipelinesJob starts a job with an access token of its own.
func (e *Emulator) StartPipelinesJob(j PipelinesJob) PipelinesJob {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.startPipelinesJobLocked(j)
}

func (e *Emulator) startPipelinesJobLocked(j PipelinesJob) PipelinesJob {
	j.JobID = cmp.Or(j.JobID, DefaultJobID)
	j.PlanID = cmp.Or(j.PlanID, guid())
	j.JobAttempt = cmp.Or(j.JobAttempt, "1")
	j.PhaseAttempt = cmp.Or(j.PhaseAttempt, "1")
	j.StageAttempt = cmp.Or(j.StageAttempt, "1")
	j.BuildID = cmp.Or(j.BuildID, "4711")
	j.OIDCRequestURI = fmt.Sprintf("%s/%s/%s/_apis/distributedtask/hubs/build/plans/%s/jobs/%s/oidctoken",
		e.urls[AzureDevOps], OrganizationName, ProjectID, j.PlanID, j.JobID)
	now := e.Now(AzureDevOps)
	j.AccessToken = e.keepLocked(pipelinesKey.sign(map[string]any{
		"iss": "app.vstoken.visualstudio.com", "aud": "app.vstoken.visualstudio.com|vso:" + OrganizationID,
		"scp": "LocationService.Connect:oidctoken:" + j.JobID, "jti": guid(),
		"nbf": now.Unix(), "exp": now.Unix() + 3600,
	}))
	e.pipelinesJobs[j.AccessToken] = j
	return j
}

// PipelinesJob is the default job, that of [Emulator.PipelinesEnv], started
// when it is first asked for.
func (e *Emulator) PipelinesJob() PipelinesJob {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pipelines.JobID == "" {
		e.pipelines = e.startPipelinesJobLocked(PipelinesJob{})
	}
	return e.pipelines
}

// pipelinesOIDC answers
// POST $SYSTEM_OIDCREQUESTURI?api-version=7.1&serviceConnectionId=GUID
// with an empty body, in the form of
// https://learn.microsoft.com/rest/api/azure/devops/distributedtask/oidctoken/create.
func (e *Emulator) pipelinesOIDC(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	j, known := e.pipelinesJobs[bearer(r)]
	if !known {
		e.signInLocked(w, r, e.world.Organization(OrganizationName), "the access token is missing or unknown")
		return
	}
	refuse := func(status int, typeName, message string) {
		vssError{Message: message, Type: typeName}.refuse(w, r, status)
	}
	if j.OIDCRequestURI != e.urls[AzureDevOps]+r.URL.Path {
		refuse(http.StatusForbidden, "Microsoft.TeamFoundation.Framework.Server.AccessCheckException", "the request URI is not that of the job")
		return
	}
	if r.Method != http.MethodPost {
		refuse(http.StatusMethodNotAllowed, "Microsoft.VisualStudio.Services.WebApi.VssMethodNotAllowedException", "only POST")
		return
	}
	query := r.URL.Query()
	if bad := badVersion(r, "7.1", "7.1-preview.1"); bad != nil {
		bad.refuse(w, r, http.StatusBadRequest)
		return
	}
	if len(recordOf(r).Body) != 0 {
		refuse(http.StatusBadRequest, "System.ArgumentException", "the body must be empty")
		return
	}
	id := query.Get("serviceConnectionId")
	for _, c := range e.world.ServiceConnections {
		if strings.EqualFold(c.ID, id) && c.Unreferenced {
			text := "There is no explicit reference to service connection " + c.ID + " from current stage __default.Job.__default."
			recordOf(r).Refusal = "unreferenced"
			writeJSON(w, http.StatusForbidden, map[string]any{"count": len(text), "value": text})
			return
		}
		if strings.EqualFold(c.ID, id) {
			now := e.Now(AzureDevOps)
			issuer := cmp.Or(c.Issuer, PipelinesIssuer)
			assertion := e.keepLocked(e.issuerKeyLocked(issuer).sign(map[string]any{
				"jti": guid(), "iss": issuer, "sub": c.Subject, "aud": Audience,
				"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(assertionLife).Unix(),
			}))
			writeJSON(w, http.StatusOK, map[string]any{"oidcToken": assertion})
			return
		}
	}
	refuse(http.StatusNotFound, "Microsoft.TeamFoundation.DistributedTask.WebApi.EndpointNotFoundException",
		"the service connection "+id+" does not exist or is not authorized for this pipeline")
}
