// Command stock mints a PAT for an agent user with Microsoft's SDKs: MSAL for Go for
// Entra's tokens, and azure-devops-go-api with its discovery for Azure DevOps.
// azdo-pat is compared with it; ../README.md lists the choices in its favour.
//
// It reads the inputs of a GitHub Action and hands the PAT over as an action does. It
// keeps no record, revokes nothing, and repeats no request.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/google/uuid"
	"github.com/microsoft/azure-devops-go-api/azuredevops/v7"
)

var (
	// exchange is for tokens that are exchanged for others.
	exchange = []string{"api://AzureADTokenExchange/.default"}
	// azureDevOps is for tokens that Azure DevOps takes.
	azureDevOps = []string{"499b84ac-1321-427f-aa17-267ca6975798/.default"}
	// pats is the location of the PAT Lifecycle API, for which the SDK has no
	// client of its own.
	pats = uuid.MustParse("55967393-20ef-45c6-a96c-b5d5d5986a9a")
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Println("::error::" + err.Error())
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	access, err := userToken(ctx)
	if err != nil {
		return err
	}
	pat, err := mint(ctx, access)
	if err != nil {
		return err
	}
	fmt.Println("::add-mask::" + pat)
	output, err := os.OpenFile(os.Getenv("GITHUB_OUTPUT"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(output, "token=%s\n", pat)
	if e := output.Close(); err == nil {
		err = e
	}
	return err
}

// userToken is the token of the agent's user for Azure DevOps.
func userToken(ctx context.Context) (string, error) {
	authority := os.Getenv("INPUT_AUTHORITY-HOST") + "/" + os.Getenv("INPUT_TENANT-ID")
	agentID := os.Getenv("INPUT_AGENT-ID")
	client := func(id string, assertion func(context.Context, confidential.AssertionRequestOptions) (string, error)) (confidential.Client, error) {
		return confidential.New(authority, id, confidential.NewCredFromAssertionCallback(assertion),
			// Entra does not know the authority of a test.
			confidential.WithInstanceDiscovery(false))
	}
	blueprint, err := client(os.Getenv("INPUT_CLIENT-ID"), jobAssertion)
	if err != nil {
		return "", err
	}
	agent, err := client(agentID, func(ctx context.Context, _ confidential.AssertionRequestOptions) (string, error) {
		t1, err := blueprint.AcquireTokenByCredential(ctx, exchange, confidential.WithFMIPath(agentID))
		return t1.AccessToken, err
	})
	if err != nil {
		return "", err
	}
	t2, err := agent.AcquireTokenByCredential(ctx, exchange)
	if err != nil {
		return "", err
	}
	user, err := agent.AcquireTokenByUserFederatedIdentityCredential(ctx, azureDevOps, t2.AccessToken,
		confidential.WithUserFICUsername(os.Getenv("INPUT_AGENT-USER")))
	return user.AccessToken, err
}

// jobAssertion asks GitHub for the job's OIDC token.
func jobAssertion(ctx context.Context, _ confidential.AssertionRequestOptions) (string, error) {
	target := os.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL") + "&audience=" + url.QueryEscape("api://AzureADTokenExchange")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("answered by GitHub: %s", resp.Status)
	}
	var answer struct{ Value string }
	err = json.Unmarshal(body, &answer)
	return answer.Value, err
}

// mint makes a PAT.
func mint(ctx context.Context, access string) (string, error) {
	lifetime, err := time.ParseDuration(os.Getenv("INPUT_LIFETIME"))
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(map[string]any{
		"displayName": "stock " + os.Getenv("GITHUB_REPOSITORY") + " " + os.Getenv("GITHUB_RUN_ID"),
		"scope":       os.Getenv("INPUT_SCOPES"),
		"validTo":     time.Now().Add(lifetime).UTC().Format(time.RFC3339),
		"allOrgs":     false,
	})
	if err != nil {
		return "", err
	}
	organization := os.Getenv("INPUT_TOKEN-SERVICE-URL") + "/" + os.Getenv("INPUT_ORGANIZATION")
	connection := azuredevops.NewAnonymousConnection(organization)
	connection.AuthorizationString = "Bearer " + access
	client := connection.GetClientByUrl(organization)
	resp, err := client.Send(ctx, http.MethodPost, pats, "7.1-preview.1", nil, nil,
		bytes.NewReader(body), azuredevops.MediaTypeApplicationJson, azuredevops.MediaTypeApplicationJson, nil)
	if err != nil {
		return "", err
	}
	var answer struct {
		PatToken      struct{ Token string }
		PatTokenError string
	}
	if err := client.UnmarshalBody(resp, &answer); err != nil {
		return "", err
	}
	if answer.PatTokenError != "none" {
		return "", fmt.Errorf("refused by Azure DevOps: %s", answer.PatTokenError)
	}
	return answer.PatToken.Token, nil
}
