package pat

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

// emulated returns a client of an emulator for its service account.
func emulated(t *testing.T, e *emulator.Emulator, edits ...func(claims map[string]any)) *Client {
	t.Helper()
	file, err := e.CAFile()
	if err != nil {
		t.Fatal(err)
	}
	h, err := httpclient.NewClient(httpclient.Options{CAFile: file})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.CloseIdleConnections)
	return New(Options{
		HTTP: h, BaseURL: e.URL(emulator.AzureDevOps), Organization: emulator.OrganizationName,
		Token: secret.New(e.AccessToken(edits...)), UserAgent: "azdo-pat/test",
	})
}

// The life of a PAT, over HTTP/1.1 and over TLS with HTTP/2. The emulator refuses what
// the real service refuses.
func TestLifeOfAPAT(t *testing.T) {
	for _, tls := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls %v", tls), func(t *testing.T) {
			e := emulator.StartWith(t, emulator.Options{TLS: tls})
			c := emulated(t, e)
			end := e.Now(emulator.AzureDevOps).Add(time.Hour)

			made, err := c.Create(t.Context(), Create{DisplayName: "azdo-pat test", Scopes: []string{"vso.code", "vso.packaging_write"}, ValidTo: end})
			if err != nil {
				t.Fatal(err)
			}
			if active := e.Active(); len(active) != 1 || active[0].ID != made.ID || active[0].Token != made.Secret.Reveal() ||
				!made.ValidTo.Equal(end.Truncate(time.Second)) || !slices.Equal(made.TargetAccounts, []string{emulator.OrganizationID}) {
				t.Errorf("made %+v, the service has %+v", made, active)
			}

			got, err := c.Get(t.Context(), made.ID)
			if err != nil || got.DisplayName != "azdo-pat test" || !got.ValidTo.Equal(made.ValidTo) || !got.Secret.IsZero() || strings.Join(got.Scopes, " ") != "vso.code vso.packaging_write" {
				t.Errorf("got %+v, %v", got, err)
			}

			later := made.ValidTo.Add(time.Hour)
			if got, err = c.Update(t.Context(), made.ID, Update{ValidTo: later}); err != nil || !got.ValidTo.Equal(later) || got.ID != made.ID || got.DisplayName != "azdo-pat test" || len(got.Scopes) != 2 {
				t.Errorf("updated %+v, %v", got, err)
			}

			if gone, err := c.Revoke(t.Context(), made.ID); gone || err != nil || len(e.Active()) != 0 {
				t.Errorf("gone %v, %v; active %+v", gone, err, e.Active())
			}
			for _, answer := range []emulator.GoneAnswer{emulator.GoneNotFound, emulator.GoneTokenNotFound, emulator.GoneAuthorizationNotFound} {
				e.Change(func(w *emulator.State) { w.Organization(emulator.OrganizationName).Revoked = answer })
				if gone, err := c.Revoke(t.Context(), made.ID); !gone || err != nil {
					t.Errorf("%v: gone %v, %v", answer, gone, err)
				}
			}
			if _, err := c.Update(t.Context(), made.ID, Update{ValidTo: later}); !asError(t, err).NotFound() {
				t.Errorf("a revoked PAT was updated: %v", err)
			}
			if n := e.Connections(emulator.AzureDevOps); n != 1 {
				t.Errorf("%d connections", n)
			}
			for _, v := range e.Violations() {
				t.Errorf("%+v", v)
			}
		})
	}
}

func TestListOverPages(t *testing.T) {
	e := emulator.Start(t)
	want := map[string]bool{}
	for i := range 250 {
		p := e.Seed(emulator.PAT{Name: fmt.Sprint("PAT ", i), Owner: emulator.ServiceUserID, Revoked: i >= 230})
		want[p.ID] = !p.Revoked
	}
	c := emulated(t, e)
	for filter, n := range map[Filter]int{
		{}:                                  230,
		{Show: Revoked}:                     20,
		{Show: All, SortBy: ByName}:         250,
		{Show: Expired}:                     0,
		{SortBy: ByStatus, Ascending: true}: 230,
	} {
		before := len(e.Requests(emulator.OpList))
		seen := map[string]bool{}
		for token, err := range c.List(t.Context(), filter) {
			if err != nil {
				t.Fatal(err)
			}
			if active, ok := want[token.ID]; !ok || seen[token.ID] || filter.Show == "" && !active {
				t.Errorf("%+v: %+v", filter, token)
			}
			seen[token.ID] = true
		}
		if pages := len(e.Requests(emulator.OpList)) - before; len(seen) != n || pages != max(1, (n+99)/100) {
			t.Errorf("%+v: %d PATs on %d pages, want %d", filter, len(seen), pages, n)
		}
	}
}

