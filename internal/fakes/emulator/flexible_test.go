package emulator_test

import (
	"fmt"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/emulator"
)

const credentialsPath = "/applications(appId='" + emulator.AppID + "')/federatedIdentityCredentials"

// flexible is the body of a flexible credential.
func flexible(e *emulator.Emulator, expression string) map[string]any {
	return map[string]any{
		"name": "flexible", "issuer": e.GitHubIssuer(), "audiences": []string{emulator.Audience},
		"claimsMatchingExpression": map[string]any{"value": expression, "languageVersion": 1},
	}
}

// The parts of an expression for contoso's jobs of one reusable workflow.
const (
	anySub   = "claims['sub'] matches 'repo:contoso*'"
	owner    = " and claims['repository_owner_id'] eq '48213'"
	workflow = " and claims['job_workflow_ref'] eq 'contoso/platform/.github/workflows/publish.yml@refs/heads/main'"
)

// Microsoft Graph stores an expression only if it has the claims that it must have, and
// no others.
func TestExpressionStored(t *testing.T) {
	t.Parallel()
	c := startWith(t, emulator.Options{Proxy: true})
	c.e.Change(func(w *emulator.State) { w.App(emulator.AppID).Credentials = nil })
	const claims, syntax = "either lacks all required claims or contains unallowed claims.", "cannot be parsed"
	for expression, refused := range map[string]string{
		anySub + owner:            "",
		anySub + owner + workflow: "",
		"claims['sub'] eq 'repo:contoso/widgets:ref:refs/heads/main' and claims['repository_id'] eq '702418'": "",
		"claims['repository_id'] eq '702418'" + owner + " and " + anySub:                                      "",
		"claims['sub'] matches 'repo:contoso/a and b:*'" + owner:                                              "",

		anySub:                             claims, // until July 2026 it was enough
		anySub + workflow:                  claims,
		"claims['repository_id'] eq '1'":   claims,
		strings.TrimPrefix(owner, " and "): claims,
		anySub + owner + owner:             claims,
		anySub + " and " + anySub + owner:  claims,
		anySub + " and claims['repository_owner_id'] matches '4821?'":         claims,
		anySub + owner + " and claims['environment'] eq 'production'":         claims,
		anySub + owner + " and claims['ref'] eq 'refs/heads/main'":            claims,
		anySub + owner + " and claims['event_name'] eq 'push'":                claims,
		anySub + owner + " and claims['aud'] eq 'api://AzureADTokenExchange'": claims,
		strings.Replace(anySub, "sub", "SUB", 1) + owner:                      claims,

		"":                       syntax,
		" ":                      syntax,
		anySub + owner + " and ": syntax,
		anySub + owner + " ":     syntax,
		" " + anySub + owner:     syntax,
		anySub + " or claims['sub'] eq 'x'" + owner:         syntax,
		anySub + " AND" + strings.TrimPrefix(owner, " and"): syntax,
		"claims['sub'] startswith 'repo:contoso/'" + owner:  syntax,
		"claims['sub'] MATCHES 'repo:contoso/*'" + owner:    syntax,
		"claims['sub']  matches 'repo:contoso/*'" + owner:   syntax,
		"claims['sub']matches'repo:contoso/*'" + owner:      syntax,
		`claims["sub"] matches "repo:contoso/*"` + owner:    syntax,
		"claims[sub] matches 'repo:contoso/*'" + owner:      syntax,
		"sub matches 'repo:contoso/*'" + owner:              syntax,
		"claims['sub'] matches ''" + owner:                  syntax,
		"claims['sub'] matches 'it''s'" + owner:             syntax,
		"claims['sub'] matches 'open" + owner:               syntax,
		"(" + anySub + ")" + owner:                          syntax,
		"not " + anySub + owner:                             syntax,
	} {
		t.Run(expression, func(t *testing.T) {
			a := c.graphCLI("POST", "/beta"+credentialsPath, flexible(c.e, expression))
			if refused == "" {
				id := c.ok(a, 201)["id"].(string)
				c.ok(c.graphCLI("DELETE", "/beta"+credentialsPath+"/"+id, nil), 204)
				return
			}
			problem, _ := a.JSON["error"].(map[string]any)
			code, message := problem["code"], fmt.Sprint(problem["message"])
			// Without a value there is no credential of either kind.
			if want := "Exactly one of subject"; expression == "" {
				code, refused = strings.ReplaceAll(fmt.Sprint(code), "Request_BadRequest", "InvalidFederatedIdentityCredentialValue"), want
			}
			if a.Status != 400 || code != "InvalidFederatedIdentityCredentialValue" || !strings.Contains(message, refused) {
				t.Errorf("%d %s, want: %s", a.Status, a.Text, refused)
			}
		})
	}
}

