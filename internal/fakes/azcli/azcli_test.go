package azcli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/azcli"
	"azdo-pat/internal/fakes/emulator"
)

// TestServiceAccount: az creates the application, credential, user and consent of a
// service account, finds each of them again, and Entra then gives the job a token for
// the user with both scopes.
func TestServiceAccount(t *testing.T) {
	t.Parallel()
	e, az := azcli.Start(t, emulator.Options{})
	var app, again struct{ AppID, ID string }
	create := []string{"ad", "app", "create", "--display-name", "azdo-pat test", "--sign-in-audience", "AzureADMyOrg", "--web-redirect-uris", "http://localhost"}
	az.Read(t, &app, create...)
	az.Read(t, &again, "ad", "app", "show", "--id", app.AppID)
	var list []struct{ AppID, ID string }
	az.Read(t, &list, "ad", "app", "list", "--filter", "displayName eq 'azdo-pat test'")
	if again != app || len(list) != 1 || list[0] != app {
		t.Errorf("created %v, shown %v, listed %v", app, again, list)
	}
	var principal struct{ ID string }
	az.Read(t, &principal, "ad", "sp", "create", "--id", app.AppID)

	file := filepath.Join(t.TempDir(), "credential.json")
	credential, err := json.Marshal(map[string]any{
		"name": "github", "issuer": e.GitHubIssuer(), "subject": e.Job().Subject(), "audiences": []string{emulator.Audience}, "description": "azdo-pat",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, credential, 0o600); err != nil {
		t.Fatal(err)
	}
	az.Read(t, nil, "ad", "app", "federated-credential", "create", "--id", app.AppID, "--parameters", "@"+file)
	var credentials []struct{ Name, Subject string }
	az.Read(t, &credentials, "ad", "app", "federated-credential", "list", "--id", app.AppID)
	if len(credentials) != 1 || credentials[0].Subject != e.Job().Subject() {
		t.Errorf("credentials: %v", credentials)
	}

	const upn = "svc-new@" + emulator.TenantDomain
	var user, shown struct{ ID string }
	az.Read(t, &user, "ad", "user", "create", "--display-name", "New", "--user-principal-name", upn, "--password", "Pa55-word-of-the-test")
	az.Read(t, &shown, "ad", "user", "show", "--id", upn)
	if user.ID == "" || shown != user {
		t.Errorf("created user %v, shown %v", user, shown)
	}
	az.Read(t, nil, "ad", "app", "permission", "grant", "--id", app.AppID, "--api", emulator.AzureDevOpsResource,
		"--scope", "vso.pats vso.pats_manage", "--consent-type", "Principal", "--principal-id", user.ID)
	var grants []struct{ Scope, PrincipalID string }
	az.Read(t, &grants, "ad", "app", "permission", "list-grants", "--id", app.AppID)
	if len(grants) != 1 || grants[0].Scope != "vso.pats vso.pats_manage" || grants[0].PrincipalID != user.ID {
		t.Errorf("grants: %v", grants)
	}
	az.Read(t, nil, "ad", "app", "federated-credential", "delete", "--id", app.AppID, "--federated-credential-id", "github")
	az.Read(t, nil, "ad", "user", "delete", "--id", upn)
	az.Read(t, nil, "ad", "app", "delete", "--id", app.AppID)
	e.Change(func(w *emulator.State) {
		if w.App(app.AppID) != nil || w.User(upn) != nil || len(w.Grants) != 0 {
			t.Error("not all was deleted")
		}
	})
}

// TestRest: az rest reaches Microsoft Graph and Azure DevOps' member entitlements, and a
// refusal comes with the service's words.
func TestRest(t *testing.T) {
	t.Parallel()
	e, az := azcli.Start(t, emulator.Options{})
	file := filepath.Join(t.TempDir(), "app.json")
	if err := os.WriteFile(file, []byte(`{"displayName":"by rest"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const url = "https://graph.microsoft.com/v1.0/applications(uniqueName='azdo-pat-contoso')"
	upsert := []string{"rest", "--method", "patch", "--url", url, "--headers", "Prefer=create-if-missing", "Content-Type=application/json", "--body", "@" + file}
	for range 2 {
		if _, err := az.Run(t.Context(), upsert...); err != nil {
			t.Fatal(err)
		}
	}
	var app struct{ DisplayName, UniqueName string }
	az.Read(t, &app, "rest", "--method", "get", "--url", url)
	if app.DisplayName != "by rest" || app.UniqueName != "azdo-pat-contoso" {
		t.Errorf("got %v", app)
	}
	_, err := az.Run(t.Context(), "rest", "--method", "get", "--url", "https://graph.microsoft.com/v1.0/applications(uniqueName='none')")
	if err == nil || !strings.Contains(err.Error(), "Request_ResourceNotFound") {
		t.Errorf("what does not exist: %v", err)
	}
	body := filepath.Join(t.TempDir(), "blueprint.json")
	if err := os.WriteFile(body, []byte(`{"displayName":"x","sponsors@odata.bind":["https://graph.microsoft.com/v1.0/users/`+emulator.AdminID+`"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = az.Run(t.Context(), "rest", "--method", "post", "--url", "https://graph.microsoft.com/v1.0/applications/microsoft.graph.agentIdentityBlueprint", "--body", "@"+body)
	if err == nil || !strings.Contains(err.Error(), "Authorization_RequestDenied") {
		t.Errorf("az creates a blueprint: %v", err)
	}

	member := filepath.Join(t.TempDir(), "member.json")
	if err := os.WriteFile(member, []byte(`{"accessLevel":{"accountLicenseType":"express"},"servicePrincipal":{"origin":"aad","originId":"`+
		emulator.AppPrincipalID+`","subjectKind":"servicePrincipal"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	az.Read(t, nil, "rest", "--method", "post", "--resource", emulator.AzureDevOpsResource,
		"--url", "https://vsaex.dev.azure.com/contoso/_apis/serviceprincipalentitlements?api-version=7.1-preview.1", "--body", "@"+member)
	e.Change(func(w *emulator.State) {
		if !slices.Contains(w.Organizations[0].Members, emulator.AppPrincipalID) {
			t.Error("the service principal is no member")
		}
	})
}

// TestCertificate: az adds a certificate beside the others, finds its id and removes it.
func TestCertificate(t *testing.T) {
	t.Parallel()
	_, az := azcli.Start(t, emulator.Options{})
	file := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(file, []byte(certificate(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		az.Read(t, nil, "ad", "app", "credential", "reset", "--id", emulator.AppID, "--cert", "@"+file, "--append", "--display-name", "azdo-pat login")
	}
	var keys []struct{ KeyID, DisplayName string }
	az.Read(t, &keys, "ad", "app", "credential", "list", "--id", emulator.AppID, "--cert")
	if len(keys) != 2 || keys[0].DisplayName != "azdo-pat login" {
		t.Fatalf("keys: %v", keys)
	}
	az.Read(t, nil, "ad", "app", "credential", "delete", "--id", emulator.AppID, "--key-id", keys[0].KeyID, "--cert")
	var left []struct{ KeyID, DisplayName string }
	az.Read(t, &left, "ad", "app", "credential", "list", "--id", emulator.AppID, "--cert")
	if len(left) != 1 || left[0] != keys[1] {
		t.Errorf("left of %v: %v", keys, left)
	}
}

// TestVault: az creates a vault and gives a service principal a role on one secret.
func TestVault(t *testing.T) {
	t.Parallel()
	e, az := azcli.Start(t, emulator.Options{})
	var vault struct{ ID string }
	az.Read(t, &vault, "keyvault", "create", "--name", "azdo-pat-test", "--resource-group", emulator.ResourceGroup, "--enable-rbac-authorization", "true")
	var shown struct{ ID string }
	az.Read(t, &shown, "keyvault", "show", "--name", "azdo-pat-test")
	if vault.ID == "" || shown != vault {
		t.Errorf("created %v, shown %v", vault, shown)
	}
	scope := vault.ID + "/secrets/refresh-token"
	assign := []string{"role", "assignment", "create", "--role", "Key Vault Secrets User", "--assignee-object-id", emulator.AppPrincipalID,
		"--assignee-principal-type", "ServicePrincipal", "--scope", scope}
	var list []struct{ PrincipalID, RoleDefinitionName string }
	az.Read(t, nil, assign...)
	az.Read(t, nil, assign...)
	az.Read(t, &list, "role", "assignment", "list", "--scope", scope)
	if len(list) != 1 || list[0].PrincipalID != emulator.AppPrincipalID || list[0].RoleDefinitionName != "Key Vault Secrets User" {
		t.Errorf("assignments: %v", list)
	}
	az.Read(t, nil, "role", "assignment", "delete", "--assignee", emulator.AppPrincipalID, "--role", "Key Vault Secrets User", "--scope", scope)
	e.Change(func(w *emulator.State) {
		if len(w.RoleAssignments) != 1 {
			t.Errorf("left: %v", w.RoleAssignments)
		}
	})
}