// Refusals are distinguished, and no PAT is made.
func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		name   string
		world  func(*emulator.State)
		claims func(map[string]any)
		create Create
		code   string
		status int
		hint   string
	}{
		{name: "an application", claims: func(c map[string]any) { c["idtyp"] = "app" }, code: "InvalidAccessException", status: 403, hint: "for users only"},
		{name: "another user's token", claims: func(c map[string]any) { c["aud"] = "https://graph.microsoft.com" }, status: 401, hint: "for Azure DevOps"},
		{name: "not a member", claims: func(c map[string]any) { c["oid"] = "99999999-0000-4000-8000-000000000000" }, code: "TF401444", hint: "account 99999999-0000-4000-8000-000000000000 is not yet a user"},
		{name: "one of two permissions", claims: func(c map[string]any) { c["scp"] = "vso.pats" }, hint: "the user"},
		{name: "no such organization", world: func(w *emulator.State) { w.Organizations = nil }, status: 404, hint: "`organization`"},
		{name: "full access", world: policies(emulator.Policies{RestrictFullScope: true}), create: Create{Scopes: []string{"app_token"}}, code: "fullScopePatPolicyViolation", status: 200, hint: "Azure DevOps Administrator"},
		{name: "no PATs", world: policies(emulator.Policies{RestrictCreation: true}), code: "disablePatCreationPolicyViolation", status: 200, hint: "Project Collection Administrator"},
		{name: "too long", world: policies(emulator.Policies{MaxLifetime: time.Minute, RefuseLongLived: true}), code: "patLifespanPolicyViolation", status: 200, hint: "`lifetime`"},
		{name: "no such scope", create: Create{Scopes: []string{"vso.coed"}}, code: "invalidScope", status: 200, hint: "`scopes`"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := emulator.Start(t)
			var edits []func(map[string]any)
			if tc.claims != nil {
				edits = append(edits, tc.claims)
			}
			c := emulated(t, e, edits...)
			if tc.world != nil {
				e.Change(tc.world)
			}
			p := tc.create
			if p.DisplayName = "azdo-pat test"; p.Scopes == nil {
				p.Scopes = []string{"vso.code"}
			}
			p.ValidTo = e.Now(emulator.AzureDevOps).Add(time.Hour)
			_, err := c.Create(t.Context(), p)
			got := asError(t, err)
			if tc.code != "" && got.Code != tc.code || tc.status != 0 && got.Status != tc.status || !strings.Contains(got.Hint(), tc.hint) {
				t.Errorf("%v\nhint %s", got, got.Hint())
			}
			if !got.Settled() || got.Retryable() || len(e.PATs()) != 0 {
				t.Errorf("settled %v, passing %v, made %+v", got.Settled(), got.Retryable(), e.PATs())
			}
			for _, s := range e.Secrets() {
				if strings.Contains(got.Error()+got.Hint(), s) {
					t.Errorf("a credential in %v", got)
				}
			}
		})
	}
}

func policies(p emulator.Policies) func(*emulator.State) {
	return func(w *emulator.State) { w.Organization(emulator.OrganizationName).Policies = p }
}

// If the answer to a create is lost, the error is not Settled.
func TestLostAnswers(t *testing.T) {
	for name, fault := range map[string]emulator.Fault{
		"no answer":       emulator.CommitAndDrop,
		"another's error": emulator.CommitAndAnswer(http.StatusBadGateway, nil, "<html><title>Bad gateway</title>"),
		"another's page":  emulator.CommitAndAnswer(http.StatusOK, nil, "<html>"),
	} {
		t.Run(name, func(t *testing.T) {
			e := emulator.Start(t)
			c := emulated(t, e)
			e.Intercept(emulator.OpCreate, fault)
			_, err := c.Create(t.Context(), Create{DisplayName: "azdo-pat test", Scopes: []string{"vso.code"}, ValidTo: e.Now(emulator.AzureDevOps).Add(time.Hour)})
			if got := asError(t, err); got.Settled() || len(e.Active()) != 1 {
				t.Errorf("settled %v, active %+v: %v", got.Settled(), e.Active(), got)
			}
		})
	}
}
