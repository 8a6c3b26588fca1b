package entra

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/hint"
)

// What to tell the user, by Entra's code: a part of it for every code that the
// documents name.
func TestHints(t *testing.T) {
	t.Parallel()
	for says, codes := range map[string][]int{
		"add a federated credential to client " + blueprint + " with exactly the issuer, subject and audience presented": {700213, 70021},
		"upper and lower case": {7002138},
		"some minutes":         {70021},
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
		"store the new one":                                            {50173, 700082, 70008, 70043},
		"client-id must be the blueprint, agent-id the agent identity": {82001, 70003},
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

// A code that passes needs no hint, for nobody has to change anything.
func TestCodesThatPass(t *testing.T) {
	t.Parallel()
	want := []int{50033, 90024, 90033, 90055}
	got := slices.Sorted(slices.Values(passing))
	if !slices.Equal(got, want) {
		t.Errorf("passing codes %v, want %v", got, want)
	}
	for _, code := range want {
		if _, hinted := hints[code]; hinted || !(&Error{Status: 400, Codes: []int{1, code}}).Passing() {
			t.Errorf("AADSTS%d does not pass, or has a hint", code)
		}
	}
	for code := range hints {
		if (&Error{Status: 400, Codes: []int{code}}).Passing() {
			t.Errorf("AADSTS%d passes", code)
		}
	}
}