// Whom a flexible credential is for, and in which version of Microsoft Graph.
func TestFlexibleCredentialRules(t *testing.T) {
	t.Parallel()
	c := startWith(t, emulator.Options{Proxy: true})
	c.e.Change(func(w *emulator.State) { w.App(emulator.AppID).Credentials = nil })
	good := flexible(c.e, anySub+owner)
	for _, issuer := range []string{"https://token.actions.githubusercontent.com/contoso", "https://token.actions.githubusercontent.com/", "https://token.actions.contoso.ghe.com", "https://ghes.example.com/_services/token", "https://gitlab.com"} {
		c.graphRefused(c.graphCLI("POST", "/beta"+credentialsPath, with(good, map[string]any{"issuer": issuer})), 400, "InvalidFederatedIdentityCredentialValue")
	}
	c.graphRefused(c.graphCLI("POST", "/beta"+credentialsPath, with(good, map[string]any{"subject": "repo:contoso/widgets:pull_request"})), 400, "Request_BadRequest")
	c.graphRefused(c.graphCLI("POST", "/beta"+credentialsPath, with(good, map[string]any{"claimsMatchingExpression": map[string]any{"value": anySub + owner, "languageVersion": 2}})), 400, "Request_BadRequest")
	c.graphRefused(c.graphCLI("POST", credentialsPath, good), 400, "Request_BadRequest")

	id := c.ok(c.graphCLI("POST", "/beta"+credentialsPath, good), 201)["id"].(string)
	c.graphRefused(c.graphCLI("POST", "/beta"+credentialsPath, with(good, map[string]any{"name": "another"})), 409, "Request_MultipleObjectsWithSameKeyValue")

	// v1.0 cannot show it, and breaks off in the middle of its JSON; ordinary ones can
	// be created, and read one by one.
	ordinary := c.ok(c.graphCLI("POST", credentialsPath, credential(c.e, "ordinary")), 201)["id"].(string)
	for _, path := range []string{credentialsPath, credentialsPath + "/" + id} {
		if a := c.graphCLI("GET", path, nil); a.Status != 200 || a.JSON != nil || !strings.Contains(a.Text, "subject[Nullable=False]") {
			t.Errorf("%d %s", a.Status, a.Text)
		}
		c.ok(c.graphCLI("GET", "/beta"+path, nil), 200)
	}
	c.ok(c.graphCLI("GET", credentialsPath+"/"+ordinary, nil), 200)
	c.graphRefused(c.graphCLI("PATCH", credentialsPath+"/"+id, map[string]any{"description": "x"}), 400, "Request_BadRequest")

	// Both kinds count: 20 in all.
	for i := range 18 {
		c.ok(c.graphCLI("POST", credentialsPath, with(credential(c.e, fmt.Sprint("more-", i)), map[string]any{"subject": fmt.Sprint("repo:contoso/x:environment:", i)})), 201)
	}
	c.graphRefused(c.graphCLI("POST", "/beta"+credentialsPath, with(flexible(c.e, anySub+owner+workflow), map[string]any{"name": "twenty-first"})), 400, "Request_BadRequest")
	c.ok(c.graphCLI("DELETE", credentialsPath+"/"+id, nil), 204)
	if all := c.ok(c.graphCLI("GET", credentialsPath, nil), 200)["value"].([]any); len(all) != 19 {
		t.Errorf("%d credentials", len(all))
	}
}

