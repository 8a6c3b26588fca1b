package setup

import (
	"strings"
	"testing"
)

// A name is part of a URL, and has an end.
func TestCredentialName(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]string{
		"repo:contoso/widgets:ref:refs/heads/main": "azdo-pat-repo-contoso-widgets-ref-refs-heads-main",
		"repo:o@1/r@2:environment:prod":            "azdo-pat-repo-o-1-r-2-environment-prod",
		"'; touch pwned ":                          "azdo-pat-touch-pwned",
		"":                                         "azdo-pat",
		strings.Repeat("x", 109) + ":" + "ref:of:branch": "azdo-pat-" + strings.Repeat("x", 109) + "-r",
		strings.Repeat("x", 110) + "::::::::::::::::ref": "azdo-pat-" + strings.Repeat("x", 110),
	} {
		if got := CredentialName(subject); got != want || len(got) > 120 {
			t.Errorf("%q: got %q, want %q", subject, got, want)
		}
	}
}
