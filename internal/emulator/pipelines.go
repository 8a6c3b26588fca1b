package emulator

import (
	"fmt"
	"net/http"
	"strings"
)

// What Azure Pipelines asserts for the default service connection.
const (
	PipelinesIssuer  = "https://vstoken.dev.azure.com/" + OrganizationID
	PipelinesSubject = "sc://" + OrganizationName + "/" + Project + "/azdo-pat"
)

// A PipelinesJob is an Azure Pipelines job whose steps have SYSTEM_ACCESSTOKEN
// mapped. Empty fields take default values, JobID a fresh one.
type PipelinesJob struct {
	JobID        string // GUID, SYSTEM_JOBID
	JobAttempt   string
	StageAttempt string
	BuildID      string

	// OIDCRequestURI and AccessToken are SYSTEM_OIDCREQUESTURI and
	// SYSTEM_ACCESSTOKEN; StartPipelinesJob fills them in.
	OIDCRequestURI string
	AccessToken    string
}

// projectID is the project's GUID in the request URI.
const projectID = "f1f1f1f1-0000-4000-8000-000000000007"

// StartPipelinesJob starts a job with an access token of its own.
func (e *Emulator) StartPipelinesJob(j PipelinesJob) PipelinesJob {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.startPipelinesJobLocked(j)
}

func (e *Emulator) startPipelinesJobLocked(j PipelinesJob) PipelinesJob {
	if j.JobID == "" {
		j.JobID = guid()
	}
	if j.JobAttempt == "" {
		j.JobAttempt = "1"
	}
	if j.StageAttempt == "" {
		j.StageAttempt = "1"
	}
	if j.BuildID == "" {
		j.BuildID = "4711"
	}
	j.OIDCRequestURI = fmt.Sprintf("%s/%s/%s/_apis/distributedtask/hubs/build/plans/%s/jobs/%s/oidctoken",
		e.urls[AzureDevOps], OrganizationName, projectID, guid(), j.JobID)
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
		if strings.EqualFold(c.ID, id) {
			now := e.Now(AzureDevOps)
			assertion := e.keepLocked(pipelinesKey.sign(map[string]any{
				"jti": guid(), "iss": PipelinesIssuer, "sub": c.Subject, "aud": Audience,
				"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(assertionLife).Unix(),
			}))
			writeJSON(w, http.StatusOK, map[string]any{"oidcToken": assertion})
			return
		}
	}
	refuse(http.StatusNotFound, "Microsoft.TeamFoundation.DistributedTask.WebApi.EndpointNotFoundException",
		"the service connection "+id+" does not exist or is not authorized for this pipeline")
}
