package entra

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/hint"
)

// A part of the hint for every documented code.
func TestHints(t *testing.T) {
	t.Parallel()
	for says, codes := range map[string][]int{
		"add a federated credential to client " + blueprint + " with exactly the issuer, subject and audience presented": {700213, 70021},
		"upper and lower case": {7002138},
		"some minutes":         {70021, 7002131},
		"call that workflow":   {7002131},
		`the issuer https://token.actions.githubusercontent.com;`:      {700211},
		"wrong tenant-id or agent-id":                                  {700211},
		`presented was api://AzureADTokenExchange;`:                    {700212},
		"has no federated credential: check client-id":                 {70025},
		"clock of a self-hosted runner":                                {700024},
		"signature":                                                    {700027, 50013},
		"an application's own":                                         {700229},
		"tenant-id":                                                    {700016, 90002},
		"check client-id and tenant-id":                                {700016},
		"connect the organization to Microsoft Entra ID":               {500011},
		"vso.pats and vso.pats_manage":                                 {65001},
		"confidential":                                                 {7000218, 700025},
		"check the user account":                                       {50034, 50126, 50055, 50053, 50057},
		"use another identity":                                         {50076, 50079, 50074, 50158},
		"Conditional Access":                                           {53003, 530032},
		"with azdo-pat login, which stores a new one":                  {50173, 700082, 70008, 70043},
		"client-id must be the blueprint, agent-id the agent identity": {82001, 82004, 70003},
		"ask the tenant's administrator whether the issuer https://token.actions.githubusercontent.com is allowed": {700223},
		"does not allow workload identity federation with the issuer https://token.actions.githubusercontent.com":  {700238},
		"repositories of certain enterprises":                  {7002381},
		"AzureADMyOrg":                                         {70052},
		"another cloud: check authority-host":                  {900382, 900432},
		"is disabled in the tenant: enable it":                 {7000112, 70001},
		"another tenant or identity provider":                  {50020},
		"not in this tenant":                                   {90072},
		"assign it":                                            {50105},
		"demands a managed device":                             {53000, 53001},
		"review and clear the risk":                            {53004, 53010, 53011},
		"an account of this tenant":                            {530034},
		"security defaults block the sign-in":                  {530035},
		"declined the consent":                                 {65004},
		"redirect URI http://localhost under the platform Web": {50011, 70004, 900971, 500113},
		"as a single-page application: move it":                {9002327},
		"only an administrator may consent":                    {90094, 90095},
		"not of this tenant":                                   {16000},
		"set tenant-id, and sign in":                           {700005},
		"works once":                                           {54005},
		"report it":                                            {501481, 50147, 501491},
		"no user is signed in":                                 {50058},
		"certificate has ended or was":                         {1000502, 7000214},
		"not under \"Mobile and desktop":                       {700025},
		"password must be changed":                             {50135, 50144},
		"for a single tenant":                                  {50194},
		"no such tenant":                                       {90002, 900023},
		"check authority-host: Entra":                          {50049},
		"one of this application":                              {70000},
	} {
		for _, code := range codes {
			t.Run(fmt.Sprint(code, " ", says), func(t *testing.T) {
				t.Parallel()
				x, server := newExchange(t, identityPassword, func(int, asked) reply { return aadsts(code) })
				_, err := x.Token(t.Context())
				if h := hint.Of(err); !strings.Contains(h, says) || strings.Contains(h, "\n") {
					t.Errorf("hint %q, want %q in it", h, says)
				}
				if len(server.asked) != 1 {
					t.Errorf("%d requests", len(server.asked))
				}
			})
		}
	}
}

func TestHintOfSeveralCodes(t *testing.T) {
	t.Parallel()
	if h := (&Error{Codes: []int{1, 50126, 65001}}).Hint(); !strings.Contains(h, "check the user account") {
		t.Errorf("hint %q is not that of the first known code", h)
	}
	if h := (&Error{Codes: []int{1}}).Hint(); h != "" {
		t.Errorf("hint %q for an unknown code", h)
	}
}

// The values for a federated credential are shown only if the credential is the cause,
// not for a wrong account, consent or tenant.
func TestCredentialMismatch(t *testing.T) {
	t.Parallel()
	credential := []int{700211, 700212, 700213, 7002131, 7002138, 70021, 70025, 700223}
	for code := range hints {
		if got, want := (&Error{Codes: []int{code}}).CredentialMismatch(), slices.Contains(credential, code); got != want {
			t.Errorf("AADSTS%d: %t", code, got)
		}
	}
	for text, want := range map[string]bool{"No matching federated identity record found": true, "": false, "Wrong password": false} {
		if got := (&Error{Description: text}).CredentialMismatch(); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

// A temporary fault has no hint, because there is nothing to change.
func TestCodesThatPass(t *testing.T) {
	t.Parallel()
	want := []int{50033, 50087, 50166, 90006, 90012, 90024, 90033, 90055, 90090, 90091, 501621}
	got := slices.Sorted(slices.Values(transientCodes))
	if !slices.Equal(got, want) {
		t.Errorf("passing codes %v, want %v", got, want)
	}
	for _, code := range want {
		if _, hinted := hints[code]; hinted || !(&Error{Status: 400, Codes: []int{1, code}}).Retryable() {
			t.Errorf("AADSTS%d does not pass, or has a hint", code)
		}
	}
	for code := range hints {
		if code != codeLoop && (&Error{Status: 400, Codes: []int{code}}).Retryable() {
			t.Errorf("AADSTS%d passes", code)
		}
	}
}

// What an agent identity may not do is said in the terms of the identity that is set.
func TestHintForServicePrincipal(t *testing.T) {
	t.Parallel()
	for _, code := range []int{82001, 70003} {
		x, _ := newExchange(t, identityServicePrincipal, func(int, asked) reply { return aadsts(code) })
		_, err := x.Token(t.Context())
		if got := hint.Of(err); !strings.Contains(got, "client-id must be an app registration") || strings.Contains(got, "agent-user") {
			t.Errorf("AADSTS%d: %q", code, got)
		}
	}
}

// A wrong agent-id is refused like a wrong client-id.
func TestHintNamesTheAgent(t *testing.T) {
	t.Parallel()
	for step, want := range map[string]string{
		stepName("get a token of the agent identity blueprint", 1): "check client-id, agent-id and tenant-id",
		"sign in with the password":                                "check client-id and tenant-id",
	} {
		if got := (&Error{Step: step, Codes: []int{700016}}).Hint(); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", step, got, want)
		}
	}
}
