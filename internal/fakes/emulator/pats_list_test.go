package emulator_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// names are the display names on a page.
func (c *client) names(a answer) []string {
	c.Helper()
	list, ok := a.JSON["patTokens"].([]any)
	if a.Status != 200 || !ok {
		c.Fatalf("list: %d %s", a.Status, a.Text)
	}
	names := []string{}
	for _, p := range list {
		pat := p.(map[string]any)
		if token, present := pat["token"]; !present || token != nil {
			c.Errorf("the list shows token %v", token)
		}
		names = append(names, pat["displayName"].(string))
	}
	return names
}

// seedThree seeds one PAT of each status, and an active one of another user.
func (c *client) seedThree() {
	now := c.e.Now(emulator.AzureDevOps)
	mine := emulator.PAT{Owner: emulator.ServiceUserID}
	active, revoked, expired, another := mine, mine, mine, emulator.PAT{}
	active.Name, active.ValidTo = "b active", now.Add(3*time.Hour)
	revoked.Name, revoked.ValidTo, revoked.Revoked = "c revoked", now.Add(2*time.Hour), true
	expired.Name, expired.ValidFrom, expired.ValidTo = "a expired", now.Add(-2*time.Hour), now.Add(-time.Hour)
	another.Name = "another's"
	for _, p := range []emulator.PAT{active, revoked, expired, another} {
		c.e.Seed(p)
	}
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.seedThree()
	for query, want := range map[string]string{
		"":                             "b active",
		"&displayFilterOption=active":  "b active",
		"&displayFilterOption=revoked": "c revoked",
		"&displayFilterOption=expired": "a expired",
		"&displayFilterOption=all":     "b active, c revoked, a expired",
		"&displayFilterOption=all&sortByOption=displayName&isSortAscending=true":  "a expired, b active, c revoked",
		"&displayFilterOption=all&sortByOption=displayName&isSortAscending=false": "c revoked, b active, a expired",
		"&displayFilterOption=all&sortByOption=displayDate&isSortAscending=true":  "a expired, c revoked, b active",
		"&displayFilterOption=all&sortByOption=status&isSortAscending=true":       "b active, a expired, c revoked",
	} {
		if got := strings.Join(c.names(c.pats("GET", query, "")), ", "); got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	c := start(t)
	var want []string
	for i := range 250 {
		name := fmt.Sprintf("%03d", i)
		c.e.Seed(emulator.PAT{Name: name, Owner: emulator.ServiceUserID})
		want = append(want, name)
	}
	const filters = "&displayFilterOption=active&sortByOption=displayName&isSortAscending=true"
	var got []string
	var lengths []int
	query := filters + "&$top=100"
	for {
		a := c.pats("GET", query, "")
		page := c.names(a)
		got, lengths = append(got, page...), append(lengths, len(page))
		next := a.JSON["continuationToken"].(string)
		if next == "" {
			break
		}
		query = filters + "&$top=100&continuationToken=" + next
	}
	if !slices.Equal(lengths, []int{100, 100, 50}) || !slices.Equal(got, want) {
		t.Errorf("pages of %v with %v", lengths, got)
	}
	if n := len(c.names(c.pats("GET", "", ""))); n != 20 {
		t.Errorf("a page without $top has %d, want 20", n)
	}
}

func TestListRefused(t *testing.T) {
	t.Parallel()
	c := start(t)
	for range 3 {
		c.e.Seed(emulator.PAT{Owner: emulator.ServiceUserID})
	}
	next := c.pats("GET", "&$top=1&displayFilterOption=all", "").JSON["continuationToken"].(string)
	if a := c.pats("GET", "&$top=1&displayFilterOption=all&continuationToken="+next, ""); a.Status != 200 {
		t.Fatalf("the second page: %d %s", a.Status, a.Text)
	}
	for name, query := range map[string]string{
		"$top of 101":                 "&$top=101",
		"$top of 0":                   "&$top=0",
		"$top no number":              "&$top=all",
		"filter unknown":              "&displayFilterOption=Active",
		"sort unknown":                "&sortByOption=name",
		"ascending no boolean":        "&isSortAscending=yes",
		"parameter unknown":           "&top=1",
		"parameter twice":             "&$top=1&$top=2",
		"token of no page":            "&continuationToken=x",
		"page without the filter":     "&$top=1&continuationToken=" + next,
		"page with another filter":    "&$top=1&displayFilterOption=active&continuationToken=" + next,
		"page with another order":     "&$top=1&displayFilterOption=all&sortByOption=status&continuationToken=" + next,
		"page in the other direction": "&$top=1&displayFilterOption=all&isSortAscending=true&continuationToken=" + next,
	} {
		if a := c.pats("GET", query, ""); a.Status != 400 || a.JSON["message"] == nil {
			t.Errorf("%s: got %d %s, want 400", name, a.Status, a.Text)
		}
	}
}
