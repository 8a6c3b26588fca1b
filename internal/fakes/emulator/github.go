package emulator

import (
	"fmt"
	"hash/crc32"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// assertionLife is how long GitHub's and Azure Pipelines' JWTs live.
const assertionLife = 5 * time.Minute

// A Job is a GitHub Actions job with permissions: id-token: write. Empty
// fields take the default job's values, those of a push to main of
// contoso/widgets.
type Job struct {
	Repository     string // OWNER/REPO
	Ref            string // such as refs/heads/main
	Environment    string // if not "", it takes the ref's place in the subject
	Event          string // push, pull_request, …
	RunID          string
	RunAttempt     string
	Name           string // the job's key in the workflow, GITHUB_JOB
	Workflow       string // the workflow's name
	JobWorkflowRef string // OWNER/REPO/.github/workflows/FILE@REF
	SHA            string
	Actor          string
	// ImmutableSubject puts the ids of owner and repository into the subject,
	// as for repositories created since 15 July 2026.
	ImmutableSubject bool

	// RequestURL and RequestToken are what ACTIONS_ID_TOKEN_REQUEST_URL and
	// _TOKEN are in the job; StartJob fills them in.
	RequestURL   string
	RequestToken string
}

// githubID is the id of an owner or a repository at GitHub, in claims and in the immutable
// subject.
func githubID(name string) string {
	switch name {
	case "contoso":
		return "48213"
	case "contoso/widgets":
		return "702418"
	case "contoso/planning":
		return "702419"
	}
	return fmt.Sprint(1_000_000 + crc32.ChecksumIEEE([]byte(name))%1_000_000)
}

func (j Job) withDefaults() Job {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&j.Repository, "contoso/widgets")
	set(&j.Ref, "refs/heads/main")
	set(&j.Event, "push")
	set(&j.RunID, "17452093817")
	set(&j.RunAttempt, "1")
	set(&j.Name, "build")
	set(&j.Workflow, "ci")
	set(&j.JobWorkflowRef, j.workflowRef())
	set(&j.SHA, "5f4dcc3b5aa765d61d8327deb882cf99a1b2c3d4")
	set(&j.Actor, "octocat")
	return j
}

// workflowRef is where the workflow that the job belongs to is written.
func (j Job) workflowRef() string { return j.Repository + "/.github/workflows/ci.yml@" + j.Ref }

// Subject is the sub claim of the job's assertions.
func (j Job) Subject() string {
	repository := j.Repository
	if j.ImmutableSubject {
		owner, name, _ := strings.Cut(repository, "/")
		repository = owner + "@" + githubID(owner) + "/" + name + "@" + githubID(j.Repository)
	}
	switch {
	case j.Environment != "":
		return "repo:" + repository + ":environment:" + j.Environment
	case j.Event == "pull_request":
		return "repo:" + repository + ":pull_request"
	default:
		return "repo:" + repository + ":ref:" + j.Ref
	}
}

// GitHubIssuer is the issuer of the GitHub jobs' assertions.
func (e *Emulator) GitHubIssuer() string {
	if e.options.Proxy {
		return "https://token.actions.githubusercontent.com"
	}
	return e.urls[GitHub]
}

// StartJob starts a job with a request token of its own.
func (e *Emulator) StartJob(j Job) Job {
	j = j.withDefaults()
	j.RequestURL = fmt.Sprintf("%s/7/idtoken/%s/%s?api-version=2.0", e.urls[GitHub], guid(), guid())
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.Now(GitHub)
	j.RequestToken = e.keepLocked(gitHubKey.sign(map[string]any{
		"iss": e.GitHubIssuer(), "aud": e.GitHubIssuer(), "jti": guid(),
		"scp": "Actions.GenerateIdToken:" + guid(),
		"nbf": now.Unix(), "exp": now.Add(6 * time.Hour).Unix(),
	}))
	e.jobs[j.RequestToken] = j
	return j
}

// Job is the default job, that of [Emulator.Env].
func (e *Emulator) Job() Job {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.job
}

