package check

import (
	"errors"
	"strings"
	"testing"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/entra"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/pat"
)

const (
	client = "c1c1c1c1-0000-4000-8000-000000000004"
	agent  = "a1a1a1a1-0000-4000-8000-000000000002"

	principalID = "c2c2c2c2-0000-4000-8000-000000000008"
)

var (
	service = Job{Organization: "contoso", Tenant: "contoso.onmicrosoft.com", Client: client, User: "svc@contoso.com", TokenFile: "/run/token"}
	agents  = Job{Organization: "contoso", Tenant: "contoso.onmicrosoft.com", Client: client, Agent: agent, User: "agent@contoso.com"}

	principal = Job{Organization: "contoso", Tenant: "contoso.onmicrosoft.com", Client: client, ServicePrincipal: true, Principal: principalID}
)

func refused(code int, by string, p assertion.Claims) error {
	return &entra.Error{Step: "x", Client: by, Codes: []int{code}, Presented: p}
}

func presented(subject, audience string) assertion.Claims {
	return assertion.Claims{Issuer: "https://token.actions.githubusercontent.com", Subject: subject, Audience: audience}
}

// For which refusal there is a command, and for which there is none.
func TestRemedy(t *testing.T) {
	t.Parallel()
	main := presented("repo:contoso/widgets:ref:refs/heads/main", audience)
	const az, graph = "az ad app federated-credential create --id " + client + " ", "/microsoft.graph.agentIdentityBlueprint/federatedIdentityCredentials\""
	for _, tc := range []struct {
		name string
		job  Job
		err  error
		want []string // in it; the first in the first line
		not  string
	}{
		{"no credential", service, refused(70025, client, main), []string{"has no federated credential", az}, "Connect-MgGraph"},
		{"another subject", service, refused(700213, client, main), []string{"add a federated credential", az}, ""},
		{"another case", service, refused(7002138, client, main), []string{"differs in upper and lower case", az}, ""},
		{"a flexible credential, which may hold a policy", service, refused(7002131, client, main), []string{"the expression of none matches"}, "az ad app"},
		{"just created", service, refused(70021, client, main), []string{"takes some minutes", az}, ""},
		{"another issuer", service, refused(700211, client, main), []string{"has the issuer", az}, ""},
		{"of a blueprint", agents, refused(70025, client, main), []string{"has no federated credential", "Connect-MgGraph -TenantId 'contoso.onmicrosoft.com' -Scopes AgentIdentityBlueprint.AddRemoveCreds.All", graph}, az},
		{"of the agent, who has none", agents, refused(700213, agent, main), []string{"add a federated credential"}, "Connect-MgGraph"},
		{"nothing was presented", service, refused(70025, client, assertion.Claims{}), []string{"has no federated credential"}, az},
		{"the usual audience", service, refused(700212, client, main), []string{"audience presented", az}, ""},
		{"another audience", service, refused(700212, client, presented("x", "api://other")), []string{"audience presented"}, az},
		{"an old file", service, refused(700024, client, main), []string{"check the clock", "or take a fresh token: /run/token"}, ""},
		{"an old assertion", agents, refused(700024, client, main), []string{"check the clock"}, "fresh token"},
		{"consent", service, refused(65001, client, main), []string{"consent is missing", "in bash with the Azure CLI, as Cloud Application Administrator", `client=$(az rest --method GET --url "https://graph.microsoft.com/v1.0/servicePrincipals(appId='` + client + `')" --query id --output tsv)`, `\"scope\":\"vso.pats vso.pats_manage\"`}, "Connect-MgGraph"},
		{"an agent's consent", agents, refused(65001, agent, main), []string{"consent is missing", "clientId = $agent;", "$agent = (Invoke-MgGraphRequest -Method GET -Uri 'https://graph.microsoft.com/v1.0/servicePrincipals(appId=''" + agent + "'')/microsoft.graph.agentIdentity').id", "users/agent@contoso.com).id"}, "az "},
		{"an administrator's consent", service, refused(90094, client, main), []string{"only an administrator may consent", `\"scope\":\"vso.pats vso.pats_manage\"`}, "az ad app permission"},
		{"another refusal", service, refused(50076, client, main), []string{"second factor"}, "az "},
		{"no member", service, &pat.Error{Op: "list", Status: 401, Code: "TF400813"}, []string{"add the user", "isSuccess must be true", "users/svc@contoso.com", "https://vsaex.dev.azure.com/contoso/_apis/userentitlements?api-version=7.1", `\"originId\":\"$user\"`}, "agent user"},
		{"never a member", agents, &pat.Error{Op: "list", Status: 401, Code: "TF401444"}, []string{"is not yet a user of this organization", "users/agent@contoso.com", "no documentation says whether"}, ""},
		{"a service principal", principal, &pat.Error{Op: "caller", Status: 401, Code: "TF401444"}, []string{"the service principal is not a member",
			"https://vsaex.dev.azure.com/contoso/_apis/serviceprincipalentitlements?api-version=7.1", `"originId":"` + principalID + `"`}, "client="},
		{"a service principal without access", principal, &pat.Error{Op: "caller", Status: 401, Code: "TF400813", Message: "TF400813: The user 'x' is not authorized to access this resource."}, []string{"the service principal is not a member", `"originId":"` + principalID + `"`}, "client="},
		{"an unknown service principal", Job{Organization: "contoso", Client: client, ServicePrincipal: true}, &pat.Error{Op: "caller", Status: 401, Code: "TF401444"},
			[]string{"the service principal is not a member", "client=$(az rest --method GET --url \"https://graph.microsoft.com/v1.0/servicePrincipals(appId='" + client + "')\" --query id --output tsv)", `\"originId\":\"$client\"`}, principalID},
		{"anonymous", service, &pat.Error{Op: "list", Status: 401, Code: "TF400813", Message: "TF400813: The user '' is not authorized to access this resource."}, []string{"did not accept the Entra token"}, "az "},
		{"a policy", service, &pat.Error{Op: "list", Status: 403, Code: "VS403463"}, []string{"a Conditional Access policy"}, "az "},
		{"another answer", service, &pat.Error{Op: "list", Status: 404}, []string{"check `organization`"}, "az "},
		{"a hint alone", service, hint.Add(errors.New("x"), "do it"), []string{"do it"}, "az "},
		{"no hint", service, errors.New("x"), []string{""}, "az "},
	} {
		got := tc.job.Remedy(tc.err)
		if first, _, _ := strings.Cut(got, "\n"); !strings.Contains(first, tc.want[0]) {
			t.Errorf("%s: begins with %q, want %q", tc.name, first, tc.want[0])
		}
		for _, want := range tc.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: got %s, want %q in it", tc.name, got, want)
			}
		}
		if tc.not != "" && strings.Contains(got, tc.not) {
			t.Errorf("%s: got %s, want no %q", tc.name, got, tc.not)
		}
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		job  Job
		want []string
	}{
		{service, []string{"client=$(az rest --method GET ", `scope=$(az rest --method GET --url "https://graph.microsoft.com/v1.0/oauth2PermissionGrants?\$filter=clientId%20eq%20%27$client%27`, `'value[0].scope')" vso.pats"`, `az rest --method PATCH --url "https://graph.microsoft.com/v1.0/oauth2PermissionGrants/$grant" --body "{\"scope\":\"$scope\"}"`}},
		{agents, []string{"clientId%20eq%20%27$agent%27", `$scope = "$($found.scope) vso.pats"`, `-Method PATCH -Uri "https://graph.microsoft.com/v1.0/oauth2PermissionGrants/$grant" -ContentType application/json -Body (@{ scope = $scope } | ConvertTo-Json -Depth 5)`}},
	} {
		got := tc.job.Scopes("vso.pats")
		for _, want := range append(tc.want, "the consent lacks vso.pats: ") {
			if !strings.Contains(got, want) {
				t.Errorf("got %s, want %q in it", got, want)
			}
		}
	}
	if got := service.Scopes("vso.pats", "vso.pats_manage"); !strings.HasPrefix(got, "the consent lacks vso.pats and vso.pats_manage: ") {
		t.Errorf("got %s", got)
	}
}

