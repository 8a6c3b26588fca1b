package displayname_test

import (
	"strings"
	"testing"

	"azdo-pat/internal/displayname"
)

func TestCompare(t *testing.T) {
	t.Parallel()
	const leaseName = "azdo-pat contoso/app run 42.1 build 0123456789abcdef"
	const start = "azdo-pat contoso/app run 42.1 build "
	for shown, want := range map[string]displayname.Match{
		leaseName:                              displayname.Same,
		"azdo-pat contoso/a… 0123456789abcdef": displayname.Same, // SOURCE was shortened
		start + "0123456789abcde":              displayname.Same,
		start + "01234567":                     displayname.Same,
		start + "01234567…":                    displayname.Same,
		start + "01234567...":                  displayname.Same,
		start + "0123456":                      displayname.Unclear,
		start:                                  displayname.Unclear,
		strings.TrimSpace(start):               displayname.Unclear,
		strings.TrimSpace(start) + "...":       displayname.Unclear,
		"azdo-pat c":                           displayname.Unclear,
		"azdo-pat ":                            displayname.Different,
		"azdo-pat":                             displayname.Different,
		"":                                     displayname.Different,
		"a":                                    displayname.Different,
		"my own token":                         displayname.Different,
		start + "0123456789abcdee":             displayname.Different,
		start + "01234568":                     displayname.Different,
		leaseName + "0":                        displayname.Different,
		leaseName + " x":                       displayname.Different,
		"x" + leaseName:                        displayname.Different,
		strings.ToUpper(leaseName):             displayname.Different,
		"my own 0123456789abcdef":              displayname.Different,
		"azdo-pat contoso/app run 43.1 build 01234567": displayname.Different,
	} {
		if got := displayname.Compare(shown, leaseName); got != want {
			t.Errorf("%q: %d, want %d", shown, got, want)
		}
	}
	// A rotated PAT, and one of another consumer.
	const rotated = "azdo-pat rotated sonar 0123456789abcdef"
	for shown, want := range map[string]displayname.Match{
		rotated:                                   displayname.Same,
		"azdo-pat rotated sonar 01234567":         displayname.Same,
		"azdo-pat rotated sonar 0123456":          displayname.Unclear,
		"azdo-pat rotated snyk 01234567":          displayname.Different,
		"azdo-pat rotated sonar fedcba9876543210": displayname.Different,
	} {
		if got := displayname.Compare(shown, rotated); got != want {
			t.Errorf("%q: %d, want %d", shown, got, want)
		}
	}
	// A name that is none of ours has no KEY.
	if got := displayname.Compare("my own", "my own token"); got != displayname.Different {
		t.Errorf("a name of another form: %d", got)
	}
}