// claimsLocked are the claims of a fresh assertion for the job, in the form
// of https://docs.github.com/actions/reference/security/oidc.
func (e *Emulator) claimsLocked(j Job, audience string) map[string]any {
	now := e.Now(GitHub)
	owner, _, _ := strings.Cut(j.Repository, "/")
	claims := map[string]any{
		"jti":                   guid(),
		"iss":                   e.GitHubIssuer(),
		"sub":                   j.Subject(),
		"aud":                   audience,
		"iat":                   now.Unix(),
		"nbf":                   now.Add(-10 * time.Minute).Unix(),
		"exp":                   now.Add(assertionLife).Unix(),
		"ref":                   j.Ref,
		"ref_type":              "branch",
		"sha":                   j.SHA,
		"repository":            j.Repository,
		"repository_id":         githubID(j.Repository),
		"repository_owner":      owner,
		"repository_owner_id":   githubID(owner),
		"repository_visibility": "private",
		"run_id":                j.RunID,
		"run_number":            "42",
		"run_attempt":           j.RunAttempt,
		"actor":                 j.Actor,
		"actor_id":              "583231",
		"workflow":              j.Workflow,
		"workflow_ref":          j.workflowRef(),
		"workflow_sha":          j.SHA,
		"job_workflow_ref":      j.JobWorkflowRef,
		"job_workflow_sha":      j.SHA,
		"event_name":            j.Event,
		"head_ref":              "",
		"base_ref":              "",
		"runner_environment":    "github-hosted",
	}
	if j.Environment != "" {
		claims["environment"] = j.Environment
	}
	return claims
}

// The assertions of a GitLab-like issuer, whose jobs find their assertion in
// a file or a variable.
const (
	GitLabIssuer  = "https://gitlab.example.com"
	GitLabSubject = "project_path:contoso/widgets:ref_type:branch:ref:main"
)

// GitLab makes an assertion one of the GitLab-like issuer:
//
//	e.Assertion(emulator.GitLab)
func GitLab(claims map[string]any) {
	claims["iss"] = GitLabIssuer
	claims["sub"] = GitLabSubject
	claims["project_path"] = "contoso/widgets"
}

// Assertion makes an assertion without being asked over HTTP, for a token
// file: the default GitHub job's, for [Audience], after the edits, which may
// change and delete any claim. It carries the signature of the issuer that it
// names, or of an untrusted key if the issuer is unknown.
func (e *Emulator) Assertion(edits ...func(claims map[string]any)) string {
	return e.assertion(e.Job(), nil, edits)
}

// JobAssertion is [Emulator.Assertion] for another job.
func (e *Emulator) JobAssertion(j Job, edits ...func(claims map[string]any)) string {
	return e.assertion(j.withDefaults(), nil, edits)
}

// ForgedAssertion is [Emulator.Assertion] with a signature by another's key.
func (e *Emulator) ForgedAssertion(edits ...func(claims map[string]any)) string {
	return e.assertion(e.Job(), strayKey, edits)
}

func (e *Emulator) assertion(j Job, key signingKey, edits []func(map[string]any)) string {
	e.mu.Lock()
	claims := e.claimsLocked(j, Audience)
	e.mu.Unlock()
	for _, edit := range edits {
		edit(claims)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if key == nil {
		issuer, _ := claims["iss"].(string)
		key = e.issuerKeyLocked(issuer)
		if key == nil {
			key = strayKey
		}
	}
	return e.keepLocked(key.sign(claims))
}

func (e *Emulator) routeGitHub(a arrival) (string, http.HandlerFunc) {
	if parts := strings.Split(a.URL.Path, "/"); len(parts) == 5 && parts[2] == "idtoken" {
		return OpGitHubOIDC, e.gitHubOIDC
	}
	if strings.HasPrefix(a.URL.Path, gitHubAPI+"/repos/") {
		return OpGitHubRun, e.gitHubRun
	}
	return string(GitHub) + other, notFound
}

// gitHubOIDC answers GET $ACTIONS_ID_TOKEN_REQUEST_URL&audience=… . The token
// and the URL must belong to the same job.
func (e *Emulator) gitHubOIDC(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		e.refuse(r, "method")
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	refuse := func(status int, code, message string) {
		recordOf(r).Refusal = code
		writeJSON(w, status, map[string]any{"$id": "1", "message": message, "typeKey": code})
	}
	j, known := e.jobs[bearer(r)]
	if !known {
		refuse(http.StatusUnauthorized, "UnauthorizedRequestException", "the request token is missing, unknown or another's")
		return
	}
	base, err := url.Parse(j.RequestURL)
	query := r.URL.Query()
	if err != nil || base.Path != r.URL.Path || query.Get("api-version") != base.Query().Get("api-version") {
		refuse(http.StatusForbidden, "AccessDeniedException", "the request URL is not that of the job")
		return
	}
	audience := "https://github.com/" + strings.Split(j.Repository, "/")[0]
	switch given := query["audience"]; {
	case len(given) > 1 || len(given) == 1 && given[0] == "":
		refuse(http.StatusBadRequest, "ArgumentException", "audience must be given at most once and not be empty")
		return
	case len(given) == 1:
		audience = given[0]
	}
	assertion := e.keepLocked(gitHubKey.sign(e.claimsLocked(j, audience)))
	writeJSON(w, http.StatusOK, map[string]any{"count": len(assertion), "value": assertion})
}

// bearer is the token in the Authorization header, "" if there is none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}