// An application that is set by its URI is not found by it: the commands have a word to
// replace, except the one that takes a URI.
func TestApplicationByURI(t *testing.T) {
	t.Parallel()
	j := service
	j.Client = "api://contoso/azdo"
	got := j.Remedy(refused(65001, j.Client, assertion.Claims{}))
	if !strings.Contains(got, "servicePrincipals(appId='APPLICATION-CLIENT-ID')") || strings.Contains(got, "api://") {
		t.Errorf("got %s", got)
	}
	got = j.Remedy(refused(70025, j.Client, presented("repo:contoso/widgets:ref:refs/heads/main", audience)))
	if !strings.Contains(got, "az ad app federated-credential create --id api://contoso/azdo ") {
		t.Errorf("got %s", got)
	}
}

// The user's name is another's: it is data in a URL, in bash and in PowerShell.
func TestHostileUser(t *testing.T) {
	t.Parallel()
	for _, j := range []Job{service, agents} {
		j.User = "o'neil$(id)‘;rm@contoso.com"
		for _, err := range []error{refused(65001, client, assertion.Claims{}), &pat.Error{Op: "list", Status: 401, Code: "TF401444"}} {
			got := j.Remedy(err)
			if !strings.Contains(got, "https://graph.microsoft.com/v1.0/users/o%27neil%24%28id%29%E2%80%98%3Brm@contoso.com") || strings.Contains(got, "$(id)") || strings.Contains(got, "‘;rm") {
				t.Errorf("got %s", got)
			}
		}
	}
}
