// Command bare makes the five requests of an agent user's mint with net/http, one after
// the other, and nothing else: no retry, no check, no record, and a mask only for the
// PAT. Without latency it takes the time of Go's start and of three TLS handshakes; the
// benchmark compares azdo-pat's time with it.
//
// It reads the inputs of a GitHub Action and writes the PAT to the action's output. With
// an argument it only starts and ends.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

func main() {
	if len(os.Args) > 1 {
		return
	}
	if err := run(); err != nil {
		fmt.Println("::error::" + err.Error())
		os.Exit(1)
	}
}

func run() error {
	var job struct{ Value string }
	target := os.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL") + "&audience=" + url.QueryEscape("api://AzureADTokenExchange")
	if err := ask(http.MethodGet, target, os.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN"), "", "", &job); err != nil {
		return err
	}
	blueprint, agent := os.Getenv("INPUT_CLIENT-ID"), os.Getenv("INPUT_AGENT-ID")
	const exchange = "api://AzureADTokenExchange/.default"
	t1, err := token(url.Values{
		"grant_type": {"client_credentials"}, "client_id": {blueprint}, "client_assertion": {job.Value}, "scope": {exchange}, "fmi_path": {agent},
	})
	if err != nil {
		return err
	}
	t2, err := token(url.Values{
		"grant_type": {"client_credentials"}, "client_id": {agent}, "client_assertion": {t1}, "scope": {exchange},
	})
	if err != nil {
		return err
	}
	access, err := token(url.Values{
		"grant_type": {"user_fic"}, "client_id": {agent}, "client_assertion": {t1}, "user_federated_identity_credential": {t2},
		"username": {os.Getenv("INPUT_AGENT-USER")}, "scope": {"499b84ac-1321-427f-aa17-267ca6975798/.default"},
	})
	if err != nil {
		return err
	}
	lifetime, err := time.ParseDuration(os.Getenv("INPUT_LIFETIME"))
	if err != nil {
		return err
	}
	create, err := json.Marshal(map[string]any{
		"displayName": "bare " + os.Getenv("GITHUB_REPOSITORY") + " " + os.Getenv("GITHUB_RUN_ID"),
		"scope":       os.Getenv("INPUT_SCOPES"),
		"validTo":     time.Now().Add(lifetime).UTC().Format(time.RFC3339),
		"allOrgs":     false,
	})
	if err != nil {
		return err
	}
	var made struct{ PatToken struct{ Token string } }
	if err := ask(http.MethodPost, os.Getenv("INPUT_TOKEN-SERVICE-URL")+"/"+os.Getenv("INPUT_ORGANIZATION")+"/_apis/tokens/pats?api-version=7.1-preview.1",
		access, "application/json", string(create), &made); err != nil {
		return err
	}
	fmt.Println("::add-mask::" + made.PatToken.Token)
	output, err := os.OpenFile(os.Getenv("GITHUB_OUTPUT"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(output, "token=%s\n", made.PatToken.Token)
	if e := output.Close(); err == nil {
		err = e
	}
	return err
}

// token asks Entra for a token.
func token(form url.Values) (string, error) {
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	err := ask(http.MethodPost, os.Getenv("INPUT_AUTHORITY-HOST")+"/"+os.Getenv("INPUT_TENANT-ID")+"/oauth2/v2.0/token",
		"", "application/x-www-form-urlencoded", form.Encode(), &answer)
	return answer.AccessToken, err
}

func ask(method, target, bearer, contentType, body string, answer any) error {
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		return err
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", req.URL.Host, resp.Status)
	}
	return json.Unmarshal(text, answer)
}