// Entra compares every claim of the expression with the assertion's.
func TestExpressionAtSignIn(t *testing.T) {
	t.Parallel()
	const reusable = "contoso/platform/.github/workflows/publish.yml@refs/heads/main"
	platform := func(j emulator.Job) emulator.Job {
		if j.JobWorkflowRef == "" {
			j.JobWorkflowRef = reusable
		}
		return j
	}
	all := anySub + owner + workflow
	for i, test := range []struct {
		expression string
		job        emulator.Job
		edit       func(map[string]any)
		code       string // "" is accepted
	}{
		{expression: all},
		{expression: all, job: emulator.Job{Repository: "contoso/anything"}},
		{expression: all, job: emulator.Job{Repository: "contoso/anything", ImmutableSubject: true}},
		{expression: all, job: emulator.Job{Environment: "production"}},
		{expression: all, job: emulator.Job{Repository: "contosox/widgets"}, code: "7002131"},
		{expression: all, job: emulator.Job{Repository: "evil/widgets"}, code: "7002131"},
		{expression: all, job: emulator.Job{JobWorkflowRef: "contoso/widgets/.github/workflows/ci.yml@refs/heads/main"}, code: "7002131"},
		{expression: all, job: emulator.Job{JobWorkflowRef: "contoso/widgets/.github/workflows/publish.yml@refs/heads/main"}, code: "7002131"},
		{expression: all, job: emulator.Job{JobWorkflowRef: "contoso/platform/.github/workflows/run.yml@refs/heads/main"}, code: "7002131"},
		{expression: all, job: emulator.Job{JobWorkflowRef: "contoso/platform/.github/workflows/publish.yml@refs/heads/mine"}, code: "7002131"},
		{expression: all, job: emulator.Job{JobWorkflowRef: "contoso/platform/.github/workflows/publish.yml@refs/tags/main"}, code: "7002131"},
		{expression: all, job: emulator.Job{JobWorkflowRef: "contoso/platform/.github/workflows/publish.yml@5f4dcc3b5aa765d61d8327deb882cf99a1b2c3d4"}, code: "7002131"},
		{expression: all, job: emulator.Job{JobWorkflowRef: "Contoso/platform/.github/workflows/publish.yml@refs/heads/main"}, code: "7002131"},
		{expression: all, job: emulator.Job{JobWorkflowRef: reusable + "\n"}, code: "7002131"},
		{expression: all, edit: func(c map[string]any) { delete(c, "job_workflow_ref") }, code: "7002131"},
		{expression: all, edit: func(c map[string]any) { c["job_workflow_ref"] = []string{reusable} }, code: "7002131"},
		{expression: all, edit: func(c map[string]any) { c["repository_owner_id"] = 48213 }, code: "7002131"},
		{expression: all, edit: func(c map[string]any) { c["repository_owner_id"] = "048213" }, code: "7002131"},
		{expression: all, edit: func(c map[string]any) { delete(c, "repository_owner_id") }, code: "7002131"},
		{expression: all, edit: func(c map[string]any) { c["aud"] = "https://github.com/contoso" }, code: "700212"},
		{expression: all, edit: func(c map[string]any) { c["iss"] = c["iss"].(string) + "/contoso" }, code: "700211"},

		// Wildcards: * crosses / and :, and stands for nothing too; ? is one character.
		{expression: "claims['sub'] matches 'repo:contoso/*'" + owner, job: emulator.Job{ImmutableSubject: true}, code: "7002131"},
		{expression: "claims['sub'] matches 'repo:contoso@48213/*:ref:refs/heads/main'" + owner, job: emulator.Job{ImmutableSubject: true}},
		{expression: "claims['sub'] matches 'repo:contoso/widgets*:ref:refs/heads/????'" + owner},
		{expression: "claims['sub'] matches 'repo:contoso/widgets:ref:refs/heads/?????'" + owner, code: "7002131"},
		{expression: "claims['sub'] matches 'epo:contoso/*'" + owner, code: "7002131"},
		{expression: "claims['sub'] matches 'repo:contoso/widgets:ref:refs/heads/mai'" + owner, code: "7002131"},
		{expression: "claims['sub'] matches 'repo:contoso/widgets:ref:refs.heads.main'" + owner, code: "7002131"},
		{expression: "claims['sub'] matches 'repo:Contoso/*'" + owner, code: "7002131"},
		{expression: "claims['sub'] eq 'repo:contoso/*'" + owner, code: "7002131"},
		{expression: "claims['sub'] eq 'repo:contoso/widgets:ref:refs/heads/main'" + owner},
		{expression: anySub + " and claims['repository_id'] eq '702418'"},
		{expression: anySub + " and claims['repository_id'] eq '702419'", code: "7002131"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			c := startWith(t, emulator.Options{Proxy: true})
			c.e.Change(func(w *emulator.State) { w.App(emulator.AppID).Credentials = nil })
			c.ok(c.graphCLI("POST", "/beta"+credentialsPath, flexible(c.e, test.expression)), 201)
			request := c.withPassword()
			request["client_assertion"] = c.e.JobAssertion(platform(test.job), func(claims map[string]any) {
				if test.edit != nil {
					test.edit(claims)
				}
			})
			if test.code == "" {
				c.mustExchange(form(request))
				return
			}
			c.refused(c.exchange(form(request)), test.code)
		})
	}
}

// A credential that Entra would not have stored does not let anyone in.
func TestExpressionThatIsNone(t *testing.T) {
	t.Parallel()
	for _, expression := range []string{anySub, anySub + workflow, "claims['sub'] matches '*' or claims['sub'] eq 'x'", "true"} {
		c := start(t)
		c.e.Change(func(w *emulator.State) {
			w.App(emulator.AppID).Credentials = []emulator.FederatedCredential{{Issuer: c.e.GitHubIssuer(), Audience: emulator.Audience, Expression: expression}}
		})
		c.refused(c.exchange(form(c.withPassword())), "7002131")
	}
}

// One credential that matches is enough, of either kind.
func TestBothKindsOfCredentials(t *testing.T) {
	t.Parallel()
	c := start(t)
	flexible := emulator.FederatedCredential{Issuer: c.e.GitHubIssuer(), Audience: emulator.Audience, Expression: anySub + owner + workflow}
	c.e.Change(func(w *emulator.State) {
		app := w.App(emulator.AppID)
		app.Credentials = append(app.Credentials, flexible)
	})
	c.mustExchange(form(c.withPassword()))
	request := c.withPassword()
	request["client_assertion"] = c.e.JobAssertion(emulator.Job{Repository: "contoso/other", JobWorkflowRef: "contoso/platform/.github/workflows/publish.yml@refs/heads/main"})
	c.mustExchange(form(request))
	request = c.withPassword()
	request["client_assertion"] = c.e.JobAssertion(emulator.Job{Repository: "contoso/other"})
	c.refused(c.exchange(form(request)), "7002131")
}
