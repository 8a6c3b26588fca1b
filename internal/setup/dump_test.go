package setup

import (
	"os"
	"testing"
)

func TestDump(t *testing.T) {
	os.WriteFile("/tmp/sp.sh", []byte(Script(Options{Identity: ServicePrincipal, Organization: "contoso", Name: "azdo-pat-contoso", Repository: "contoso/widgets", Audience: "api://AzureADTokenExchange"})), 0o644)
	os.WriteFile("/tmp/sa.sh", []byte(Script(Options{Identity: ServiceAccount, Organization: "contoso", Name: "Bob's \"x\" `id` $(id)", Issuer: gitHubIssuer, Subject: "repo:contoso/widgets:environment:a'b$(id)`x`!", Username: "svc@contoso.com", Vault: "kv", Secret: "rt", Audience: "api://AzureADTokenExchange"})), 0o644)
	os.WriteFile("/tmp/sau.sh", []byte(Script(Options{Undo: true, Identity: ServiceAccount, Organization: "contoso", Name: "azdo-pat-contoso", Client: "C1C1C1C1-0000-4000-8000-000000000004", Repository: "contoso/widgets", Username: "svc@contoso.com", Vault: "kv", Secret: "rt", Audience: "api://AzureADTokenExchange"})), 0o644)
}
