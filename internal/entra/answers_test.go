package entra

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
)

// testdata/answers.json has answers of token endpoints from the test suites of
// golang.org/x/oauth2 and Microsoft's MSAL, with the expected results.
func TestAnswersOfTokenEndpoints(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/answers.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		From, Type, Text         string
		Status                   int
		Body                     json.RawMessage
		Token, Says, OAuth, Hint string
		Codes                    []int
		Retryable                bool
	}
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) < 20 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, tc := range cases {
		for _, bom := range []string{"", "\xef\xbb\xbf"} {
			inBubble(t, tc.From, func(t *testing.T) {
				answer := reply{status: tc.Status, body: bom + tc.Text}
				if tc.Type != "" {
					answer.header = map[string]string{"Content-Type": tc.Type}
					if bom != "" && tc.Token != "" {
						return // a form has none
					}
				}
				if tc.Body != nil {
					answer.body = bom + string(tc.Body)
				}
				x, _ := newExchange(t, identityPassword, func(int, asked) reply { return answer })
				got, err := x.attempt(t.Context())
				if (tc.Token != "") != (err == nil) || got.Access.Reveal() != tc.Token {
					t.Fatalf("token %q, %v", got.Access.Reveal(), err)
				}
				if err == nil {
					return
				}
				if !strings.Contains(err.Error(), tc.Says) || !strings.Contains(hint.Of(err), tc.Hint) {
					t.Errorf("error %q, hint %q", err, hint.Of(err))
				}
				passing, wait := httpclient.Retryable(err)
				loop := slices.Contains(tc.Codes, codeLoop) // passing, but not at once
				if passing != (tc.Retryable || loop) || wait != 0 && !loop || loop && wait != loopPause {
					t.Errorf("passing %t after %s", passing, wait)
				}
				var e *Error
				if errors.As(err, &e) && (e.OAuth != tc.OAuth || !slices.Equal(e.Codes, tc.Codes)) || e == nil && (tc.OAuth != "" || tc.Codes != nil) {
					t.Errorf("error %q with codes %v, want %q with %v", e.OAuth, e.Codes, tc.OAuth, tc.Codes)
				}
			})
		}
	}
}

// A wait that Entra asks for is observed.
func TestLoopIsGivenAPause(t *testing.T) {
	t.Parallel()
	inBubble(t, "loop", func(t *testing.T) {
		x, server := newExchange(t, identityPassword, func(n int, _ asked) reply {
			if n == 1 {
				return aadsts(codeLoop)
			}
			return token(n)
		})
		if _, err := x.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(server.asked) != 2 || server.asked[1].at.Sub(server.asked[0].at) < loopPause {
			t.Errorf("%d requests, the second after %s", len(server.asked), server.asked[1].at.Sub(server.asked[0].at))
		}
	})
}
